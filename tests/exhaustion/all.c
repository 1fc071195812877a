/* Every entry point, in a process whose memory may end at any system call of the library.
 *
 *   first calls ─ HOLD ─ warm up, report ─ GO ─ work ─ HOLD ─ all works again, free, report
 *     may fail            never fails           may fail        must be as it was
 *
 * Every block that was given out is kept in a list, filled with a pattern, and looked at after
 * each step. NULL is an answer wherever memory may have ended, with ENOMEM beside it. The marks
 * are system calls of numbers that no kernel has: a tracer sees them. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MOST = 2400, HOLD = 9000000, GO = 9000001, LARGE = 40 << 20 };

static struct block { unsigned char *at; size_t size; uint64_t seed; } blocks[MOST];
static size_t count;
static uint64_t seeds;
/* Set while nothing may fail. */
static int has_memory;
static unsigned refused;
/* From the first block in memory that there ever was to the end of the last one. */
static unsigned char *lowest, *highest;

static void mark(int which) {
    int before = errno;
    has_memory = which == HOLD;
    syscall(which);
    errno = before;
}

/* ---- blocks ------------------------------------------------------------------------------- */

/* Of large blocks only the ends are filled: the rest would cost most of the time. */
static const size_t END = 8 * KIB;

static void fill_block(const struct block *b) {
    if (lowest == NULL || b->at < lowest) lowest = b->at;
    if (b->at + b->size > highest) highest = b->at + b->size;
    if (b->size <= 2 * END) return fill(b->at, b->size, b->seed);
    fill(b->at, END, b->seed);
    fill(b->at + b->size - END, END, b->seed);
}
/* Patterns are of whole words, but for the block's last bytes. */
static void check_until(const struct block *b, size_t size) {
    if (size != b->size) size &= ~(size_t)7;
    size_t head = b->size <= 2 * END ? b->size : END;
    CHECK_PATTERN(b->at, size < head ? size : head, b->seed);
    if (b->size > 2 * END && size == b->size) CHECK_PATTERN(b->at + size - END, END, b->seed);
}
static void check_block(const struct block *b) { check_until(b, b->size); }

/* What a call gave: kept, or refused as the manual says. */
static int keep(void *at, size_t size, const char *who) {
    if (at == NULL) {
        CHECK(errno == ENOMEM, "%s of %zu bytes: NULL and errno %d", who, size, errno);
        CHECK(!has_memory, "%s of %zu bytes fails while there is memory", who, size);
        refused++;
        return 0;
    }
    CHECK(errno == 77, "%s succeeded and set errno to %d", who, errno);
    CHECK(count < MOST, "too many blocks");
    CHECK(malloc_usable_size(at) >= size, "usable size of %s(%zu)", who, size);
    struct block *b = &blocks[count++];
    b->at = at, b->size = size, b->seed = ++seeds;
    fill_block(b);
    return 1;
}
#define KEEP(size, call) (errno = 77, keep((call), (size), #call))

static void release(size_t i) {
    check_block(&blocks[i]);
    errno = 77;
    free(blocks[i].at);
    CHECK(errno == 77, "free set errno to %d", errno);
    blocks[i] = blocks[--count];
}

static int by_address(const void *a, const void *b) {
    const struct block *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}
/* In place: the qsort of the C library may ask for memory. */
static void sort(size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct block b = blocks[i];
            size_t j = i;
            for (; j >= gap && by_address(&blocks[j - gap], &b) > 0; j -= gap)
                blocks[j] = blocks[j - gap];
            blocks[j] = b;
        }
}
static void check_all(void) {
    sort(count);
    for (size_t i = 0; i < count; i++) {
        check_block(&blocks[i]);
        if (i > 0)
            CHECK(blocks[i - 1].at + blocks[i - 1].size <= blocks[i].at, "%p of %zu bytes and %p",
                  (void *)blocks[i - 1].at, blocks[i - 1].size, (void *)blocks[i].at);
    }
}

/* ---- steps -------------------------------------------------------------------------------- */

static void every_name(size_t size) {
    KEEP(size, malloc(size));
    if (KEEP(size, calloc(size, 1))) {
        /* keep() filled it; the next one is looked at before that. */
        errno = 77;
        unsigned char *zero = calloc(1, size);
        for (size_t i = 0; zero && i < size; i += size > 4096 ? 509 : 1)
            CHECK(zero[i] == 0, "byte %zu of calloc(1, %zu)", i, size);
        keep(zero, size, "calloc(1, size)");
    }
    KEEP(size, realloc(NULL, size));
    KEEP(size, reallocarray(NULL, 1, size));
    KEEP(size, aligned_alloc(64, size));
    KEEP(size, memalign(16 * KIB, size));
    KEEP(size, valloc(size));
    void *out = &out;
    errno = 77;
    int error = posix_memalign(&out, 256, size);
    CHECK(errno == 77, "posix_memalign set errno to %d", errno);
    CHECK(error == 0 || (error == ENOMEM && out == &out), "posix_memalign: %d, %p", error, out);
    if (error) errno = error, out = NULL;
    keep(out, size, "posix_memalign");
}

