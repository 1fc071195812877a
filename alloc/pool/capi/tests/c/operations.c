/* The operations on the current copy: each outcome, and that threads and signals lose nothing. */
#include "check.h"
#include "cidpool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#define THREADS 8
#define ROUNDS 8000

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

/* Whether the process has cids: if the caller knows it says so. Where it has none every operation says
 * so. */
static int has_cids(void) {
    const char *expected = getenv("EXPECTED_CIDS");
    if (cidpool_register_current_thread() == 0) {
        CHECK(expected == NULL || strcmp(expected, "no") != 0, "the process has cids");
        return 1;
    }
    CHECK(expected == NULL || strcmp(expected, "yes") != 0, "%s", strerror(errno));
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
    size_t len = sizeof record;
    struct record *to = &data->record;
    CHECK(TRY(cidpool_compare_copy_store(&data->word, 4, 6, to, &record, len)) == 1, "it is 5");
    CHECK(SUM(word) == 5 * copies && SUM(record.length) == 0, "nothing was done");
    CHECK(TRY(cidpool_compare_copy_store(&data->word, 5, 6, to, &record, len)) == 0, "it is 5");
    CHECK(SUM(word) == 5 * copies + 1 && SUM(record.length) == 17, "copied");
    CHECK(SUM(record.text[0]) == 1 && SUM(record.text[2]) == 3, "copied as a whole");
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
    int numbers[2] = {-1, copies};
    for (int i = 0; i < 2; i++) {
        int said = cidpool_compare_store_on(&data->lock, 0, 1, numbers[i]);
        CHECK(said == -1 && errno == EINVAL, "there is no such copy: %d", said);
    }
    for (int round = 0; round < 1000; round++) {
        int copy = round % 2 ? cidpool_current_mm_cid() : round % copies;
        uint64_t *lock = &cidpool_percpu_ptr(data, copy)->lock, others = round % 3 ? 1 : 0;
        for (int other = 0; other < copies; other++) cidpool_percpu_ptr(data, other)->lock = others;
        *lock = 0;
        int said = cidpool_compare_store_on(&data->lock, 0, 1, copy);
        CHECK(said == 0 || (said == -1 && (errno == ESTALE || errno == EAGAIN)), "%d, %d", said,
              errno);
        CHECK(*lock == (said == 0), "%d: %d", said, (int)*lock);
        CHECK(SUM(lock) == others * (uint64_t)(copies - 1) + *lock, "another copy was changed");
        if (said == 0)
            CHECK(TRY(cidpool_compare_store_on(&data->lock, 0, 2, copy)) == 1, "it is locked");
        done += said == 0;
    }
    CHECK(done > 0, "it was never done");
    end();
}

/* The macros with librseq's arguments, in a pool whose stride is not the default one. */
#define FAR ((size_t)1 << 17)
#define MO CIDPOOL_MO_RELAXED
#define MM CIDPOOL_PERCPU_MM_CID

static uint64_t far_sum(struct data *far, size_t offset) {
    uint64_t sum = 0;
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        sum += *(uint64_t *)((char *)cidpool_percpu_ptr(far, copy, FAR) + offset);
    return sum;
}
#define FAR_SUM(field) far_sum(far, offsetof(struct data, field))

