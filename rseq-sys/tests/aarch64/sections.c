// Runs the arm64 sections, interrupted at every instruction, against the contract in C.
//
//   for each call, state of the world, disturbance, and instruction of the call's window
//
// What the call returns and leaves must be what the contract gives for the disturbance
// followed by the call; where the instruction is not reached, for the call alone.

#define _GNU_SOURCE
#include "contract.h"

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

const ptrdiff_t *cidalloc_rseq_libc_offset(void);
const unsigned *cidalloc_rseq_libc_size(void);
u64 cidalloc_rseq_pop(const struct anchor *, u64 class);
u64 cidalloc_rseq_push(const struct anchor *, u64 class, u64 object);
u64 cidalloc_rseq_push_on_node(const struct anchor *, u64 class, u64 object, u32 node);
u64 cidalloc_rseq_pop_batch(const struct anchor *, u64 class, u64 begin, u64 *buf, u64 max);
u64 cidalloc_rseq_push_batch(const struct anchor *, u64 class, const u64 *buf, u64 len, u32 node);
u64 cidalloc_rseq_reshape(const struct anchor *, u64 class, u64 begin, u32 expected, u32 new);
struct outcome cidalloc_rseq_take(const struct anchor *, const u32 *owner, u64 *word, u64 mask);
struct outcome cidalloc_rseq_put(const struct anchor *, const u32 *owner, u64 *word, u64 mask);

static struct world world;
static u64 miss[WORDS], *table[TABLE];
static struct anchor anchor;

static struct result run(struct call call) {
    struct result r = {0};
    struct outcome o;
    u64 buf[BATCH];
    for (u64 i = 0; i < BATCH; i++) buf[i] = given(i);
    switch (call.op) {
    case POP:
        r.value = cidalloc_rseq_pop(&anchor, CLASS);
        if (r.value & 1) r.value = 1;
        break;
    case PUSH:
        r.value = cidalloc_rseq_push(&anchor, CLASS, call.a) != 0;
        break;
    case PUSH_ON_NODE:
        r.value = cidalloc_rseq_push_on_node(&anchor, CLASS, call.a, call.b) != 0;
        break;
    case POP_BATCH:
        r.value = cidalloc_rseq_pop_batch(&anchor, CLASS, BEGIN, r.buf, call.a);
        for (u64 i = r.value; i < call.a; i++) r.buf[i] = 0; // left by aborted tries
        break;
    case PUSH_BATCH:
        r.value = cidalloc_rseq_push_batch(&anchor, CLASS, buf, call.a, call.b);
        break;
    case RESHAPE:
        r.value = cidalloc_rseq_reshape(&anchor, CLASS, BEGIN, call.a, call.b);
        break;
    default:
        o = (call.op == TAKE ? cidalloc_rseq_take : cidalloc_rseq_put)(&anchor, &world.owner,
                                                                       &world.word, call.a);
        r.value = o.is_owner;
        r.word = o.is_owner ? o.word : 0;
    }
    return r;
}

// The contract on `w`, where the thread and the table now are.
static struct result expect(struct world *w, struct call call) {
    struct area *a = &cidalloc_rseq_area;
    if (a->cpu_id < 0) return contract(w, NULL, -1, call);
    u32 index = a->node_id << CID_BITS | a->mm_cid;
    u64 *base = table[index];
    for (int s = 0; s < SHARDS; s++)
        if (base == world.shard[s]) return contract(w, w->shard[s], index, call);
    return contract(w, NULL, index, call);
}

static void enter(int shard) {
    cidalloc_rseq_area.cpu_id = 0;
    cidalloc_rseq_area.node_id = shard == HERE ? 0 : 2;
    cidalloc_rseq_area.mm_cid = shard == HERE ? 1 : 5;
}

