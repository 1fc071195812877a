/* Threads of clone(2), made past libc: no rseq registration, and nobody who tells of their end.
 *
 *   stack      our own                       ┌ tcb, self, guards: as libc lays them out
 *   TLS        of the loader, filled by us ──┤ area of rseq: "not registered", as in any new thread
 *   end        exit(2) alone: no destructors └ nothing else
 *
 * They may allocate, since they have a thread pointer of their own. One that shares its maker's
 * may not: neither ours nor libc's malloc could tell the two apart. */
#include "exchange.h"
#include "statistics.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

enum { AT_ONCE = 8, STACK = 64 * 1024, UNREGISTERED = -1 };
struct raw { int tid; void *stack, *tls; uint64_t seed; };
struct area { uint32_t cpu_id_start; int32_t cpu_id; };

static void *(*allocate_tls)(void *);
static void (*free_tls)(void *, _Bool);
static int stop;

static int raw_life(void *argument) {
    struct raw *raw = argument;
    exchange(raw->seed, 300);
    return 0;
}
static void start(struct raw *raw) {
    ptrdiff_t *offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
    void **mine = __builtin_thread_pointer(), **tcb = allocate_tls(NULL);
    CHECK(tcb != NULL, "the loader has no memory");
    tcb[0] = tcb, tcb[2] = tcb;         /* tcb, self */
    tcb[5] = mine[5], tcb[6] = mine[6]; /* the guards of stacks and pointers */
    if (offset) ((struct area *)((char *)tcb + *offset))->cpu_id = UNREGISTERED;
    raw->tls = tcb;
    raw->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(raw->stack != MAP_FAILED, "a stack: errno %d", errno);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    int tid = clone(raw_life, (char *)raw->stack + STACK, flags, raw, &raw->tid, tcb, &raw->tid);
    CHECK(tid > 0, "clone: errno %d", errno);
}
static void end(struct raw *raw) {
    for (int tid; (tid = __atomic_load_n(&raw->tid, __ATOMIC_ACQUIRE)) != 0;)
        syscall(SYS_futex, &raw->tid, FUTEX_WAIT, tid, NULL, NULL, 0);
    munmap(raw->stack, STACK);
    free_tls(raw->tls, 1);
}
static void *work(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) exchange(next_random(&state), 100);
    return NULL;
}
static void run(unsigned count) {
    pthread_t threads[2];
    stop = 0;
    for (uintptr_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0, "thread %zu", i);
    for (unsigned done = 0; done < count; done += AT_ONCE) {
        struct raw raw[AT_ONCE];
        for (unsigned i = 0; i < AT_ONCE; i++) raw[i].seed = done + i + 1, start(&raw[i]);
        exchange(done + 77, 100);
        for (unsigned i = 0; i < AT_ONCE; i++) end(&raw[i]);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
    empty_boxes();
}
static void raw_threads_may_allocate(void) {
    unsigned count = wanted(400);
    allocate_tls = dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
    free_tls = dlsym(RTLD_DEFAULT, "_dl_deallocate_tls");
    if (!allocate_tls || !free_tls) SKIP("this loader makes no TLS for others");
#if !defined __x86_64__
    SKIP("how libc lays out a thread's control block is known here for x86-64 alone");
#endif
    run(100);
    size_t before = live_bytes();
    run(count);
    CHECK_LIVE(before, 16 * KIB);
    /* The first hundred left theirs; of the dead only so many are kept. */
    CHECK(statistic("lease_records") <= 200, "%ld records of threads", statistic("lease_records"));
    times(count);
}

static const struct test_case CASES[] = {
    {"raw_threads_may_allocate", raw_threads_may_allocate},
};
MAIN(CASES)
