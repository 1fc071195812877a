// Many instantiations of the standard library's containers: work for the compiler, and for malloc when it runs.
#include <algorithm>
#include <deque>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

long run_threads();

template <int N> struct Node {
    std::map<int, std::vector<std::string>> by_key;
    std::unordered_map<std::string, std::shared_ptr<std::list<long>>> by_name;
    std::set<std::tuple<int, std::string, double>> sorted;
    std::deque<std::variant<int, std::string, std::vector<char>>> queue;

    long fill(unsigned seed) {
        long sum = 0;
        for (unsigned i = 0; i < 2000; ++i) {
            seed = seed * 1103515245u + 12345u + N;
            const int key = static_cast<int>(seed >> 16) % 300;
            by_key[key].emplace_back(std::string(key % 90 + 1, char('a' + key % 26)));
            auto &list = by_name["n" + std::to_string(key)];
            if (!list) list = std::make_shared<std::list<long>>();
            list->push_back(i * N);
            sorted.emplace(key, std::to_string(i), key * 0.5);
            if (i % 3 == 0) queue.emplace_back(key);
            else if (i % 3 == 1) queue.emplace_front(std::to_string(seed));
            else queue.emplace_back(std::vector<char>(i % 500, 'v'));
            if (queue.size() > 100) queue.pop_front();
            if (i % 7 == 0) by_key.erase(key);
        }
        for (auto &[key, strings] : by_key)
            sum += key + std::accumulate(strings.begin(), strings.end(), 0L,
                                         [](long total, const std::string &s) { return total + long(s.size()); });
        for (auto &[name, list] : by_name) sum += long(list->size()) * long(name.size());
        for (auto &[key, text, value] : sorted) sum += long(value) + long(text.size());
        std::function<long(long)> next = [this, sum](long x) { return x + sum + long(queue.size()); };
        return next(N);
    }
};

template <int N> long fill_all() {
    Node<N> node;
    const long own = node.fill(N * 7919u);
    if constexpr (N > 1) return own + fill_all<N - 1>();
    return own;
}

int main() {
    std::cout << "nodes " << fill_all<24>() << '\n';
    std::ostringstream text;
    for (int i = 0; i < 3000; ++i) text << "key" << i << '=' << i * 7 << (i % 5 ? ' ' : '\n');
    const std::string all = text.str();
    const std::regex pair("key([0-9]+)=([0-9]+)");
    long sum = 0;
    for (std::sregex_iterator at(all.begin(), all.end(), pair), end; at != end; ++at) sum += std::stol((*at)[2]);
    std::cout << "regex " << sum << '\n' << "threads " << run_threads() << '\n';
}
