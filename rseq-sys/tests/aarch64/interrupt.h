// What both programs that interrupt sections have: the area, descriptors, breakpoints.
//
//     str rseq_cs      the section is armed
//     ...
//     brk              put in place of this instruction: the handler plays the kernel and
//     ...              the other threads (restores it, disturbs, goes to the abort address)
//     stlr
//
// No kernel support is needed, so that it also runs under user mode emulation.

#pragma once
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;

// The crate's own thread-local variable; a test writes the kernel's fields.
struct area {
    u32 cpu_id_start;
    int32_t cpu_id;
    u64 rseq_cs;
    u32 flags, node_id, mm_cid, reserved;
};

#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN extern __thread struct area cidalloc_rseq_area;
HIDDEN extern const struct cs {
    u32 version, flags;
    u64 start, length, abort;
} __start___rseq_cs[], __stop___rseq_cs[];

intptr_t cidalloc_rseq_own_offset(void);

#define REQUIRE(condition, ...)                                                              \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            printf("FAILED: " __VA_ARGS__);                                                  \
            printf(" (%s, line %d)\n", #condition, __LINE__);                                \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

static u32 *breakpoint, saved;
static const struct cs *section;
static bool hit;

// What happens between a preemption and the restart: the program's own.
static void disturb_now(void);

static void poke(u32 *at, u32 instruction) {
    *(volatile u32 *)at = instruction;
    __builtin___clear_cache((char *)at, (char *)(at + 1));
}

static void on_break(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *uc = context;
    REQUIRE(uc->uc_mcontext.pc == (u64)breakpoint, "a trap that is not ours");
    REQUIRE(cidalloc_rseq_area.rseq_cs == (u64)section, "the section is not armed");
    poke(breakpoint, saved);
    hit = true;
    cidalloc_rseq_area.rseq_cs = 0; // as the kernel does
    disturb_now();
    // Leaves garbage where the abort code may not look for anything.
    uc->uc_mcontext.regs[16] = uc->uc_mcontext.regs[17] = 0x1616161616161616;
    uc->uc_mcontext.pc = section->abort;
}

static void handle_breaks(void) {
    struct sigaction action = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO};
    REQUIRE(!sigaction(SIGTRAP, &action, NULL), "no handler");
}

static void set_breakpoint(u32 *at) {
    breakpoint = at;
    hit = false;
    if (at) {
        saved = *at;
        poke(at, 0xd4200000); // brk #0
    }
}

// The section behind a call, which may have come by its breakpoint.
static void lift_breakpoint(const char *name) {
    if (breakpoint && !hit) poke(breakpoint, saved);
    REQUIRE(cidalloc_rseq_area.rseq_cs == (u64)section, "%s: not armed again", name);
}

// Makes section number `number` the one to interrupt.
static void open_section(int number, const char *name) {
    section = &__start___rseq_cs[number];
    REQUIRE((u64)section % 32 == 0 && !section->version && !section->flags, "%s", name);
    REQUIRE(((u32 *)section->abort)[-1] == 0xd428bc00, "signature of %s", name);
    u64 page = sysconf(_SC_PAGESIZE), from = section->start & -page;
    u64 length = (section->start + section->length - from + page - 1) & -page;
    REQUIRE(!mprotect((void *)from, length, PROT_READ | PROT_WRITE | PROT_EXEC),
            "the text cannot be made writable");
}
