/* C++'s objects of threads: their destructors free, allocate, and bring others into being, in
 * threads that end by themselves, by pthread_exit, and in main at exit. */
#include "statistics.h"
#include <atomic>
#include <memory>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

static std::atomic<unsigned> destroyed;

struct Late {
    std::vector<std::string> strings;
    Late() : strings(100, std::string(500, 'x')) {}
    ~Late() { destroyed++; }
};
static unsigned use_late() {
    thread_local Late late;
    return unsigned(late.strings.size());
}
struct Early {
    std::unique_ptr<std::string[]> strings{new std::string[30]};
    Early() {
        for (unsigned i = 0; i < 30; i++) strings[i].assign(i * 77, 'y');
    }
    ~Early() {
        for (unsigned i = 0; i < 30; i++)
            if (strings[i] != std::string(i * 77, 'y')) FAIL("string %u changed", i);
        /* The first use of the other may be here: it is destroyed afterwards. */
        if (use_late() != 100) FAIL("a vector changed");
        destroyed++;
    }
};
static unsigned use_early() {
    thread_local Early early;
    return early.strings ? 30 : 0;
}

static void *live(void *argument) {
    auto number = reinterpret_cast<uintptr_t>(argument);
    if (number & 1) use_late();
    use_early();
    free(malloc(number * 8));
    if (number & 2) pthread_exit(nullptr);
    return nullptr;
}
static void run(unsigned count) {
    for (unsigned done = 0; done < count; done += 8) {
        pthread_t threads[8];
        for (uintptr_t i = 0; i < 8; i++)
            CHECK(pthread_create(&threads[i], nullptr, live, reinterpret_cast<void *>(done + i)) == 0, "%zu", i);
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
    }
}
static void objects_of_threads_may_free_and_allocate() {
    unsigned count = wanted(800);
    run(80);
    size_t before = live_bytes();
    run(count);
    CHECK_LIVE(before, 16 * KIB);
    CHECK(destroyed == 2 * (count + 80), "%u were destroyed", destroyed.load());
    times(2 * count);
    /* Those of main go when it ends. */
    use_early();
}

static const struct test_case CASES[] = {
    {"objects_of_threads_may_free_and_allocate", objects_of_threads_may_free_and_allocate},
};
MAIN(CASES)
