/* The end of memory: run under RLIMIT_AS, which is set before the program is executed.
 *
 *   take until NULL → every entry point refuses as documented → nothing taken has changed
 *   → give all back → at least half as much can be taken again, also in another size */
#include "exhaust.h"
#include <pthread.h>
#include <sys/resource.h>

static void need_limit(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "no RLIMIT_AS");
    CHECK(limit.rlim_cur != RLIM_INFINITY, "set RLIMIT_AS before running this program");
}

static void every_entry_point_refuses_and_goes_on(size_t size) {
    need_limit();
    struct block *list = NULL;
    void *old_small = malloc(50), *old_large = malloc(300000);
    CHECK(old_small && old_large, "the limit is too small to begin");
    size_t first = take(&list, size);
    CHECK(first * size > MIB, "only %zu blocks of %zu bytes fit", first, size);
    refuse_all(256 * MIB, old_small, 50);
    refuse_all(256 * MIB, old_large, 300000);
    /* What fits in no gap that was left over, as near as it gets to the block size. */
    if (size >= 64 * KIB) refuse_all(64 * size, old_small, 50);
    give(list), list = NULL;
    size_t second = take(&list, size);
    CHECK(second >= first / 2, "%zu blocks of %zu bytes at first, then %zu", first, size, second);
    give(list), list = NULL;
    /* Memory of one size serves another. */
    size_t other = size > 10000 ? 200 : 128 * KIB;
    size_t third = take(&list, other);
    CHECK(third * other >= first * size / 2, "%zu bytes as blocks of %zu, then %zu of %zu",
          first * size, size, third * other, other);
    give(list);
    free(old_small), free(old_large);
}

static void tiny_blocks(void) { every_entry_point_refuses_and_goes_on(100); }
static void page_sized_blocks(void) { every_entry_point_refuses_and_goes_on(4000); }
static void medium_blocks(void) { every_entry_point_refuses_and_goes_on(64 * KIB); }
static void large_blocks(void) { every_entry_point_refuses_and_goes_on(MIB); }
static void huge_blocks(void) { every_entry_point_refuses_and_goes_on(13 * MIB); }

static pthread_barrier_t barrier;
static void *exhaust(void *argument) {
    size_t size = (size_t)argument;
    for (unsigned round = 0; round < 3; round++) {
        struct block *list = NULL;
        take(&list, size);
        pthread_barrier_wait(&barrier);
        give(list);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}
static void threads_exhaust_memory_together(void) {
    need_limit();
    pthread_t threads[4];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * KIB);
    pthread_barrier_init(&barrier, NULL, COUNT(threads));
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], &attributes, exhaust, (void *)(64 + i * 3000)) == 0,
              "thread %zu", i);
    for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
    void *block = malloc(4 * MIB);
    CHECK(block != NULL, "nothing came back");
    free(block);
}

/* All mappings fail from here on: whatever is still given out must be good. */
static void nothing_more_can_be_mapped(void) {
    static const size_t sizes[] = {16, 100, 1000, 5000, 40000, 300000, 3000000};
    struct rlimit limit = {4096, 4096};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit: errno %d", errno);
    for (unsigned round = 0; round < 3; round++) {
        struct block *list = NULL;
        for (size_t i = COUNT(sizes); i-- > 0;) take(&list, sizes[i]);
        give(list);
    }
}

static void small_program_works(void) {
    need_limit();
    static void *blocks[200];
    for (unsigned round = 0; round < 100; round++) {
        for (size_t i = 0; i < COUNT(blocks); i++) {
            blocks[i] = malloc(i * 20 + 1);
            CHECK(blocks[i] != NULL, "block %zu of round %u", i, round);
            fill(blocks[i], i * 20 + 1, i);
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            CHECK_PATTERN(blocks[i], i * 20 + 1, i);
            free(blocks[i]);
        }
    }
    void *block = malloc(MIB);
    CHECK(block != NULL, "one MiB");
    free(block);
}

static const struct test_case CASES[] = {
    {"tiny_blocks", tiny_blocks},
    {"page_sized_blocks", page_sized_blocks},
    {"medium_blocks", medium_blocks},
    {"large_blocks", large_blocks},
    {"huge_blocks", huge_blocks},
    {"threads_exhaust_memory_together", threads_exhaust_memory_together},
    {"nothing_more_can_be_mapped", nothing_more_can_be_mapped},
    {"small_program_works", small_program_works},
};
MAIN(CASES)
