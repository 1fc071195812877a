/* Alignment: what every block has, what can be asked for, and odd requests.
 *
 *   memalign(odd)        rounds up to a power of two                       (every glibc)
 *   aligned_alloc(odd)   rounds up (glibc to 2.37), or NULL and EINVAL     (C23, glibc 2.38) */
#include "check.h"

static int is_aligned(const void *block, size_t alignment) {
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

static void blocks_fit_every_type_of_their_size(void) {
    static void *blocks[5000];
    for (size_t size = 1; size < COUNT(blocks); size++) {
        void *block = blocks[size] = size & 1 ? malloc(size) : calloc(1, size);
        size_t alignment = _Alignof(max_align_t);
        while (alignment > size) alignment /= 2;
        CHECK(block && is_aligned(block, alignment), "%p of %zu bytes", block, size);
    }
    for (size_t size = 1; size < COUNT(blocks); size++) {
        size_t larger = size + 777;
        blocks[size] = realloc(blocks[size], larger);
        CHECK(blocks[size] && is_aligned(blocks[size], 16), "%p of %zu bytes by realloc",
              blocks[size], larger);
    }
    for (size_t size = 1; size < COUNT(blocks); size++) free(blocks[size]);
    for (size_t size = 16; size < 100 * MIB; size += size / 3) {
        void *block = malloc(size);
        CHECK(block && is_aligned(block, 16), "%p of %zu bytes", block, size);
        free(block);
    }
}

static void every_power_of_two_is_kept_up_to_one_gib(void) {
    static const size_t sizes[] = {1, 8, 100, 4096, 70000, 3 << 20};
    for (unsigned shift = 3; shift <= 30; shift++) {
        size_t alignment = (size_t)1 << shift;
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *blocks[3] = {NULL, NULL, NULL};
            blocks[0] = memalign(alignment, sizes[i]);
            blocks[1] = aligned_alloc(alignment, sizes[i]);
            int error = posix_memalign(&blocks[2], alignment, sizes[i]);
            CHECK(error == 0, "posix_memalign 2^%u of %zu: %d", shift, sizes[i], error);
            for (unsigned j = 0; j < 3; j++) {
                CHECK(blocks[j] != NULL, "way %u, 2^%u, size %zu", j, shift, sizes[i]);
                CHECK(is_aligned(blocks[j], alignment), "way %u: %p is not at 2^%u", j, blocks[j],
                      shift);
                fill(blocks[j], sizes[i], j);
            }
            for (unsigned j = 0; j < 3; j++) CHECK_PATTERN(blocks[j], sizes[i], j);
            for (unsigned j = 0; j < 3; j++) free(blocks[j]);
        }
    }
}

static void many_aligned_blocks_live_side_by_side(void) {
    enum { BLOCKS = 3000 };
    static struct { void *at; size_t size; } blocks[BLOCKS];
    uint64_t state = 88172645463325252u;
    for (unsigned round = 0; round < 3 * BLOCKS; round++) {
        unsigned i = (unsigned)(next_random(&state) % BLOCKS);
        if (blocks[i].at) {
            CHECK_PATTERN(blocks[i].at, blocks[i].size, i);
            free(blocks[i].at);
        }
        size_t alignment = (size_t)1 << next_random(&state) % 14;
        blocks[i].size = random_size(&state, 14);
        blocks[i].at = memalign(alignment, blocks[i].size);
        CHECK(blocks[i].at && is_aligned(blocks[i].at, alignment), "%p for alignment %zu size %zu",
              blocks[i].at, alignment, blocks[i].size);
        fill(blocks[i].at, blocks[i].size, i);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i].at) CHECK_PATTERN(blocks[i].at, blocks[i].size, i);
        free(blocks[i].at);
    }
}

