/* The ends of threads, while blocks of theirs and of others are on their way.
 *
 *   thousands    waves of detached threads, all there at once behind a gate, all leaving at once
 *   in flight    a thread frees a burst of what another made, and ends with the last free
 *   cancelled    at cancellation points, with blocks that their cleanup handlers free
 *   destructors  of thread-specific data in each round, the thread's first operation among them
 *   masks        what a thread blocks stays blocked, and nothing else, over its whole life */
#include "children.h"
#include "exchange.h"
#include "statistics.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { SMALL_STACK = 64 * 1024 };

static pthread_attr_t small_stack(int detached) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK);
    pthread_attr_setdetachstate(&attributes, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    return attributes;
}

/* ---- thousands ------------------------------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open;
static unsigned gathered;

static void *wait_and_leave(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    exchange(next_random(&state), 10);
    void *own = malloc(random_size(&state, 11));
    pthread_mutex_lock(&lock);
    gathered++;
    while (!is_open) pthread_cond_wait(&opened, &lock);
    pthread_mutex_unlock(&lock);
    exchange(next_random(&state), 10);
    free(own);
    if (state & 1) pthread_exit(NULL);
    return NULL;
}
static unsigned wave(unsigned most) {
    pthread_attr_t attributes = small_stack(1);
    unsigned there = 0;
    is_open = 0, gathered = 0;
    for (pthread_t thread; there < most; there++) {
        int error = pthread_create(&thread, &attributes, wait_and_leave, (void *)(uintptr_t)there);
        if (error == EAGAIN) break; /* As many as the machine allows. */
        CHECK(error == 0, "thread %u: %d", there, error);
    }
    for (unsigned now = 0; now < there; usleep(1000))
        pthread_mutex_lock(&lock), now = gathered, pthread_mutex_unlock(&lock);
    pthread_mutex_lock(&lock);
    is_open = 1;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
    await_alone();
    empty_boxes();
    return there;
}
static void thousands_of_threads_may_be_there_at_once(void) {
    unsigned most = wanted(1000), total = wave(most);
    size_t before = live_bytes();
    long records = statistic("lease_records"), users = statistic("lease_users");
    for (unsigned round = 0; round < 2; round++) total += wave(most);
    CHECK(total > most, "only %u threads could be made", total);
    /* libc keeps a vector for each stack that it keeps, and those are not always the same. */
    CHECK_LIVE(before, most * KIB);
    CHECK(statistic("lease_records") <= records + 2, "%ld records of threads, %ld before",
          statistic("lease_records"), records);
    CHECK(statistic("lease_users") <= users, "%ld users, %ld before", statistic("lease_users"), users);
    /* The one thread that is left holds one cid, if it holds any. */
    CHECK(statistic("leases") <= 1, "%ld cids are held", statistic("leases"));
    times(total);
}

/* ---- in flight ------------------------------------------------------------------------------ */

enum { BURST = 600 };
struct burst { void *blocks[BURST]; size_t size; };

static void *free_and_leave(void *argument) {
    struct burst *burst = argument;
    for (unsigned i = 0; i < BURST; i++) {
        CHECK_PATTERN(burst->blocks[i], burst->size, i);
        free(burst->blocks[i]);
    }
    free(burst);
    return NULL;
}
static unsigned left;
static void *hand_on(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    while ((int)__atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) >= 0) {
        pthread_attr_t attributes = small_stack(1);
        pthread_t thread;
        struct burst *burst = malloc(sizeof *burst);
        burst->size = random_size(&state, 9);
        for (unsigned i = 0; i < BURST; i++) {
            burst->blocks[i] = malloc(burst->size);
            CHECK(burst->blocks[i] != NULL, "size %zu", burst->size);
            fill(burst->blocks[i], burst->size, i);
        }
        int error = pthread_create(&thread, &attributes, free_and_leave, burst);
        if (error) free_and_leave(burst);
        exchange(next_random(&state), 200);
    }
    return NULL;
}
static void bursts(unsigned count) {
    pthread_t makers[3];
    left = count;
    for (uintptr_t i = 0; i < COUNT(makers); i++)
        CHECK(pthread_create(&makers[i], NULL, hand_on, (void *)i) == 0, "maker %zu", i);
    for (unsigned i = 0; i < COUNT(makers); i++) pthread_join(makers[i], NULL);
    await_alone();
    empty_boxes();
}
static void threads_may_end_with_frees_in_flight(void) {
    unsigned count = wanted(1000);
    bursts(50);
    size_t before = live_bytes();
    bursts(count);
    CHECK_LIVE(before, 32 * KIB);
    times(count);
}

/* ---- cancelled ------------------------------------------------------------------------------ */

