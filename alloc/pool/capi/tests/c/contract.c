/* What each function returns, for what it is meant for and for what it refuses. */
#include "check.h"
#include "cidpool.h"
#include "refuse.h"

#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>

#define REFUSED(call, number)                                                          \
    do {                                                                               \
        errno = 0;                                                                     \
        long long refused_ = (long long)(intptr_t)(call);                              \
        CHECK(refused_ == 0 || refused_ == -1, "%lld", refused_);                      \
        CHECK(errno == (number), "errno is %d, %s", errno, strerror(errno));           \
    } while (0)
#define DONE(call)                                                                     \
    do {                                                                               \
        errno = 4711;                                                                  \
        int done_ = (call);                                                            \
        CHECK(done_ == 0, "%d, errno %d, %s", done_, errno, strerror(errno));          \
        CHECK(errno == 4711, "errno is now %d", errno);                                \
    } while (0)

#define KEPT(call)                                                                     \
    do {                                                                               \
        errno = 4711;                                                                  \
        call;                                                                          \
        CHECK(errno == 4711, "errno is now %d, %s", errno, strerror(errno));           \
    } while (0)

static struct cidpool *pool_of(size_t item_len, struct cidpool_attr *attr) {
    struct cidpool *pool = cidpool_create("tested", item_len, attr);
    CHECK(pool != NULL, "%s", strerror(errno));
    return pool;
}

static void attributes(void) {
    struct cidpool_attr *attr = cidpool_attr_create();
    CHECK(attr != NULL, "%s", strerror(errno));
    REFUSED(cidpool_attr_set_percpu(NULL, 0, 0), EINVAL);
    REFUSED(cidpool_attr_set_percpu(attr, 65537, 0), EINVAL);
    REFUSED(cidpool_attr_set_percpu(attr, 0, -1), EINVAL);
    REFUSED(cidpool_attr_set_percpu(attr, 0, cidpool_max_nr_copies() + 1), EINVAL);
    REFUSED(cidpool_attr_set_global(NULL, 0), EINVAL);
    REFUSED(cidpool_attr_set_global(attr, 3), EINVAL);
    REFUSED(cidpool_attr_set_max_nr_ranges(NULL, 1), EINVAL);
    REFUSED(cidpool_attr_set_max_nr_ranges(attr, 0), EINVAL);
    REFUSED(cidpool_attr_set_populate_policy(NULL, CIDPOOL_POPULATE_COW_ZERO), EINVAL);
    REFUSED(cidpool_attr_set_populate_policy(attr, 2), EINVAL);
    REFUSED(cidpool_attr_set_init(NULL, NULL, NULL), EINVAL);
    REFUSED(cidpool_attr_set_robust(NULL), EINVAL);
    REFUSED(cidpool_attr_set_fork(NULL, CIDPOOL_FORK_COPIED), EINVAL);
    REFUSED(cidpool_attr_set_fork(attr, 3), EINVAL);
    REFUSED(cidpool_attr_set_numa(NULL, CIDPOOL_NUMA_NONE), EINVAL);
    REFUSED(cidpool_attr_set_numa(attr, -1), EINVAL);

    DONE(cidpool_attr_set_percpu(attr, 1 << 17, cidpool_max_nr_copies()));
    DONE(cidpool_attr_set_percpu(attr, 0, 0));
    DONE(cidpool_attr_set_max_nr_ranges(attr, 3));
    DONE(cidpool_attr_set_populate_policy(attr, CIDPOOL_POPULATE_COW_ZERO));
    DONE(cidpool_attr_set_robust(attr));
    DONE(cidpool_attr_set_fork(attr, CIDPOOL_FORK_WIPED));
    DONE(cidpool_attr_set_numa(attr, CIDPOOL_NUMA_PREFERRED));
    struct cidpool *pool = pool_of(24, attr);
    KEPT(cidpool_attr_destroy(attr));
    KEPT(cidpool_attr_destroy(NULL));
    DONE(cidpool_destroy(pool));
}

