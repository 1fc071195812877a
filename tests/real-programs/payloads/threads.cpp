// Four threads: each makes strings that its neighbour frees; exceptions fly through, and aligned news are asked for.
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {
struct alignas(128) Wide {
    long values[16];
};
struct Channel {
    std::mutex mutex;
    std::condition_variable filled;
    std::deque<std::unique_ptr<std::string>> items;
};
constexpr int THREADS = 4, ITEMS = 40000;
Channel channels[THREADS];

long work(int number) {
    long sum = 0;
    for (int i = 0; i < ITEMS; ++i) {
        auto item = std::make_unique<std::string>((i * 13 + number) % 700, char('a' + number));
        Channel &out = channels[(number + 1) % THREADS];
        {
            std::lock_guard<std::mutex> lock(out.mutex);
            out.items.push_back(std::move(item));
        }
        out.filled.notify_one();
        Channel &in = channels[number];
        std::unique_lock<std::mutex> lock(in.mutex);
        in.filled.wait(lock, [&] { return !in.items.empty(); });
        item = std::move(in.items.front());
        in.items.pop_front();
        lock.unlock();
        sum += long(item->size());
        if (i % 512 == 0) {
            std::unique_ptr<Wide> wide(new Wide{});
            if (reinterpret_cast<std::uintptr_t>(wide.get()) % alignof(Wide)) throw std::runtime_error("misaligned");
            try {
                throw std::invalid_argument(*item);
            } catch (const std::exception &error) {
                sum += long(std::string(error.what()).size());
            }
        }
    }
    return sum;
}
} // namespace

long run_threads() {
    std::vector<std::future<long>> results;
    for (int number = 0; number < THREADS; ++number) results.push_back(std::async(std::launch::async, work, number));
    long sum = 0;
    for (auto &result : results) sum += result.get();
    return sum;
}