struct kept { void *block; size_t size; };
static void give_back(void *argument) {
    struct kept *kept = argument;
    if (kept->block) CHECK_PATTERN(kept->block, kept->size, 9);
    free(kept->block);
}
static void *be_cancelled(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    struct timespec moment = {0, 100000};
    /* Not a plain local variable: what longjmp finds of those is undefined. */
    static __thread struct kept kept;
    pthread_cleanup_push(give_back, &kept);
    for (;;) {
        void *old = kept.block;
        kept.block = NULL;
        free(old);
        kept.size = random_size(&state, 13);
        old = malloc(kept.size);
        fill(old, kept.size, 9);
        kept.block = old;
        exchange(next_random(&state), 3);
        if (state % 4) pthread_testcancel();
        else nanosleep(&moment, NULL);
    }
    pthread_cleanup_pop(1);
    return NULL;
}
static void cancel(unsigned count) {
    enum { AT_ONCE = 50 };
    pthread_t threads[AT_ONCE];
    pthread_attr_t attributes = small_stack(0);
    for (unsigned done = 0; done < count; done += AT_ONCE) {
        for (uintptr_t i = 0; i < AT_ONCE; i++)
            CHECK(pthread_create(&threads[i], &attributes, be_cancelled, (void *)(done + i)) == 0, "%zu", i);
        exchange(done + 1, 100);
        for (unsigned i = 0; i < AT_ONCE; i++) {
            CHECK(pthread_cancel(threads[i]) == 0, "thread %u", i);
            if (i % 2) pthread_detach(threads[i]);
        }
        for (unsigned i = 0; i < AT_ONCE; i += 2) {
            void *how;
            CHECK(pthread_join(threads[i], &how) == 0 && how == PTHREAD_CANCELED, "thread %u", i);
        }
        await_alone();
    }
    empty_boxes();
}
static void cancelled_threads_lose_nothing(void) {
    unsigned count = wanted(1000);
    cancel(100);
    size_t before = live_bytes();
    cancel(count);
    CHECK_LIVE(before, 64 * KIB);
    times(count);
}

/* ---- destructors ---------------------------------------------------------------------------- */

enum { ROUNDS = 4 };
static pthread_key_t key;
static unsigned in_round[ROUNDS];

/* The value says in which round the thread is to allocate, and in which it is now. */
static void destroy(void *argument) {
    uintptr_t first = (uintptr_t)argument >> 8 & 255, now = (uintptr_t)argument & 255;
    if (now >= first) {
        exchange(now * 1000 + (uintptr_t)&now, 30);
        __atomic_fetch_add(&in_round[now], 1, __ATOMIC_RELAXED);
    }
    if (now + 1 < ROUNDS) pthread_setspecific(key, (void *)((uintptr_t)argument + 1));
}
static void *set_key(void *argument) {
    pthread_setspecific(key, argument);
    return NULL;
}
static void end_in_rounds(unsigned count) {
    pthread_attr_t attributes = small_stack(0);
    for (unsigned i = 0; i < count; i++) {
        pthread_t threads[ROUNDS];
        for (uintptr_t first = 0; first < ROUNDS; first++)
            CHECK(pthread_create(&threads[first], &attributes, set_key, (void *)(1 << 16 | first << 8)) == 0, "%u", i);
        for (unsigned first = 0; first < ROUNDS; first++) pthread_join(threads[first], NULL);
    }
    empty_boxes();
}
static void first_operation_may_be_in_any_round_of_destructors(void) {
    unsigned count = wanted(500);
    CHECK(pthread_key_create(&key, destroy) == 0, "a key");
    end_in_rounds(30);
    size_t before = live_bytes();
    long records = statistic("lease_records");
    end_in_rounds(count);
    CHECK_LIVE(before, 16 * KIB);
    /* Libc tells nobody of an end in the last round: of the dead only so many are kept. */
    CHECK(statistic("lease_records") <= records + 130, "%ld records of threads, %ld before",
          statistic("lease_records"), records);
    for (unsigned round = 0; round < ROUNDS; round++)
        CHECK(in_round[round] == (round + 1) * (count + 30), "%u in round %u", in_round[round], round);
    times(count * ROUNDS);
}

/* ---- masks ---------------------------------------------------------------------------------- */

static void expect_mask(const sigset_t *expected, const char *when) {
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int number = 1; number < 65; number++)
        CHECK(sigismember(&now, number) == sigismember(expected, number), "%s changed signal %d", when, number);
}
static sigset_t mask_of(int number) {
    sigset_t mask;
    sigemptyset(&mask);
    if (number) sigaddset(&mask, number);
    return mask;
}
static void *look_at_mask(void *argument) {
    sigset_t mine = mask_of(argument ? SIGUSR2 : 0);
    pthread_sigmask(SIG_SETMASK, &mine, NULL);
    free(malloc(100));
    expect_mask(&mine, "the first operation");
    exchange((uintptr_t)&mine, 300);
    expect_mask(&mine, "an exchange");
    malloc_trim(0);
    expect_mask(&mine, "a trim");
    return NULL;
}
/* The library starts before main, and a thread may find all that it needs, with nothing left to block signals for. So
 * the program is begun once more, with a mask that is known. */
static void look_at_mask_of_program(void) {
    sigset_t known = mask_of(SIGUSR2);
    if (getenv("MASK_IS_KNOWN")) {
        expect_mask(&known, "the start of the program");
        _exit(0);
    }
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        char *again[] = {(char *)"again", (char *)current_case, NULL};
        pthread_sigmask(SIG_SETMASK, &known, NULL);
        setenv("MASK_IS_KNOWN", "1", 1);
        execv("/proc/self/exe", again);
        FAIL("exec: errno %d", errno);
    }
    expect_success(child, "the program, begun once more,", 0);
}
static void signal_masks_stay_as_they_are(void) {
    unsigned count = wanted(100);
    look_at_mask_of_program();
    for (uintptr_t i = 0; i < count; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, look_at_mask, (void *)(i % 2)) == 0, "thread %zu", i);
        pthread_join(thread, NULL);
    }
    look_at_mask(NULL);
    empty_boxes();
    times(count);
}

static const struct test_case CASES[] = {
    {"thousands_of_threads_may_be_there_at_once", thousands_of_threads_may_be_there_at_once},
    {"threads_may_end_with_frees_in_flight", threads_may_end_with_frees_in_flight},
    {"cancelled_threads_lose_nothing", cancelled_threads_lose_nothing},
    {"first_operation_may_be_in_any_round_of_destructors",
     first_operation_may_be_in_any_round_of_destructors},
    {"signal_masks_stay_as_they_are", signal_masks_stay_as_they_are},
};
MAIN(CASES)
