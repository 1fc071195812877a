/* Where the kernel put the blocks: a thread on each CPU allocates, touches, and asks.
 *
 *   placement apart|any
 *
 *   thread on CPU c of node n ── malloc small and large ── write every page ── move_pages(2)
 *                                                                              n, or not
 *   round 0, 1   own       blocks are freed by the thread that allocated them
 *   round 2, 3   foreign   blocks are freed by a thread on another node
 *
 * `apart`: own blocks are all on their thread's node, and so are large foreign ones. A small
 * block that is freed on another node waits in a cache there, which may hand it out before it
 * is sent home: at most as many bytes of them as a cache holds are on the wrong node.
 * `any`: every page is somewhere, for kernels or machines that cannot place memory.
 *
 * Contents are checked throughout. Needs numa_balancing=disable, or the kernel moves pages.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CPUS_MAX = 64, SIZES = 12, BLOCKS = 200, ROUNDS = 4, PAGE = 4096 };
enum { SMALL_MAX = 32768, CACHE_BYTES_MAX = 2 << 20 };
static const size_t sizes[SIZES] = {16,    48,    256,    1024,   4096,    12000,
                                    32768, 40000, 100000, 300000, 1 << 20, 5 << 20};

enum kind { OWN, FOREIGN };
struct count {
    long blocks, absent, small_elsewhere, small_elsewhere_bytes, large_elsewhere;
};
struct worker {
    int cpu, node;
    unsigned char *blocks[SIZES][BLOCKS];
    struct count counts[ROUNDS];
};
static struct worker workers[CPUS_MAX];
static int cpus;
static pthread_barrier_t barrier;

static void die(const char *what) {
    perror(what);
    exit(2);
}

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
    if (elsewhere && size <= SMALL_MAX) {
        count->small_elsewhere++;
        count->small_elsewhere_bytes += (long)size;
    } else if (elsewhere) {
        count->large_elsewhere++;
    }
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

static void release(struct worker *from) {
    for (int s = 0; s < SIZES; s++)
        for (int i = 0; i < count_of(s); i++) {
            unsigned char *block = from->blocks[s][i];
            for (size_t at = 0; at < sizes[s]; at++)
                if (block[at] != from->cpu + 1) {
                    fprintf(stderr, "placement: a block of CPU %d was overwritten\n", from->cpu);
                    exit(1);
                }
            free(block);
        }
}

static void *work(void *argument) {
    struct worker *w = argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
    unsigned node;
    if (syscall(SYS_getcpu, NULL, &node, NULL) != 0) die("getcpu");
    w->node = (int)node;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        allocate(w, &w->counts[round]);
        pthread_barrier_wait(&barrier);
        /* Half the machine away is another node. */
        int from = round == 0 ? w->cpu : (w->cpu + cpus / 2) % cpus;
        release(&workers[from]);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int apart = argc == 2 && strcmp(argv[1], "apart") == 0;
    if (argc != 2 || (!apart && strcmp(argv[1], "any") != 0)) {
        fprintf(stderr, "placement: expected apart or any\n");
        return 2;
    }
    cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (cpus > CPUS_MAX) cpus = CPUS_MAX;
    pthread_barrier_init(&barrier, NULL, (unsigned)cpus);
    pthread_t threads[CPUS_MAX];
    for (int i = 0; i < cpus; i++) {
        workers[i].cpu = i;
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) die("pthread_create");
    }
    int failures = 0, nodes_differ = 0;
    for (int i = 0; i < cpus; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < cpus; i++) {
        struct worker *w = &workers[i];
        nodes_differ |= w->node != workers[0].node;
        for (int round = 0; round < ROUNDS; round++) {
            struct count *c = &w->counts[round];
            int small_ok = kind_of(round) == OWN ? c->small_elsewhere == 0
                                                 : c->small_elsewhere_bytes <= CACHE_BYTES_MAX;
            int ok = c->absent == 0 && (!apart || (small_ok && c->large_elsewhere == 0));
            failures += !ok;
            printf("cpu %d node %d %-7s %ld blocks, on another node: %ld small of %ld bytes, "
                   "%ld large; absent pages %ld%s\n",
                   w->cpu, w->node, kind_of(round) == OWN ? "own" : "foreign", c->blocks,
                   c->small_elsewhere, c->small_elsewhere_bytes, c->large_elsewhere, c->absent,
                   ok ? "" : "  <- wrong");
        }
    }
    if (apart && !nodes_differ) {
        fprintf(stderr, "placement: all CPUs are on one node\n");
        return 1;
    }
    if (failures != 0) {
        fprintf(stderr, "placement: %d rounds with blocks on the wrong node\n", failures);
        return 1;
    }
    printf("placement ok\n");
    return 0;
}
