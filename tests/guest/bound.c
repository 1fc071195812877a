/* How many shards there are, while threads are moved between the nodes and after they ended.
 *
 *   bound kernel|cpu|emulated
 *
 *   process     may use all CPUs, every second one, one
 *     phase     1, 2, half the CPUs, all, three times as many threads, and 2 again
 *       threads   go from CPU to CPU and allocate      main looks all the time ──► at most so many
 *       fall      only main allocates, on one CPU                        ──► in the end one shard
 *
 * With A the CPUs that the process may use, U the threads with main, N the nodes of these CPUs:
 *
 *   source      shards in use                  cids of theirs
 *   emulated    at most min(A, U) on a node    below min(A, U)
 *   kernel      at most as many as possible    below the number of possible CPUs; what the kernel
 *               CPUs on a node                 keeps below min(A, U) is printed, not promised
 *   cpu         at most A                      CPUs that the process may use
 *
 * In each: only on N nodes. A cid that main still holds from before the fall counts beside the
 * others: leases are not taken back when the bound falls. What the statistics say in their table
 * of shards is believed. Wants a short CIDALLOC_DRAIN_MS.
 */
#define _GNU_SOURCE
#include "go.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CPUS_MAX = 64, THREADS_MAX = 3 * CPUS_MAX, BLOCKS = 100, PER_MOVE = 100, FALL_SECONDS = 60 };

struct look {
    int shards, stated, highest, on_node[CPUS_MAX];
    unsigned long nodes, cids[16];
};
static char text[1 << 18];
static int cpus[CPUS_MAX], allowed, possible, statistics, is_emulated, is_cpu;
static unsigned long nodes;
static _Atomic int running;
static pthread_barrier_t barrier;
static void (*write_statistics)(void);

static int smaller(int a, int b) { return a < b ? a : b; }

/* The shards in use, by the report on standard error, which goes to a file for the time. */
static struct look look(void) {
    struct look now = {.stated = -1, .highest = -1};
    int error = dup(2);
    if (error < 0 || ftruncate(statistics, 0) != 0 || lseek(statistics, 0, SEEK_SET) != 0 ||
        dup2(statistics, 2) < 0)
        die("standard error");
    write_statistics();
    dup2(error, 2);
    close(error);
    ssize_t length = pread(statistics, text, sizeof text - 1, 0);
    if (length <= 0 || length == sizeof text - 1) die("the statistics");
    text[length] = 0;
    int in_table = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        int node, cid, words = 0;
        if (line[0] == '[') in_table = strncmp(line, "[shards]", 8) == 0;
        sscanf(line, "shards_in_use %d", &now.stated);
        if (!in_table || sscanf(line, "%d %d in use %n", &node, &cid, &words) != 2 || words == 0)
            continue;
        if (node < 0 || node >= CPUS_MAX || cid < 0 || cid >= 1024) die("the table of shards");
        now.shards++;
        now.on_node[node]++;
        now.nodes |= 1UL << node;
        now.cids[cid / 64] |= 1UL << cid % 64;
        if (cid > now.highest) now.highest = cid;
    }
    if (now.stated < 0) die("the line of shards_in_use");
    return now;
}

static void allocate(void *blocks[], int moves, unsigned seed) {
    for (int move = 0; move < moves; move++) {
        go_to(cpus[rand_r(&seed) / 7 % allowed]);
        for (int i = 0; i < PER_MOVE; i++) {
            unsigned random = (unsigned)rand_r(&seed) / 3;
            void **block = &blocks[random % BLOCKS];
            free(*block);
            /* Few classes: the first object of each on a shard may cost a fence. */
            *block = malloc(random % 16 == 0 ? 20000 : 32UL << random / 16 % 6);
            if (*block == NULL) die("malloc");
            memset(*block, 1, 16);
        }
    }
}

static void *work(void *argument) {
    void *blocks[BLOCKS] = {0};
    unsigned threads = ((unsigned *)argument)[0], seed = ((unsigned *)argument)[1];
    allocate(blocks, 4 + 200 / (int)threads, seed);
    atomic_fetch_sub(&running, 1);
    /* Main looks while all are there. */
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
    return NULL;
}

/* Says what is wrong with `now`, while cids are to be below `cids`, but for `held`. */
static int judge(const struct look *now, int cids, int held) {
    int wrong = (now->nodes & ~nodes) != 0;
    int most = cids + (held >= cids);
    for (int node = 0; node < CPUS_MAX && !is_cpu; node++) wrong |= now->on_node[node] > most;
    wrong |= is_cpu && now->shards > allowed;
    for (int cid = 0; cid < 1024; cid++) {
        int allows = cid < cids || cid == held;
        for (int i = 0; is_cpu && !allows && i < allowed; i++) allows = cpus[i] == cid;
        wrong |= (now->cids[cid / 64] >> cid % 64 & 1) && !allows;
    }
    if (wrong)
        printf("%d shards on nodes %#lx, highest cid %d; wanted: nodes %#lx, cids below %d or %d"
               "  <- wrong\n%s",
               now->shards, now->nodes, now->highest, nodes, cids, held, text);
    return wrong;
}

