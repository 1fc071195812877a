/* Signal handlers that allocate while the interrupted code may be inside the allocator.
 *
 *   every thread   a timer of its own sends it SIGALRM, 1 kHz of its elapsed time
 *   the process    ITIMER_PROF sends SIGPROF, 1 kHz of processor time or what the tick allows
 *   handler        frees what the last one left, allocates anew, checks patterns
 *
 * C promises nothing here, and glibc would wait for its own lock for ever. With libraries other
 * than ours the signals are therefore blocked around each call: the program is then a test of
 * itself. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
enum { SECONDS = 2, PATIENCE = 60, ENOUGH = 1000, SLOTS = 16 };

static int guarded;
static unsigned handled[2];
static unsigned large_bits;
static int stop;

struct slot { unsigned char *at; size_t size; };
static __thread struct { struct slot slots[SLOTS]; uint64_t state; int inside, ready; } mine;

static void handle(int number) {
    int kept_errno = errno;
    /* One handler at a time per thread: both signals block each other while they run. */
    if (mine.ready) {
        CHECK(!mine.inside, "a handler inside a handler");
        mine.inside = 1;
        for (unsigned i = 0; i < 4; i++) {
            struct slot *slot = &mine.slots[next_random(&mine.state) % SLOTS];
            if (slot->at) CHECK_PATTERN(slot->at, slot->size, slot->size);
            free(slot->at);
            slot->size = random_size(&mine.state, 11);
            slot->at = i % 2 ? malloc(slot->size) : calloc(1, slot->size);
            CHECK(slot->at != NULL, "size %zu in a handler", slot->size);
            fill(slot->at, slot->size, slot->size);
        }
        mine.inside = 0;
        __atomic_fetch_add(&handled[number == SIGPROF], 1, __ATOMIC_RELAXED);
    }
    errno = kept_errno;
}

static void guard(int how) {
    sigset_t set;
    if (!guarded) return;
    sigemptyset(&set), sigaddset(&set, SIGALRM), sigaddset(&set, SIGPROF);
    pthread_sigmask(how, &set, NULL);
}

static timer_t start_timer(void) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    struct itimerspec period = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create: errno %d", errno);
    CHECK(timer_settime(timer, 0, &period, NULL) == 0, "timer_settime: errno %d", errno);
    return timer;
}

static void *work(void *argument) {
    static __thread struct slot blocks[300];
    uint64_t state = 1 + (uintptr_t)argument;
    mine.state = state * 3;
    guard(SIG_BLOCK);
    timer_t timer = start_timer();
    mine.ready = 1;
    guard(SIG_UNBLOCK);
    for (unsigned round = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); round++) {
        struct slot *slot = &blocks[next_random(&state) % COUNT(blocks)];
        if (slot->at) CHECK_PATTERN(slot->at, slot->size, slot->size + 1);
        size_t size = random_size(&state, round % 16 ? 9 : large_bits);
        guard(SIG_BLOCK);
        if (round % 8 == 0) {
            slot->at = realloc(slot->at, size);
        } else {
            free(slot->at);
            slot->at = round % 8 == 1 ? memalign(64, size) : malloc(size);
        }
        guard(SIG_UNBLOCK);
        slot->size = size;
        CHECK(slot->at != NULL, "size %zu", size);
        fill(slot->at, size, size + 1);
    }
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGALRM), sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    timer_delete(timer);
    mine.ready = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (mine.slots[i].at)
            CHECK_PATTERN(mine.slots[i].at, mine.slots[i].size, mine.slots[i].size);
        free(mine.slots[i].at);
    }
    for (unsigned i = 0; i < COUNT(blocks); i++) {
        if (blocks[i].at) CHECK_PATTERN(blocks[i].at, blocks[i].size, blocks[i].size + 1);
        free(blocks[i].at);
    }
    return NULL;
}

static void run(unsigned count, unsigned bits) {
    pthread_t threads[16];
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct itimerval period = {{0, 1000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
    guarded = !subject_is("ours");
    large_bits = bits;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGALRM), sigaddset(&action.sa_mask, SIGPROF);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGPROF, &action, NULL) == 0,
          "sigaction: errno %d", errno);
    CHECK(setitimer(ITIMER_PROF, &period, NULL) == 0, "setitimer: errno %d", errno);
    for (uintptr_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0, "thread %zu", i);
    /* A busy machine delivers fewer signals per second: go on until enough came. */
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        usleep(20000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < start.tv_sec + SECONDS ||
             (now.tv_sec < start.tv_sec + PATIENCE &&
              (__atomic_load_n(&handled[0], __ATOMIC_RELAXED) < ENOUGH ||
               __atomic_load_n(&handled[1], __ATOMIC_RELAXED) < ENOUGH / 10)));
    setitimer(ITIMER_PROF, &none, NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
    CHECK(handled[0] >= ENOUGH, "only %u handlers of SIGALRM ran", handled[0]);
    CHECK(handled[1] >= ENOUGH / 10, "only %u handlers of SIGPROF ran", handled[1]);
}

static void handlers_may_allocate_beside_small_blocks(void) { run(1, 9); }
static void handlers_may_allocate_beside_large_blocks(void) { run(2, 20); }
static void handlers_may_allocate_beside_many_threads(void) { run(8, 14); }

static const struct test_case CASES[] = {
    {"handlers_may_allocate_beside_small_blocks", handlers_may_allocate_beside_small_blocks},
    {"handlers_may_allocate_beside_large_blocks", handlers_may_allocate_beside_large_blocks},
    {"handlers_may_allocate_beside_many_threads", handlers_may_allocate_beside_many_threads},
};
MAIN(CASES)
