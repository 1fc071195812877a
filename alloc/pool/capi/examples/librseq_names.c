/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Per-CPU counters and per-CPU lists, as a program for librseq has them: threads count, and put
 * nodes into the lists and take them out again; the program looks whether all are there at the end.
 * `ported.c` is this program for cidpool, by renaming alone.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <rseq/mempool.h>
#include <rseq/rseq.h>

#define THREADS 8
#define ROUNDS 20000

struct node {
    struct node *next;
};

struct per_cpu {
    intptr_t count;
    intptr_t head;
};

static struct per_cpu __rseq_percpu *shards;

static void count(void)
{
    int cpu;

    do {
        cpu = rseq_current_mm_cid();
    } while (rseq_load_add_store__ptr(RSEQ_MO_RELAXED, RSEQ_PERCPU_MM_CID,
        &rseq_percpu_ptr(shards, cpu)->count, 1, cpu));
}

static void push(struct node *node)
{
    intptr_t *head, expect;
    int cpu;

    do {
        cpu = rseq_current_mm_cid();
        head = &rseq_percpu_ptr(shards, cpu)->head;
        expect = __atomic_load_n(head, __ATOMIC_RELAXED);
        node->next = (struct node *)expect;
    } while (rseq_load_cbne_store__ptr(RSEQ_MO_RELAXED, RSEQ_PERCPU_MM_CID,
        head, expect, (intptr_t)node, cpu));
}

static struct node *pop(void)
{
    intptr_t *head, node;
    int cpu, said;

    do {
        cpu = rseq_current_mm_cid();
        head = &rseq_percpu_ptr(shards, cpu)->head;
        said = rseq_load_cbeq_store_add_load_store__ptr(RSEQ_MO_RELAXED,
            RSEQ_PERCPU_MM_CID, head, (intptr_t)NULL, offsetof(struct node, next), &node, cpu);
    } while (said < 0);
    return said ? NULL : (struct node *)node;
}

static void *work(void *unused)
{
    intptr_t freed = 0;

    (void)unused;
    if (rseq_register_current_thread()) {
        perror("this thread cannot have restartable sequences");
        exit(77);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct node *node = malloc(sizeof *node);

        if (!node)
            abort();
        count();
        push(node);
        node = i % 2 ? pop() : NULL;
        freed += node != NULL;
        free(node);
    }
    return (void *)freed;
}

int main(void)
{
    struct rseq_mempool_attr *attr = rseq_mempool_attr_create();
    struct rseq_mempool *pool;
    pthread_t threads[THREADS];
    intptr_t counted = 0, nodes = 0;

    if (!attr || rseq_mempool_attr_set_percpu(attr, RSEQ_MEMPOOL_STRIDE, 0) ||
        rseq_mempool_attr_set_populate_policy(attr, RSEQ_MEMPOOL_POPULATE_COW_ZERO) ||
        rseq_mempool_attr_set_robust(attr)) {
        perror("attributes");
        return 1;
    }
    pool = rseq_mempool_create("shards", sizeof(struct per_cpu), attr);
    rseq_mempool_attr_destroy(attr);
    shards = pool ? rseq_mempool_percpu_zmalloc(pool) : NULL;
    if (!shards) {
        perror("a pool");
        return 1;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            abort();
    for (int i = 0; i < THREADS; i++) {
        void *freed;

        pthread_join(threads[i], &freed);
        nodes += (intptr_t)freed;
    }
    for (int cpu = 0; cpu < rseq_mempool_get_max_nr_cpus(pool); cpu++) {
        struct per_cpu *shard = rseq_percpu_ptr(shards, cpu);

        counted += shard->count;
        while (shard->head) {
            struct node *node = (struct node *)shard->head;

            shard->head = (intptr_t)node->next;
            free(node);
            nodes++;
        }
    }
    rseq_mempool_percpu_free(shards);
    if (rseq_mempool_destroy(pool)) {
        perror("destroying the pool");
        return 1;
    }
    printf("%ld counted, %ld nodes, of %d\n", (long)counted, (long)nodes, THREADS * ROUNDS);
    return counted != THREADS * ROUNDS || nodes != THREADS * ROUNDS;
}
