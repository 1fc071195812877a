/* Refusals: ENOMEM above PTRDIFF_MAX and for overflowing products, EINVAL of alignments, and
 * what must stay as it was. */
#include "check.h"

static volatile size_t TOO_MUCH[] = {
    PTRDIFF_MAX,           (size_t)PTRDIFF_MAX + 1,      (size_t)PTRDIFF_MAX + 4097,
    SIZE_MAX,              SIZE_MAX - 1,                 SIZE_MAX - 15,
    SIZE_MAX - 16,         SIZE_MAX - 4095,              SIZE_MAX - 4096,
    SIZE_MAX - 64 * 1024,  SIZE_MAX - 2 * 1024 * 1024,   SIZE_MAX / 2 + 1,
};
static const size_t OLD_SIZES[] = {1, 24, 5000, 300000, 1 << 20, 5 << 20};

#define REFUSED(call)                                                             \
    do {                                                                          \
        errno = 0;                                                                \
        void *got_ = (call);                                                      \
        int errno_ = errno;                                                       \
        CHECK(got_ == NULL, "%s with %zu gave %p", #call, size, got_);            \
        CHECK(errno_ == ENOMEM, "%s with %zu: errno %d", #call, size, errno_);    \
    } while (0)

static void too_large_requests_say_enomem(void) {
    for (size_t i = 0; i < COUNT(TOO_MUCH); i++) {
        size_t size = TOO_MUCH[i];
        REFUSED(malloc(size));
        REFUSED(calloc(size, 1));
        REFUSED(calloc(1, size));
        REFUSED(realloc(NULL, size));
        REFUSED(memalign(64, size));
        REFUSED(memalign(4096, size));
        REFUSED(aligned_alloc(16, size));
        REFUSED(aligned_alloc(64, size));
        REFUSED(valloc(size));
        if (entry("reallocarray")) REFUSED(reallocarray(NULL, 1, size));
        if (entry("pvalloc")) REFUSED(pvalloc(size));
    }
    void *block = malloc(100);
    CHECK(block != NULL, "nothing works after refusals");
    free(block);
}

static void too_large_posix_memalign_returns_enomem(void) {
    for (size_t i = 0; i < COUNT(TOO_MUCH); i++)
        for (unsigned shift = 3; shift < 24; shift++) {
            void *mark = (void *)&mark, *block = mark;
            int error = posix_memalign(&block, (size_t)1 << shift, TOO_MUCH[i]);
            CHECK(error == ENOMEM, "size %zu alignment 2^%u: %d", TOO_MUCH[i], shift, error);
            CHECK(block == mark, "*memptr was written: %p", block);
        }
}

static void too_large_alignments_are_refused(void) {
    for (unsigned shift = 48; shift < 64; shift++) {
        size_t size = (size_t)1 << shift;
        void *mark = (void *)&mark, *block = mark;
        REFUSED(memalign(size, 1));
        REFUSED(aligned_alloc(size, 1));
        int error = posix_memalign(&block, size, 1);
        CHECK(error == ENOMEM, "alignment 2^%u: %d", shift, error);
        CHECK(block == mark, "*memptr was written: %p", block);
    }
}

static void overflowing_products_say_enomem(void) {
    static volatile size_t pairs[][2] = {
        {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32},
        {(size_t)1 << 33, (size_t)1 << 33}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 3 + 1, 3},
        {SIZE_MAX / 16 + 2, 16}, {SIZE_MAX / 48 + 1, 48}, {SIZE_MAX, 2},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        for (unsigned swap = 0; swap < 2; swap++) {
            size_t size = pairs[i][swap], count = pairs[i][!swap];
            REFUSED(calloc(size, count));
            if (entry("reallocarray")) {
                REFUSED(reallocarray(NULL, size, count));
                for (size_t j = 0; j < COUNT(OLD_SIZES); j++) {
                    void *old = malloc(OLD_SIZES[j]);
                    fill(old, OLD_SIZES[j], j);
                    REFUSED(reallocarray(old, size, count));
                    CHECK_PATTERN(old, OLD_SIZES[j], j);
                    free(old);
                }
            }
        }
}

static void refused_realloc_leaves_the_old_block(void) {
    for (size_t i = 0; i < COUNT(TOO_MUCH); i++)
        for (size_t j = 0; j < COUNT(OLD_SIZES); j++) {
            size_t size = TOO_MUCH[i];
            void *old = malloc(OLD_SIZES[j]), *other;
            CHECK(old != NULL, "size %zu", OLD_SIZES[j]);
            fill(old, OLD_SIZES[j], j);
            REFUSED(realloc(old, size));
            other = malloc(OLD_SIZES[j]);
            CHECK(other != old, "the old block %p was freed", old);
            memset(other, 0x5a, OLD_SIZES[j]);
            CHECK_PATTERN(old, OLD_SIZES[j], j);
            free(other);
            free(old);
        }
}

static void posix_memalign_returns_einval_and_touches_nothing(void) {
    static volatile size_t wrong[] = {0, 1, 2, 4, 3, 5, 7, 9, 12, 24, 40, 48, 4095, 4097,
                                      6144, SIZE_MAX, PTRDIFF_MAX, SIZE_MAX - 7};
    static const size_t sizes[] = {0, 1, 100, 1 << 20, PTRDIFF_MAX};
    for (size_t i = 0; i < COUNT(wrong); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            void *mark = (void *)&mark, *block = mark;
            errno = 1234;
            int error = posix_memalign(&block, wrong[i], sizes[j]);
            int after = errno;
            CHECK(error == EINVAL, "alignment %zu size %zu: %d", wrong[i], sizes[j], error);
            CHECK(after == 1234, "alignment %zu: errno became %d", wrong[i], after);
            CHECK(block == mark, "*memptr was written: %p", block);
        }
}

static void malloc_info_rejects_options(void) {
    NEED("malloc_info");
    int (*info)(int, FILE *) = entry("malloc_info");
    CHECK(info(1, stderr) == EINVAL, "options 1");
    CHECK(info(-1, stderr) == EINVAL, "options -1");
}

static const struct test_case CASES[] = {
    {"too_large_requests_say_enomem", too_large_requests_say_enomem},
    {"too_large_posix_memalign_returns_enomem", too_large_posix_memalign_returns_enomem},
    {"too_large_alignments_are_refused", too_large_alignments_are_refused},
    {"overflowing_products_say_enomem", overflowing_products_say_enomem},
    {"refused_realloc_leaves_the_old_block", refused_realloc_leaves_the_old_block},
    {"posix_memalign_returns_einval_and_touches_nothing",
     posix_memalign_returns_einval_and_touches_nothing},
    {"malloc_info_rejects_options", malloc_info_rejects_options},
};
MAIN(CASES)
