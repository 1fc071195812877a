/* free and its relatives leave errno alone, also when they call the kernel and it refuses.
 *
 * A seccomp filter makes munmap and madvise fail, which is how a process at vm.max_map_count
 * sees them: free must neither tell the caller nor fall over. */
#include "check.h"
#include "refuse.h"

static const size_t SIZES[] = {0, 1, 16, 100, 1000, 5000, 40000, 300000, 1 << 20, 40 << 20};

static void free_keeps_errno(void) {
    static void *blocks[2000];
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        size_t count = SIZES[i] < 100000 ? COUNT(blocks) : 8;
        for (unsigned round = 0; round < 4; round++) {
            for (size_t j = 0; j < count; j++) {
                blocks[j] = malloc(SIZES[i]);
                CHECK(blocks[j] != NULL, "size %zu", SIZES[i]);
                if (SIZES[i]) memset(blocks[j], 1, SIZES[i] < 4096 ? SIZES[i] : 4096);
            }
            for (size_t j = 0; j < count; j++) {
                int before = (int)j % 3 * 1000 - 1; /* no error code of the kernel, and 0-1 */
                errno = before;
                free(blocks[j]);
                CHECK(errno == before, "errno became %d after free of %zu bytes", errno, SIZES[i]);
            }
        }
    }
    errno = 77;
    free(NULL);
    CHECK(errno == 77, "free(NULL): errno %d", errno);
}

static void sized_frees_keep_errno(void) {
    NEED("free_sized");
    void (*sized)(void *, size_t) = entry("free_sized");
    void (*aligned)(void *, size_t, size_t) = entry("free_aligned_sized");
    for (size_t i = 0; i < COUNT(SIZES); i++)
        for (unsigned round = 0; round < 100; round++) {
            void *a = malloc(SIZES[i]), *b = aligned_alloc(4096, SIZES[i]);
            CHECK(a && b, "size %zu", SIZES[i]);
            errno = 4321;
            sized(a, SIZES[i]);
            CHECK(errno == 4321, "free_sized of %zu: errno %d", SIZES[i], errno);
            aligned(b, 4096, SIZES[i]);
            CHECK(errno == 4321, "free_aligned_sized of %zu: errno %d", SIZES[i], errno);
        }
}

static void free_keeps_errno_when_the_kernel_refuses(void) {
    static void *blocks[64];
    if (refuse_calls((const int[]){SYS_munmap, SYS_madvise}, 2, ENOMEM) != 0)
        SKIP("no seccomp here: %s", strerror(errno));
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(blocks); i++) {
            blocks[i] = malloc(i * 100000 + 64);
            CHECK(blocks[i] != NULL, "block %zu of round %u", i, round);
            fill(blocks[i], 64, i);
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            CHECK_PATTERN(blocks[i], 64, i);
            errno = 55;
            free(blocks[i]);
            CHECK(errno == 55, "free of %zu bytes: errno %d", i * 100000 + 64, errno);
        }
        errno = 56;
        malloc_trim(0);
    }
    unsigned char *block = calloc(1, 8 * MIB);
    CHECK(block != NULL, "calloc after refusals");
    for (size_t i = 0; i < 8 * MIB; i++) CHECK(block[i] == 0, "byte %zu is %#x", i, block[i]);
    free(block);
}

static const struct test_case CASES[] = {
    {"free_keeps_errno", free_keeps_errno},
    {"sized_frees_keep_errno", sized_frees_keep_errno},
    {"free_keeps_errno_when_the_kernel_refuses", free_keeps_errno_when_the_kernel_refuses},
};
MAIN(CASES)
