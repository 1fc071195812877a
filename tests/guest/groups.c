/* What the heap keeps resident while many threads hold blocks of many sizes: for groups of cids of different width.
 *
 *   groups [THREADS]        32 of them by default
 *
 *   each thread, on a CPU of its own ── replace one of its blocks, ROUNDS times ──┐
 *   main                                malloc_stats(3) while all hold theirs   ◄─┘
 *
 * Of 64 blocks one has 4 to 32 KiB, 7 have 512 to 4011 bytes, 56 have 16 to 511; about 1,500 of a thread's live at a
 * time. The same numbers are drawn in each run. In a guest with many CPUs, with CIDALLOC_ARENA_CIDS=1, 2, 4 or 8:
 * docs/cids.md has the command. Nothing is judged here: the statistics go to standard error.
 */
#define _GNU_SOURCE
#include "go.h"
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 256, BLOCKS = 1500, ROUNDS = 8000 };

static pthread_barrier_t barrier;
static long cpus;

static size_t size_of(unsigned random) {
    unsigned kind = random % 64, rest = random / 64;
    if (kind == 0)
        return 4096 + rest % 28000;
    return kind < 8 ? 512 + rest % 3500 : 16 + rest % 496;
}

static void *work(void *argument) {
    size_t number = (size_t)argument;
    unsigned seed = 1 + (unsigned)number;
    void **blocks = calloc(BLOCKS, sizeof *blocks);
    if (!blocks)
        die("calloc");
    go_to((int)(number % (size_t)cpus));
    pthread_barrier_wait(&barrier); /* all begin */
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = size_of((unsigned)rand_r(&seed));
        void **block = &blocks[rand_r(&seed) / 3 % BLOCKS];
        free(*block);
        if (!(*block = malloc(size)))
            die("malloc");
        memset(*block, 1, size);
    }
    pthread_barrier_wait(&barrier); /* all have their blocks */
    pthread_barrier_wait(&barrier); /* main has looked */
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(blocks);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[THREADS_MAX];
    int threads = argc > 1 ? atoi(argv[1]) : 32;
    cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (argc > 2 || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: groups [THREADS], 1 to %d\n", THREADS_MAX);
        return 2;
    }
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(size_t)i))
            die("pthread_create");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    malloc_stats();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return 0;
}
