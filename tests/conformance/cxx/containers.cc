// What the standard library does with new and delete.
#include "check.h"
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

constexpr unsigned THREADS = 4;

template <class Work> void in_threads(Work work) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < THREADS; i++) threads.emplace_back(work, i);
    for (std::thread &thread : threads) thread.join();
}

std::string name_of(unsigned number) {
    return std::string(number % 60, 'x') + std::to_string(number);
}

void containers_keep_their_content() {
    in_threads([](unsigned start) {
        std::map<unsigned, std::string> tree;
        std::unordered_map<std::string, std::vector<unsigned>> table;
        std::list<std::string> list;
        std::deque<unsigned> queue;
        for (unsigned i = start; i < 20000; i += 1 + start) {
            tree[i * 7919 % 20011] = name_of(i);
            table[name_of(i % 500)].push_back(i);
            list.push_back(name_of(i));
            queue.push_back(i);
            if (i % 3 == 0) list.pop_front(), queue.pop_front();
            if (i % 5 == 0) tree.erase(tree.begin());
        }
        for (const auto &[key, value] : tree) {
            unsigned number = unsigned(std::stoul(value.substr(value.find_first_not_of('x'))));
            CHECK(number * 7919 % 20011 == key, "key %u has %s", key, value.c_str());
        }
        for (const auto &[key, values] : table)
            for (unsigned value : values)
                CHECK(name_of(value % 500) == key, "%s holds %u", key.c_str(), value);
        auto text = list.begin();
        for (unsigned number : queue)
            CHECK(*text++ == name_of(number), "the list and the queue differ at %u", number);
    });
}

void strings_and_streams_work() {
    in_threads([](unsigned start) {
        std::ostringstream out;
        std::string sum;
        for (unsigned i = 0; i < 30000; i++) {
            out << i + start << ' ';
            sum += char('a' + i % 26);
            if (sum.size() > 5000) sum.erase(100, 4000), sum.shrink_to_fit();
        }
        std::istringstream in(out.str());
        unsigned number;
        for (unsigned i = 0; i < 30000; i++)
            CHECK(in >> number && number == i + start, "number %u", i);
        for (char c : sum) CHECK(c >= 'a' && c <= 'z', "%d", c);
    });
}

unsigned alive;
std::mutex alive_lock;
struct Base {
    virtual ~Base() {
        std::lock_guard<std::mutex> guard(alive_lock);
        alive--;
    }
    virtual unsigned size() const = 0;
};
template <unsigned N> struct Derived : Base {
    unsigned char bytes[N];
    Derived() {
        memset(bytes, N & 255, N);
        std::lock_guard<std::mutex> guard(alive_lock);
        alive++;
    }
    unsigned size() const override {
        for (unsigned char byte : bytes) CHECK(byte == (N & 255), "%u of %u", byte, N);
        return N;
    }
};
struct alignas(128) Wide : Derived<300> {};

std::unique_ptr<Base> any(unsigned i) {
    switch (i % 4) {
    case 0: return std::make_unique<Derived<1>>();
    case 1: return std::make_unique<Derived<100>>();
    case 2: return std::make_unique<Wide>();
    default: return std::make_unique<Derived<70000>>();
    }
}

void polymorphic_objects_die_through_their_base() {
    static const unsigned sizes[] = {1, 100, 300, 70000};
    in_threads([](unsigned) {
        std::vector<std::unique_ptr<Base>> objects;
        for (unsigned i = 0; i < 500; i++) objects.push_back(any(i));
        for (unsigned i = 0; i < 500; i++) CHECK(objects[i]->size() == sizes[i % 4], "%u", i);
    });
    CHECK(alive == 0, "%u are left", alive);
}

void shared_objects_cross_threads() {
    std::vector<std::shared_ptr<std::string>> shared(200);
    std::mutex lock;
    in_threads([&](unsigned start) {
        uint64_t state = start + 1;
        for (unsigned i = 0; i < 20000; i++) {
            auto fresh = std::make_shared<std::string>(name_of(i));
            std::shared_ptr<std::string> old;
            {
                std::lock_guard<std::mutex> guard(lock);
                auto &place = shared[next_random(&state) % shared.size()];
                old = place;
                place = fresh;
            }
            if (old) {
                size_t digits = old->find_first_not_of('x');
                unsigned number = unsigned(std::stoul(old->substr(digits)));
                CHECK(*old == name_of(number), "%s", old->c_str());
            }
        }
    });
}

void exceptions_carry_heap_memory_across_threads() {
    std::vector<std::exception_ptr> caught(THREADS);
    in_threads([&](unsigned i) {
        for (unsigned round = 0; round < 2000; round++)
            try {
                throw std::runtime_error(name_of(1000 + round));
            } catch (...) {
                caught[i] = std::current_exception();
            }
    });
    for (const std::exception_ptr &pointer : caught)
        try {
            std::rethrow_exception(pointer);
        } catch (const std::runtime_error &error) {
            CHECK(error.what() == name_of(2999), "%s", error.what());
        }
}

void over_aligned_elements_stay_aligned_in_vectors() {
    struct alignas(64) Line { unsigned value; };
    std::vector<Line> lines;
    for (unsigned i = 0; i < 30000; i++) {
        lines.push_back({i});
        CHECK(uintptr_t(lines.data()) % 64 == 0, "%p", (void *)lines.data());
    }
    for (unsigned i = 0; i < 30000; i++) CHECK(lines[i].value == i, "element %u", i);
}

void pmr_resources_draw_from_new_and_delete() {
    std::pmr::unsynchronized_pool_resource pool(std::pmr::new_delete_resource());
    std::pmr::vector<std::pmr::string> strings(&pool);
    for (unsigned i = 0; i < 5000; i++) strings.emplace_back(name_of(i).c_str());
    for (unsigned i = 0; i < 5000; i++) CHECK(name_of(i) == strings[i].c_str(), "string %u", i);
}

unsigned thread_objects_dead;
struct PerThread {
    std::vector<std::string> strings;
    ~PerThread() {
        for (size_t i = 0; i < strings.size(); i++)
            CHECK(strings[i] == name_of(unsigned(i)), "string %zu", i);
        delete[] new char[strings.size() + 1];
        __atomic_fetch_add(&thread_objects_dead, 1, __ATOMIC_RELAXED);
    }
};
thread_local PerThread per_thread;

void thread_local_objects_free_at_thread_exit() {
    for (unsigned round = 0; round < 50; round++)
        in_threads([](unsigned start) {
            for (unsigned i = 0; i < 50 + start; i++) per_thread.strings.push_back(name_of(i));
        });
    CHECK(thread_objects_dead == 50 * THREADS, "%u", thread_objects_dead);
}

const test_case CASES[] = {
    {"containers_keep_their_content", containers_keep_their_content},
    {"strings_and_streams_work", strings_and_streams_work},
    {"polymorphic_objects_die_through_their_base", polymorphic_objects_die_through_their_base},
    {"shared_objects_cross_threads", shared_objects_cross_threads},
    {"exceptions_carry_heap_memory_across_threads", exceptions_carry_heap_memory_across_threads},
    {"over_aligned_elements_stay_aligned_in_vectors",
     over_aligned_elements_stay_aligned_in_vectors},
    {"pmr_resources_draw_from_new_and_delete", pmr_resources_draw_from_new_and_delete},
    {"thread_local_objects_free_at_thread_exit", thread_local_objects_free_at_thread_exit},
};

} // namespace
MAIN(CASES)
