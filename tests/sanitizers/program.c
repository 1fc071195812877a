/* A program for sanitizers to watch: one case without a mistake, and mistakes that they find. */
#include "check.h"
#include <pthread.h>

static void *use_blocks(void *unused) {
    (void)unused;
    for (size_t size = 1; size < 100000; size += size / 2 + 1) {
        unsigned char *block = malloc(size);
        CHECK(block, "%zu bytes", size);
        fill(block, size, size);
        block = realloc(block, 2 * size);
        CHECK_PATTERN(block, size, size);
        free(block);
    }
    return NULL;
}

static void nothing_is_wrong(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_blocks, NULL) == 0, "no thread");
    use_blocks(NULL);
    CHECK(pthread_join(thread, NULL) == 0, "no join");
}

static void a_byte_behind_a_block_is_written(void) {
    volatile unsigned char *block = malloc(50);
    block[50] = 1;
    free((void *)block);
}

static void *volatile leaked;

static void a_block_is_lost(void) {
    leaked = malloc(77);
    leaked = NULL;
}

static int shared;

static void *count(void *unused) {
    for (int i = 0; i < 100000; i++) shared++;
    return unused;
}

static void two_threads_race(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, count, NULL) == 0, "no thread");
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void a_sum_overflows(void) {
    volatile int most = 0x7fffffff;
    most = most + 1;
}

static const struct test_case cases[] = {
    {"nothing_is_wrong", nothing_is_wrong},
    {"a_byte_behind_a_block_is_written", a_byte_behind_a_block_is_written},
    {"a_block_is_lost", a_block_is_lost},
    {"two_threads_race", two_threads_race},
    {"a_sum_overflows", a_sum_overflows},
};
MAIN(cases)
