// Runs the watcher's section of src/soundness/aarch64.S, whose three ends must be told apart:
//
//   quiet     nobody ticks, turns are over
//   ticked    another thread ticks, and nobody aborts
//   aborted   a brk in place of each instruction of the window: the handler plays the kernel,
//             with and without a tick before
//
// The area is a plain one, which no kernel knows.

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;

enum left { QUIET, TICKED, ABORTED };
struct outcome {
    u64 left, before;
};
struct area {
    u32 cpu_id_start, cpu_id;
    u64 rseq_cs;
    u32 rest[4];
};

struct outcome cidalloc_rseq_watch(struct area *, volatile u32 *ticks, u64 turns, u64 armed);
__attribute__((visibility("hidden"))) extern const struct cs {
    u32 version, flags;
    u64 start, length, abort;
} __start___rseq_cs[];

static struct area area;
static volatile u32 ticks;
static u32 *breakpoint, saved;
static bool hit, ticks_first;

#define REQUIRE(condition)                                                                   \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            printf("FAILED: %s (line %d)\n", #condition, __LINE__);                          \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

static void poke(u32 *at, u32 instruction) {
    *(volatile u32 *)at = instruction;
    __builtin___clear_cache((char *)at, (char *)(at + 1));
}

static void on_break(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *uc = context;
    REQUIRE(uc->uc_mcontext.pc == (u64)breakpoint);
    poke(breakpoint, saved);
    hit = true;
    if (ticks_first) ticks++;
    if (area.rseq_cs == 0) return; // the kernel knows of no section
    REQUIRE(area.rseq_cs == (u64)__start___rseq_cs);
    area.rseq_cs = 0;
    uc->uc_mcontext.regs[16] = uc->uc_mcontext.regs[17] = 0x1616161616161616;
    uc->uc_mcontext.pc = __start___rseq_cs->abort;
}

static struct outcome interrupted(u32 *at, bool tick, u64 armed) {
    breakpoint = at;
    ticks_first = tick;
    hit = false;
    ticks = 41;
    saved = *at;
    poke(at, 0xd4200000); // brk #0
    struct outcome o = cidalloc_rseq_watch(&area, &ticks, 3, armed);
    if (!hit) poke(at, saved);
    REQUIRE(area.rseq_cs == 0);
    return o;
}

static void *tick(void *unused) {
    usleep(2000);
    ticks++;
    return unused;
}

int main(void) {
    const struct cs *cs = __start___rseq_cs;
    struct sigaction action = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO};
    REQUIRE(!sigaction(SIGTRAP, &action, NULL));
    REQUIRE((u64)cs % 32 == 0 && !cs->version && !cs->flags);
    REQUIRE(((u32 *)cs->abort)[-1] == 0xd428bc00);
    u64 page = sysconf(_SC_PAGESIZE), from = cs->start & -page;
    u64 length = (cs->start + cs->length - from + page - 1) & -page;
    REQUIRE(!mprotect((void *)from, length, PROT_READ | PROT_WRITE | PROT_EXEC));

    ticks = 7;
    struct outcome o = cidalloc_rseq_watch(&area, &ticks, 1000, ~0ull);
    REQUIRE(o.left == QUIET && o.before == 7 && area.rseq_cs == 0);

    pthread_t thread;
    REQUIRE(!pthread_create(&thread, NULL, tick, NULL));
    o = cidalloc_rseq_watch(&area, &ticks, UINT64_MAX, ~0ull);
    REQUIRE(o.left == TICKED && o.before == 7 && ticks == 8);
    pthread_join(thread, NULL);

    unsigned aborts = 0, unreached = 0, seen = 0;
    for (u64 at = cs->start; at < cs->start + cs->length; at += 4)
        for (int t = 0; t < 2; t++) {
            o = interrupted((u32 *)at, t, ~0ull);
            REQUIRE(o.before == 41);
            if (hit) REQUIRE(o.left == ABORTED && ticks == 41u + t);
            aborts += hit;
            unreached += !hit;
            o = interrupted((u32 *)at, t, 0);
            REQUIRE(o.left != ABORTED);
            // A tick before the first load is the beginning; the last instruction is reached
            // when all turns are over.
            bool last = at == cs->start + cs->length - 4;
            if (hit && t && o.before == 41) REQUIRE(o.left == (last ? QUIET : TICKED));
            seen += o.left == TICKED;
        }
    REQUIRE(aborts && unreached == 0 && seen);
    printf("ok: %u aborts told, %u ticks seen without them\n", aborts, seen);
    return 0;
}