static void creating(void) {
    REFUSED(cidpool_create("x", 0, NULL), EINVAL);
    REFUSED(cidpool_create("x", CIDPOOL_STRIDE + 1, NULL), EINVAL);
    REFUSED(cidpool_create("", 8, NULL), EINVAL);
    REFUSED(cidpool_create("a\nb", 8, NULL), EINVAL);
    REFUSED(cidpool_create("\xff", 8, NULL), EINVAL);
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_percpu(attr, 16, 0));
    REFUSED(cidpool_create("x", 8, attr), EINVAL);
    DONE(cidpool_attr_set_percpu(attr, (size_t)1 << 63, 0));
    REFUSED(cidpool_create("x", 8, attr), EINVAL);
    REFUSED(cidpool_create("x", SIZE_MAX, attr), EINVAL);
    DONE(cidpool_attr_set_percpu(attr, 0, 0));
    DONE(cidpool_attr_set_max_nr_ranges(attr, ULONG_MAX));
    REFUSED(cidpool_create("x", 8, attr), EINVAL);
    cidpool_attr_destroy(attr);
    struct cidpool *pool = cidpool_create(NULL, 8, NULL);
    CHECK(pool != NULL, "%s", strerror(errno));
    DONE(cidpool_destroy(pool));
    DONE(cidpool_destroy(NULL));
}

static int fill_image(void *data, void *address, size_t len, int cpu) {
    CHECK(cpu == -1 && len == CIDPOOL_STRIDE, "%d, %zu", cpu, len);
    memset(address, *(int *)data, len);
    return 0;
}

static void initialisers(void) {
    int byte = 0x2a;
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_init(attr, fill_image, &byte));
    for (int is_global = 0; is_global < 2; is_global++) {
        if (is_global) DONE(cidpool_attr_set_global(attr, 0));
        struct cidpool *pool = pool_of(16, attr);
        unsigned char *item = cidpool_percpu_malloc(pool);
        CHECK(item != NULL, "%s", strerror(errno));
        for (int copy = 0; copy < cidpool_get_max_nr_cpus(pool); copy++) {
            unsigned char *at = cidpool_percpu_ptr(item, copy);
            CHECK(at[0] == 0x2a && at[15] == 0x2a, "copy %d: %d, %d", copy, at[0], at[15]);
        }
        cidpool_percpu_free(item);
        DONE(cidpool_destroy(pool));
    }
    DONE(cidpool_attr_set_populate_policy(attr, CIDPOOL_POPULATE_COW_ZERO));
    REFUSED(cidpool_create("x", 16, attr), EINVAL);
    cidpool_attr_destroy(attr);
}

static int fail_once(void *data, void *address, size_t len, int cpu) {
    (void)address, (void)len, (void)cpu;
    return (*(int *)data)++ == 0;
}

static void a_failed_initialiser(void) {
    int calls = 0;
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_init(attr, fail_once, &calls));
    struct cidpool *pool = pool_of(16, attr);
    cidpool_attr_destroy(attr);
    for (int i = 0; i < 100; i++) REFUSED(cidpool_percpu_malloc(pool), ENOMEM);
    void *items[100];
    REFUSED(cidpool_percpu_malloc_many(pool, items, 100), ENOMEM);
    DONE(cidpool_destroy(pool));
}

static void items(void) {
    REFUSED(cidpool_percpu_malloc(NULL), EINVAL);
    REFUSED(cidpool_percpu_zmalloc(NULL), EINVAL);
    REFUSED(cidpool_percpu_malloc_init(NULL, "x", 1), EINVAL);
    REFUSED(cidpool_percpu_try_free(NULL, &errno), EINVAL);
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_max_nr_ranges(attr, 1));
    DONE(cidpool_attr_set_robust(attr));
    struct cidpool *pool = pool_of(1 << 15, attr);
    REFUSED(cidpool_percpu_malloc_init(pool, "x", (1 << 15) + 1), EINVAL);
    REFUSED(cidpool_percpu_malloc_init(pool, NULL, 1), EINVAL);
    char *one = cidpool_percpu_zmalloc(pool), *two = cidpool_percpu_malloc_init(pool, "begin", 5);
    CHECK(one && two, "%s", strerror(errno));
    REFUSED(cidpool_percpu_malloc(pool), ENOMEM);
    for (int copy = 0; copy < cidpool_get_max_nr_cpus(pool); copy++) {
        char *first = cidpool_percpu_ptr(one, copy), *second = cidpool_percpu_ptr(two, copy);
        CHECK(memcmp(first, "\0\0\0\0\0", 6) == 0, "copy %d is not zero", copy);
        CHECK(memcmp(second, "begin", 6) == 0, "copy %d begins with %.6s", copy, second);
    }
    CHECK(cidpool_of(one) == pool && cidpool_of(two) == pool, "%p, %p", (void *)one, (void *)two);
    REFUSED(cidpool_of(&attr), EFAULT);
    REFUSED(cidpool_of(one + 8), EFAULT);
    REFUSED(cidpool_of(NULL), EFAULT);
    REFUSED(cidpool_percpu_try_free(pool, NULL), EINVAL);
    REFUSED(cidpool_percpu_try_free(pool, &attr), EFAULT);
    REFUSED(cidpool_percpu_try_free(pool, one + 8), EINVAL);
    DONE(cidpool_percpu_try_free(pool, one));
    REFUSED(cidpool_percpu_try_free(pool, one), EALREADY);
    KEPT(cidpool_percpu_free(two));
    KEPT(cidpool_percpu_free(NULL));
    DONE(cidpool_destroy(pool));
    cidpool_attr_destroy(attr);
}

