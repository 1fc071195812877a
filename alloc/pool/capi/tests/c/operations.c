/* The operations on the current copy: each outcome, and that threads and signals lose nothing. */
#include "check.h"
#include "cidpool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define THREADS 8
#define ROUNDS 20000

struct node {
    uint64_t value;
    struct node *next;
};
struct record {
    uint64_t length, text[3];
};
struct data {
    uint64_t word, other, count, lock;
    struct node *head;
    struct record record;
};

static struct cidpool *pool;
static struct data *data;

static void begin(void) {
    pool = cidpool_create("operations", sizeof(struct data), NULL);
    data = pool ? cidpool_percpu_zmalloc(pool) : NULL;
    CHECK(data != NULL, "%s", strerror(errno));
}
static void end(void) {
    cidpool_percpu_free(data);
    CHECK(cidpool_destroy(pool) == 0, "%s", strerror(errno));
}

/* Whether the process has cids. Where it has none every operation says so. */
static int has_cids(void) {
    if (cidpool_register_current_thread() == 0) return 1;
    CHECK(errno == EOPNOTSUPP, "%s", strerror(errno));
    uint64_t value = 11;
    CHECK(cidpool_add(&data->word, 1) == -1 && errno == EOPNOTSUPP, "%s", strerror(errno));
    CHECK(cidpool_load(&data->word, &value) == -1 && value == 11, "%s", strerror(errno));
    CHECK(cidpool_compare_store_on(&data->word, 0, 1, 0) == -1, "%s", strerror(errno));
    CHECK(cidpool_current_copy() == -1 && errno == EOPNOTSUPP, "%s", strerror(errno));
    CHECK(cidpool_current_mm_cid() == 0, "copy 0 in place of none");
    return 0;
}

/* Again, where there was no cid for the moment. */
#define TRY(call)                                                                      \
    ({                                                                                 \
        int result_;                                                                   \
        do result_ = (call);                                                           \
        while (result_ == -1 && errno == EAGAIN);                                      \
        CHECK(result_ >= 0, "%s", strerror(errno));                                    \
        result_;                                                                       \
    })

static void set_all(uint64_t word, uint64_t other) {
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++) {
        struct data *at = cidpool_percpu_ptr(data, copy);
        at->word = word, at->other = other;
    }
}
static uint64_t sum(size_t offset) {
    uint64_t sum = 0;
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        sum += *(uint64_t *)((char *)cidpool_percpu_ptr(data, copy) + offset);
    return sum;
}
#define SUM(field) sum(offsetof(struct data, field))

static void each_outcome(void) {
    begin();
    if (!has_cids()) {
        end();
        return;
    }
    uint64_t value = 0, copies = (uint64_t)cidpool_max_nr_copies();
    set_all(5, 9);
    CHECK(TRY(cidpool_load(&data->word, &value)) == 0 && value == 5, "%d", (int)value);
    CHECK(TRY(cidpool_add(&data->word, 2)) == 0, "add");
    CHECK(SUM(word) == 5 * copies + 2, "%d", (int)SUM(word));
    set_all(5, 9);
    CHECK(TRY(cidpool_compare_store(&data->word, 4, 6)) == 1, "it is 5");
    CHECK(SUM(word) == 5 * copies, "nothing was done");
    CHECK(TRY(cidpool_compare_store(&data->word, 5, 6)) == 0, "it is 5");
    CHECK(SUM(word) == 5 * copies + 1, "it was done once");
    set_all(5, 9);
    CHECK(TRY(cidpool_compare_two_store(&data->word, 4, &data->other, 9, 6)) == 1, "it is 5");
    CHECK(TRY(cidpool_compare_two_store(&data->word, 5, &data->other, 8, 6)) == 1, "it is 9");
    CHECK(TRY(cidpool_compare_two_store(&data->word, 5, &data->other, 9, 6)) == 0, "5 and 9");
    CHECK(SUM(word) == 5 * copies + 1 && SUM(other) == 9 * copies, "it was done once");
    set_all(5, 9);
    CHECK(TRY(cidpool_compare_store_store(&data->word, 4, 6, &data->other, 10)) == 1, "it is 5");
    CHECK(SUM(word) == 5 * copies && SUM(other) == 9 * copies, "nothing was done");
    CHECK(TRY(cidpool_compare_store_store(&data->word, 5, 6, &data->other, 10)) == 0, "it is 5");
    CHECK(SUM(word) == 5 * copies + 1 && SUM(other) == 9 * copies + 1, "both were stored");
    set_all(5, 9);
    struct record record = {17, {1, 2, 3}};
    CHECK(TRY(cidpool_compare_copy_store(&data->word, 4, 6, &data->record, &record, sizeof record)) == 1, "it is 5");
    CHECK(TRY(cidpool_compare_copy_store(&data->word, 5, 6, &data->record, &record, sizeof record)) == 0, "it is 5");
    CHECK(SUM(word) == 5 * copies + 1 && SUM(record.length) == 17 && SUM(record.text[2]) == 3, "copied");
    end();
}

static void lists(void) {
    begin();
    if (!has_cids()) {
        end();
        return;
    }
    struct node nodes[10];
    void *found = NULL;
    size_t offset = offsetof(struct node, next), count = 0;
    CHECK(TRY(cidpool_list_pop_all(&data->head, &found)) == 0 && found == NULL, "%p", found);
    for (size_t i = 0; i < COUNT(nodes); i++) {
        nodes[i] = (struct node){i, &nodes[0]};
        CHECK(TRY(cidpool_list_push(&data->head, &nodes[i], offset)) == 0, "push");
    }
    /* The thread may have moved: what it finds is the front of some copy's list. */
    int popped = TRY(cidpool_list_pop(&data->head, &found, offset));
    count += popped == 0;
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        for (struct node *n = cidpool_percpu_ptr(data, copy)->head; n; n = n->next) count++;
    CHECK(count == COUNT(nodes), "%zu nodes", count);
    CHECK(TRY(cidpool_list_pop_all(&data->head, &found)) == 0, "pop all");
    end();
}