/* An argument may be a call, as of cidpool_current_mm_cid(), that says something else the next time. */
static int looks;
static int last_copy(void) {
    looks++;
    return cidpool_max_nr_copies() - 1;
}
static size_t far_stride(void) {
    looks += 100;
    return FAR;
}
#define ONCE(operation, ...)                                                           \
    do {                                                                               \
        looks = 0;                                                                     \
        (void)operation(MO, MM, __VA_ARGS__, last_copy(), far_stride());               \
        CHECK(looks == 101, "%d times at copy and stride in " #operation, looks);      \
    } while (0)

static void looks_once(struct data *at) {
    char bytes[8] = {0};
    void *found;
    ONCE(cidpool_load_add_store__ptr, &at->count, 1);
    ONCE(cidpool_load_cbne_store__ptr, &at->lock, 0, 1);
    ONCE(cidpool_load_cbne_store_store__ptr, &at->word, 0, &at->other, 1, 2);
    ONCE(cidpool_load_cbne_load_cbne_store__ptr, &at->word, 0, &at->other, 1, 2);
    ONCE(cidpool_load_cbne_memcpy_store__ptr, &at->word, 0, &at->other, bytes, sizeof bytes, 1);
    ONCE(cidpool_load_cbeq_store_add_load_store__ptr, &at->head, 0, offsetof(struct node, next), &found);
    looks = 0;
    CHECK(cidpool_percpu_ptr(at, last_copy(), far_stride()) != at, "another copy");
    CHECK(looks == 101, "%d times", looks);
}

static void with_the_arguments_of_librseq(void) {
    begin();
    int is_usable = has_cids();
    end();
    if (!is_usable) return;
    struct cidpool_attr *attr = cidpool_attr_create();
    CHECK(cidpool_attr_set_percpu(attr, FAR, 0) == 0, "%s", strerror(errno));
    struct cidpool *wide = cidpool_create("far", sizeof(struct data), attr);
    cidpool_attr_destroy(attr);
    struct data *far = cidpool_percpu_zmalloc(wide);
    CHECK(far != NULL, "%s", strerror(errno));
    struct record record = {1, {2, 3, 4}}, *from = &record;
    struct node node = {1, &node};
    intptr_t popped = 0;
    /* Any copy leads to the word of the current one, but for the one operation that is told. */
    int last = cidpool_max_nr_copies() - 1, cpu, said;
    struct data *at = cidpool_percpu_ptr(far, last, FAR);
    CHECK(TRY(cidpool_load_add_store__ptr(MO, MM, &at->count, -3, last, FAR)) == 0, "add");
    CHECK((int64_t)FAR_SUM(count) == -3, "%d", (int)FAR_SUM(count));
    said = TRY(cidpool_load_cbne_store_store__ptr(
        MO, MM, &at->word, 0, &at->other, 7, 1, last, FAR));
    CHECK(said == 0 && FAR_SUM(word) == 1 && FAR_SUM(other) == 7, "%d", said);
    said = TRY(cidpool_load_cbne_store_store__ptr(
        MO, MM, &at->word, 9, &at->other, 7, 1, last, FAR));
    CHECK(said == 1, "%d", said);
    for (cpu = 0; cpu <= last; cpu++) {
        struct data *each = cidpool_percpu_ptr(far, cpu, FAR);
        each->word = 1, each->other = 2;
    }
    said = TRY(cidpool_load_cbne_load_cbne_store__ptr(
        MO, MM, &at->word, 1, &at->other, 3, 5, last, FAR));
    CHECK(said == 1, "%d", said);
    said = TRY(cidpool_load_cbne_load_cbne_store__ptr(
        MO, MM, &at->word, 1, &at->other, 2, 5, last, FAR));
    CHECK(said == 0 && FAR_SUM(word) == (uint64_t)last + 5, "%d", said);
    for (cpu = 0; cpu <= last; cpu++) cidpool_percpu_ptr(far, cpu, FAR)->word = 0;
    said = TRY(cidpool_load_cbne_memcpy_store__ptr(MO, MM, &at->word, 0, &at->record, from,
                                                   sizeof record, 6, last, FAR));
    CHECK(said == 0 && FAR_SUM(word) == 6 && FAR_SUM(record.text[2]) == 4, "%d", said);
    intptr_t *head = (intptr_t *)&at->head;
    said = TRY(cidpool_load_cbeq_store_add_load_store__ptr(
        MO, MM, head, (intptr_t)NULL, offsetof(struct node, next), &popped, last, FAR));
    CHECK(said == 1 && popped == 0, "%d", said);
    do {
        cpu = cidpool_current_mm_cid();
        node.next = NULL;
        head = (intptr_t *)&cidpool_percpu_ptr(far, cpu, FAR)->head;
        said = cidpool_load_cbne_store__ptr(MO, MM, head, 0, (intptr_t)&node, cpu, FAR);
        CHECK(said <= 0, "the list is empty");
    } while (said != 0);
    CHECK(*head == (intptr_t)&node && FAR_SUM(head) == (uint64_t)(uintptr_t)&node, "in that list");
    looks_once(at);
    cidpool_percpu_free(far, FAR);
    CHECK(cidpool_destroy(wide) == 0, "%s", strerror(errno));
}

/* Who has the lock of a copy changes it without a section: that is a lock only if who took it took
 * that one. */
static void *count_under_locks(void *unused) {
    (void)unused;
    for (int i = 0; i < ROUNDS / 4; i++) {
        struct data *at;
        int cpu;
        do {
            cpu = cidpool_current_mm_cid();
            at = cidpool_percpu_ptr(data, cpu);
        } while (cidpool_load_cbne_store__ptr(MO, MM, &at->lock, 0, 1, cpu) != 0);
        uint64_t other = at->other;
        at->other = other + 1;
        if (i % 64 == 0) sched_yield();
        CHECK(at->other == other + 1, "another thread had the lock of copy %d", cpu);
        __atomic_store_n(&at->lock, 0, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void a_lock_of_a_copy_excludes_all_others(void) {
    begin();
    if (has_cids()) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, count_under_locks, NULL) == 0, "a thread");
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        CHECK(SUM(other) == THREADS * (uint64_t)ROUNDS / 4, "%lu", (unsigned long)SUM(other));
    }
    end();
}

#define REFUSED(call) CHECK((call) == -1 && errno == EINVAL, "%s", strerror(errno))

static void refused(void) {
    begin();
    uint64_t value, *word = &data->word;
    void *found;
    size_t stride = 65535;
    REFUSED(cidpool_add(word, 1, stride));
    REFUSED(cidpool_load(word, &value, stride));
    REFUSED(cidpool_compare_store(word, 0, 1, stride));
    REFUSED(cidpool_compare_store_on(word, 0, 1, 0, stride));
    REFUSED(cidpool_compare_two_store(word, 0, word + 1, 0, 1, stride));
    REFUSED(cidpool_compare_store_store(word, 0, 1, word + 1, 1, stride));
    REFUSED(cidpool_compare_copy_store(word, 0, 1, word + 1, &value, 8, stride));
    /* What is written before the word is neither the word nor endless. */
    char bytes[16] = {0};
    REFUSED(cidpool_compare_store_store(word, 0, 1, word, 1));
    REFUSED(cidpool_compare_copy_store(word, 0, 1, word, bytes, 8));
    REFUSED(cidpool_compare_copy_store(word + 1, 0, 1, word, bytes, 9));
    REFUSED(cidpool_compare_copy_store(word, 0, 1, (char *)word + 7, bytes, 1));
    REFUSED(cidpool_compare_copy_store(word, 0, 1, word + 1, bytes, (size_t)CIDPOOL_COPY_MAX + 1));
    REFUSED(cidpool_compare_copy_store(word, 0, 1, word + 1, bytes, SIZE_MAX));
    REFUSED(cidpool_list_push(&data->head, &found, 8, stride));
    REFUSED(cidpool_list_pop(&data->head, &found, 8, stride));
    REFUSED(cidpool_list_pop_all(&data->head, &found, (size_t)0));
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
    CHECK(count == expected, "%lu, not %lu", (unsigned long)count, (unsigned long)expected);
    CHECK(SUM(word) == THREADS * (uint64_t)ROUNDS, "%lu", (unsigned long)SUM(word));
    for (int copy = 0; copy < cidpool_max_nr_copies(); copy++)
        for (struct node *n = cidpool_percpu_ptr(data, copy)->head, *next; n; n = next, nodes++) {
            next = n->next;
            free(n);
        }
    CHECK(nodes == THREADS * (uint64_t)ROUNDS / 4, "%lu nodes", (unsigned long)nodes);
    end();
}

static const struct test_case cases[] = {
    {"each_outcome", each_outcome},
    {"lists", lists},
    {"a_copy_that_is_not_current_is_left_alone", a_copy_that_is_not_current_is_left_alone},
    {"with_the_arguments_of_librseq", with_the_arguments_of_librseq},
    {"a_lock_of_a_copy_excludes_all_others", a_lock_of_a_copy_excludes_all_others},
    {"refused", refused},
    {"nothing_is_lost_in_a_storm", nothing_is_lost_in_a_storm},
};
MAIN(cases)
