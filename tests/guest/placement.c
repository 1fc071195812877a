/* Where the kernel put the blocks: threads on each CPU allocate, touch, and ask.
 *
 *   placement apart|late|any [preferred|bind|none|refused|narrow]
 *
 *   thread on CPU c of node n ── malloc small and large ── write every page ── move_pages(2)
 *                                                                              n, or not
 *   round 0, 1   own       blocks are freed by the thread that allocated them
 *   round 2, 3   foreign   blocks are freed by a thread on another node
 *   round 4      moved     threads go from CPU to CPU, allocate, and free each other's blocks
 *   at the end             the library asks for every resident page of its shards and spans
 *
 * `apart`: every block is on its thread's node, and every page on the node that it belongs to.
 * `late`: as `apart`, but a thread that was moved may for a while get blocks of the node it left:
 * under emulated cids its next slow operation notices, after as many blocks as a shard caches.
 * `any`: every page is somewhere, for kernels or machines that cannot place memory.
 * `preferred`, `bind`, `none`: what the policy of a block must be, by get_mempolicy(2).
 * `refused`: the kernel refuses to bind, as in a container; no policy then.
 * `narrow`: the process may use the memory of node 0 only, by a cpuset.
 *
 * Contents are checked throughout. Needs numa_balancing=disable, or the kernel moves pages.
 */
#define _GNU_SOURCE
#include "go.h"
#include "../c/refuse.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { CPUS_MAX = 64, SIZES = 12, BLOCKS = 200, ROUNDS = 4, PAGE = 4096 };
enum { SMALL_MAX = 32768, THREADS_PER_CPU = 2, MAILBOXES = 512, MOVES = 40, PER_MOVE = 150, CACHED_MAX = 4096 };
static const size_t sizes[SIZES] = {16,    48,    256,    1024,   4096,    12000,
                                    32768, 40000, 100000, 300000, 1 << 20, 5 << 20};

enum kind { OWN, FOREIGN };
struct count {
    long blocks, absent, small_elsewhere, large_elsewhere;
};
struct worker {
    int cpu, node;
    unsigned char *blocks[SIZES][BLOCKS];
    struct count counts[ROUNDS], moved;
};
static struct worker workers[CPUS_MAX * THREADS_PER_CPU];
static unsigned char *_Atomic mailboxes[MAILBOXES];
static int cpus;
static pthread_barrier_t barrier;

/* Few of the large ones: the guest's nodes are small. */
static int count_of(int size) {
    return sizes[size] > 500000 ? 2 : sizes[size] > SMALL_MAX ? 20 : BLOCKS;
}

/* Blocks that round `round` allocates came back in the round before. */
static enum kind kind_of(int round) { return round < 2 ? OWN : FOREIGN; }

/* Looks up the node of each kernel page of a block, and notes what is wrong. */
static void ask(struct worker *w, struct count *count, unsigned char *block, size_t size) {
    uintptr_t first = (uintptr_t)block & ~(uintptr_t)(PAGE - 1);
    int elsewhere = 0;
    for (uintptr_t at = first; at < (uintptr_t)block + size; at += PAGE) {
        void *page = (void *)at;
        int node = -1;
        if (syscall(SYS_move_pages, 0, 1UL, &page, NULL, &node, 0) != 0) die("move_pages");
        if (node < 0) count->absent++;
        elsewhere |= node >= 0 && node != w->node;
    }
    count->blocks++;
    if (elsewhere && size <= SMALL_MAX)
        count->small_elsewhere++;
    else if (elsewhere)
        count->large_elsewhere++;
}

static void allocate(struct worker *w, struct count *count) {
    for (int s = 0; s < SIZES; s++)
        for (int i = 0; i < count_of(s); i++) {
            unsigned char *block = malloc(sizes[s]);
            if (block == NULL) die("malloc");
            memset(block, w->cpu + 1, sizes[s]);
            w->blocks[s][i] = block;
        }
    for (int s = 0; s < SIZES; s++)
        for (int i = 0; i < count_of(s); i++) ask(w, count, w->blocks[s][i], sizes[s]);
}

static void overwritten(void) {
    fprintf(stderr, "placement: a block was overwritten\n");
    exit(1);
}

static void release(struct worker *from) {
    for (int s = 0; s < SIZES; s++)
        for (int i = 0; i < count_of(s); i++) {
            unsigned char *block = from->blocks[s][i];
            for (size_t at = 0; at < sizes[s]; at++)
                if (block[at] != from->cpu + 1) overwritten();
            free(block);
        }
}

