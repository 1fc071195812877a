/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * `librseq_names.c` for cidpool: per-cid counters and per-cid lists. Each line is a rename, in this
 * order, and nothing else was changed. What is `cpu` there is the number of a copy here.
 *
 *   <rseq/mempool.h> -> <cidpool.h>
 *   <rseq/rseq.h> -> <cidpool.h>
 *   rseq_mempool_ -> cidpool_
 *   struct rseq_mempool -> struct cidpool
 *   RSEQ_MEMPOOL_ -> CIDPOOL_
 *   RSEQ_ -> CIDPOOL_
 *   rseq_ -> cidpool_
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cidpool.h>
#include <cidpool.h>

#define THREADS 8
#define ROUNDS 20000

struct node {
    struct node *next;
};

struct per_cpu {
    intptr_t count;
    intptr_t head;
};

static struct per_cpu __cidpool_percpu *shards;

static void count(void)
{
    int cpu;

    do {
        cpu = cidpool_current_mm_cid();
    } while (cidpool_load_add_store__ptr(CIDPOOL_MO_RELAXED, CIDPOOL_PERCPU_MM_CID,
        &cidpool_percpu_ptr(shards, cpu)->count, 1, cpu));
}

static void push(struct node *node)
{
    intptr_t *head, expect;
    int cpu;

    do {
        cpu = cidpool_current_mm_cid();
        head = &cidpool_percpu_ptr(shards, cpu)->head;
        expect = __atomic_load_n(head, __ATOMIC_RELAXED);
        node->next = (struct node *)expect;
    } while (cidpool_load_cbne_store__ptr(CIDPOOL_MO_RELAXED, CIDPOOL_PERCPU_MM_CID,
        head, expect, (intptr_t)node, cpu));
}

static struct node *pop(void)
{
    intptr_t *head, node;
    int cpu, said;

    do {
        cpu = cidpool_current_mm_cid();
        head = &cidpool_percpu_ptr(shards, cpu)->head;
        said = cidpool_load_cbeq_store_add_load_store__ptr(CIDPOOL_MO_RELAXED,
            CIDPOOL_PERCPU_MM_CID, head, (intptr_t)NULL, offsetof(struct node, next), &node, cpu);
    } while (said < 0);
    return said ? NULL : (struct node *)node;
}

static void *work(void *unused)
{
    intptr_t freed = 0;

    (void)unused;
    if (cidpool_register_current_thread()) {
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
    struct cidpool_attr *attr = cidpool_attr_create();
    struct cidpool *pool;
    pthread_t threads[THREADS];
    intptr_t counted = 0, nodes = 0;

    if (!attr || cidpool_attr_set_percpu(attr, CIDPOOL_STRIDE, 0) ||
        cidpool_attr_set_populate_policy(attr, CIDPOOL_POPULATE_COW_ZERO) ||
        cidpool_attr_set_robust(attr)) {
        perror("attributes");
        return 1;
    }
    pool = cidpool_create("shards", sizeof(struct per_cpu), attr);
    cidpool_attr_destroy(attr);
    shards = pool ? cidpool_percpu_zmalloc(pool) : NULL;
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
    for (int cpu = 0; cpu < cidpool_get_max_nr_cpus(pool); cpu++) {
        struct per_cpu *shard = cidpool_percpu_ptr(shards, cpu);

        counted += shard->count;
        while (shard->head) {
            struct node *node = (struct node *)shard->head;

            shard->head = (intptr_t)node->next;
            free(node);
            nodes++;
        }
    }
    cidpool_percpu_free(shards);
    if (cidpool_destroy(pool)) {
        perror("destroying the pool");
        return 1;
    }
    printf("%ld counted, %ld nodes, of %d\n", (long)counted, (long)nodes, THREADS * ROUNDS);
    return counted != THREADS * ROUNDS || nodes != THREADS * ROUNDS;
}
