#include "index.hpp"

#include <cstring>

namespace
{
constexpr size_t documents_per_page = 20;

std::unique_ptr<Page> render_page(uint32_t number, const std::vector<uint32_t> &documents, size_t first)
{
    auto page = std::make_unique<Page>();
    page->number = number;
    page->text.reserve(documents_per_page * 24);
    for (size_t i = first; i < documents.size() && i < first + documents_per_page; i++) {
        page->text += "document " + std::to_string(documents[i]) + "\n";
    }
    page->size = page->text.size();
    return page;
}
} // namespace

const Page *Result::find_page(uint32_t number) const
{
    for (const auto &page : pages) {
        if (page->number == number) {
            return page.get();
        }
    }
    return nullptr;
}

void Index::add(uint32_t document, const char *body)
{
    std::lock_guard<std::mutex> lock(mutex_);
    while (*body) {
        size_t length = std::strcspn(body, " \n");
        if (length > 0) {
            postings_[std::string(body, length)].push_back(document);
        }
        body += length;
        body += std::strspn(body, " \n");
    }
}

Result Index::search(const std::string &word) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    Result result;
    auto found = postings_.find(word);
    if (found != postings_.end()) {
        for (size_t first = 0; first < found->second.size() && result.pages.size() < 3; first += documents_per_page) {
            result.pages.push_back(render_page(uint32_t(result.pages.size() + 1), found->second, first));
        }
    }
    return result;
}

std::shared_ptr<Result> ResultCache::find(const std::string &request) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = results_.find(request);
    return found == results_.end() ? nullptr : found->second;
}

void ResultCache::store(const std::string &request, std::shared_ptr<Result> result)
{
    std::lock_guard<std::mutex> lock(mutex_);
    results_.emplace(request, std::move(result));
}
