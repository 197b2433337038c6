// searchd.cpp: a little search service, the program that `make demo` crashes.
//
// One thread feeds it documents and requests, four workers serve them. It has three mistakes that real services have:
// the parser loses documents with a malformed header (document.c), the cache of answers is never trimmed and its keys
// hold a session id, so that it grows with every request (index.hpp), and a request for a page that does not exist
// kills the worker (serve_search).
#include "document.h"
#include "index.hpp"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

namespace
{
constexpr int worker_count = 4;
constexpr uint32_t document_count = 6000;
constexpr uint32_t request_count = 8000;

const char *const words[] = {"allocator", "bridge", "compiler", "debugger", "elephant", "fountain", "garden", "harbour",
                             "island",    "jungle", "kernel",   "library",  "mountain", "network",  "ocean",  "pointer"};

class Queue
{
  public:
    void push(std::string request)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(std::move(request));
        changed_.notify_one();
    }

    void close()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

    bool pop(std::string &request)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !requests_.empty(); });
        if (requests_.empty()) {
            return false;
        }
        request = std::move(requests_.front());
        requests_.pop_front();
        return true;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> requests_;
    bool closed_ = false;
};

Queue queue;
Index search_index;
ResultCache cache;

std::string parameter(const std::string &request, const std::string &name)
{
    size_t begin = request.find(name + "=");
    if (begin == std::string::npos) {
        return "";
    }
    begin += name.size() + 1;
    return request.substr(begin, request.find('&', begin) - begin);
}

void serve_document(const std::string &text, uint32_t number)
{
    document *parsed = document_parse(text.c_str(), text.size());
    if (parsed) {
        search_index.add(number, parsed->body);
        document_free(parsed);
    }
}

// Returns the bytes served.
size_t serve_search(const std::string &request)
{
    std::shared_ptr<Result> result = cache.find(request);
    if (!result) {
        result = std::make_shared<Result>(search_index.search(parameter(request, "q")));
        cache.store(request, result);
    }
    const Page *page = result->find_page(uint32_t(std::strtoul(parameter(request, "page").c_str(), nullptr, 10)));
    return page->size;
}

void work(uint64_t *bytes_served)
{
    std::string request;
    while (queue.pop(request)) {
        if (request[0] == '#') {
            size_t header = request.find('\n') + 1;
            serve_document(request.substr(header), uint32_t(std::strtoul(request.c_str() + 1, nullptr, 10)));
        } else {
            *bytes_served += serve_search(request);
        }
    }
}

std::string make_document(uint32_t number)
{
    std::string text = "#" + std::to_string(number) + "\nTitle: About the " + words[number % 16] + "\n";
    text += number % 5 == 0 ? "Year: unknown\n\n" : "Year: " + std::to_string(1970 + number % 50) + "\n\n";
    for (uint32_t i = 0; i < 160; i++) {
        text += words[(number * 7 + i * i) % 16];
        text += i % 12 == 11 ? '\n' : ' ';
    }
    return text;
}

std::string make_request(uint32_t number)
{
    return std::string("q=") + words[number % 16] + "&page=1&session=" + std::to_string(100000 + number * 17);
}

} // namespace

int main()
{
    std::printf("searchd: %u documents, %u requests, %d workers\n", document_count, request_count, worker_count);
    std::fflush(stdout);
    uint64_t bytes_served[worker_count] = {};
    std::vector<std::thread> workers;
    for (uint64_t &bytes : bytes_served) {
        workers.emplace_back(work, &bytes);
    }
    for (uint32_t i = 0; i < document_count; i++) {
        queue.push(make_document(i));
    }
    for (uint32_t i = 0; i < request_count; i++) {
        queue.push(make_request(i));
    }
    queue.push("q=library&page=99&session=1");
    queue.close();
    for (std::thread &worker : workers) {
        worker.join();
    }
    uint64_t sum = 0;
    for (uint64_t bytes : bytes_served) {
        sum += bytes;
    }
    std::printf("searchd: %llu bytes served\n", (unsigned long long)sum);
    return 0;
}