static void a_copy_that_is_not_current_is_left_alone(void) {
    begin();
    if (!has_cids()) {
        end();
        return;
    }
    int copies = cidpool_max_nr_copies(), done = 0;
    CHECK(cidpool_compare_store_on(&data->lock, 0, 1, -1) == -1 && errno == EINVAL, "no such copy");
    CHECK(cidpool_compare_store_on(&data->lock, 0, 1, copies) == -1 && errno == EINVAL, "no such copy");
    for (int round = 0; round < 1000; round++) {
        int copy = round % 2 ? cidpool_current_mm_cid() : round % copies;
        uint64_t *lock = &cidpool_percpu_ptr(data, copy)->lock, others = round % 3 ? 1 : 0;
        for (int other = 0; other < copies; other++) cidpool_percpu_ptr(data, other)->lock = others;
        *lock = 0;
        int said = cidpool_compare_store_on(&data->lock, 0, 1, copy);
        CHECK(said == 0 || (said == -1 && (errno == ESTALE || errno == EAGAIN)), "%d, %s", said, strerror(errno));
        CHECK(*lock == (said == 0), "%d: %d", said, (int)*lock);
        CHECK(SUM(lock) == others * (uint64_t)(copies - 1) + *lock, "another copy was changed");
        if (said == 0) CHECK(TRY(cidpool_compare_store_on(&data->lock, 0, 2, copy)) == 1, "it is locked");
        done += said == 0;
    }
    CHECK(done > 0, "it was never done");
    end();
}

static void refused(void) {
    begin();
    uint64_t value;
    void *found;
    size_t stride = 65535;
    CHECK(cidpool_add(&data->word, 1, stride) == -1 && errno == EINVAL, "%s", strerror(errno));
    CHECK(cidpool_load(&data->word, &value, stride) == -1 && errno == EINVAL, "%s", strerror(errno));
    CHECK(cidpool_compare_store(&data->word, 0, 1, stride) == -1 && errno == EINVAL, "%s", strerror(errno));
    CHECK(cidpool_list_pop(&data->head, &found, 8, stride) == -1 && errno == EINVAL, "%s", strerror(errno));
    CHECK(cidpool_list_pop_all(&data->head, &found, (size_t)0) == -1 && errno == EINVAL, "%s", strerror(errno));
    end();
}

static uint64_t handled;
static void handler(int number) {
    (void)number;
    int before = errno;
    /* Above an operation of a lease there is no cid. */
    if (cidpool_add(&data->count, 1) == 0) __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    errno = before;
}

static void *storm(void *unused) {
    (void)unused;
    uint64_t failed_adds = 0;
    size_t offset = offsetof(struct node, next);
    for (int i = 0; i < ROUNDS; i++) {
        void *found = NULL;
        if (cidpool_add(&data->count, 1) != 0) failed_adds++;
        uint64_t value;
        do {
            while (cidpool_load(&data->word, &value) != 0);
        } while (cidpool_compare_store(&data->word, value, value + 1) != 0);
        if (i % 4 == 0) {
            struct node *node = malloc(sizeof *node);
            *node = (struct node){1, NULL};
            while (cidpool_list_push(&data->head, node, offset) != 0);
        } else if (i % 4 == 2 && cidpool_list_pop(&data->head, &found, offset) == 0) {
            while (cidpool_list_push(&data->head, found, offset) != 0);
        }
    }
    return (void *)(uintptr_t)failed_adds;
}

static void nothing_is_lost_in_a_storm(void) {
    begin();
    if (!has_cids()) {
        end();
        return;
    }
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    CHECK(sigaction(SIGPROF, &action, NULL) == 0, "%s", strerror(errno));
    CHECK(setitimer(ITIMER_PROF, &often, NULL) == 0, "%s", strerror(errno));
    pthread_t threads[THREADS];
    uint64_t failed_adds = 0;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, storm, NULL) == 0, "a thread");
    for (int i = 0; i < THREADS; i++) {
        void *said;
        pthread_join(threads[i], &said);
        failed_adds += (uint64_t)(uintptr_t)said;
    }
    setitimer(ITIMER_PROF, &never, NULL);
    uint64_t count = 0, nodes = 0, expected = THREADS * (uint64_t)ROUNDS - failed_adds + handled;
    count = SUM(count);
    CHECK(count == expected, "%llu, not %llu", (unsigned long long)count, (unsigned long long)expected);
    CHECK(SUM(word) == THREADS * (uint64_t)ROUNDS, "%llu", (unsigned long long)SUM(word));
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        for (struct node *n = cidpool_percpu_ptr(data, copy)->head, *next; n; n = next, nodes++) {
            next = n->next;
            free(n);
        }
    CHECK(nodes == THREADS * (uint64_t)ROUNDS / 4, "%llu nodes", (unsigned long long)nodes);
    end();
}

static const struct test_case cases[] = {
    {"each_outcome", each_outcome},
    {"lists", lists},
    {"a_copy_that_is_not_current_is_left_alone", a_copy_that_is_not_current_is_left_alone},
    {"refused", refused},
    {"nothing_is_lost_in_a_storm", nothing_is_lost_in_a_storm},
};
MAIN(cases)
