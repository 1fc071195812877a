/* The machine and the pools of pool.c: what there is, and how threads write it. */
#ifndef CIDALLOC_GUEST_POOL_H
#define CIDALLOC_GUEST_POOL_H

#define _GNU_SOURCE
#include "go.h"
#include "cidpool.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CPUS_MAX = 64, NODES_MAX = 64, ITEMS = 1100, OF_IMAGE = 7, INITIAL = 9 };
enum { PAGE = 4096, NEAR = PAGE, FAR = CIDPOOL_STRIDE, PAGES_MAX = FAR / PAGE, RANGES_MAX = 64 };

struct link {
    struct link *next;
    int node;
};
struct item {
    uint64_t count;
    struct link *links;
    uint64_t rest[14];
};
struct kind {
    const char *name;
    int populate, numa, fork, stride;
};
static const struct kind kinds[] = {
    {"zero", CIDPOOL_POPULATE_COW_ZERO, CIDPOOL_NUMA_AS_HEAP, CIDPOOL_FORK_COPIED, FAR},
    {"image", CIDPOOL_POPULATE_COW_INIT, CIDPOOL_NUMA_AS_HEAP, CIDPOOL_FORK_COPIED, FAR},
    {"near", CIDPOOL_POPULATE_COW_ZERO, CIDPOOL_NUMA_PREFERRED, CIDPOOL_FORK_WIPED, NEAR},
    {"wiped", CIDPOOL_POPULATE_COW_INIT, CIDPOOL_NUMA_PREFERRED, CIDPOOL_FORK_WIPED, FAR},
    {"bind", CIDPOOL_POPULATE_COW_ZERO, CIDPOOL_NUMA_BIND, CIDPOOL_FORK_COPIED, FAR},
    {"bind-image", CIDPOOL_POPULATE_COW_INIT, CIDPOOL_NUMA_BIND, CIDPOOL_FORK_COPIED, FAR},
    {"none", CIDPOOL_POPULATE_COW_ZERO, CIDPOOL_NUMA_NONE, CIDPOOL_FORK_COPIED, FAR},
};
enum { POOLS = sizeof kinds / sizeof kinds[0] };

/* What was added and pushed on each node. */
struct written {
    uint64_t added[NODES_MAX], pushed[NODES_MAX];
};
struct subject {
    const struct kind *kind;
    struct cidpool *pool;
    struct item *items[ITEMS];
    char *ranges[RANGES_MAX];
    int range_count;
    uint64_t rest;
    struct written written;
};
static struct subject subjects[POOLS];
static cpu_set_t all_cpus;
static int cpus[CPUS_MAX], node_of_cpu[CPUS_MAX], cpu_count;
static int copies, nodes, is_kernel, is_emulated, is_refused, pagemap;
/* Of nodes: that have memory, and, for each, where what cannot be on it is. */
static uint64_t memory, nearest[NODES_MAX];

static int has_memory(int node) { return memory >> node & 1; }

static int node_of(int copy) {
    int node;
    if (cidpool_place_of(copy, &node, NULL) != 0) die("cidpool_place_of");
    return node;
}

static struct item *copy_of(const struct subject *s, int item, int copy) {
    return cidpool_percpu_ptr(s->items[item], copy, s->kind->stride);
}

/* As `go_to`, for a thread that is going to change its own copy there. Of an emulated cid it is asked
 * again which that is, until there is an answer: not while somebody is about to stop the cid. */
static int move_to(int cpu) {
    int node = go_to(cpu);
    if (!is_emulated) return node;
    for (int copy; (copy = cidpool_current_copy()) < 0 || node_of(copy) != node; sched_yield())
        if (cidpool_register_current_thread() != 0) die("no cid");
    return node;
}

/* So that threads that are made may use all CPUs, which is what the library learns from them. */
static void go_anywhere(void) {
    if (sched_setaffinity(0, sizeof all_cpus, &all_cpus) != 0) die("sched_setaffinity");
}

/* ---- the machine ---------------------------------------------------------------------------- */

static uint64_t find_nearest(int node) {
    char name[64];
    snprintf(name, sizeof name, "/sys/devices/system/node/node%d/distance", node);
    FILE *file = fopen(name, "r");
    if (file == NULL) return memory;
    uint64_t found = 0;
    int least = 1 << 30, distance;
    for (int other = 0; other < nodes; other++) {
        snprintf(name, sizeof name, "/sys/devices/system/node/node%d", other);
        if (access(name, F_OK) != 0 || fscanf(file, "%d", &distance) != 1) continue;
        if (!has_memory(other) || distance > least) continue;
        found = distance < least ? 1UL << other : found | 1UL << other;
        least = distance;
    }
    fclose(file);
    return found;
}

static void open_pagemap(void) {
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0) die("/proc/self/pagemap");
}

/* Before the thread goes to any CPU: the library learns which it may use. */
static void learn(void) {
    enum { MEMS_ALLOWED = 4 };
    copies = cidpool_max_nr_copies();
    if (copies < 1 || cidpool_register_current_thread() != 0) die("no cids");
    nodes = node_of(copies - 1) + 1;
    unsigned long mask[16] = {0};
    if (nodes > NODES_MAX) die("too many nodes");
    if (syscall(SYS_get_mempolicy, NULL, mask, 1024UL, NULL, MEMS_ALLOWED) != 0)
        die("get_mempolicy");
    memory = mask[0];
    for (int node = 0; node < nodes; node++) nearest[node] = find_nearest(node);
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus) != 0) die("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE && cpu_count < CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &all_cpus)) cpus[cpu_count++] = cpu;
    for (int i = 0; i < cpu_count; i++) node_of_cpu[i] = go_to(cpus[i]);
    go_anywhere();
    open_pagemap();
}

