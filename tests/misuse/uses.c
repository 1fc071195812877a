/* Misuse of blocks that the library did give out: freed twice, resized or written to afterwards,
 * overrun, freed with a size that is not theirs. One case per process; argument: the block's size.
 * What a program does after its mistake (`go_on`) belongs to each case: some are seen only then. */
#include "check.h"
#include <pthread.h>

enum { LIVES = 3000 };

static char *block_of(size_t size) {
    char *block = malloc(size);
    CHECK(block != NULL, "size %zu", size);
    memset(block, 1, size);
    return block;
}
/* The compiler must not know what is misused. */
static void *announce(void *address) {
    void *volatile hidden = address;
    say(1, "misused 0x%zx\n", (size_t)address);
    return hidden;
}
static size_t asked(void) {
    if (case_argc < 1) FAIL("the argument is the block's size");
    return strtoul(case_argv[0], NULL, 10);
}
static void live(size_t size) {
    static char *blocks[LIVES];
    for (unsigned i = 0; i < LIVES; i++) blocks[i] = block_of(size);
    for (unsigned i = 0; i < LIVES; i++) free(blocks[(i * 7) % LIVES]);
}
static void go_on(size_t size) {
    unsigned rounds = size > 64 * KIB ? 0 : 3;
    while (rounds-- > 0) live(size);
    /* Large blocks one after the other, more than wait anywhere. */
    if (size > 64 * KIB)
        for (unsigned i = 0; i < 64; i++) free(block_of(size));
    malloc_trim(0);
    say(1, "survived\n");
}

static void double_free_at_once(void) {
    char *block = block_of(asked());
    free(block);
    free(announce(block));
    go_on(asked());
}
static void double_free_after_other_frees(void) {
    char *others[40], *block = block_of(asked());
    for (unsigned i = 0; i < COUNT(others); i++) others[i] = block_of(asked());
    free(block);
    for (unsigned i = 0; i < COUNT(others); i++) free(others[i]);
    free(announce(block));
    go_on(asked());
}
static void *free_it(void *block) {
    free(block);
    return NULL;
}
static void double_free_from_another_thread(void) {
    pthread_t thread;
    char *block = block_of(asked());
    free(block);
    CHECK(pthread_create(&thread, NULL, free_it, announce(block)) == 0, "pthread_create");
    pthread_join(thread, NULL);
    go_on(asked());
}
/* Both threads free the block at about the same time: exactly one of them is wrong. */
static pthread_barrier_t both;
static void *free_it_with_the_other(void *block) {
    pthread_barrier_wait(&both);
    free(block);
    return NULL;
}
static void double_free_by_two_threads_at_once(void) {
    pthread_t threads[2];
    void *block = announce(block_of(asked()));
    pthread_barrier_init(&both, NULL, 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, free_it_with_the_other, block) == 0, "thread %u", i);
    for (unsigned i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    go_on(asked());
}

static void realloc_of_a_free_block(void) {
    char *block = block_of(asked());
    free(block);
    block = realloc(announce(block), asked() * 3);
    CHECK(block != NULL, "no block");
    free(block);
    go_on(asked());
}
static void usable_size_of_a_free_block(void) {
    char *block = block_of(asked());
    free(block);
    malloc_usable_size(announce(block));
    go_on(asked());
}

static void sized_free_of_another_size(void) {
    NEED("free_sized");
    void (*free_sized)(void *, size_t) = entry("free_sized");
    free_sized(announce(block_of(asked())), asked() + 7);
    go_on(asked());
}
static void sized_free_of_another_alignment(void) {
    NEED("free_aligned_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) = entry("free_aligned_sized");
    char *first = block_of(asked()), *second = block_of(asked());
    /* One of two neighbours is not aligned to so much. */
    char *block = (size_t)first % 4096 ? first : second;
    free_aligned_sized(announce(block), 4096, asked());
    go_on(asked());
}

static void overflow_by_one(void) {
    volatile char *block = block_of(asked());
    block[asked()] = (char)~block[asked()];
    free(announce((void *)block));
    go_on(asked());
}
/* What a missing end of a loop does: it ends where there is no access. */
static void overflow_without_end(void) {
    volatile char *block = announce(block_of(asked()));
    for (size_t i = 0; i < 160 * KIB; i++) block[i] = 1;
    say(1, "survived\n");
    _exit(0);
}

static void write_after_free(void) {
    volatile char *block = block_of(asked());
    free((void *)block);
    block = announce((void *)block);
    block[asked() / 2] = 2;
    go_on(asked());
}
static void read_after_free(void) {
    volatile char *block = block_of(asked());
    free((void *)block);
    block = announce((void *)block);
    say(1, "read %d\n", block[asked() / 2]);
    go_on(asked());
}

/* All of the above without the mistake. */
static void no_misuse(void) {
    char *block = announce(block_of(asked()));
    block = realloc(block, asked() * 3);
    CHECK(malloc_usable_size(block) >= asked() * 3, "usable size %zu", malloc_usable_size(block));
    block[asked() * 3 - 1] = 1;
    free(block);
    go_on(asked());
}

#define CASE(name) {#name, name}
static const struct test_case CASES[] = {
    CASE(double_free_at_once),
    CASE(double_free_after_other_frees),
    CASE(double_free_from_another_thread),
    CASE(double_free_by_two_threads_at_once),
    CASE(realloc_of_a_free_block),
    CASE(usable_size_of_a_free_block),
    CASE(sized_free_of_another_size),
    CASE(sized_free_of_another_alignment),
    CASE(overflow_by_one),
    CASE(overflow_without_end),
    CASE(write_after_free),
    CASE(read_after_free),
    CASE(no_misuse),
};

int main(int argc, char **argv) {
    if (argc < 2) FAIL("name a case: every one of them but no_misuse is a mistake");
    live(48);
    return run_cases(argc, argv, CASES, COUNT(CASES));
}
