// index.hpp: which documents hold a word, and the answers given so far.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

struct Page {
    uint32_t number;
    size_t size;
    std::string text;
};

struct Result {
    std::vector<std::unique_ptr<Page>> pages;
    const Page *find_page(uint32_t number) const;
};

class Index
{
  public:
    void add(uint32_t document, const char *body);
    Result search(const std::string &word) const;

  private:
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::vector<uint32_t>> postings_;
};

// Remembers every answer under the text of its request, and never forgets one.
class ResultCache
{
  public:
    std::shared_ptr<Result> find(const std::string &request) const;
    void store(const std::string &request, std::shared_ptr<Result> result);

  private:
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<Result>> results_;
};