static void aligned_blocks_can_be_reallocated(void) {
    for (unsigned shift = 4; shift <= 22; shift++) {
        size_t size = 1000, larger = 50000;
        void *block = memalign((size_t)1 << shift, size);
        CHECK(block != NULL, "alignment 2^%u", shift);
        fill(block, size, shift);
        block = realloc(block, larger);
        CHECK(block != NULL, "alignment 2^%u", shift);
        CHECK_PATTERN(block, size, shift);
        fill(block, larger, shift);
        block = realloc(block, 10);
        CHECK(block != NULL, "alignment 2^%u", shift);
        CHECK_PATTERN(block, 10 / 8 * 8, shift);
        free(block);
    }
}

static void odd_alignments_of_memalign_are_rounded_up(void) {
    if (subject_is("other")) SKIP("allocators differ here; ours does as glibc");
    for (size_t alignment = 0; alignment < 5000; alignment += alignment < 100 ? 1 : 37) {
        size_t power = 1;
        while (power < alignment) power *= 2;
        void *block = memalign(alignment, 200);
        CHECK(block != NULL, "alignment %zu", alignment);
        CHECK(is_aligned(block, power), "%p for alignment %zu", block, alignment);
        memset(block, 1, 200);
        free(block);
    }
    errno = 0;
    void *block = memalign(SIZE_MAX / 2 + 2, 1);
    CHECK(block == NULL && errno == EINVAL, "%p, errno %d", block, errno);
}

static void odd_alignments_of_aligned_alloc_are_refused_or_rounded_up(void) {
    for (size_t alignment = 0; alignment < 5000; alignment += alignment < 100 ? 1 : 37) {
        size_t power = 1;
        while (power < alignment) power *= 2;
        errno = 0;
        void *block = aligned_alloc(alignment, 200);
        if (block == NULL)
            CHECK(errno == EINVAL && (power != alignment || alignment == 0),
                  "alignment %zu was refused with errno %d", alignment, errno);
        else
            CHECK(is_aligned(block, power), "%p for alignment %zu", block, alignment);
        free(block);
    }
}

static void size_need_not_be_a_multiple_of_the_alignment(void) {
    for (size_t size = 1; size < 9000; size += 61) {
        void *block = aligned_alloc(4096, size);
        CHECK(block && is_aligned(block, 4096), "%p for size %zu", block, size);
        fill(block, size, size);
        CHECK_PATTERN(block, size, size);
        free(block);
    }
}

static void valloc_gives_whole_pages(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 5 * page; size += 500) {
        void *block = valloc(size);
        CHECK(block && is_aligned(block, page), "%p for size %zu", block, size);
        memset(block, 1, size);
        free(block);
    }
}

static void pvalloc_rounds_up_to_pages(void) {
    NEED("pvalloc");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 5 * page; size += 500) {
        size_t rounded = (size + page - 1) / page * page;
        void *block = pvalloc(size);
        CHECK(block && is_aligned(block, page), "%p for size %zu", block, size);
        CHECK(malloc_usable_size(block) >= rounded, "%zu for size %zu", malloc_usable_size(block),
              size);
        fill(block, rounded, size);
        CHECK_PATTERN(block, rounded, size);
        free(block);
    }
}

static const struct test_case CASES[] = {
    {"blocks_fit_every_type_of_their_size", blocks_fit_every_type_of_their_size},
    {"every_power_of_two_is_kept_up_to_one_gib", every_power_of_two_is_kept_up_to_one_gib},
    {"many_aligned_blocks_live_side_by_side", many_aligned_blocks_live_side_by_side},
    {"aligned_blocks_can_be_reallocated", aligned_blocks_can_be_reallocated},
    {"odd_alignments_of_memalign_are_rounded_up", odd_alignments_of_memalign_are_rounded_up},
    {"odd_alignments_of_aligned_alloc_are_refused_or_rounded_up",
     odd_alignments_of_aligned_alloc_are_refused_or_rounded_up},
    {"size_need_not_be_a_multiple_of_the_alignment",
     size_need_not_be_a_multiple_of_the_alignment},
    {"valloc_gives_whole_pages", valloc_gives_whole_pages},
    {"pvalloc_rounds_up_to_pages", pvalloc_rounds_up_to_pages},
};
MAIN(CASES)
