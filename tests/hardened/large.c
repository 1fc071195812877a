/* What was in a large block that was freed: its next owner must not find it, whichever way the
 * block waited, and however much of it had memory. */
#include "check.h"

enum { ROUNDS = 48, SIZES = 6 };
static const size_t BYTES[SIZES] = {40000, 70000, 300000, 900000, 1100000, 3000000};

/* The compiler must not know what becomes of the block. */
static unsigned char *hidden(unsigned char *block) {
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* Bytes of `block` that are the secret one. */
static size_t secrets_in(const unsigned char *block, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += block[i] == 0xa5;
    return count;
}

/* All of it, the first page, its end, or nothing but a page in the middle. */
static void write_secrets(unsigned char *block, size_t size, unsigned round) {
    switch (round % 4) {
    case 0: memset(block, 0xa5, size); break;
    case 1: memset(block, 0xa5, 4096); break;
    case 2: memset(block + size - 5000, 0xa5, 5000); break;
    default: memset(block + size / 2, 0xa5, 4096); break;
    }
}

static void what_was_in_large_blocks_is_gone(void) {
    for (unsigned round = 0; round < ROUNDS * SIZES; round++) {
        size_t size = BYTES[round % SIZES];
        unsigned char *block = hidden(malloc(size));
        CHECK(block != NULL, "round %u", round);
        /* To look at a page gives it memory: half of the blocks are freed without. */
        if (round / SIZES / 4 % 2) {
            size_t found = secrets_in(block, size);
            CHECK(found == 0, "round %u: %zu bytes of who had it before", round, found);
        }
        write_secrets(block, size, round / SIZES);
        free(hidden(block));
        if (round % 50 == 49) malloc_trim(0);
    }
}

static void large_blocks_are_zero_from_calloc(void) {
    for (unsigned round = 0; round < ROUNDS * SIZES; round++) {
        size_t size = BYTES[round % SIZES];
        unsigned char *block = hidden(calloc(1, size));
        CHECK(block != NULL, "round %u", round);
        for (size_t i = 0; i < size; i++) CHECK(block[i] == 0, "round %u: byte %zu", round, i);
        write_secrets(block, size, round / SIZES);
        free(hidden(block));
    }
}

static const struct test_case CASES[] = {
    {"what_was_in_large_blocks_is_gone", what_was_in_large_blocks_is_gone},
    {"large_blocks_are_zero_from_calloc", large_blocks_are_zero_from_calloc},
};
MAIN(CASES)
