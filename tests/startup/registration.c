/* The states of a thread's rseq registration, and one workload under all of them.
 *
 *   registered by libc      __rseq_size > 0
 *   never registered        GLIBC_TUNABLES=glibc.pthread.rseq=0, or rseq(2) refused
 *   lost on the way         a thread unregisters its area, works, registers it again
 *
 * An unregistered thread of a registered process is what clone(2) without libc makes; taking
 * the registration of a thread that has its own TLS gives the same state in a clean way. */
#include "exchange.h"
#include <pthread.h>
#include <sys/syscall.h>

#define SIGNATURE 0x53053053u
#define UNREGISTER 1
struct area { uint32_t cpu_id_start; int32_t cpu_id; uint64_t rseq_cs; uint32_t flags; };

static const struct area *libc_area(void) {
    ptrdiff_t *offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
    unsigned *size = dlsym(RTLD_DEFAULT, "__rseq_size");
    if (!offset || !size || *size == 0) return NULL;
    return (const struct area *)((char *)__builtin_thread_pointer() + *offset);
}

/* libc tells the size that it uses, not always the length that it registered. */
static int unregister(unsigned *length) {
    static const unsigned lengths[] = {32, 20, 28, 33, 64, 128, 256};
    for (unsigned i = 0; i < COUNT(lengths); i++)
        if (syscall(SYS_rseq, libc_area(), lengths[i], UNREGISTER, SIGNATURE) == 0) {
            *length = lengths[i];
            return 0;
        }
    return -1;
}
static void register_again(unsigned length) {
    long result = syscall(SYS_rseq, libc_area(), length, 0, SIGNATURE);
    CHECK(result == 0, "rseq(2): errno %d", errno);
    CHECK(libc_area()->cpu_id >= 0, "cpu_id %d after registering again", libc_area()->cpu_id);
}

/* ---- the workload: threads that free what others made -------------------------------------- */

enum { THREADS = 4 };
static void *plain(void *argument) {
    exchange((uintptr_t)argument + 1, 30000);
    return NULL;
}
static void *changing(void *argument) {
    uint64_t state = (uintptr_t)argument + 100;
    unsigned length;
    for (unsigned round = 0; round < 20; round++) {
        CHECK(unregister(&length) == 0, "unregister: errno %d", errno);
        CHECK(libc_area()->cpu_id < 0, "cpu_id %d without registration", libc_area()->cpu_id);
        exchange(next_random(&state), 700);
        register_again(length);
        exchange(next_random(&state), 700);
    }
    /* Some end without registration, so that the end of a thread is tested in that state. */
    if ((uintptr_t)argument % 4 == 1) CHECK(unregister(&length) == 0, "errno %d", errno);
    return NULL;
}
static void run(void *(*odd)(void *), void *(*even)(void *)) {
    for (unsigned round = 0; round < 3; round++) {
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, i & 1 ? odd : even, (void *)i) == 0,
                  "thread %zu", i);
        for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    }
    empty_boxes();
}

/* ---- cases ---------------------------------------------------------------------------------- */

static void work_is_done_with_registered_threads(void) {
    if (!libc_area()) SKIP("this libc or kernel registers no rseq area");
    run(plain, plain);
    CHECK(libc_area()->cpu_id >= 0, "the registration was lost: cpu_id %d", libc_area()->cpu_id);
    unsigned length;
    CHECK(unregister(&length) == 0, "the kernel knows another area than libc's: errno %d", errno);
    register_again(length);
}

/* Arguments: "possible" where rseq(2) would work, else the error that it gives. */
static void work_is_done_without_registration(void) {
    static struct { _Alignas(32) char bytes[32]; } area;
    const char *expected = case_argc ? case_argv[0] : "possible";
    if (libc_area()) FAIL("libc registered an area; the surroundings are not as asked for");
    run(plain, plain);
    /* That the surroundings are as asked for is told by the kernel. With "possible", ours has
     * registered this thread already, and only libc alone leaves the call to succeed. */
    errno = 0;
    long result = syscall(SYS_rseq, &area, 32, 0, SIGNATURE);
    if (strcmp(expected, "ENOSYS") == 0)
        CHECK(result == -1 && errno == ENOSYS, "rseq(2): %ld, errno %d", result, errno);
    else if (strcmp(expected, "EPERM") == 0)
        CHECK(result == -1 && errno == EPERM, "rseq(2): %ld, errno %d", result, errno);
    else if (subject_is("libc"))
        CHECK(result == 0 || errno == ENOSYS, "rseq(2): %ld, errno %d", result, errno);
}

static void unregistered_threads_exchange_blocks_with_registered_ones(void) {
    unsigned length;
    if (!libc_area()) SKIP("this libc or kernel registers no rseq area");
    if (unregister(&length) != 0) SKIP("the registered length is unknown: %s", strerror(errno));
    register_again(length);
    run(changing, plain);
    run(changing, changing);
}

static void main_thread_may_lose_its_registration(void) {
    unsigned length;
    if (!libc_area()) SKIP("this libc or kernel registers no rseq area");
    if (unregister(&length) != 0) SKIP("the registered length is unknown: %s", strerror(errno));
    exchange(5, 20000);
    run(plain, plain);
    exchange(6, 20000);
    register_again(length);
    run(plain, plain);
}

static const struct test_case CASES[] = {
    {"work_is_done_with_registered_threads", work_is_done_with_registered_threads},
    {"work_is_done_without_registration", work_is_done_without_registration},
    {"unregistered_threads_exchange_blocks_with_registered_ones",
     unregistered_threads_exchange_blocks_with_registered_ones},
    {"main_thread_may_lose_its_registration", main_thread_may_lose_its_registration},
};
MAIN(CASES)