static void bulk(void) {
    void *items[1000];
    REFUSED(cidpool_percpu_malloc_many(NULL, items, 1), EINVAL);
    REFUSED(cidpool_percpu_free_many(NULL, items, 1), EINVAL);
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_max_nr_ranges(attr, 1));
    DONE(cidpool_attr_set_robust(attr));
    struct cidpool *pool = pool_of(CIDPOOL_STRIDE / 512, attr);
    REFUSED(cidpool_percpu_malloc_many(pool, NULL, 1), EINVAL);
    REFUSED(cidpool_percpu_free_many(pool, NULL, 1), EINVAL);
    REFUSED(cidpool_percpu_malloc_many(pool, items, 513), ENOMEM);
    for (int round = 0; round < 3; round++) {
        DONE(cidpool_percpu_malloc_many(pool, items, 512));
        for (int i = 0; i < 512; i++)
            for (int j = 0; j < i; j++) CHECK(items[i] != items[j], "%d and %d are one", i, j);
        REFUSED(cidpool_percpu_malloc(pool), ENOMEM);
        DONE(cidpool_percpu_free_many(pool, items, 512));
    }
    DONE(cidpool_percpu_malloc_many(pool, NULL, 0));
    DONE(cidpool_percpu_free_many(pool, NULL, 0));
    void *nothing[3] = {NULL, NULL, NULL};
    DONE(cidpool_percpu_free_many(pool, nothing, 3));
    DONE(cidpool_destroy(pool));
    cidpool_attr_destroy(attr);
}

static void sets(void) {
    struct cidpool_set *set = cidpool_set_create();
    CHECK(set != NULL, "%s", strerror(errno));
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_max_nr_ranges(attr, 1));
    struct cidpool *small = pool_of(CIDPOOL_STRIDE / 2, attr);
    struct cidpool *other = pool_of(CIDPOOL_STRIDE / 2 - 8, attr);
    struct cidpool *large = pool_of(CIDPOOL_STRIDE, attr);
    DONE(cidpool_attr_set_global(attr, 0));
    struct cidpool *global = pool_of(8, attr);
    cidpool_attr_destroy(attr);

    REFUSED(cidpool_set_add_pool(NULL, small), EINVAL);
    REFUSED(cidpool_set_add_pool(set, NULL), EINVAL);
    REFUSED(cidpool_set_percpu_malloc(NULL, 8), EINVAL);
    REFUSED(cidpool_set_percpu_malloc(set, 8), ENOMEM);
    DONE(cidpool_set_add_pool(set, small));
    REFUSED(cidpool_set_add_pool(set, small), EBUSY);
    REFUSED(cidpool_set_add_pool(set, other), EBUSY);
    REFUSED(cidpool_set_add_pool(set, global), EINVAL);
    DONE(cidpool_set_add_pool(set, large));
    REFUSED(cidpool_destroy(small), EBUSY);
    /* A set that refused a pool is as it was: any kind may be the first. */
    struct cidpool_set *second_set = cidpool_set_create();
    REFUSED(cidpool_set_add_pool(second_set, small), EBUSY);
    DONE(cidpool_set_add_pool(second_set, global));
    REFUSED(cidpool_set_add_pool(second_set, other), EINVAL);
    DONE(cidpool_set_destroy(second_set));

    REFUSED(cidpool_set_percpu_malloc(set, CIDPOOL_STRIDE + 1), ENOMEM);
    REFUSED(cidpool_set_percpu_malloc(set, SIZE_MAX), ENOMEM);
    REFUSED(cidpool_set_percpu_malloc_init(set, "x", SIZE_MAX), ENOMEM);
    REFUSED(cidpool_set_percpu_malloc_init(set, NULL, 1), EINVAL);
    void *first = cidpool_set_percpu_zmalloc(set, 100);
    void *second = cidpool_set_percpu_malloc(set, 100);
    char *third = cidpool_set_percpu_malloc_init(set, "value", 6);
    CHECK(cidpool_of(first) == small && cidpool_of(second) == small, "the smallest that fits");
    CHECK(cidpool_of(third) == large, "the next larger one");
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        CHECK(strcmp(cidpool_percpu_ptr(third, copy), "value") == 0, "copy %d", copy);
    REFUSED(cidpool_set_percpu_malloc(set, 100), ENOMEM);
    cidpool_percpu_free(first);
    cidpool_percpu_free(second);
    cidpool_percpu_free(third);
    DONE(cidpool_set_destroy(set));
    DONE(cidpool_set_destroy(NULL));
    DONE(cidpool_destroy(other));
}