/* A block carries its size and ends with a byte of it. */
static void check_and_free(unsigned char *block) {
    uint64_t size;
    if (block == NULL) return;
    memcpy(&size, block, sizeof size);
    if (size < 16 || size > 5 << 20 || block[size - 1] != (unsigned char)(size * 7)) overwritten();
    free(block);
}

/* Goes from CPU to CPU, leaves blocks in mailboxes, and frees those it finds there: of any
 * thread, and of any node. Each third small block is asked for before it goes. */
static void wander(struct worker *w, unsigned seed) {
    for (int move = 0; move < MOVES; move++) {
        w->node = go_to((int)(rand_r(&seed) / 7 % (unsigned)cpus));
        for (int i = 0; i < PER_MOVE; i++) {
            unsigned random = (unsigned)rand_r(&seed);
            uint64_t size = random % 64 == 0 ? 40000 + random / 64 % 100000
                            : random % 8 == 0 ? 2048 + random / 64 % 30000
                                              : 16 + random / 64 % 1200;
            unsigned char *block = malloc(size);
            if (block == NULL) die("malloc");
            memset(block, (int)size, size);
            memcpy(block, &size, sizeof size);
            block[size - 1] = (unsigned char)(size * 7);
            if (i % 3 == 0 && size <= SMALL_MAX) ask(w, &w->moved, block, size);
            check_and_free(atomic_exchange(&mailboxes[rand_r(&seed) / 5 % MAILBOXES], block));
        }
    }
}

/* Before there are others: the one cid goes with its thread, from each node to the next. Later a CPU's
 * cid is often one that stays there. */
static void drift(void) {
    for (int cpu = 0; cpu < cpus; cpu++) {
        void *blocks[BLOCKS];
        go_to(cpu);
        for (int i = 0; i < BLOCKS; i++)
            if ((blocks[i] = malloc(SMALL_MAX)) == NULL) die("malloc");
        for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
    }
}

static void *work(void *argument) {
    struct worker *w = argument;
    int number = (int)(w - workers);
    int first = number < cpus;
    w->node = go_to(w->cpu);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        if (first) allocate(w, &w->counts[round]);
        pthread_barrier_wait(&barrier);
        /* Half the machine away is another node. */
        int from = round == 0 ? w->cpu : (w->cpu + cpus / 2) % cpus;
        if (first) release(&workers[from]);
    }
    pthread_barrier_wait(&barrier);
    wander(w, 1 + (unsigned)number);
    return NULL;
}

/* The library's own answer: pages of its shards and spans by node. */
static int ask_library(int apart) {
    struct node_pages {
        size_t asked, resident, elsewhere;
    } pages[64];
    int (*placement)(struct node_pages *, size_t) =
        (int (*)(struct node_pages *, size_t))dlsym(RTLD_DEFAULT, "cidalloc_placement");
    if (placement == NULL) {
        fprintf(stderr, "placement: not with libcidmalloc.so; preload it\n");
        return 1;
    }
    int nodes = placement(pages, 64), failures = 0;
    if (nodes < 1) die("cidalloc_placement");
    size_t resident = 0;
    for (int node = 0; node < nodes; node++) {
        int ok = !apart || pages[node].elsewhere == 0;
        failures += !ok;
        resident += pages[node].resident;
        printf("pages of node %d: %zu asked, %zu resident, %zu on another node%s\n", node,
               pages[node].asked, pages[node].resident, pages[node].elsewhere,
               ok ? "" : "  <- wrong");
    }
    if (resident == 0) {
        fprintf(stderr, "placement: no page of the library is resident\n");
        failures++;
    }
    return failures;
}

/* Allocates until the memory of what was left behind is used up. */
static void settle(size_t size) {
    static unsigned char *left[CACHED_MAX];
    for (int i = 0; i < CACHED_MAX; i++)
        if ((left[i] = malloc(size)) == NULL) die("malloc");
    for (int i = 0; i < CACHED_MAX; i++) free(left[i]);
}