/* Runs `threads` threads; `held` is what main has of before. */
static int phase(int threads, int held) {
    static unsigned arguments[THREADS_MAX][2];
    pthread_t ids[THREADS_MAX];
    int compact = smaller(allowed, threads + 1);
    int cids = is_emulated ? compact : is_cpu ? 0 : possible;
    int wrong = 0, most = 0, highest = 0, looks = 0;
    running = threads;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        arguments[i][0] = (unsigned)threads;
        arguments[i][1] = (unsigned)(1 + i + 1000 * threads);
        if (pthread_create(&ids[i], NULL, work, arguments[i]) != 0) die("pthread_create");
    }
    for (int last = 0; !last && !wrong; looks++) {
        last = running == 0;
        if (last) pthread_barrier_wait(&barrier);
        struct look now = look();
        wrong = judge(&now, cids, held);
        if (now.shards > most) most = now.shards;
        if (now.highest > highest) highest = now.highest;
        usleep(5000);
    }
    if (wrong) return 1;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&barrier);
    printf("%d CPUs, %d threads: at most %d shards in %d looks, highest cid %d, min(A, U) %d\n",
           allowed, threads, most, looks, highest, compact);
    if (most < smaller(allowed, smaller(threads, 2))) {
        printf("so few shards prove nothing  <- wrong\n");
        return 1;
    }
    return 0;
}

/* Allocates alone until the shards of all others are drained. The cid that is left, or -1. More
 * than a cache holds, since it is who misses that drains. */
static int fall(void) {
    static void *blocks[3000];
    struct timespec begin, at;
    struct look now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 3000; i++)
            if ((blocks[i] = malloc(1024)) == NULL) die("malloc");
        for (int i = 0; i < 3000; i++) free(blocks[i]);
        now = look();
        clock_gettime(CLOCK_MONOTONIC, &at);
    } while (now.shards != 1 && at.tv_sec - begin.tv_sec < FALL_SECONDS);
    if (now.shards == 1 && now.stated == 1) return now.highest;
    printf("%d shards are in use after %d s, stated are %d, of one thread  <- wrong\n%s",
           now.shards, FALL_SECONDS, now.stated, text);
    return -1;
}

/* The CPUs that this process may use, and their nodes. */
static void learn(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) die("sched_getaffinity");
    possible = (int)sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &set)) cpus[allowed++] = cpu;
    for (int i = allowed - 1; i >= 0; i--) nodes |= 1UL << go_to(cpus[i]);
}

static int run(void) {
    write_statistics = (void (*)(void))dlsym(RTLD_DEFAULT, "malloc_stats");
    statistics = memfd_create("statistics", MFD_CLOEXEC);
    if (write_statistics == NULL || statistics < 0) die("malloc_stats");
    /* The library learns which CPUs main may use before main goes to one. */
    void *volatile first = malloc(1);
    free(first);
    learn();
    if (fall() < 0) return 1;
    const int threads[] = {1, 2, allowed / 2, allowed, 3 * allowed, 2};
    int held = 0, before = 0;
    for (unsigned i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        if (threads[i] <= before && threads[i] != 2) continue;
        before = threads[i];
        if (phase(threads[i], held) != 0) return 1;
        held = fall();
        if (held < 0) return 1;
    }
    return 0;
}

/* Goes on in the same program, so that the library starts with these CPUs. */
static int run_on_every(int step, int many, char **argv) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (int cpu = 0, n = 0; cpu < many && n < many / step; cpu += step, n++)
            CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
        setenv("BOUND_AGAIN", "1", 1);
        execv("/proc/self/exe", argv);
        die("/proc/self/exe");
    }
    int status;
    if (waitpid(child, &status, 0) != child) die("waitpid");
    return status != 0;
}

int main(int argc, char **argv) {
    is_emulated = argc == 2 && strcmp(argv[1], "emulated") == 0;
    is_cpu = argc == 2 && strcmp(argv[1], "cpu") == 0;
    if (argc != 2 || (!is_emulated && !is_cpu && strcmp(argv[1], "kernel") != 0)) {
        fprintf(stderr, "bound: expected kernel, cpu or emulated\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("BOUND_AGAIN") != NULL) return run();
    int many = smaller((int)sysconf(_SC_NPROCESSORS_ONLN), CPUS_MAX);
    if (run_on_every(1, many, argv) || run_on_every(2, many, argv) ||
        run_on_every(many, many, argv))
        return 1;
    printf("bound ok\n");
    return 0;
}
