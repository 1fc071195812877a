/* Threads: what they may do first and last. */
#include "check.h"
#include <pthread.h>

enum { BLOCKS = 2000 };
static void *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void prepare(unsigned bits) {
    uint64_t state = 99;
    for (unsigned i = 0; i < BLOCKS; i++) {
        sizes[i] = random_size(&state, bits);
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "block %u of %zu bytes", i, sizes[i]);
        fill(blocks[i], sizes[i] < 5000 ? sizes[i] : 5000, i);
    }
}
static void in_fresh_thread(void *(*work)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, argument) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void *free_block(void *block) {
    free(block);
    return NULL;
}
static void first_operation_may_be_free(void) {
    prepare(14);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK_PATTERN(blocks[i], sizes[i] < 5000 ? sizes[i] : 5000, i);
        in_fresh_thread(free_block, blocks[i]);
    }
}
static void first_operation_may_be_free_of_a_large_block(void) {
    for (unsigned i = 0; i < 100; i++) {
        void *block = malloc(200000 + i * 100000);
        CHECK(block != NULL, "round %u", i);
        memset(block, 1, 200000);
        in_fresh_thread(free_block, block);
    }
}

static void *grow(void *argument) {
    uintptr_t i = (uintptr_t)argument;
    size_t kept = sizes[i] < 5000 ? sizes[i] : 5000;
    blocks[i] = realloc(blocks[i], sizes[i] * 3 + 1);
    CHECK(blocks[i] != NULL, "size %zu", sizes[i] * 3 + 1);
    CHECK_PATTERN(blocks[i], kept, i);
    return NULL;
}
static void first_operation_may_be_realloc(void) {
    prepare(17);
    for (uintptr_t i = 0; i < BLOCKS; i++) in_fresh_thread(grow, (void *)i);
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
}

static void *zeroed(void *argument) {
    size_t size = (size_t)argument;
    unsigned char *block = calloc(1, size);
    CHECK(block != NULL, "size %zu", size);
    for (size_t i = 0; i < size; i++) CHECK(block[i] == 0, "byte %zu of %zu", i, size);
    memset(block, 0xff, size);
    return block;
}
static void first_operation_may_be_calloc(void) {
    for (size_t size = 1; size < 200000; size += 1 + size / 20) {
        pthread_t thread;
        void *block;
        CHECK(pthread_create(&thread, NULL, zeroed, (void *)size) == 0, "size %zu", size);
        pthread_join(thread, &block);
        free(block);
    }
}

static void *align(void *argument) {
    size_t alignment = (size_t)argument;
    void *block = memalign(alignment, 100);
    CHECK(block && ((uintptr_t)block & (alignment - 1)) == 0, "%p at %zu", block, alignment);
    memset(block, 1, 100);
    return block;
}
static void first_operation_may_be_aligned(void) {
    for (unsigned round = 0; round < 20; round++)
        for (size_t alignment = 8; alignment <= 4 * MIB; alignment *= 2) {
            pthread_t thread;
            void *block;
            CHECK(pthread_create(&thread, NULL, align, (void *)alignment) == 0, "%zu", alignment);
            pthread_join(thread, &block);
            free(block);
        }
}

static void *usable(void *block) { return (void *)malloc_usable_size(block); }
static void first_operation_may_be_usable_size(void) {
    for (size_t size = 1; size < 4 * MIB; size *= 2) {
        void *block = malloc(size), *answer;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, usable, block) == 0, "size %zu", size);
        pthread_join(thread, &answer);
        CHECK((size_t)answer >= size && (size_t)answer == malloc_usable_size(block),
              "%zu there, %zu here", (size_t)answer, malloc_usable_size(block));
        free(block);
    }
}

/* The value of a key is a chain of blocks; each round of destructors replaces it once. */
static pthread_key_t keys[20];
static unsigned destroyed;
struct value { unsigned rounds_left, key; unsigned char bytes[500]; };

