/* Libraries that come and go while others allocate: each load is of a new copy of plugin.cc.
 *
 *   libraries …   COUNT /path/of/the/plugin.so */
#include "exchange.h"
#include "statistics.h"
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { THREADS = 3 };
static const char *plugin;
static int left;

/* Another file each time: the loader knows one that is loaded by its inode. */
static void *open_copy(int *copy) {
    char path[64];
    struct stat about;
    int from = open(plugin, O_RDONLY | O_CLOEXEC);
    *copy = memfd_create("plugin", MFD_CLOEXEC);
    CHECK(from >= 0 && *copy >= 0 && fstat(from, &about) == 0, "%s: errno %d", plugin, errno);
    CHECK(sendfile(*copy, from, NULL, (size_t)about.st_size) == about.st_size, "errno %d", errno);
    close(from);
    snprintf(path, sizeof path, "/proc/self/fd/%d", *copy);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) FAIL("dlopen: %s", dlerror());
    return library;
}
static void close_copy(void *library, int copy) {
    CHECK(dlclose(library) == 0, "dlclose: %s", dlerror());
    close(copy);
}
static void load_once(uint64_t *state) {
    int copy;
    void *library = open_copy(&copy);
    unsigned (*use)(unsigned) = (unsigned (*)(unsigned))dlsym(library, "use");
    CHECK(use != NULL && use(40) == 90, "the library does not work");
    exchange(next_random(state), 50);
    close_copy(library, copy);
}
/* A life for a few loads: what a library has of the thread goes with the thread. */
static void *few_loads(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    for (unsigned i = 0; i < 4 && __atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED) > 0; i++) load_once(&state);
    return NULL;
}
static void load(int count) {
    for (left = count; left > 0;) {
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, few_loads, (void *)(i + (uintptr_t)left * 8)) == 0, "%zu", i);
        exchange((uint64_t)left, 200);
        for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    }
    /* A library whose thread_local objects outlived its dlclose stays, with all that it has, until the next dlclose
     * after the end of their threads. */
    int copy;
    void *library = open_copy(&copy);
    close_copy(library, copy);
    empty_boxes();
}
static void libraries_may_come_and_go(void) {
    unsigned count = wanted(100);
    CHECK(case_argc == 2, "arguments: COUNT PLUGIN");
    plugin = case_argv[1];
    load(30);
    size_t before = live_bytes();
    load((int)count);
    /* glibc keeps a little of each. */
    CHECK_LIVE(before, 32 * KIB + count * 64);
    times(count);
}
/* It was loaded before this program: its destructors come last. */
static void last_library_may_free(void) {
    exchange(3, 1000);
    times(1);
}

static const struct test_case CASES[] = {
    {"libraries_may_come_and_go", libraries_may_come_and_go},
    {"last_library_may_free", last_library_may_free},
};
MAIN(CASES)
