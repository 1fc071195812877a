// Runs the arm64 sections on copies, interrupted at every instruction, against the contract of
// src/copies/mod.rs in C.
//
//   rows[node] + cid      world.copy[n]    word  other  head -> node -> node      side | log ...
//     0, 1    ---------->  HERE            what sections commit to               what nobody looks
//     2, 5    ---------->  THERE           the same, other values                at before that
//
// What the call returns and leaves must be what the contract gives for the disturbance followed
// by the call; where the instruction is not reached, for the call alone.

#define _GNU_SOURCE
#include "interrupt.h"

struct current {
    intptr_t area, ids;
    const u32 *rows;
};
struct outcome {
    u64 what, word;
};
enum { NO_CID, DIFFERS, DONE };

u64 cidalloc_rseq_copies_add(const struct current *, u64 shift, u64 *word, u64 k);
u64 cidalloc_rseq_copies_add_through(const struct current *, u64 shift, const u64 *route,
                                     u64 offset, u64 k);
struct outcome cidalloc_rseq_copies_load(const struct current *, u64 shift, const u64 *word);
struct outcome cidalloc_rseq_copies_compare_store(const struct current *, u64 shift, u64 *word,
                                                  u64 expected, u64 new);
struct outcome cidalloc_rseq_copies_compare_two_store(const struct current *, u64 shift, u64 *word,
                                                      u64 expected, const u64 *other,
                                                      u64 other_expected, u64 new);
struct outcome cidalloc_rseq_copies_compare_store_store(const struct current *, u64 shift,
                                                        u64 *word, u64 expected, u64 new,
                                                        u64 *other, u64 other_new);
struct outcome cidalloc_rseq_copies_push(const struct current *, u64 shift, u64 *head, void *node,
                                         u64 next);
struct outcome cidalloc_rseq_copies_pop(const struct current *, u64 shift, u64 *head, u64 next);
struct outcome cidalloc_rseq_copies_pop_all(const struct current *, u64 shift, u64 *head);
struct outcome cidalloc_rseq_copies_compare_copy_store(const struct current *, u64 shift, u64 *word,
                                                       u64 expected, u64 new, void *to,
                                                       const void *from, u64 len);

enum { SHIFT = 8, COPIES = 16, WORDS = (1 << SHIFT) / 8, NEXT = 8 };
enum { WORD = 3, OTHER = 4, HEAD = 5, SIDE = 8, LOG = 9, FROM_SIDE = SIDE };
enum { HERE = 5, THERE = 14 };
static const u32 rows[] = {4, 1, 9};

// All that sections write. Nodes 0 and 1 are for lists, 2 is the call's, 3 the disturbance's.
static struct world {
    u64 copy[COPIES][WORDS];
    struct node {
        u64 content, next;
    } node[4];
    u64 route; // to copy 0, or odd: closed
} world, wanted_world;
static struct current current;
static unsigned char bytes[24];

enum op { ADD, LOAD, COMPARE_STORE, TWO, STORE_STORE, PUSH, POP, POP_ALL, COPY, THROUGH, OPS };
static const char *const OP_NAME[OPS] = {
    "add",  "load", "compare_store", "compare_two_store", "compare_store_store",
    "push", "pop",  "pop_all",       "compare_copy_store", "add_through"};

// One call: `e` and `f` what is expected, `n` the bytes or the number of the node.
struct call {
    enum op op;
    u64 e, f, n;
};
enum { NEW = 0x77, NEW_SIDE = 0x99, K = 0x1000 };

static u64 address(u64 node) { return (u64)&world.node[node]; }

