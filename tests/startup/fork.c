/* New processes out of one whose threads are allocating all the time. A child that hangs on a
 * lock which a vanished thread held is ended by its alarm, and the test fails. */
#include "children.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>

extern char **environ;
enum { THREADS = 3 };
static int stop;
static pthread_t threads[THREADS];

static void churn(uint64_t state, unsigned rounds) {
    static __thread struct { void *at; size_t size; } slots[64];
    for (unsigned round = 0; round < rounds; round++) {
        unsigned i = (unsigned)(next_random(&state) % COUNT(slots));
        if (slots[i].at) CHECK_PATTERN(slots[i].at, slots[i].size, i);
        free(slots[i].at);
        slots[i].size = random_size(&state, round % 50 ? 12 : 19);
        slots[i].at = round % 4 ? malloc(slots[i].size) : calloc(1, slots[i].size);
        CHECK(slots[i].at != NULL, "size %zu", slots[i].size);
        fill(slots[i].at, slots[i].size, i);
    }
    for (unsigned i = 0; i < COUNT(slots); i++) {
        if (slots[i].at) CHECK_PATTERN(slots[i].at, slots[i].size, i);
        free(slots[i].at);
        slots[i].at = NULL;
    }
}
static void *busy(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) churn(next_random(&state), 300);
    return NULL;
}
static void start_threads(void) {
    stop = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, (void *)i) == 0, "thread %zu", i);
}
static void end_threads(void) {
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

/* Runs `work` in `count` children, one after the other, beside busy threads. */
static void in_children(unsigned count, void (*work)(unsigned)) {
    static void *inherited[3000];
    for (unsigned i = 0; i < COUNT(inherited); i++) {
        inherited[i] = malloc(i * 3 + 1);
        fill(inherited[i], i * 3 + 1, i);
    }
    start_threads();
    for (unsigned round = 0; round < count; round++) {
        pid_t child = fork();
        CHECK(child >= 0, "fork: errno %d", errno);
        if (child == 0) {
            alarm(30);
            for (unsigned i = 0; i < COUNT(inherited); i += 1 + round % 7) {
                CHECK_PATTERN(inherited[i], i * 3 + 1, i);
                free(inherited[i]);
            }
            work(round);
            exit(0); /* not _exit: the exit handlers allocate and free, too */
        }
        churn(round + 5, 200);
        expect_success(child, "child", round);
    }
    end_threads();
    for (unsigned i = 0; i < COUNT(inherited); i++) {
        CHECK_PATTERN(inherited[i], i * 3 + 1, i);
        free(inherited[i]);
    }
}

static void allocate(unsigned round) {
    churn(round + 77, 1000);
    void *block = malloc(8 * MIB);
    CHECK(block != NULL, "8 MiB in a child");
    free(block);
    malloc_trim(0);
}
static void child_of_busy_threads_can_allocate(void) { in_children(40, allocate); }

static void with_threads(unsigned round) {
    start_threads();
    churn(round + 3, 1000);
    end_threads();
}
static void child_may_have_threads_of_its_own(void) { in_children(20, with_threads); }

static void fork_again(unsigned round) {
    start_threads();
    for (unsigned i = 0; i < 3; i++) {
        pid_t child = fork();
        CHECK(child >= 0, "fork: errno %d", errno);
        if (child == 0) {
            alarm(30);
            churn(round + i, 500);
            exit(0);
        }
        expect_success(child, "grandchild", i);
    }
    end_threads();
}
static void grandchildren_can_allocate(void) { in_children(10, fork_again); }

/* The executed program is this one, with a case that allocates a little. */
static char *const RERUN[] = {"/proc/self/exe", "allocate_a_little", NULL};
static void allocate_a_little(void) { churn(4, 100); }

static void vfork_and_exec_leave_the_heap_alone(void) {
    start_threads();
    for (unsigned round = 0; round < 40; round++) {
        void *kept = malloc(1000 + round);
        fill(kept, 1000 + round, round);
        pid_t child = vfork();
        if (child == 0) {
            alarm(30);
            execve(RERUN[0], RERUN, environ);
            _exit(126);
        }
        CHECK(child > 0, "vfork: errno %d", errno);
        churn(round + 9, 200);
        expect_success(child, "executed program", round);
        CHECK_PATTERN(kept, 1000 + round, round);
        free(kept);
    }
    end_threads();
}

static void posix_spawn_leaves_the_heap_alone(void) {
    start_threads();
    for (unsigned round = 0; round < 40; round++) {
        pid_t child;
        int error = posix_spawn(&child, RERUN[0], NULL, NULL, RERUN, environ);
        CHECK(error == 0, "posix_spawn: %d", error);
        churn(round + 9, 200);
        expect_success(child, "spawned program", round);
    }
    end_threads();
}

static const struct test_case CASES[] = {
    {"child_of_busy_threads_can_allocate", child_of_busy_threads_can_allocate},
    {"child_may_have_threads_of_its_own", child_may_have_threads_of_its_own},
    {"grandchildren_can_allocate", grandchildren_can_allocate},
    {"vfork_and_exec_leave_the_heap_alone", vfork_and_exec_leave_the_heap_alone},
    {"posix_spawn_leaves_the_heap_alone", posix_spawn_leaves_the_heap_alone},
    {"allocate_a_little", allocate_a_little},
};
MAIN(CASES)