struct seen {
    int copies, stop_at;
    char *item;
};

static int see(void *data, void *copy, int node, int cid) {
    struct seen *seen = data;
    int its_node, its_cid;
    CHECK(cidpool_place_of(seen->copies, &its_node, &its_cid) == 0, "%s", strerror(errno));
    CHECK(node == its_node && cid == its_cid, "%d, %d", node, cid);
    CHECK(copy == cidpool_percpu_ptr(seen->item, seen->copies), "%p", copy);
    return ++seen->copies == seen->stop_at ? 7 : 0;
}

static void places(void) {
    int copies = cidpool_max_nr_copies(), node, cid;
    CHECK(copies > 0, "%d", copies);
    REFUSED(cidpool_get_max_nr_cpus(NULL), EINVAL);
    REFUSED(cidpool_place_of(-1, &node, &cid), EINVAL);
    REFUSED(cidpool_place_of(copies, &node, &cid), EINVAL);
    DONE(cidpool_place_of(copies - 1, NULL, NULL));
    struct cidpool *pool = pool_of(64, NULL);
    CHECK(cidpool_get_max_nr_cpus(pool) == copies, "%d", cidpool_get_max_nr_cpus(pool));
    char *item = cidpool_percpu_zmalloc(pool);
    for (int copy = 0; copy < copies; copy++) {
        DONE(cidpool_place_of(copy, &node, &cid));
        char *at = cidpool_percpu_ptr_at(pool, item, node, cid);
        CHECK(at == cidpool_percpu_ptr(item, copy), "copy %d: %p", copy, (void *)at);
        CHECK(at == item + copy * (size_t)CIDPOOL_STRIDE, "copy %d: %p", copy, (void *)at);
    }
    REFUSED(cidpool_percpu_ptr_at(NULL, item, 0, 0), EINVAL);
    REFUSED(cidpool_percpu_ptr_at(pool, NULL, 0, 0), EINVAL);
    REFUSED(cidpool_percpu_ptr_at(pool, item, -1, 0), EINVAL);
    REFUSED(cidpool_percpu_ptr_at(pool, item, node + 1, 0), EINVAL);
    REFUSED(cidpool_percpu_ptr_at(pool, item, 0, cid + 1), EINVAL);

    struct seen seen = {0, -1, item};
    REFUSED(cidpool_percpu_for_each(NULL, item, see, &seen), EINVAL);
    REFUSED(cidpool_percpu_for_each(pool, NULL, see, &seen), EINVAL);
    REFUSED(cidpool_percpu_for_each(pool, item, NULL, &seen), EINVAL);
    DONE(cidpool_percpu_for_each(pool, item, see, &seen));
    CHECK(seen.copies == copies, "%d of %d", seen.copies, copies);
    seen = (struct seen){0, 1, item};
    int stopped = cidpool_percpu_for_each(pool, item, see, &seen);
    CHECK(stopped == 7 && seen.copies == 1, "%d after %d", stopped, seen.copies);
    cidpool_percpu_free(item);
    DONE(cidpool_destroy(pool));
}