/* A CPU of another node than `node`, with memory if there is one. */
static int cpu_elsewhere(int node) {
    int found = cpus[0];
    for (int i = 0; i < cpu_count; i++) {
        if (node_of_cpu[i] == node) continue;
        found = cpus[i];
        if (has_memory(node_of_cpu[i])) break;
    }
    return found;
}

/* Whether a page of a pool that is not bound can come to lie on another node than its copy's. */
static int can_be_elsewhere(void) {
    uint64_t both = 0;
    for (int i = 0; i < cpu_count; i++) both |= memory & 1UL << node_of_cpu[i];
    return (both & (both - 1)) != 0;
}

/* ---- pools ---------------------------------------------------------------------------------- */

static int is_of_image(const struct subject *s) {
    return s->kind->populate == CIDPOOL_POPULATE_COW_INIT;
}

/* The heap does not bind where there is one node. */
static int is_to_be_bound(const struct subject *s) {
    int as_heap = s->kind->numa == CIDPOOL_NUMA_AS_HEAP;
    return s->kind->numa != CIDPOOL_NUMA_NONE && !(as_heap && nodes == 1);
}

static int is_bound(const struct subject *s, int node) {
    return is_to_be_bound(s) && !is_refused && has_memory(node);
}

static int fill(void *data, void *image, size_t length, int cpu) {
    (void)data, (void)cpu;
    struct item *items = image;
    for (size_t i = 0; i < length / sizeof *items; i++)
        for (size_t word = 0; word < sizeof items->rest / 8; word++) items[i].rest[word] = OF_IMAGE;
    return 0;
}

static void create(struct subject *s, const struct kind *kind) {
    struct cidpool_attr *attr = cidpool_attr_create();
    *s = (struct subject){.kind = kind};
    if (cidpool_attr_set_percpu(attr, (size_t)kind->stride, 0) != 0 ||
        cidpool_attr_set_populate_policy(attr, kind->populate) != 0 ||
        cidpool_attr_set_numa(attr, kind->numa) != 0 ||
        cidpool_attr_set_fork(attr, kind->fork) != 0 ||
        (is_of_image(s) && cidpool_attr_set_init(attr, fill, NULL) != 0))
        die("attributes");
    s->pool = cidpool_create(kind->name, sizeof(struct item), attr);
    if (s->pool == NULL) die("cidpool_create");
    cidpool_attr_destroy(attr);
}

enum how { AS_AT_FIRST, ZEROED, INITIALISED };

static void allocate(struct subject *s, enum how how) {
    struct item initial = {0};
    for (size_t word = 0; word < sizeof initial.rest / 8; word++) initial.rest[word] = INITIAL;
    s->rest = how == INITIALISED ? INITIAL : how == AS_AT_FIRST && is_of_image(s) ? OF_IMAGE : 0;
    s->range_count = 0;
    for (int i = 0; i < ITEMS; i++) {
        s->items[i] = how == INITIALISED
                          ? cidpool_percpu_malloc_init(s->pool, &initial, sizeof initial)
                      : how == ZEROED ? cidpool_percpu_zmalloc(s->pool)
                                      : cidpool_percpu_malloc(s->pool);
        if (s->items[i] == NULL) die("an item");
        char *range = (char *)((uintptr_t)s->items[i] & ~((uintptr_t)s->kind->stride - 1));
        int known = 0;
        while (known < s->range_count && s->ranges[known] != range) known++;
        if (known == RANGES_MAX) die("too many ranges");
        s->ranges[known] = range;
        if (known == s->range_count) s->range_count++;
    }
}

static void create_all(enum how how) {
    for (int p = 0; p < POOLS; p++) {
        create(&subjects[p], &kinds[p]);
        allocate(&subjects[p], how);
    }
}

static void destroy_all(void) {
    for (int p = 0; p < POOLS; p++)
        if (cidpool_destroy(subjects[p].pool) != 0) die("cidpool_destroy");
}

/* Again where the thread has no cid for the moment. */
#define UNTIL_DONE(call)                           \
    do                                             \
        while ((call) != 0) {                      \
            if (errno != EAGAIN) die(#call);       \
            sched_yield();                         \
        }                                          \
    while (0)

static void add(const struct subject *s, int item, uint64_t count) {
    UNTIL_DONE(cidpool_add_strided(&s->items[item]->count, count, (size_t)s->kind->stride));
}

static void push(const struct subject *s, int item, int node) {
    struct link *link = malloc(sizeof *link);
    if (link == NULL) die("malloc");
    link->node = node;
    UNTIL_DONE(cidpool_list_push_strided((uint64_t *)&s->items[item]->links, link,
                                         offsetof(struct link, next), (size_t)s->kind->stride));
}

static void add_to_all(int node) {
    for (int p = 0; p < POOLS; p++) {
        for (int i = 0; i < ITEMS; i++) add(&subjects[p], i, 1);
        subjects[p].written.added[node] += ITEMS;
    }
}

/* Adds to every copy of every item, by its address, from a CPU of another node. */
static void write_from_elsewhere(void) {
    for (int copy = 0, last = -1; copy < copies; copy++) {
        int node = node_of(copy);
        if (node != last) go_to(cpu_elsewhere(node));
        last = node;
        for (int p = 0; p < POOLS; p++) {
            for (int i = 0; i < ITEMS; i++) copy_of(&subjects[p], i, copy)->count++;
            subjects[p].written.added[node] += ITEMS;
        }
    }
}

#endif