static void many_of(size_t n, size_t size) {
    for (size_t i = 0; i < n; i++) KEEP(size, malloc(size));
    for (size_t i = 0; i < n / 2 && count > 0; i++) release(count - 1);
}

static void resize(size_t i, size_t size) {
    struct block *b = &blocks[i];
    errno = 77;
    unsigned char *at = realloc(b->at, size);
    if (at == NULL) {
        CHECK(errno == ENOMEM, "realloc of %zu to %zu bytes: NULL and errno %d", b->size, size,
              errno);
        CHECK(!has_memory, "realloc of %zu to %zu bytes fails while there is memory", b->size,
              size);
        refused++;
        check_block(b);
        return;
    }
    CHECK(errno == 77, "realloc succeeded and set errno to %d", errno);
    b->at = at;
    check_until(b, size < b->size ? size : b->size);
    b->size = size;
    fill_block(b);
}
static void resize_all(void) {
    for (size_t i = 0; i < count; i++) {
        size_t size = blocks[i].size;
        switch (i % 7) {
        case 0: resize(i, size * 2 + 100); break;
        case 1: resize(i, size / 3 + 1); break;
        case 2: resize(i, size + 1); break;
        case 3:
            if (i % 5 == 0) resize(i, 100 * KIB + i);
            break;
        case 4: resize(i, size > 64 * KIB ? size + 256 * KIB : size); break;
        }
    }
}

/* The library blocks signals for moments; what the program blocks stays blocked. */
static void check_signals(void) {
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR2), "a signal that the program blocks is not blocked any more");
}

/* A thread frees what another one allocated, allocates, and ends. */
static void *live_and_die(void *unused) {
    for (size_t i = 0; i < 20 && count > 20; i++) release(count - 1);
    every_name(72), every_name(100 * KIB);
    check_signals();
    return unused;
}
static void a_thread(void) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, live_and_die, NULL);
    CHECK(error == 0 || (!has_memory && (error == EAGAIN || error == ENOMEM)),
          "pthread_create: %d", error);
    if (error == 0) pthread_join(thread, NULL);
}

static void a_child(void) {
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        check_all();
        every_name(200), every_name(50 * KIB);
        check_all();
        while (count > 0) release(count - 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child: status %#x", status);
}

/* One at a time, so that each needs what the one before has used, or nothing. */
static void large_ones(void) {
    for (unsigned i = 0; i < 8; i++)
        if (KEEP(LARGE, malloc(LARGE))) release(count - 1);
}

static void work(void) {
    static const size_t sizes[] = {1, 30, 100, 700, 5000, 30000, 40000, 150000, 3 * MIB};
    for (size_t i = 0; i < COUNT(sizes); i++) every_name(sizes[i]);
    many_of(1500, 48), many_of(60, 3000);
    check_all();
    resize_all();
    check_all();
    a_thread();
    a_child();
    malloc_trim(0);
    check_all();
    large_ones();
    for (size_t i = count; i-- > 0;)
        if (i % 2 == 0) release(i);
    a_thread();
    check_all();
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void *nothing(void *unused) { return unused; }

static size_t live(void) {
    struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

static void every_call_may_fail(void) {
    sigset_t blocked;
    sigemptyset(&blocked), sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    /* Before the heap is there, if its first calls failed. */
    for (unsigned i = 0; i < 3; i++) KEEP(10, malloc(10)), KEEP(100000, calloc(1, 100000));
    mark(HOLD);
    every_name(50);
    while (count > 0) release(count - 1);
    /* The C library keeps what it has allocated for a thread. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0, "a thread to warm up with");
    pthread_join(thread, NULL);
    malloc_trim(0);
    size_t before = live();
    malloc_stats();

    mark(GO);
    work();
    mark(HOLD);
    check_signals();
    unsigned failures = refused;
    unsigned char *end = highest;
    KEEP(LARGE, malloc(LARGE));
    unsigned char *last = blocks[count - 1].at + LARGE;
    CHECK(last <= end + LARGE + 16 * MIB, "refused blocks took %zu MiB of address space",
          (size_t)(last - end) / MIB);
    release(count - 1);
    work();
    CHECK(refused == failures, "refused while there is memory");
    while (count > 0) release(count - 1);
    malloc_trim(0);
    CHECK(live() == before, "%zu bytes are live at the end, %zu were at the beginning", live(),
          before);
    malloc_stats();
    say(1, "refused %u\n", failures);
    say(1, "extent %zu\n", (size_t)(highest - lowest));
}

static const struct test_case CASES[] = {{"every_call_may_fail", every_call_may_fail}};
MAIN(CASES)