static struct outcome run(struct call call) {
    u64 *copy = world.copy[0], *word = &copy[WORD], *head = &copy[HEAD];
    switch (call.op) {
    case ADD:
        return (struct outcome){cidalloc_rseq_copies_add(&current, SHIFT, word, K), 0};
    case THROUGH:
        return (struct outcome){cidalloc_rseq_copies_add_through(&current, SHIFT, &world.route,
                                                                 8 * WORD, K), 0};
    case LOAD: return cidalloc_rseq_copies_load(&current, SHIFT, word);
    case COMPARE_STORE:
        return cidalloc_rseq_copies_compare_store(&current, SHIFT, word, call.e, NEW);
    case TWO:
        return cidalloc_rseq_copies_compare_two_store(&current, SHIFT, word, call.e, &copy[OTHER],
                                                      call.f, NEW);
    case STORE_STORE:
        return cidalloc_rseq_copies_compare_store_store(&current, SHIFT, word, call.e, NEW,
                                                        &copy[SIDE], NEW_SIDE);
    case PUSH:
        return cidalloc_rseq_copies_push(&current, SHIFT, head, &world.node[call.n], NEXT);
    case POP: return cidalloc_rseq_copies_pop(&current, SHIFT, head, NEXT);
    case POP_ALL: return cidalloc_rseq_copies_pop_all(&current, SHIFT, head);
    default:
        return cidalloc_rseq_copies_compare_copy_store(&current, SHIFT, word, call.e, NEW,
                                                       (char *)&copy[LOG] + 1, bytes, call.n);
    }
}

// The copy that the thread is at, -1 where it is not registered.
static int here(void) {
    struct area *a = &cidalloc_rseq_area;
    return a->cpu_id < 0 ? -1 : (int)(rows[a->node_id] + a->mm_cid);
}

// The contract on `w`.
static struct outcome contract(struct world *w, struct call call) {
    if (here() < 0 || (call.op == THROUGH && w->route & 1)) return (struct outcome){NO_CID, 0};
    u64 *copy = w->copy[here()], *word = &copy[WORD], *head = &copy[HEAD];
    struct outcome done = {DONE, *word};
    bool compares = call.op == COMPARE_STORE || call.op == TWO || call.op == STORE_STORE ||
                    call.op == COPY;
    if (compares && *word != call.e) return (struct outcome){DIFFERS, *word};
    if (call.op == TWO && copy[OTHER] != call.f) return (struct outcome){DIFFERS, copy[OTHER]};
    switch (call.op) {
    case ADD:
    case THROUGH:
        *word += K;
        done.word = 0;
        break;
    case STORE_STORE: copy[SIDE] = NEW_SIDE; break;
    case COPY: memcpy((char *)&copy[LOG] + 1, bytes, call.n); break;
    case PUSH:
        done.word = w->node[call.n].next = *head;
        *head = address(call.n);
        break;
    case POP:
    case POP_ALL:
        done = (struct outcome){*head || call.op == POP_ALL ? DONE : DIFFERS, *head};
        if (call.op == POP_ALL) *head = 0;
        else if (*head) *head = w->node[(*head - address(0)) / sizeof *w->node].next;
        break;
    default: break;
    }
    if (compares) *word = NEW;
    return done;
}

// Whether everybody sees the same: what is at the side, and in a node that is on no list, nobody
// looks at, unless the call was done, whose copy is `done`.
static bool same_world(struct call call, int done) {
    struct world *a = &wanted_world, *b = &world;
    for (int n = 0; n < COPIES; n++)
        if (memcmp(a->copy[n], b->copy[n], 8 * (n == done ? WORDS : FROM_SIDE))) return false;
    for (int n = 0; n < 4; n++) {
        bool given_up = call.op == PUSH && call.n == (u64)n && done < 0;
        if (a->node[n].content != b->node[n].content) return false;
        if (!given_up && a->node[n].next != b->node[n].next) return false;
    }
    return a->route == b->route;
}

static void enter(int copy) {
    cidalloc_rseq_area.cpu_id = 0;
    cidalloc_rseq_area.node_id = copy == HERE ? 0 : 2;
    cidalloc_rseq_area.mm_cid = copy == HERE ? 1 : 5;
}

// The words of HERE as told, and a list of so many nodes; THERE has other words, and none.
static void reset(u64 word, u64 other, int nodes) {
    for (int n = 0; n < COPIES; n++)
        for (int i = 0; i < WORDS; i++) world.copy[n][i] = 0x100000 * (n + 1) + i;
    for (int n = 0; n < 4; n++) world.node[n] = (struct node){0xc0 + n, 0xd0 + n};
    world.copy[HERE][WORD] = word;
    world.copy[HERE][OTHER] = other;
    world.copy[HERE][HEAD] = nodes ? address(nodes - 1) : 0;
    world.node[0].next = 0;
    world.node[1].next = address(0);
    world.copy[THERE][WORD] = 8;
    world.copy[THERE][OTHER] = 1;
    world.copy[THERE][HEAD] = 0;
    world.route = other == 1 ? (u64)world.copy[0] : 1;
    enter(HERE);
}

