// translated.cpp: what the clang workload compiles: containers and algorithms of the standard library in a
// few functions.
#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

struct order {
    std::string customer;
    std::vector<int> amounts;
    std::map<std::string, double> prices;
};

double total(const std::vector<std::unique_ptr<order>> &orders)
{
    return std::accumulate(orders.begin(), orders.end(), 0.0,
                           [](double sum, const std::unique_ptr<order> &one) {
                               for (const auto &[name, price] : one->prices) {
                                   sum += price * static_cast<double>(name.size());
                               }
                               return sum;
                           });
}

void sort_by_customer(std::vector<std::unique_ptr<order>> &orders)
{
    std::sort(orders.begin(), orders.end(),
              [](const auto &a, const auto &b) { return a->customer < b->customer; });
    orders.erase(std::unique(orders.begin(), orders.end(),
                             [](const auto &a, const auto &b) { return a->customer == b->customer; }),
                 orders.end());
}

std::map<std::string, std::vector<int>> by_customer(const std::vector<std::unique_ptr<order>> &orders)
{
    std::map<std::string, std::vector<int>> result;
    for (const auto &one : orders) {
        auto &amounts = result[one->customer];
        amounts.insert(amounts.end(), one->amounts.begin(), one->amounts.end());
        std::stable_sort(amounts.begin(), amounts.end());
    }
    return result;
}