// A world whose shards hold `here` and `there` objects; objects tell their shard and slot.
static void reset(int here, int there, u32 owner) {
    int count[SHARDS] = {here, there};
    table[HERE_INDEX] = world.shard[HERE];
    table[THERE_INDEX] = world.shard[THERE];
    for (int s = 0; s < SHARDS; s++) {
        for (int i = 0; i < 256; i++) world.shard[s][i] = header(1, 1, i ? 0 : NODE[s]);
        world.shard[s][CLASS] = header(BEGIN + count[s], BEGIN + CAPACITY, 0xffffffff);
        world.shard[s][BEGIN - 1] = 1;
        for (int i = 0; i < CAPACITY; i++) world.shard[s][BEGIN + i] = 0x1000 * (s + 1) + 16 * i;
    }
    world.word = 0xaaaa;
    world.owner = owner;
    enter(HERE);
}

// What happens between a preemption and the restart.
enum disturbance { NOTHING, POPPED, PUSHED, TAKEN, MIGRATED, UNREGISTERED, STOPPED, ADOPTED, KINDS };

// Does it to the memory that sections see, and the same by the contract to `w`.
static void disturb(enum disturbance kind, struct world *w) {
    static const struct call calls[] = {
        [POPPED] = {POP, 0, 0}, [PUSHED] = {PUSH, 0x7000, 0}, [TAKEN] = {TAKE, 0xa0, 0}};
    switch (kind) {
    case POPPED:
    case PUSHED:
    case TAKEN: {
        struct result wanted = expect(w, calls[kind]), got = run(calls[kind]);
        REQUIRE(!memcmp(&wanted, &got, sizeof got), "a section inside a signal handler");
        break;
    }
    case MIGRATED: enter(THERE); break;
    case UNREGISTERED: cidalloc_rseq_area.cpu_id = -1; break;
    case STOPPED: table[HERE_INDEX] = miss; break;
    case ADOPTED: w->owner = world.owner = THERE_INDEX; break;
    default: break;
    }
}

static enum disturbance kind;
static struct world wanted_world;

static void disturb_now(void) { disturb(kind, &wanted_world); }

// One call, its breakpoint at `at` (or none). Returns whether it was reached.
static bool try_one(struct call call, u32 *at) {
    set_breakpoint(at);
    wanted_world = world;
    struct result got = run(call);
    lift_breakpoint(OP_NAME[call.op]);
    struct result wanted = expect(&wanted_world, call);
    long offset = at ? (long)((u64)at - section->start) : -1;
    REQUIRE(!memcmp(&wanted, &got, sizeof got),
            "%s(%#lx) at +%ld, disturbance %d: returned %#lx and %#lx, wanted %#lx and %#lx",
            OP_NAME[call.op], call.a, offset, kind, got.value, got.word, wanted.value,
            wanted.word);
    REQUIRE(same_world(&wanted_world, &world), "%s(%#lx) at +%ld, disturbance %d: the world",
            OP_NAME[call.op], call.a, offset, kind);
    return hit;
}

static u64 shape(u64 count, u64 capacity) {
    return header(BEGIN + count, BEGIN + capacity, 0);
}

static const u32 OWNERS[] = {HERE_INDEX, THERE_INDEX, UINT32_MAX};
static const int COUNTS[] = {0, 1, 5, CAPACITY};

static unsigned long each_state(struct call call, u32 *at) {
    unsigned long hits = 0;
    for (kind = NOTHING; kind < KINDS; kind++)
        for (unsigned c = 0; c < 4; c++)
            for (unsigned o = 0; o < (call.op >= TAKE ? 3 : 1); o++)
                for (int gone = 0; gone < 3; gone++) {
                    reset(COUNTS[c], 3, OWNERS[o]);
                    if (gone == 1) cidalloc_rseq_area.cpu_id = -1;
                    if (gone == 2) table[HERE_INDEX] = miss;
                    hits += try_one(call, at);
                }
    return hits;
}

#include "instructions.h"