static enum disturbance { NOTHING, ADDED, STORED, PUSHED, POPPED, CLOSED, MIGRATED, UNREGISTERED, KINDS } kind;

// Does it to the memory that sections see, and the same by the contract to the wanted world.
static void disturb_now(void) {
    static const struct call calls[] = {
        [ADDED] = {ADD, 0, 0, 0}, [STORED] = {COMPARE_STORE, 7, 0, 0},
        [PUSHED] = {PUSH, 0, 0, 3}, [POPPED] = {POP, 0, 0, 0}};
    if (kind == MIGRATED) {
        enter(THERE);
    } else if (kind == UNREGISTERED) {
        cidalloc_rseq_area.cpu_id = -1;
    } else if (kind == CLOSED) {
        world.route = wanted_world.route = 1;
    } else if (kind != NOTHING) {
        struct outcome wanted = contract(&wanted_world, calls[kind]), got = run(calls[kind]);
        REQUIRE(wanted.what == got.what, "a section inside a signal handler");
    }
}

// One call, its breakpoint at `at` (or none). Returns whether it was reached.
static bool try_one(struct call call, u32 *at) {
    set_breakpoint(at);
    wanted_world = world;
    struct outcome got = run(call);
    lift_breakpoint(OP_NAME[call.op]);
    struct outcome wanted = contract(&wanted_world, call);
    bool tells = wanted.what != NO_CID && call.op != ADD && call.op != THROUGH;
    long offset = at ? (long)((u64)at - section->start) : -1;
    REQUIRE(wanted.what == got.what && (!tells || wanted.word == got.word),
            "%s at +%ld, disturbance %d: %lu of %#lx, wanted %lu of %#lx", OP_NAME[call.op],
            offset, kind, got.what, got.word, wanted.what, wanted.word);
    REQUIRE(same_world(call, wanted.what == DONE ? here() : -1),
            "%s at +%ld, disturbance %d: the world", OP_NAME[call.op], offset, kind);
    return hit;
}

static unsigned long each_state(struct call call, u32 *at) {
    unsigned long hits = 0;
    for (kind = NOTHING; kind < KINDS; kind++)
        for (u64 word = 7; word <= 8; word++)
            for (u64 other = 1; other <= 2; other++)
                for (int nodes = 0; nodes <= 2; nodes++)
                    for (int gone = 0; gone < 2; gone++) {
                        reset(word, other, nodes);
                        if (gone) cidalloc_rseq_area.cpu_id = -1;
                        hits += try_one(call, at);
                    }
    return hits;
}

#include "instructions.h"

static unsigned long every_instruction_of_every_window(void) {
    static const struct call calls[] = {
        {ADD, 0, 0, 0},  {LOAD, 0, 0, 0}, {COMPARE_STORE, 7, 0, 0}, {COMPARE_STORE, NEW, 0, 0},
        {TWO, 7, 1, 0},  {TWO, 8, 1, 0},  {STORE_STORE, 7, 0, 0},   {PUSH, 0, 0, 2},
        {POP, 0, 0, 0},  {POP_ALL, 0, 0, 0}, {COPY, 7, 0, 0},       {COPY, 7, 0, 5},
        {COPY, 8, 0, 8}, {COPY, 8, 0, 19},   {THROUGH, 0, 0, 0}};
    return at_every_instruction(calls, sizeof calls / sizeof *calls);
}

static void cpu_numbers_may_be_the_ids(void) {
    struct current by_id = current;
    reset(7, 1, 0);
    current.ids = current.area;
    cidalloc_rseq_area.node_id = 0;
    cidalloc_rseq_area.cpu_id_start = 2; // equal to cpu_id in life, not here: both must count
    cidalloc_rseq_area.cpu_id = 5;
    cidalloc_rseq_area.mm_cid = 1;
    REQUIRE(run((struct call){LOAD, 0, 0, 0}).word == 8, "the pair (2, 5) is THERE");
    current = by_id;
}

int main(void) {
    handle_breaks();
    current = (struct current){.area = cidalloc_rseq_own_offset(), .rows = rows};
    current.ids = current.area + 20;
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = 0xa0 + i;
    cpu_numbers_may_be_the_ids();
    unsigned long interruptions = every_instruction_of_every_window();
    printf("ok: %d sections as the contract says, %lu interruptions\n", OPS, interruptions);
    return 0;
}
