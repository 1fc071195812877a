// The world of the arm64 test, and the contract of src/cs/mod.rs in C, line by line.
//
//   table[node << 13 | id]     world.shard[HERE]    header[0] ... header[255] | 1 p p p . . . .
//     HERE_INDEX  ---------->                       class 7: cur, end, ops      ^ BEGIN = 257
//     THERE_INDEX ---------->  world.shard[THERE]   the same, with other objects
//     all others  ---------->  miss                 every header cur = end = 3: stopped

#pragma once
#include "interrupt.h"

struct anchor {
    intptr_t area, ids;
    u64 *const *table;
};
struct outcome {
    u64 is_owner, word;
};

enum { CLASS = 7, BEGIN = 257, CAPACITY = 8, WORDS = BEGIN + CAPACITY, BATCH = 12 };
enum { HERE, THERE, SHARDS };
// What header 0 of HERE and THERE says, unlike the nodes by which they are indexed.
static const u64 NODE[SHARDS] = {5, 4};
enum { CID_BITS = 13, HERE_INDEX = 1, THERE_INDEX = 2 << CID_BITS | 5, TABLE = 3 << CID_BITS };

// What sections work on: all that anybody but the interrupted thread can see.
struct world {
    u64 shard[SHARDS][WORDS];
    u64 word;
    u32 owner;
};

enum op { POP, PUSH, PUSH_ON_NODE, POP_BATCH, PUSH_BATCH, RESHAPE, TAKE, PUT, OPS };
static const char *const OP_NAME[OPS] = {"pop",        "push",    "push_on_node", "pop_batch",
                                         "push_batch", "reshape", "take",         "put"};

// One call: `a` is the object, the mask, `max`, `len` or the expected shape; `b` the new shape
// or the node.
struct call {
    enum op op;
    u64 a, b;
};
// What a caller gets: a value and, from take and put, the word; from pop_batch, the buffer.
struct result {
    u64 value, word, buf[BATCH];
};

static inline u64 header(u64 cur, u64 end, u64 ops) {
    return cur | end << 16 | ops << 32;
}
static inline u64 cur_of(u64 h) { return h & 0xffff; }
static inline u64 end_of(u64 h) { return h >> 16 & 0xffff; }
static inline u64 min_of(u64 a, u64 b) { return a < b ? a : b; }

// The objects that push_batch gives.
static inline u64 given(u64 i) { return 0x5000 + 16 * i; }

// The contract. `shard` is the current one's words in `w`, null where it is stopped, and
// `index` the current index, -1 where the thread is not registered.
static inline struct result contract(struct world *w, u64 *shard, int64_t index,
                                     struct call call) {
    struct result r = {0};
    u64 none = header(3, 3, 0);
    u64 *word = shard ? &shard[CLASS] : &none;
    u64 h = *word, cur = cur_of(h), end = end_of(h), high = h >> 32 << 32, n, i;
    bool there = index >= 0;
    switch (call.op) {
    case POP: // the caller learns only that it is odd
        r.value = 1;
        if (there && shard && !(shard[cur - 1] & 1)) {
            r.value = shard[cur - 1];
            *word = header(cur - 1, end, (u32)((h >> 32) + 1));
        }
        break;
    case PUSH_ON_NODE:
    case PUSH:
        if (call.op == PUSH_ON_NODE && (!shard || shard[0] >> 32 != call.b)) break;
        if (there && cur != end) {
            r.value = true;
            shard[cur] = call.a;
            *word = header(cur + 1, end, (u32)((h >> 32) + 1));
        }
        break;
    case POP_BATCH:
        n = there && cur > BEGIN ? min_of(cur - BEGIN, call.a) : 0;
        for (i = 0; i < n; i++) r.buf[i] = shard[cur - n + i];
        if (n) *word = high | header(cur - n, end, 0);
        r.value = n;
        break;
    case PUSH_BATCH:
        n = there && shard && shard[0] >> 32 == call.b ? min_of(end - cur, call.a) : 0;
        for (i = 0; i < n; i++) shard[cur + i] = given(i);
        if (n) *word = high | header(cur + n, end, 0);
        r.value = n;
        break;
    case RESHAPE:
        if (there && (u32)h == (u32)call.a) {
            r.value = true;
            shard[BEGIN - 1] = 1;
            *word = high | (u32)call.b;
        }
        break;
    case TAKE:
        if (there && index == w->owner) {
            r.value = true;
            r.word = w->word & call.a;
            w->word &= ~call.a;
        }
        break;
    case PUT:
        if (there && index == w->owner) {
            r.value = true;
            r.word = w->word;
            w->word |= call.a;
        }
        break;
    case OPS:
        break;
    }
    return r;
}

// Whether everybody sees the same in both; slots from cur on are nobody's.
static inline bool same_world(const struct world *a, const struct world *b) {
    for (int s = 0; s < SHARDS; s++) {
        if (memcmp(a->shard[s], b->shard[s], 8 * 256)) return false;
        u64 cur = cur_of(a->shard[s][CLASS]);
        if (cur > BEGIN && memcmp(&a->shard[s][BEGIN], &b->shard[s][BEGIN], 8 * (cur - BEGIN)))
            return false;
        if (a->shard[s][BEGIN - 1] != b->shard[s][BEGIN - 1]) return false;
    }
    return a->word == b->word && a->owner == b->owner;
}