static void global_pools(void) {
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_global(attr, 1 << 18));
    struct cidpool *pool = pool_of(1 << 18, attr);
    CHECK(cidpool_get_max_nr_cpus(pool) == 1, "%d", cidpool_get_max_nr_cpus(pool));
    char *item = cidpool_percpu_zmalloc(pool);
    item[(1 << 18) - 1] = 1;
    CHECK(cidpool_percpu_ptr_at(pool, item, 0, 0) == item, "the only copy is another one");
    cidpool_percpu_free(item, 1 << 18);
    DONE(cidpool_destroy(pool));
    cidpool_attr_destroy(attr);
}

static void numbers(void) {
    struct cidpool *pool = pool_of(48, NULL);
    struct cidpool_statistics now;
    REFUSED(cidpool_get_statistics(NULL, &now), EINVAL);
    REFUSED(cidpool_get_statistics(pool, NULL), EINVAL);
    DONE(cidpool_get_statistics(pool, &now));
    CHECK(now.items == 0 && now.ranges == 0, "%zu, %zu", now.items, now.ranges);
    CHECK(now.item_len == 48 && now.stride == CIDPOOL_STRIDE, "%zu, %zu", now.item_len, now.stride);
    void *items[40];
    DONE(cidpool_percpu_malloc_many(pool, items, 40));
    DONE(cidpool_get_statistics(pool, &now));
    CHECK(now.items == 40 && now.ranges == 1, "%zu items in %zu ranges", now.items, now.ranges);
    CHECK(now.copies == (size_t)cidpool_max_nr_copies(), "%zu copies", now.copies);
    CHECK(now.bytes_reserved == now.copies * CIDPOOL_STRIDE, "%zu bytes", now.bytes_reserved);
    memset(items[0], 1, 48);
    struct cidpool_resident nodes[64];
    REFUSED(cidpool_get_resident(NULL, nodes, 64), EINVAL);
    REFUSED(cidpool_get_resident(pool, NULL, 1), EINVAL);
    int count = cidpool_get_resident(pool, nodes, 64);
    CHECK(count > 0 || errno == EOPNOTSUPP, "%d, %s", count, strerror(errno));
    CHECK(count < 0 || nodes[0].copies == 1, "%zu copies", nodes[0].copies);
    CHECK(count < 0 || nodes[0].bytes > 0, "%zu bytes", nodes[0].bytes);
    DONE(cidpool_percpu_free_many(pool, items, 40));
    CHECK(cidpool_trim(NULL) == 0, "nothing of no pool");
    size_t ranges = cidpool_trim(pool);
    CHECK(ranges == 1, "%zu ranges", ranges);
    DONE(cidpool_get_statistics(pool, &now));
    CHECK(now.items == 0 && now.ranges == 0, "%zu items, %zu ranges", now.items, now.ranges);
    KEPT(cidpool_write_statistics(STDERR_FILENO));
    DONE(cidpool_destroy(pool));
}

/* The range that was given back may be mapped at the same addresses for another pool. */
static void an_address_is_of_the_pool_that_has_it_now(void) {
    struct cidpool *pools[2] = {pool_of(8, NULL), pool_of(8, NULL)};
    for (int round = 0; round < 20; round++) {
        struct cidpool *pool = pools[round % 2];
        void *item = cidpool_percpu_malloc(pool);
        CHECK(cidpool_of(item) == pool, "round %d", round);
        cidpool_percpu_free(item);
        cidpool_trim(pool);
    }
    DONE(cidpool_destroy(pools[0]));
    void *item = cidpool_percpu_malloc(pools[1]);
    CHECK(cidpool_of(item) == pools[1], "after the other was destroyed");
    cidpool_percpu_free(item);
    DONE(cidpool_destroy(pools[1]));
    REFUSED(cidpool_of(item), EFAULT);
}

