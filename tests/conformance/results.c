/* Ordinary results: sizes of zero, realloc's special cases, usable sizes, sized frees. */
#include "check.h"

/* Sizes around every likely class boundary. */
static size_t interesting_size(unsigned i) {
    static const int offsets[] = {-1, 0, 1, 7, 8};
    size_t base = (size_t)1 << (3 + i / 10);
    if (i % 10 >= 5) base += base / 2;
    return base + (size_t)(long)offsets[i % 5];
}
enum { INTERESTING = 200 }; /* up to 8 MiB and a half */

static const char *const FAMILY[] = {
    "malloc",        "free",         "calloc",     "realloc",     "reallocarray",
    "memalign",      "posix_memalign", "aligned_alloc", "valloc", "pvalloc",
    "malloc_usable_size", "free_sized", "free_aligned_sized", "malloc_trim", "mallinfo",
    "mallinfo2",     "malloc_stats", "malloc_info", "mallopt",    "cfree",
};

static void whole_family_comes_from_one_library(void) {
    size_t missing = 0;
    for (size_t i = 0; i < COUNT(FAMILY); i++) missing += entry(FAMILY[i]) == NULL;
    if (missing) SKIP("the library under test lacks %zu of the family", missing);
}

static void zero_size_gives_unique_blocks(void) {
    static void *blocks[1000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        switch (i % 5) {
        case 0: blocks[i] = malloc(0); break;
        case 1: blocks[i] = calloc(0, 0); break;
        case 2: blocks[i] = calloc(SIZE_MAX, 0); break;
        case 3: blocks[i] = realloc(NULL, 0); break;
        case 4: blocks[i] = memalign(64, 0); break;
        }
        CHECK(blocks[i] != NULL, "round %zu, way %zu", i, i % 5);
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j], "blocks %zu and %zu are both %p", i, j, blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
}

static void free_of_null_does_nothing(void) {
    free(NULL);
    void (*sized)(void *, size_t) = entry("free_sized");
    void (*aligned)(void *, size_t, size_t) = entry("free_aligned_sized");
    void (*old)(void *) = entry("cfree");
    if (sized) sized(NULL, 64);
    if (aligned) aligned(NULL, 64, 128);
    if (old) old(NULL);
    CHECK(malloc_usable_size(NULL) == 0, "%zu", malloc_usable_size(NULL));
}

static void realloc_of_null_is_malloc(void) {
    for (unsigned i = 0; i < INTERESTING; i++) {
        size_t size = interesting_size(i);
        void *block = realloc(NULL, size);
        CHECK(block != NULL, "size %zu", size);
        fill(block, size, i);
        CHECK_PATTERN(block, size, i);
        free(block);
    }
}

static void realloc_to_zero_frees(void) {
    if (subject_is("other")) SKIP("allocators differ here; ours does as glibc");
    void *(*array)(void *, size_t, size_t) = entry("reallocarray");
    /* 4096 MiB in all: without the frees this would be seen in the address space below. */
    for (unsigned i = 0; i < 4096; i++) {
        void *block = malloc(MIB);
        CHECK(block != NULL, "round %u", i);
        memset(block, 1, 4 * KIB);
        void *left = i & 1 ? realloc(block, 0) : array(block, 0, 8);
        CHECK(left == NULL, "%p", left);
    }
    /* Only the pages that were written count, 16 MiB of them if nothing had been freed. */
    size_t end = resident();
    CHECK(end < 14 * MIB, "%zu bytes are resident", end);
}

static void usable_size_is_enough_and_writable(void) {
    static void *blocks[INTERESTING];
    for (unsigned i = 0; i < INTERESTING; i++) {
        size_t size = interesting_size(i), usable;
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "size %zu", size);
        usable = malloc_usable_size(blocks[i]);
        CHECK(usable >= size, "%zu < %zu", usable, size);
        fill(blocks[i], usable, i);
    }
    for (unsigned i = 0; i < INTERESTING; i++)
        CHECK_PATTERN(blocks[i], malloc_usable_size(blocks[i]), i);
    for (unsigned i = 0; i < INTERESTING; i++) free(blocks[i]);
}

