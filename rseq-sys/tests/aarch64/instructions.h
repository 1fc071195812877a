// Calls that are interrupted at every instruction of every window. For who has `enum op`, `OP_NAME`,
// `struct call` and `each_state`.
#pragma once

// As often as it is returned; the descriptors must be those of the sections.
static unsigned long at_every_instruction(const struct call *calls, unsigned count) {
    unsigned long interruptions = 0;
    REQUIRE(__stop___rseq_cs - __start___rseq_cs == OPS, "the descriptors are not %d", OPS);
    for (int op = 0; op < OPS; op++) {
        open_section(op, OP_NAME[op]);
        for (unsigned i = 0; i < count; i++)
            if (calls[i].op == (enum op)op) each_state(calls[i], NULL);
        for (u64 at = section->start; at < section->start + section->length; at += 4) {
            unsigned long hits = 0;
            for (unsigned i = 0; i < count; i++)
                if (calls[i].op == (enum op)op) hits += each_state(calls[i], (u32 *)at);
            REQUIRE(hits, "%s: the instruction at +%lu was never reached", OP_NAME[op],
                    at - section->start);
            interruptions += hits;
        }
    }
    return interruptions;
}
