/* Content: zeroed where promised, kept where promised, shared with nobody. */
#include "check.h"
#include <pthread.h>

static void check_zero(const unsigned char *block, size_t size, const char *when) {
    /* Equal to itself shifted by one and zero at the start: zero everywhere, at memcmp's speed. */
    if (size == 0 || (block[0] == 0 && memcmp(block, block + 1, size - 1) == 0)) return;
    for (size_t i = 0; i < size; i++)
        CHECK(block[i] == 0, "byte %zu of %zu is %#x: %s", i, size, block[i], when);
}

static void calloc_zeroes_fresh_and_recycled_memory(void) {
    enum { BLOCKS = 200 };
    for (size_t size = 1; size <= 4 * MIB; size += 1 + size / 2) {
        unsigned char *blocks[BLOCKS];
        unsigned count = size < 64 * KIB ? BLOCKS : 4;
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < count; i++) {
                blocks[i] = calloc(1 + (i & 1), (size + (i & 1)) / (1 + (i & 1)));
                CHECK(blocks[i] != NULL, "size %zu", size);
                size_t usable = malloc_usable_size(blocks[i]);
                check_zero(blocks[i], size & ~(size_t)1, round ? "recycled" : "first round");
                memset(blocks[i], 0xa5, usable);
            }
            for (unsigned i = 0; i < count; i++) free(blocks[i]);
            if (round == 1) malloc_trim(0);
        }
    }
}

static void calloc_zeroes_large_recycled_memory(void) {
    for (unsigned round = 0; round < 6; round++) {
        unsigned char *dirty = malloc(64 * MIB);
        CHECK(dirty != NULL, "round %u", round);
        memset(dirty, 0x77, 64 * MIB);
        free(dirty);
        unsigned char *clean = calloc(1, 60 * MIB + round);
        CHECK(clean != NULL, "round %u", round);
        for (size_t i = 0; i < 60 * MIB; i += 64)
            CHECK(clean[i] == 0, "byte %zu is %#x", i, clean[i]);
        free(clean);
    }
}

static void realloc_keeps_content_up_to_64_mib_and_back(void) {
    static const size_t starts[] = {1, 100, 100000};
    for (size_t i = 0; i < COUNT(starts); i++)
        for (unsigned step = 0; step < (i ? 2 : 3); step++) {
            size_t size = starts[i], top = step == 0 ? 64 * MIB : 8 * MIB;
            unsigned char *block = malloc(size);
            CHECK(block != NULL, "size %zu", size);
            fill(block, size, i);
            while (size < top) {
                size_t larger = step == 0   ? size * 2
                                : step == 1 ? size + size / 2 + 1
                                            : size + size / 8 + 17;
                block = realloc(block, larger);
                CHECK(block != NULL, "from %zu to %zu", size, larger);
                /* Whole words only: the last bytes of a pattern depend on its length. */
                CHECK_PATTERN(block, size / 8 * 8, i);
                /* A pattern goes on where a shorter one of the same seed ended. */
                fill(block + size / 8 * 8, larger - size / 8 * 8, i + size / 8 * 8);
                size = larger;
            }
            while (size > 8) {
                size_t smaller = step == 0 ? size / 2 : size - size / 3 - 1;
                block = realloc(block, smaller);
                CHECK(block != NULL, "from %zu to %zu", size, smaller);
                CHECK_PATTERN(block, smaller / 8 * 8, i);
                size = smaller;
            }
            free(block);
        }
}

static void realloc_in_small_steps_keeps_content(void) {
    enum { BLOCKS = 64 };
    static struct { unsigned char *at; size_t size; } blocks[BLOCKS];
    uint64_t state = 424242;
    for (unsigned round = 0; round < 40000; round++) {
        unsigned i = (unsigned)(next_random(&state) % BLOCKS);
        size_t size = random_size(&state, round % 100 ? 13 : 21);
        unsigned char *moved = realloc(blocks[i].at, size);
        CHECK(moved != NULL, "size %zu", size);
        size_t kept = (blocks[i].size < size ? blocks[i].size : size) / 8 * 8;
        CHECK_PATTERN(moved, kept, i);
        fill(moved, size, i);
        blocks[i].at = moved, blocks[i].size = size;
    }
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i].at);
}

static void live_blocks_do_not_overlap(void) {
    enum { BLOCKS = 20000 };
    static struct { unsigned char *at; size_t size; } blocks[BLOCKS];
    uint64_t state = 7;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i].size = random_size(&state, 15);
        blocks[i].at = malloc(blocks[i].size);
        CHECK(blocks[i].at != NULL, "block %u", i);
        fill(blocks[i].at, malloc_usable_size(blocks[i].at), i);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        CHECK_PATTERN(blocks[i].at, malloc_usable_size(blocks[i].at), i);
    for (unsigned i = 0; i < BLOCKS; i += 2) free(blocks[i].at);
    for (unsigned i = 1; i < BLOCKS; i += 2)
        CHECK_PATTERN(blocks[i].at, malloc_usable_size(blocks[i].at), i);
    for (unsigned i = 1; i < BLOCKS; i += 2) free(blocks[i].at);
}

/* A ring of mailboxes: every thread frees what another one made. */
enum { THREADS = 6, BOXES = 512, ROUNDS = 60000 };
struct letter { size_t size; uint64_t seed; };
static struct letter *boxes[BOXES];

static void *exchange(void *argument) {
    uint64_t state = 1 + (uintptr_t)argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = sizeof(struct letter) + random_size(&state, round % 1000 ? 11 : 18);
        struct letter *letter = round % 3 ? malloc(size) : calloc(1, size);
        CHECK(letter != NULL, "size %zu", size);
        if (round % 3 == 0) check_zero((void *)letter, size < 200 ? size : 200, "in a thread");
        letter->size = size - sizeof *letter, letter->seed = state;
        fill(letter + 1, letter->size, letter->seed);
        struct letter **box = &boxes[next_random(&state) % BOXES];
        letter = __atomic_exchange_n(box, letter, __ATOMIC_ACQ_REL);
        if (letter) {
            CHECK_PATTERN(letter + 1, letter->size, letter->seed);
            free(letter);
        }
    }
    return NULL;
}
static void threads_exchange_blocks_unharmed(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, exchange, (void *)i) == 0, "thread %zu", i);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < BOXES; i++) {
        if (boxes[i]) CHECK_PATTERN(boxes[i] + 1, boxes[i]->size, boxes[i]->seed);
        free(boxes[i]);
    }
}

static const struct test_case CASES[] = {
    {"calloc_zeroes_fresh_and_recycled_memory", calloc_zeroes_fresh_and_recycled_memory},
    {"calloc_zeroes_large_recycled_memory", calloc_zeroes_large_recycled_memory},
    {"realloc_keeps_content_up_to_64_mib_and_back", realloc_keeps_content_up_to_64_mib_and_back},
    {"realloc_in_small_steps_keeps_content", realloc_in_small_steps_keeps_content},
    {"live_blocks_do_not_overlap", live_blocks_do_not_overlap},
    {"threads_exchange_blocks_unharmed", threads_exchange_blocks_unharmed},
};
MAIN(CASES)