static void aligned_blocks_have_usable_sizes_too(void) {
    for (unsigned shift = 4; shift <= 16; shift++)
        for (unsigned i = 0; i < 100; i++) {
            size_t size = interesting_size(i);
            void *block = memalign((size_t)1 << shift, size);
            CHECK(block != NULL, "alignment 2^%u size %zu", shift, size);
            size_t usable = malloc_usable_size(block);
            CHECK(usable >= size, "%zu < %zu at alignment 2^%u", usable, size, shift);
            fill(block, usable, i);
            CHECK_PATTERN(block, usable, i);
            free(block);
        }
}

static void sized_free_takes_blocks_of_every_size(void) {
    NEED("free_sized");
    void (*free_sized)(void *, size_t) = entry("free_sized");
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < INTERESTING; i++) {
            size_t size = interesting_size(i);
            void *a = malloc(size), *b = calloc(size, 1), *c = realloc(malloc(1), size);
            CHECK(a && b && c, "size %zu", size);
            CHECK(a != b && b != c && a != c, "%p %p %p of size %zu", a, b, c, size);
            fill(a, size, i), fill(b, size, i + 1), fill(c, size, i + 2);
            CHECK_PATTERN(a, size, i);
            free_sized(a, size);
            CHECK_PATTERN(b, size, i + 1);
            free_sized(b, size);
            CHECK_PATTERN(c, size, i + 2);
            free_sized(c, size);
        }
    void *empty = malloc(0);
    free_sized(empty, 0);
}

static void sized_free_takes_aligned_blocks(void) {
    NEED("free_aligned_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) = entry("free_aligned_sized");
    for (unsigned shift = 3; shift <= 21; shift++) {
        size_t alignment = (size_t)1 << shift;
        for (size_t size = alignment; size <= 4 * alignment; size += alignment) {
            void *a = aligned_alloc(alignment, size), *b = aligned_alloc(alignment, size);
            CHECK(a && b && a != b, "alignment %zu size %zu: %p %p", alignment, size, a, b);
            fill(a, size, 1), fill(b, size, 2);
            free_aligned_sized(a, alignment, size);
            CHECK_PATTERN(b, size, 2);
            free_aligned_sized(b, alignment, size);
        }
    }
}

static void cfree_is_free(void) {
    NEED("cfree");
    void (*cfree)(void *) = entry("cfree");
    for (unsigned i = 0; i < 100000; i++) {
        void *block = malloc(4 * KIB);
        CHECK(block != NULL, "round %u: nothing seems to be freed", i);
        memset(block, 1, 64);
        cfree(block);
    }
}

static void reallocarray_multiplies(void) {
    NEED("reallocarray");
    void *(*array)(void *, size_t, size_t) = entry("reallocarray");
    uint64_t *words = NULL;
    for (size_t count = 1; count <= 1 << 20; count *= 2) {
        words = array(words, count, sizeof *words);
        CHECK(words != NULL && malloc_usable_size(words) >= count * 8, "count %zu", count);
        if (count > 1) CHECK_PATTERN(words, count / 2 * 8, 7);
        fill(words, count * 8, 7);
    }
    free(words);
}

static const struct test_case CASES[] = {
    {"whole_family_comes_from_one_library", whole_family_comes_from_one_library},
    {"zero_size_gives_unique_blocks", zero_size_gives_unique_blocks},
    {"free_of_null_does_nothing", free_of_null_does_nothing},
    {"realloc_of_null_is_malloc", realloc_of_null_is_malloc},
    {"realloc_to_zero_frees", realloc_to_zero_frees},
    {"usable_size_is_enough_and_writable", usable_size_is_enough_and_writable},
    {"aligned_blocks_have_usable_sizes_too", aligned_blocks_have_usable_sizes_too},
    {"sized_free_takes_blocks_of_every_size", sized_free_takes_blocks_of_every_size},
    {"sized_free_takes_aligned_blocks", sized_free_takes_aligned_blocks},
    {"cfree_is_free", cfree_is_free},
    {"reallocarray_multiplies", reallocarray_multiplies},
};
MAIN(CASES)
