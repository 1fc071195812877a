/* New processes out of any thread, and out of signal handlers, while all threads allocate.
 *
 *   hammers    large blocks, one after the other: the locks of the heap are held half of the time
 *   workers    exchange letters ─┬─ now and then: fork, vfork + exec, posix_spawn
 *   main       SIGUSR1 to one ───┴─ fork in the handler, above whatever was interrupted
 *   child      reads the letters that it finds, allocates, may fork again and have threads
 *
 * A child that hangs on a lock which a vanished thread held is ended by its alarm. */
#include "children.h"
#include "exchange.h"
#include "statistics.h"
#include <pthread.h>
#include <spawn.h>

extern char **environ;
enum { THREADS = 4, HAMMERS = 2, INTERRUPTED = 2, PATIENCE = 30 };
static int left, stop;
static void (*act)(uint64_t *state);

static int is_one_left(void) { return __atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED) > 0; }

static void *work(void *argument) {
    uint64_t state = (uintptr_t)argument * 7 + 1;
    while (is_one_left()) {
        exchange(next_random(&state), 20 + (unsigned)(next_random(&state) % 100));
        act(&state);
    }
    return NULL;
}
static void *hammer(void *argument) {
    for (size_t size = 40000; !__atomic_load_n(&stop, __ATOMIC_RELAXED); size = 40000 + size * 3 % 200000)
        free(malloc(size));
    return NULL;
}
static void together(int count, void (*what)(uint64_t *)) {
    pthread_t threads[THREADS], hammers[HAMMERS];
    left = count, act = what, stop = 0;
    for (unsigned i = 0; i < HAMMERS; i++)
        CHECK(pthread_create(&hammers[i], NULL, hammer, NULL) == 0, "hammer %u", i);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0, "thread %zu", i);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < HAMMERS; i++) pthread_join(hammers[i], NULL);
    empty_boxes();
}
/* A few first: stacks, and what libc keeps for itself, are there from then on. */
static void from_any_thread(unsigned otherwise, void (*what)(uint64_t *)) {
    unsigned count = wanted(otherwise);
    together(3 * THREADS, what);
    size_t before = live_bytes();
    together((int)count, what);
    CHECK_LIVE(before, 16 * KIB);
    times(count);
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void *short_life(void *argument) {
    exchange((uintptr_t)argument, 100);
    return NULL;
}
static void live_in_child(uint64_t state, int may_fork) {
    alarm(PATIENCE);
    free(malloc(300 * KIB));
    exchange(state, 150);
    unsigned form = (unsigned)(next_random(&state) % 8);
    if (form == 0) empty_boxes(), malloc_trim(0);
    /* Who is not here uses nothing, and holds no cid. */
    if (form == 4)
        CHECK(statistic("lease_users") <= 1 && statistic("leases") <= 1, "%ld users of %ld cids in a child",
              statistic("lease_users"), statistic("leases"));
    if (form == 1) {
        pthread_t threads[2];
        for (unsigned i = 0; i < 2; i++)
            CHECK(pthread_create(&threads[i], NULL, short_life, (void *)(state + i)) == 0, "thread");
        exchange(state, 100);
        for (unsigned i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    }
    if (form == 2 && may_fork) {
        pid_t child = fork();
        CHECK(child >= 0, "fork: errno %d", errno);
        if (child == 0) live_in_child(next_random(&state), 0);
        exchange(state, 100);
        expect_success(child, "grandchild", 0);
    }
    /* With its exit handlers now and then: they allocate and free, too. */
    form == 3 ? exit(0) : _exit(0);
}
static void fork_once(uint64_t *state) {
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) live_in_child(next_random(state), 1);
    exchange(next_random(state), 50);
    expect_success(child, "child", 0);
}
static void any_thread_may_fork_while_others_allocate(void) { from_any_thread(300, fork_once); }

/* ---- fork in a handler ---------------------------------------------------------------------- */

static unsigned handled;
static __thread uint64_t handler_state;
/* What each interrupted thread has done beside its handlers. */
static unsigned steps[INTERRUPTED];
/* In a child that went back to what its handler interrupted: exchanges until it ends. */
static int rounds_to_end = -1;

/* Large blocks are made under the heap's locks, which the interrupted thread may hold. */
static void use_large_blocks(uint64_t state) {
    void *blocks[30];
    for (unsigned i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(40000 + state % 100000 * (i % 3));
        CHECK(blocks[i] != NULL, "block %u in a handler", i);
        fill(blocks[i], 64, state + i);
    }
    for (unsigned i = 0; i < COUNT(blocks); i++) {
        CHECK_PATTERN(blocks[i], 64, state + i);
        free(blocks[i]);
    }
}
static void fork_in_handler(int number) {
    int kept_errno = errno;
    uint64_t state = handler_state = handler_state * 6364136223846793005u + 1442695040888963407u;
    if (rounds_to_end >= 0) return;
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        alarm(PATIENCE);
        use_large_blocks(state);
        exchange(state | 1, 20);
        if (state >> 63) _exit(0);
        rounds_to_end = 40;
    } else {
        use_large_blocks(state);
        exchange(state | 1, 20);
        expect_success(child, "child of a handler", handled);
        __atomic_fetch_add(&handled, 1, __ATOMIC_RELEASE);
    }
    errno = kept_errno;
}
static void go_on(unsigned *done) { __atomic_fetch_add(done, 1, __ATOMIC_RELAXED); }
/* The calling thread makes as much of the interrupted work as it can be in: slow operations. */
static void *be_interrupted(void *argument) {
    uint64_t state = (uintptr_t)argument * 11 + 1;
    unsigned *done = &steps[(uintptr_t)argument];
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        void *burst[150];
        size_t size = random_size(&state, 12), large = 40000 + size % 100000;
        for (unsigned i = 0; i < COUNT(burst); i++) burst[i] = malloc(size), go_on(done);
        for (unsigned i = 0; i < COUNT(burst); i++) free(burst[i]), go_on(done);
        for (unsigned i = 0; i < COUNT(burst); i++, go_on(done)) {
            burst[i % 5] = malloc(large + i);
            CHECK(burst[i % 5] != NULL, "size %zu", large);
            fill(burst[i % 5], 64, state + i);
            /* What is freed lived beside four others. */
            void *oldest = burst[(i + 1) % 5];
            if (i < 4) continue;
            CHECK_PATTERN(oldest, 64, state + i - 4);
            free(oldest);
        }
        for (unsigned i = COUNT(burst) - 4; i < COUNT(burst); i++) free(burst[i % 5]);
        exchange(next_random(&state), 10);
        if (rounds_to_end >= 0 && rounds_to_end-- == 0) _exit(0);
    }
    return NULL;
}
static void interrupt(pthread_t *threads, unsigned count) {
    uint64_t state = 5;
    for (handled = 0; __atomic_load_n(&handled, __ATOMIC_ACQUIRE) < count;) {
        unsigned before = handled;
        for (unsigned i = 0; i < INTERRUPTED; i++) pthread_kill(threads[i], SIGUSR1);
        while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) == before) usleep(100);
        /* A signal that came during a handler is there when the thread goes on: with one always pending it never would,
         * nor who waits for what it holds, and each of its handlers takes fresh memory. */
        for (unsigned i = 0; i < INTERRUPTED; i++) {
            unsigned done = __atomic_load_n(&steps[i], __ATOMIC_RELAXED);
            while (__atomic_load_n(&steps[i], __ATOMIC_RELAXED) == done) usleep(100);
        }
        usleep((unsigned)(next_random(&state) % 300));
    }
}
static void handlers_may_fork(void) {
    unsigned count = wanted(300);
    pthread_t threads[INTERRUPTED];
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    if (!subject_is("ours")) SKIP("in a handler above malloc only ours is known to fork");
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction: errno %d", errno);
    for (unsigned phase = 0; phase < 2; phase++) {
        static size_t before;
        stop = 0;
        for (uintptr_t i = 0; i < INTERRUPTED; i++)
            CHECK(pthread_create(&threads[i], NULL, be_interrupted, (void *)i) == 0, "thread %zu", i);
        interrupt(threads, phase ? count : 10);
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        for (unsigned i = 0; i < INTERRUPTED; i++) pthread_join(threads[i], NULL);
        empty_boxes();
        if (phase == 0) before = live_bytes();
        else CHECK_LIVE(before, 16 * KIB);
    }
    times(handled);
}