/* The policy of a block's memory, on the node that we are on. */
static int ask_policy(const char *wanted, int late) {
    enum { DEFAULT, PREFERRED, BIND, ADDRESS = 2 };
    int expected = strcmp(wanted, "preferred") == 0 ? PREFERRED
                   : strcmp(wanted, "bind") == 0    ? BIND
                                                    : DEFAULT;
    int failures = 0;
    for (int s = 0; s < SIZES; s += SIZES - 1) {
        int here = go_to(cpus - 1);
        if (late && sizes[s] <= SMALL_MAX) settle(sizes[s]);
        unsigned char *block = malloc(sizes[s]);
        if (block == NULL) die("malloc");
        block[0] = 1;
        int mode = -1;
        unsigned long nodes[16] = {0};
        if (syscall(SYS_get_mempolicy, &mode, nodes, 1024UL, block, ADDRESS) != 0)
            die("get_mempolicy");
        unsigned long node = expected == DEFAULT ? 0 : 1UL << here;
        int ok = mode == expected && nodes[0] == node;
        failures += !ok;
        printf("policy of %zu bytes: mode %d, nodes %#lx%s\n", sizes[s], mode, nodes[0],
               ok ? "" : "  <- wrong");
        free(block);
    }
    return failures;
}

/* Goes on in the same program, so that the library starts in what was made. */
static void again(char **argv) {
    setenv("PLACEMENT_AGAIN", "1", 1);
    execv("/proc/self/exe", argv);
    die("/proc/self/exe");
}

static void refuse_to_bind(char **argv) {
    const int calls[] = {SYS_mbind};
    if (refuse_calls(calls, 1, EPERM) != 0) die("seccomp");
    again(argv);
}

static void put(const char *file, const char *text) {
    int fd = open(file, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) die(file);
    close(fd);
}

static void narrow(char **argv) {
    const char *root = "/sys/fs/cgroup";
    if (mount("cgroup", root, "cgroup2", 0, NULL) != 0) die("mount of cgroup2");
    put("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
    if (mkdir("/sys/fs/cgroup/narrow", 0755) != 0) die("a cgroup");
    put("/sys/fs/cgroup/narrow/cpuset.mems", "0");
    put("/sys/fs/cgroup/narrow/cgroup.procs", "0");
    again(argv);
}

static int line(struct worker *w, const char *what, struct count *c, int apart) {
    int ok = c->absent == 0 && (!apart || c->small_elsewhere + c->large_elsewhere == 0);
    printf("cpu %d node %d %-7s %ld blocks, on another node: %ld small, %ld large; absent pages "
           "%ld%s\n",
           w->cpu, w->node, what, c->blocks, c->small_elsewhere, c->large_elsewhere, c->absent,
           ok ? "" : "  <- wrong");
    return !ok;
}

int main(int argc, char **argv) {
    int late = argc >= 2 && strcmp(argv[1], "late") == 0;
    int apart = argc >= 2 && (late || strcmp(argv[1], "apart") == 0);
    if (argc < 2 || argc > 3 || (!apart && strcmp(argv[1], "any") != 0)) {
        fprintf(stderr, "placement: expected apart, late or any, and perhaps a policy\n");
        return 2;
    }
    if (argc == 3 && getenv("PLACEMENT_AGAIN") == NULL) {
        if (strcmp(argv[2], "refused") == 0) refuse_to_bind(argv);
        if (strcmp(argv[2], "narrow") == 0) narrow(argv);
    }
    cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (cpus > CPUS_MAX) cpus = CPUS_MAX;
    int threads = cpus * THREADS_PER_CPU;
    drift();
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    pthread_t ids[CPUS_MAX * THREADS_PER_CPU];
    for (int i = 0; i < threads; i++) {
        workers[i].cpu = i % cpus;
        if (pthread_create(&ids[i], NULL, work, &workers[i]) != 0) die("pthread_create");
    }
    int failures = 0, nodes_differ = 0;
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    for (int i = 0; i < threads; i++) {
        struct worker *w = &workers[i];
        nodes_differ |= w->node != workers[0].node;
        for (int round = 0; i < cpus && round < ROUNDS; round++)
            failures += line(w, kind_of(round) == OWN ? "own" : "foreign", &w->counts[round], apart);
        failures += line(w, "moved", &w->moved, apart && !late);
    }
    failures += ask_library(apart);
    if (argc == 3 && strcmp(argv[2], "narrow") != 0) failures += ask_policy(argv[2], late);
    for (int i = 0; i < MAILBOXES; i++) check_and_free(mailboxes[i]);
    if (apart && !nodes_differ) {
        fprintf(stderr, "placement: all CPUs are on one node\n");
        return 1;
    }
    if (failures != 0) {
        fprintf(stderr, "placement: %d times something on the wrong node\n", failures);
        return 1;
    }
    printf("placement ok\n");
    return 0;
}
