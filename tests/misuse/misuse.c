/* One misuse per case. The address goes to stdout before, as `misused 0x…`. A case that comes
 * back says `survived` and exits 0: whether that is allowed is the driver's business. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

static char global[256];

/* Some life before the misuse, so that the heap is up and blocks have neighbours. */
static void warm_up(void) {
    static void *blocks[2000];
    for (unsigned i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(1 + i * 7);
        CHECK(blocks[i] != NULL, "block %u", i);
        memset(blocks[i], 1, 1 + i * 7);
    }
    for (unsigned i = 0; i < COUNT(blocks); i += 2) free(blocks[i]);
}
/* The compiler must not know what is freed. */
static void *announce(void *address) {
    void *volatile hidden = address;
    say(1, "misused 0x%zx\n", (size_t)address);
    return hidden;
}
static void *block_of(size_t size) {
    char *block = malloc(size);
    CHECK(block != NULL, "size %zu", size);
    memset(block, 1, size);
    return block;
}
static void survived(void) { say(1, "survived\n"); }

static void free_of_a_stack_address_is_refused(void) {
    _Alignas(16) char local[64];
    free(announce(local));
}
static void free_of_a_global_is_refused(void) { free(announce(global + 16)); }
static void free_of_a_far_address_is_refused(void) { free(announce((void *)0x7ffffffff000)); }
static void free_of_an_unmapped_address_is_refused(void) {
    char *page = mmap(NULL, 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED, "mmap: errno %d", errno);
    munmap(page, 4 * MIB);
    free(announce(page + 64 * KIB));
}
static void free_of_a_small_number_is_refused(void) { free(announce((void *)0x10)); }
static void free_of_a_foreign_mapping_is_refused(void) {
    char *page = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED, "mmap: errno %d", errno);
    page[0] = 1;
    free(announce(page));
}
static void realloc_of_a_stack_address_is_refused(void) {
    _Alignas(16) char local[64];
    CHECK(realloc(announce(local), 100) == NULL, "it gave a block");
}

static void free_inside_a_small_block_is_refused(void) {
    free(announce((char *)block_of(96) + 16));
}
static void free_inside_a_medium_block_is_refused(void) {
    free(announce((char *)block_of(20000) + 4096));
}
static void free_inside_a_large_block_is_refused(void) {
    free(announce((char *)block_of(3 * MIB) + MIB));
}
static void free_at_an_odd_address_is_refused(void) { free(announce((char *)block_of(64) + 1)); }
static void realloc_inside_a_small_block_is_refused(void) {
    CHECK(realloc(announce((char *)block_of(96) + 16), 500) == NULL, "it gave a block");
}
static void realloc_inside_a_large_block_is_refused(void) {
    CHECK(realloc(announce((char *)block_of(3 * MIB) + MIB), 5 * MIB) == NULL, "it gave a block");
}

static void second_free_of_a_large_block_is_refused(void) {
    void *block = block_of(MIB);
    free(block);
    free(announce(block));
}
static void *free_block(void *block) {
    free(block);
    return NULL;
}
static void second_free_of_a_large_block_is_refused_in_another_thread(void) {
    pthread_t thread;
    void *block = block_of(MIB);
    free(block);
    CHECK(pthread_create(&thread, NULL, free_block, announce(block)) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

/* Arguments: how many other blocks are freed between the two frees, and their size. There are
 * more of them than a cache can hold, so that both copies come home sooner or later. */
static void second_free_of_a_small_block(void) {
    enum { OTHERS = 200000 };
    static void *others[OTHERS];
    unsigned gap = case_argc > 0 ? (unsigned)atoi(case_argv[0]) : 0;
    size_t size = case_argc > 1 ? (size_t)atoi(case_argv[1]) : 64;
    for (unsigned i = 0; i < OTHERS; i++) others[i] = block_of(size);
    /* The cache is a stack: what is freed once it is full goes home soonest. */
    unsigned next = 0;
    while (next < OTHERS / 2) free(others[next++]);
    void *block = others[OTHERS - 1];
    free(block);
    for (unsigned end = next + gap; next < end;) free(others[next++]);
    free(announce(block));
    while (next < OTHERS - 1) free(others[next++]);
    malloc_trim(0);
}

static void second_free_before_trim(void) {
    void *block = block_of(64);
    free(block);
    free(announce(block));
    malloc_trim(0);
}

static void no_misuse(void) {
    void *block = block_of(MIB);
    free(announce(block));
    malloc_trim(0);
}

#define CASE(name) {#name, name}
static const struct test_case CASES[] = {
    CASE(free_of_a_stack_address_is_refused),
    CASE(free_of_a_global_is_refused),
    CASE(free_of_a_far_address_is_refused),
    CASE(free_of_an_unmapped_address_is_refused),
    CASE(free_of_a_small_number_is_refused),
    CASE(free_of_a_foreign_mapping_is_refused),
    CASE(realloc_of_a_stack_address_is_refused),
    CASE(free_inside_a_small_block_is_refused),
    CASE(free_inside_a_medium_block_is_refused),
    CASE(free_inside_a_large_block_is_refused),
    CASE(free_at_an_odd_address_is_refused),
    CASE(realloc_inside_a_small_block_is_refused),
    CASE(realloc_inside_a_large_block_is_refused),
    CASE(second_free_of_a_large_block_is_refused),
    CASE(second_free_of_a_large_block_is_refused_in_another_thread),
    CASE(second_free_of_a_small_block),
    CASE(second_free_before_trim),
    CASE(no_misuse),
};

int main(int argc, char **argv) {
    if (argc < 2) FAIL("name a case: every one of them but no_misuse is meant to abort");
    warm_up();
    run_cases(argc, argv, CASES, COUNT(CASES));
    survived();
    return 0;
}
