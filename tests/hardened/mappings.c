/* A process that has as many mappings as it may have, without the kernel's light guards: each guard
 * of the hardened mode would be two mappings more. Blocks are had all the same. */
#include "check.h"
#include "refuse.h"
#include <sys/mman.h>

enum { BLOCKS = 6000, MAPPINGS_MAX = 300000 };

static void fill_and_free(unsigned seed, unsigned count) {
    static char *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    uint64_t state = seed;
    for (unsigned i = 0; i < count; i++) {
        sizes[i] = i % 100 == 0 ? 100 * KIB : random_size(&state, 12);
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "block %u of %zu bytes", i, sizes[i]);
        fill(blocks[i], sizes[i], i);
    }
    for (unsigned i = 0; i < count; i++) {
        CHECK_PATTERN(blocks[i], sizes[i], i);
        free(blocks[i]);
    }
}

static void blocks_are_had_where_mappings_have_ended(void) {
    const int calls[] = {SYS_madvise};
    if (refuse_calls(calls, 1, EINVAL) != 0) SKIP("no seccomp filter: errno %d", errno);
    /* So that the heap has pages: to have new ones, a mapping may be needed in any mode. */
    fill_and_free(1, BLOCKS);
    long page = sysconf(_SC_PAGESIZE);
    /* Neighbours of different rights are mappings of their own. */
    char *all = mmap(NULL, (size_t)page * MAPPINGS_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED, "mmap: errno %d", errno);
    unsigned i = 0;
    while (i < MAPPINGS_MAX && mprotect(all + (size_t)page * i, (size_t)page, PROT_READ) == 0) i += 2;
    if (i >= MAPPINGS_MAX) SKIP("this kernel allows more than %u mappings", i);
    fill_and_free(2, BLOCKS / 3);
    munmap(all, (size_t)page * MAPPINGS_MAX);
    fill_and_free(3, BLOCKS);
}

static const struct test_case CASES[] = {
    {"blocks_are_had_where_mappings_have_ended", blocks_are_had_where_mappings_have_ended},
};
MAIN(CASES)