static unsigned long every_instruction_of_every_window(void) {
    const struct call calls[] = {
        {POP, 0, 0},           {PUSH, 0x6000, 0},      {POP_BATCH, 0, 0},  {POP_BATCH, 3, 0},
        {POP_BATCH, BATCH, 0}, {PUSH_BATCH, 0, 5},     {PUSH_BATCH, 3, 5}, {PUSH_BATCH, BATCH, 5},
        {PUSH_BATCH, 3, 4},    {PUSH_BATCH, 3, 0},     {PUSH_ON_NODE, 0x6000, 5},
        {PUSH_ON_NODE, 0x6000, 4}, {PUSH_ON_NODE, 0x6000, 0},
        {TAKE, 0x0ff0, 0},     {TAKE, UINT64_MAX, 0},  {PUT, 0x0ff0, 0},   {PUT, 0, 0},
        {RESHAPE, shape(5, CAPACITY), shape(5, 6)},    {RESHAPE, shape(0, CAPACITY), shape(0, 0)},
        {RESHAPE, shape(1, CAPACITY - 1), shape(1, 1)}};
    return at_every_instruction(calls, sizeof calls / sizeof *calls);
}

// A shard that is made inactive gets its slots and its sentinel by the first reshape.
static void first_shape_brings_its_sentinel(void) {
    reset(0, 0, HERE_INDEX);
    world.shard[HERE][CLASS] = header(1, 1, 9);
    world.shard[HERE][BEGIN - 1] = 0;
    REQUIRE(run((struct call){POP, 0, 0}).value == 1, "an inactive class must miss");
    REQUIRE(run((struct call){PUSH, 0x6000, 0}).value == 0, "an inactive class must be full");
    REQUIRE(run((struct call){POP_BATCH, BATCH, 0}).value == 0, "an inactive class must be empty");
    REQUIRE(run((struct call){RESHAPE, header(1, 1, 0), shape(0, 4)}).value == 1, "first shape");
    REQUIRE(world.shard[HERE][CLASS] == header(BEGIN, BEGIN + 4, 9), "ops must stay");
    REQUIRE(run((struct call){POP, 0, 0}).value == 1, "the sentinel must be there");
}

static void cpu_numbers_may_be_the_ids(void) {
    struct anchor by_id = anchor;
    reset(2, 4, HERE_INDEX);
    anchor.ids = anchor.area;
    cidalloc_rseq_area.node_id = 7;
    cidalloc_rseq_area.cpu_id_start = 2; // equal to cpu_id in life, not here: both must count
    cidalloc_rseq_area.cpu_id = 5;
    cidalloc_rseq_area.mm_cid = 1;
    REQUIRE(run((struct call){POP, 0, 0}).value == 0x2030, "the pair (2, 5) is THERE");
    anchor = by_id;
}

static void *own_area_starts_unregistered(void *unused) {
    struct area *area = (void *)((char *)__builtin_thread_pointer() + cidalloc_rseq_own_offset());
    REQUIRE(area == &cidalloc_rseq_area && (u64)area % 32 == 0, "offset of the own area");
    REQUIRE(area->cpu_id == -1 && !area->rseq_cs && !area->mm_cid, "content of the own area");
    return unused;
}

int main(void) {
    pthread_t thread;
    own_area_starts_unregistered(NULL);
    REQUIRE(!pthread_create(&thread, NULL, own_area_starts_unregistered, NULL), "no thread");
    pthread_join(thread, NULL);
    REQUIRE(cidalloc_rseq_libc_offset() == &__rseq_offset, "address of __rseq_offset");
    REQUIRE(cidalloc_rseq_libc_size() == &__rseq_size, "address of __rseq_size");

    handle_breaks();
    for (int i = 0; i < 256; i++) miss[i] = header(3, 3, 0);
    for (int i = 256; i < WORDS; i++) miss[i] = 0; // past a stopped shard's headers: bait
    for (int i = 0; i < TABLE; i++) table[i] = miss;
    anchor = (struct anchor){.area = cidalloc_rseq_own_offset(), .table = table};
    anchor.ids = anchor.area + 20;

    cpu_numbers_may_be_the_ids();
    first_shape_brings_its_sentinel();
    unsigned long interruptions = every_instruction_of_every_window();
    for (int i = 0; i < WORDS; i++)
        REQUIRE(miss[i] == (i < 256 ? header(3, 3, 0) : 0), "a stopped shard was written");
    printf("ok: %d sections as the contract says, %lu interruptions, libc has rseq words: %s\n",
           OPS, interruptions, &__rseq_size ? "yes" : "no");
    return 0;
}