/* ---- other programs ------------------------------------------------------------------------- */

/* The executed program is this one, with a case that allocates a little. */
static char *const RERUN[] = {"/proc/self/exe", "allocate_a_little", NULL};
static void allocate_a_little(void) {
    exchange(4, 500);
    empty_boxes();
}
static void vfork_once(uint64_t *state) {
    pid_t child = vfork();
    if (child == 0) {
        alarm(PATIENCE);
        execve(RERUN[0], RERUN, environ);
        _exit(126);
    }
    CHECK(child > 0, "vfork: errno %d", errno);
    exchange(next_random(state), 50);
    expect_success(child, "executed program", 0);
}
static void any_thread_may_vfork_and_exec(void) { from_any_thread(100, vfork_once); }

static void spawn_once(uint64_t *state) {
    pid_t child;
    int error = posix_spawn(&child, RERUN[0], NULL, NULL, RERUN, environ);
    CHECK(error == 0, "posix_spawn: %d", error);
    exchange(next_random(state), 50);
    expect_success(child, "spawned program", 0);
}
static void any_thread_may_spawn(void) { from_any_thread(100, spawn_once); }

static const struct test_case CASES[] = {
    {"any_thread_may_fork_while_others_allocate", any_thread_may_fork_while_others_allocate},
    {"handlers_may_fork", handlers_may_fork},
    {"any_thread_may_vfork_and_exec", any_thread_may_vfork_and_exec},
    {"any_thread_may_spawn", any_thread_may_spawn},
    {"allocate_a_little", allocate_a_little},
};
MAIN(CASES)
