// Much of the standard library, and templates of our own for the compiler to instantiate.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

template <int N> struct Record {
    std::string name;
    std::vector<std::pair<int, std::string>> fields;
    std::map<std::string, std::array<int, N + 1>> index;
    bool operator<(const Record &other) const { return std::tie(name, fields) < std::tie(other.name, other.fields); }
};

template <int N> int work(std::istream &in) {
    std::vector<Record<N>> records;
    for (std::string word; in >> word;) {
        auto &record = records.emplace_back();
        record.name = word + std::to_string(N);
        record.fields.emplace_back(N, word);
        record.index[word].fill(N);
    }
    std::sort(records.begin(), records.end());
    return int(records.size());
}

using Value = std::variant<std::monostate, int, std::string>;

std::string show(const Value &value) {
    return std::visit([](const auto &held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<T>) return std::to_string(held);
        else if constexpr (std::is_same_v<T, std::string>) return held;
        else return "?";
    }, value);
}

int main() {
    std::istringstream in("a few words");
    std::set<std::string> seen{show(Value{1}), show(Value{std::string("s")})};
    return work<1>(in) + int(seen.size());
}