static void *is_cancelled_afterwards(void *is_whole) {
    struct cidpool_statistics now;
    struct cidpool_resident nodes[64];
    CHECK(pthread_cancel(pthread_self()) == 0, "%s", strerror(errno));
    struct cidpool *pool = pool_of(64, NULL);
    void *item = cidpool_percpu_malloc(pool);
    CHECK(cidpool_of(item) == pool, "%p", item);
    DONE(cidpool_get_statistics(pool, &now));
    cidpool_get_resident(pool, nodes, 64);
    cidpool_write_statistics(STDERR_FILENO);
    cidpool_percpu_free(item);
    DONE(cidpool_destroy(pool));
    *(int *)is_whole = 1;
    pthread_testcancel();
    return NULL;
}
static void no_thread_is_cancelled_within(void) {
    pthread_t thread;
    int is_whole = 0;
    void *said;
    CHECK(pthread_create(&thread, NULL, is_cancelled_afterwards, &is_whole) == 0, "a thread");
    pthread_join(thread, &said);
    CHECK(is_whole && said == PTHREAD_CANCELED, "%d, %p", is_whole, said);
}

#define HELD 300
static struct cidpool *shared[2];

/* Frees what it finds of others, and leaves what it allocates to others. */
static void *exchange(void *table) {
    void **held = table;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    for (int i = 0; i < 5000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct cidpool *pool = shared[seed >> 63];
        uint64_t *item = cidpool_percpu_malloc(pool);
        CHECK(item != NULL && cidpool_of(item) == pool, "%p", (void *)item);
        *item = (uint64_t)(uintptr_t)item;
        uint64_t *other = __atomic_exchange_n(&held[(seed >> 33) % HELD], item, __ATOMIC_ACQ_REL);
        if (other != NULL) {
            CHECK(*other == (uint64_t)(uintptr_t)other, "it was handed out twice");
            cidpool_percpu_free(other);
        }
        if (seed >> 50 == 0) cidpool_trim(pool);
    }
    return NULL;
}

static void items_of_many_threads(void) {
    static void *held[HELD];
    struct cidpool_attr *attr = cidpool_attr_create();
    DONE(cidpool_attr_set_robust(attr));
    for (int i = 0; i < 2; i++) shared[i] = pool_of(1024, attr);
    cidpool_attr_destroy(attr);
    pthread_t threads[8];
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, exchange, held) == 0, "a thread");
    for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < HELD; i++) cidpool_percpu_free(held[i]);
    /* Robust pools end the process if an item is left. */
    for (int i = 0; i < 2; i++) DONE(cidpool_destroy(shared[i]));
}

typedef int child_function(struct cidpool *, uint64_t *);