static struct value *new_value(unsigned key, unsigned rounds_left) {
    struct value *value = malloc(sizeof *value);
    CHECK(value != NULL, "key %u", key);
    value->rounds_left = rounds_left, value->key = key;
    fill(value->bytes, sizeof value->bytes, key);
    return value;
}
static void destroy(void *argument) {
    struct value *value = argument;
    CHECK_PATTERN(value->bytes, sizeof value->bytes, value->key);
    void *large = calloc(50, 5000);
    CHECK(large != NULL, "in a destructor");
    if (value->rounds_left)
        pthread_setspecific(keys[value->key], new_value(value->key, value->rounds_left - 1));
    else
        __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    free(value);
    free(large);
}
static void *set_all(void *argument) {
    for (unsigned i = 0; i < COUNT(keys); i++) pthread_setspecific(keys[i], new_value(i, i % 3));
    return NULL;
}
static void thread_specific_destructors_may_free_and_allocate(void) {
    enum { ROUNDS = 100, AT_ONCE = 4 };
    for (unsigned i = 0; i < COUNT(keys); i++)
        CHECK(pthread_key_create(&keys[i], destroy) == 0, "key %u", i);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t threads[AT_ONCE];
        for (unsigned i = 0; i < AT_ONCE; i++)
            CHECK(pthread_create(&threads[i], NULL, set_all, NULL) == 0, "thread %u", i);
        for (unsigned i = 0; i < AT_ONCE; i++) pthread_join(threads[i], NULL);
    }
    CHECK(destroyed == ROUNDS * AT_ONCE * COUNT(keys), "%u", destroyed);
}

static void *make_chain(void *argument) {
    void **chain = NULL;
    for (unsigned i = 0; i < 1000; i++) {
        void **link = malloc(16 + i);
        CHECK(link != NULL, "link %u", i);
        *link = chain, chain = link;
    }
    return chain;
}
static void blocks_outlive_their_threads(void) {
    for (unsigned round = 0; round < 100; round++) {
        pthread_t thread;
        void *chain;
        CHECK(pthread_create(&thread, NULL, make_chain, NULL) == 0, "round %u", round);
        pthread_join(thread, &chain);
        unsigned links = 0;
        while (chain) {
            void *next = *(void **)chain;
            free(chain);
            chain = next, links++;
        }
        CHECK(links == 1000, "%u links", links);
    }
}

static void *short_life(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    void *mine[50];
    for (unsigned i = 0; i < COUNT(mine); i++) {
        size_t size = random_size(&state, 12);
        mine[i] = malloc(size);
        CHECK(mine[i] != NULL, "block %u", i);
        memset(mine[i], 1, size);
    }
    for (unsigned i = 0; i < COUNT(mine); i++) free(mine[i]);
    return NULL;
}
static void many_threads_come_and_go(void) {
    pthread_t threads[64];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * KIB);
    for (unsigned round = 0; round < 40; round++) {
        for (uintptr_t i = 0; i < COUNT(threads); i++)
            CHECK(pthread_create(&threads[i], &attributes, short_life, (void *)i) == 0,
                  "thread %zu of round %u", i, round);
        for (unsigned i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
    }
}

static const struct test_case CASES[] = {
    {"first_operation_may_be_free", first_operation_may_be_free},
    {"first_operation_may_be_free_of_a_large_block",
     first_operation_may_be_free_of_a_large_block},
    {"first_operation_may_be_realloc", first_operation_may_be_realloc},
    {"first_operation_may_be_calloc", first_operation_may_be_calloc},
    {"first_operation_may_be_aligned", first_operation_may_be_aligned},
    {"first_operation_may_be_usable_size", first_operation_may_be_usable_size},
    {"thread_specific_destructors_may_free_and_allocate",
     thread_specific_destructors_may_free_and_allocate},
    {"blocks_outlive_their_threads", blocks_outlive_their_threads},
    {"many_threads_come_and_go", many_threads_come_and_go},
};
MAIN(CASES)
