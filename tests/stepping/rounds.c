/* Rounds through every entry point of the library, for a tracer that stops it anywhere.
 *
 *   int3 ─► one round: allocate by every name, fill, look, free by every name ─► int3 ─► …
 *           the tracer plants a breakpoint before each round, and ends the program with eax = 0
 *
 * Each round goes through the shard's hits, its refills and flushes, and ends as it began. */
#include "check.h"

enum { MANY = 700 };

static void *many[MANY];
static void (*delete_plain)(void *);
static void (*deletes[12])(void *, size_t, size_t);
static void (*free_of_size)(void *, size_t);
static void (*free_of_alignment)(void *, size_t, size_t);

static void *filled(void *block, size_t size) {
    CHECK(block != NULL, "%zu bytes", size);
    fill(block, size, size);
    return block;
}

/* To the library's own name, whatever the program's linker thinks of it. */
static void *named(const char *name) {
    void *found = dlsym(RTLD_DEFAULT, name);
    CHECK(found != NULL, "the library has no %s", name);
    return found;
}

static void each_name_once(void) {
    static const size_t sizes[] = {1, 16, 40, 100, 1000, 5000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t size = sizes[i];
        void *blocks[14], *aligned = NULL;
        size_t n = 0;
        unsigned char *zero = calloc(size, 1);
        for (size_t at = 0; at < size; at++) CHECK(zero[at] == 0, "byte %zu of calloc", at);
        blocks[n++] = filled(zero, size);
        blocks[n++] = filled(malloc(size), size);
        blocks[n++] = filled(realloc(filled(malloc(size / 2 + 1), size / 2 + 1), size), size);
        blocks[n++] = filled(realloc(NULL, size), size);
        blocks[n++] = filled(reallocarray(NULL, size, 1), size);
        blocks[n++] = filled(memalign(16, size), size);
        blocks[n++] = filled(memalign(64, size), size);
        blocks[n++] = filled(aligned_alloc(32, size), size);
        CHECK(posix_memalign(&aligned, 128, size) == 0, "posix_memalign");
        blocks[n++] = filled(aligned, size);
        blocks[n++] = filled(valloc(size), size);
        blocks[n++] = filled(pvalloc(size), size);
        blocks[n++] = filled(memalign(256, size), size);
        for (size_t b = 0; b < n; b++) CHECK_PATTERN(blocks[b], size, size);
        for (size_t b = 0; b < n; b++) free(blocks[b]);
    }
    CHECK(realloc(malloc(100), 0) == NULL, "a block resized to nothing");
    free(malloc(0));
}

static void each_way_of_freeing_once(void) {
    for (size_t way = 0; way < COUNT(deletes); way++)
        deletes[way](filled(aligned_alloc(64, 64), 64), 64, 64);
    free_of_size(filled(malloc(100), 100), 100);
    free_of_alignment(filled(aligned_alloc(64, 128), 128), 64, 128);
    delete_plain(filled(malloc(20), 20));
}

static void more_than_a_shard_holds(size_t size) {
    for (size_t i = 0; i < MANY; i++) many[i] = filled(malloc(size), size);
    for (size_t i = 0; i < MANY; i++) CHECK_PATTERN(many[i], size, size);
    for (size_t i = 0; i < MANY; i++) free(many[i]);
    for (size_t i = 0; i < MANY; i++) many[i] = filled(malloc(size), size);
    for (size_t i = MANY; i-- > 0;) free(many[i]);
}

static void round_through_the_library(void) {
    each_name_once();
    each_way_of_freeing_once();
    /* Two classes, whose slots take room from each other: both change their shape. */
    more_than_a_shard_holds(48);
    more_than_a_shard_holds(200);
    malloc_trim(0);
}

static size_t live(void) {
    struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

static int next(void) {
    int go = 1;
    __asm__ volatile("int3" : "+a"(go) : : "memory");
    return go;
}

static void rounds(void) {
    static const char *const names[] = {
        "_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
        "_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t", "_ZdlPvmSt11align_val_t",
        "_ZdaPvmSt11align_val_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t"};
    for (size_t i = 0; i < COUNT(names); i++) deletes[i] = named(names[i]);
    delete_plain = named("cfree");
    free_of_size = named("free_sized");
    free_of_alignment = named("free_aligned_sized");
    round_through_the_library();
    size_t before = live(), done = 0;
    for (; next(); done++) {
        round_through_the_library();
        CHECK(live() == before, "%zu bytes live after round %zu, %zu before it", live(), done,
              before);
    }
    say(1, "%zu rounds\n", done);
}

static const struct test_case CASES[] = {{"rounds", rounds}};
MAIN(CASES)
