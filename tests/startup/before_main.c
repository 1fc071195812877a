/* Before and after main: the order in which the loader runs this program's functions.
 *
 *   .preinit_array   before the constructors of every library
 *   constructor 101  the first of this program's
 *   main
 *   exit handlers    last registered first; then destructors */
#include "check.h"

enum { EARLY = 300 };
static unsigned char *early[2][EARLY];
static size_t early_size(unsigned i) { return i < EARLY - 2 ? 1 + i * 37 : i * (size_t)10007; }

static void allocate_early(unsigned stage) {
    for (unsigned i = 0; i < EARLY; i++) {
        size_t size = early_size(i);
        switch (i % 4) {
        case 0: early[stage][i] = malloc(size); break;
        case 1: early[stage][i] = calloc(1, size); break;
        case 2: early[stage][i] = realloc(malloc(1), size); break;
        case 3: early[stage][i] = memalign(64, size); break;
        }
        CHECK(early[stage][i] != NULL, "stage %u block %u", stage, i);
        fill(early[stage][i], size, i + stage);
        if (i % 3 == 0) free(malloc(size));
    }
}
static void check_early(unsigned stage) {
    for (unsigned i = 0; i < EARLY; i++) {
        CHECK(early[stage][i] != NULL, "stage %u did not run", stage);
        CHECK_PATTERN(early[stage][i], early_size(i), i + stage);
        free(early[stage][i]);
        early[stage][i] = NULL;
    }
}

static void preinit(int argc, char **argv, char **envp) { allocate_early(0); }
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **,
                                                                              char **) = preinit;
__attribute__((constructor(101))) static void construct(void) { allocate_early(1); }

static void malloc_may_come_first_in_preinit_array(void) { check_early(0); }
static void malloc_works_in_early_constructors(void) { check_early(1); }

static unsigned char *kept;
static int exits_are_told;

static void churn(void) {
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = 1 + round * 31 % 40000;
        unsigned char *block = malloc(size), *other = realloc(calloc(3, size), size / 2 + 1);
        CHECK(block && other, "size %zu", size);
        block[size - 1] = 1;
        free(block);
        free(other);
    }
}
static void nested(void) {
    churn();
    say(1, "nested exit handler done\n");
}
static void at_exit(void) {
    CHECK_PATTERN(kept, 5000, 3);
    free(kept);
    kept = malloc(7000);
    CHECK(kept != NULL, "in an exit handler");
    fill(kept, 7000, 4);
    atexit(nested); /* runs next; registering may itself allocate */
    churn();
}
static void told(void) { say(1, "exit handler done\n"); }
__attribute__((destructor(101))) static void destruct(void) {
    if (!exits_are_told) return;
    CHECK_PATTERN(kept, 7000, 4);
    free(kept);
    churn();
    say(1, "late destructor done\n");
}
static void malloc_works_in_exit_handlers(void) {
    kept = malloc(5000);
    fill(kept, 5000, 3);
    exits_are_told = 1;
    CHECK(atexit(told) == 0 && atexit(at_exit) == 0, "atexit");
    /* Past the handlers that the C library stores without allocating. */
    for (unsigned i = 0; i < 100; i++) CHECK(atexit(churn) == 0, "atexit %u", i);
}

static const struct test_case CASES[] = {
    {"malloc_may_come_first_in_preinit_array", malloc_may_come_first_in_preinit_array},
    {"malloc_works_in_early_constructors", malloc_works_in_early_constructors},
    {"malloc_works_in_exit_handlers", malloc_works_in_exit_handlers},
};
MAIN(CASES)