static int in_child(child_function *child, struct cidpool *pool, uint64_t *item) {
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(child(pool, item));
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid, "%s", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
static int child_has_a_copy(struct cidpool *pool, uint64_t *item) {
    uint64_t *other = cidpool_percpu_zmalloc(pool);
    int good = item[0] == 5 && other != NULL && *other == 0;
    item[0] = 6;
    cidpool_percpu_free(other);
    return good;
}
static int child_has_zero(struct cidpool *pool, uint64_t *item) {
    uint64_t *other = cidpool_percpu_malloc(pool);
    return item[0] == 0 && other != NULL && other != item;
}
static int child_has_nothing(struct cidpool *pool, uint64_t *item) {
    errno = 0;
    (void)item;
    return cidpool_percpu_malloc(pool) == NULL && errno == EPERM;
}

static void forks(void) {
    static const struct {
        int policy;
        child_function *child;
    } kinds[] = {
        {CIDPOOL_FORK_COPIED, child_has_a_copy},
        {CIDPOOL_FORK_WIPED, child_has_zero},
        {CIDPOOL_FORK_UNUSABLE, child_has_nothing},
    };
    for (size_t kind = 0; kind < 2 * COUNT(kinds); kind++) {
        struct cidpool_attr *attr = cidpool_attr_create();
        DONE(cidpool_attr_set_fork(attr, kinds[kind / 2].policy));
        DONE(cidpool_attr_set_populate_policy(attr, (int)kind % 2));
        struct cidpool *pool = pool_of(8, attr);
        cidpool_attr_destroy(attr);
        uint64_t *item = cidpool_percpu_zmalloc(pool);
        item[0] = 5;
        int said = in_child(kinds[kind / 2].child, pool, item);
        CHECK(said == 1, "policy %d, populate %d: %d", kinds[kind / 2].policy, (int)kind % 2, said);
        CHECK(item[0] == 5, "the parent has %d", (int)item[0]);
        cidpool_percpu_free(item);
        DONE(cidpool_destroy(pool));
    }
}

/* What a child ends with; a check that fails ends it with 1. */
enum { ADDED = 2, UNFILTERED };

static void *add_and_tell(void *counter) {
    errno = 4711;
    cidpool_counter_add(counter, 1);
    return (void *)(intptr_t)errno;
}
/* The second thread's first add maps memory, and the kernel refuses to name it. */
static int child_adds_and_keeps_errno(struct cidpool *pool, uint64_t *item) {
    static const int calls[] = {SYS_prctl};
    pthread_t thread;
    void *said = NULL;
    (void)pool, (void)item;
    struct cidpool_counter *counter = cidpool_counter_create();
    KEPT(cidpool_counter_add(counter, 1));
    if (refuse_calls(calls, COUNT(calls), EPERM) != 0) return UNFILTERED;
    CHECK(pthread_create(&thread, NULL, add_and_tell, counter) == 0, "a thread");
    pthread_join(thread, &said);
    CHECK(said == (void *)4711, "errno was then %d", (int)(intptr_t)said);
    CHECK(cidpool_counter_sum(counter) == 2, "%d", (int)cidpool_counter_sum(counter));
    KEPT(cidpool_counter_destroy(counter));
    return ADDED;
}
static void an_add_keeps_errno(void) {
    int said = in_child(child_adds_and_keeps_errno, NULL, NULL);
    if (said == UNFILTERED) SKIP("the kernel filters no system calls");
    CHECK(said == ADDED, "%d", said);
}

static void *add_a_thousand(void *counter) {
    for (int i = 0; i < 1000; i++) cidpool_counter_add(counter, 3);
    return NULL;
}

static void counters(void) {
    uint64_t sum = 1;
    REFUSED(cidpool_counter_spread(NULL), EINVAL);
    REFUSED(cidpool_counter_sum(NULL), EINVAL);
    REFUSED(cidpool_counter_sum_exact(NULL, &sum), EINVAL);
    struct cidpool_counter *counter = cidpool_counter_create();
    CHECK(counter != NULL, "%s", strerror(errno));
    REFUSED(cidpool_counter_sum_exact(counter, NULL), EINVAL);
    CHECK(cidpool_counter_sum(counter) == 0, "begins with 0");
    DONE(cidpool_counter_sum_exact(counter, &sum));
    CHECK(sum == 0, "begins with 0");
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, add_a_thousand, counter) == 0, "a thread");
    uint64_t before = 0;
    for (int i = 0; i < 100; i++) {
        DONE(cidpool_counter_sum_exact(counter, &sum));
        CHECK(sum >= before && sum <= 12000 && sum % 3 == 0, "%d after %d", (int)sum, (int)before);
        before = sum;
    }
    for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
    cidpool_counter_add(counter, (uint64_t)-12000);
    CHECK(cidpool_counter_sum(counter) == 0, "%d", (int)cidpool_counter_sum(counter));
    DONE(cidpool_counter_spread(counter));
    cidpool_counter_add(counter, 1);
    CHECK(cidpool_counter_sum(counter) == 1, "after it was spread");
    KEPT(cidpool_counter_destroy(counter));
    KEPT(cidpool_counter_destroy(NULL));
}

static const struct test_case cases[] = {
    {"attributes", attributes},
    {"creating", creating},
    {"initialisers", initialisers},
    {"a_failed_initialiser", a_failed_initialiser},
    {"items", items},
    {"bulk", bulk},
    {"sets", sets},
    {"places", places},
    {"global_pools", global_pools},
    {"numbers", numbers},
    {"an_address_is_of_the_pool_that_has_it_now", an_address_is_of_the_pool_that_has_it_now},
    {"no_thread_is_cancelled_within", no_thread_is_cancelled_within},
    {"items_of_many_threads", items_of_many_threads},
    {"forks", forks},
    /* Before others, for a process has the pools of its counters for ever. */
    {"an_add_keeps_errno", an_add_keeps_errno},
    {"counters", counters},
};
MAIN(cases)
