/* Blocks that come from one name of the family and go back by another.
 *
 *   made by      malloc calloc realloc memalign aligned_alloc posix_memalign valloc pvalloc
 *                and glibc's second names of them (__libc_malloc …)
 *   resized by   realloc, reallocarray, __libc_realloc, or not at all
 *   freed by     free, cfree, __libc_free, and C23's sized frees */
#include "check.h"

static void *by_posix_memalign(size_t alignment, size_t size) {
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

enum { PLAIN, ZEROED, RESIZED, ALIGNED, PAGED };
static const struct maker { const char *name; int shape; } MAKERS[] = {
    {"malloc", PLAIN},          {"__libc_malloc", PLAIN},     {"calloc", ZEROED},
    {"__libc_calloc", ZEROED},  {"realloc", RESIZED},         {"__libc_realloc", RESIZED},
    {"memalign", ALIGNED},      {"__libc_memalign", ALIGNED}, {"aligned_alloc", ALIGNED},
    {"posix_memalign", ALIGNED}, {"valloc", PAGED},           {"__libc_valloc", PAGED},
    {"pvalloc", PAGED},         {"__libc_pvalloc", PAGED},
};
static const char *const RESIZERS[] = {"", "realloc", "__libc_realloc", "reallocarray"};
static const char *const FREERS[] = {"free", "__libc_free", "cfree"};
static const size_t SIZES[] = {0, 1, 24, 500, 513, 4096, 20000, 32768, 32769, 70000, 1 << 20};

/* Where the library under test has the name; for mixing, all names must mean one heap. */
static void *make(const struct maker *maker, size_t alignment, size_t size) {
    void *found = entry(maker->name), *block;
    if (!found) return NULL;
    switch (maker->shape) {
    case PLAIN: block = ((void *(*)(size_t))found)(size); break;
    case ZEROED: block = ((void *(*)(size_t, size_t))found)(1, size); break;
    case RESIZED: block = ((void *(*)(void *, size_t))found)(NULL, size); break;
    case PAGED:
        alignment = (size_t)sysconf(_SC_PAGESIZE);
        block = ((void *(*)(size_t))found)(size);
        break;
    default:
        block = strcmp(maker->name, "posix_memalign") == 0
                    ? by_posix_memalign(alignment, size)
                    : ((void *(*)(size_t, size_t))found)(alignment, size);
    }
    CHECK(block != NULL, "%s of %zu bytes", maker->name, size);
    size_t kept = maker->shape >= ALIGNED ? alignment : 16;
    CHECK((uintptr_t)block % kept == 0, "%s: %p is not aligned to %zu", maker->name, block, kept);
    return block;
}

static void *resize(const char *name, void *block, size_t size) {
    if (!*name) return block;
    void *found = entry(name);
    if (!found) return block;
    block = strcmp(name, "reallocarray") == 0
                ? ((void *(*)(void *, size_t, size_t))found)(block, 1, size)
                : ((void *(*)(void *, size_t))found)(block, size);
    CHECK(block != NULL, "%s to %zu bytes", name, size);
    return block;
}

static void give_back(const char *name, void *block) {
    void (*found)(void *) = entry(name);
    (found ? found : free)(block);
}

static void every_name_makes_resizes_and_frees_every_other_names_blocks(void) {
    for (size_t m = 0; m < COUNT(MAKERS); m++)
        for (size_t r = 0; r < COUNT(RESIZERS); r++)
            for (size_t f = 0; f < COUNT(FREERS); f++)
                for (size_t i = 0; i < COUNT(SIZES); i++) {
                    size_t size = SIZES[i], other = SIZES[(i + 5) % COUNT(SIZES)] + 8;
                    void *block = make(&MAKERS[m], 64, size);
                    if (!block) continue;
                    fill(block, size, m);
                    block = resize(RESIZERS[r], block, *RESIZERS[r] ? other : size);
                    size_t kept = *RESIZERS[r] && other < size ? other : size;
                    CHECK_PATTERN(block, kept / 8 * 8, m);
                    give_back(FREERS[f], block);
                }
}

/* 80 MiB go through each pair; a pair whose second half did not free would keep them. */
static void every_name_gives_the_memory_back(void) {
    enum { ROUNDS = 2560, SIZE = 64 * 1024 };
    for (size_t m = 0; m < COUNT(MAKERS); m++)
        for (size_t f = 0; f < COUNT(FREERS); f++) {
            size_t start = resident();
            for (unsigned round = 0; round < ROUNDS; round++) {
                size_t size = round & 1 ? SIZE : 2000;
                void *block = make(&MAKERS[m], 64, size);
                if (!block) break;
                memset(block, 1, size);
                give_back(FREERS[f], block);
            }
            size_t end = resident();
            CHECK(end <= start + 32 * MIB, "%s and %s: %zu, then %zu resident", MAKERS[m].name,
                  FREERS[f], start, end);
        }
}

static void aligned_blocks_are_resized_and_freed_like_others(void) {
    static const size_t alignments[] = {16, 32, 64, 256, 4096, 32768, 65536, 2 << 20};
    for (size_t a = 0; a < COUNT(alignments); a++)
        for (size_t i = 1; i < COUNT(SIZES); i++)
            for (size_t j = 1; j < COUNT(SIZES); j++) {
                size_t from = SIZES[i], to = SIZES[j], kept = from < to ? from : to;
                char *neighbour = memalign(alignments[a], from);
                char *block = memalign(alignments[a], from);
                CHECK(block && (uintptr_t)block % alignments[a] == 0, "%p at %zu", block,
                      alignments[a]);
                fill(neighbour, from, 1), fill(block, from, 2);
                char *moved = realloc(block, to);
                CHECK(moved && (uintptr_t)moved % 16 == 0, "%p", moved);
                CHECK_PATTERN(moved, kept / 8 * 8, 2);
                CHECK(malloc_usable_size(moved) >= to, "%zu of %zu usable",
                      malloc_usable_size(moved), to);
                fill(moved, malloc_usable_size(moved), 3);
                CHECK_PATTERN(neighbour, from, 1);
                free(neighbour);
                CHECK_PATTERN(moved, malloc_usable_size(moved), 3);
                free(moved);
            }
}

/* C23 leaves open what free_sized does to an aligned block; ours takes it. */
static void sized_frees_take_blocks_of_posix_memalign(void) {
    enum { BLOCKS = 400 };
    static void *blocks[BLOCKS];
    NEED("free_sized");
    NEED("free_aligned_sized");
    if (!subject_is("ours")) SKIP("the standard leaves free_sized of aligned blocks open");
    void (*sized)(void *, size_t) = entry("free_sized");
    void (*aligned)(void *, size_t, size_t) = entry("free_aligned_sized");
    size_t start = resident();
    for (unsigned round = 0; round < 60; round++)
        for (size_t alignment = 8; alignment <= 65536; alignment *= 8) {
            size_t size = round % 2 ? 3000 : alignment / 2 + 1;
            for (unsigned i = 0; i < BLOCKS; i++) {
                blocks[i] = by_posix_memalign(alignment, size);
                CHECK(blocks[i] && (uintptr_t)blocks[i] % alignment == 0, "%p at %zu", blocks[i],
                      alignment);
                fill(blocks[i], malloc_usable_size(blocks[i]), i);
            }
            /* What was freed with one size must come back as a block of its own class. */
            for (unsigned i = 0; i < BLOCKS; i++) {
                CHECK_PATTERN(blocks[i], malloc_usable_size(blocks[i]), i);
                if (i % 3 == 0) sized(blocks[i], size);
                else if (i % 3 == 1) aligned(blocks[i], alignment, size);
                else free(blocks[i]);
            }
        }
    size_t end = resident();
    CHECK(end <= start + 96 * MIB, "%zu, then %zu resident", start, end);
}

static void usable_bytes_of_every_origin_are_the_blocks_own(void) {
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        void *blocks[3 * COUNT(MAKERS)];
        size_t usable[COUNT(blocks)], count = 0;
        for (size_t m = 0; m < COUNT(MAKERS); m++)
            for (size_t alignment = 16; alignment <= 4096; alignment *= 16) {
                void *block = make(&MAKERS[m], alignment, SIZES[i]);
                if (!block) continue;
                usable[count] = malloc_usable_size(block);
                CHECK(usable[count] >= SIZES[i], "%s of %zu bytes: %zu usable", MAKERS[m].name,
                      SIZES[i], usable[count]);
                fill(block, usable[count], count);
                blocks[count++] = block;
            }
        for (size_t k = 0; k < count; k++) {
            CHECK_PATTERN(blocks[k], usable[k], k);
            size_t again = malloc_usable_size(blocks[k]);
            CHECK(again == usable[k], "%zu bytes usable, then %zu", usable[k], again);
        }
        for (size_t k = 0; k < count; k++) {
            void *moved = realloc(blocks[k], usable[k] + 1);
            CHECK(moved != NULL, "to %zu", usable[k] + 1);
            CHECK(malloc_usable_size(moved) > usable[k], "%zu usable after one byte more than %zu",
                  malloc_usable_size(moved), usable[k]);
            CHECK_PATTERN(moved, usable[k] / 8 * 8, k);
            free(moved);
        }
    }
}

static const struct test_case CASES[] = {
    {"every_name_makes_resizes_and_frees_every_other_names_blocks",
     every_name_makes_resizes_and_frees_every_other_names_blocks},
    {"every_name_gives_the_memory_back", every_name_gives_the_memory_back},
    {"aligned_blocks_are_resized_and_freed_like_others",
     aligned_blocks_are_resized_and_freed_like_others},
    {"sized_frees_take_blocks_of_posix_memalign", sized_frees_take_blocks_of_posix_memalign},
    {"usable_bytes_of_every_origin_are_the_blocks_own",
     usable_bytes_of_every_origin_are_the_blocks_own},
};
MAIN(CASES)
