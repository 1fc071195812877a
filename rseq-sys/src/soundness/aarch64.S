// The watcher's section on arm64: out of line by AAPCS64, hidden, a leaf without a frame.
// The model is x86_64.rs, the declaration is in aarch64.rs.
//
//   x0 area, x1 address of the ticks, x2 turns, x3 all ones if armed, else 0
//   -> x0 how it was left: 0 turns over, 1 saw a tick, 2 aborted;  x1 ticks at the beginning
//
// Nothing lives in x16 and x17, which a veneer between the abort code and label 4 may change.
//
// The text goes through a Rust format string and two assemblers: no braces, no preprocessor.

        .pushsection .text.cidalloc_rseq_watch, "ax", %progbits
        .balign 16
        .globl  cidalloc_rseq_watch
        .hidden cidalloc_rseq_watch
        .type   cidalloc_rseq_watch, %function
cidalloc_rseq_watch:
        .cfi_startproc
        hint    #34                             // bti c
        adrp    x4, .Lcidalloc_rseq_cs_watch
        add     x4, x4, :lo12:.Lcidalloc_rseq_cs_watch
        and     x4, x4, x3
        ldr     w5, [x1]                        // for an abort before the window's first load
        str     x4, [x0, #8]                    // arms rseq_cs
3:
        ldr     w5, [x1]
        mov     w6, #1
7:
        ldr     w7, [x1]
        cmp     w7, w5
        b.ne    4f
        subs    x2, x2, #1
        b.ne    7b
        mov     w6, #0
4:
        str     xzr, [x0, #8]
        mov     x0, x6
        mov     x1, x5
        ret
        .cfi_endproc
        .size   cidalloc_rseq_watch, . - cidalloc_rseq_watch

        .pushsection .text.rseq_preempted_or_signalled, "ax", %progbits
        .balign 4
        .cfi_startproc
        .inst   0xd428bc00                      // the signature
5:
        mov     w6, #2
        b       4b
        .cfi_endproc
        .popsection

        .pushsection __rseq_cs, "aw", %progbits
        .balign 32
.Lcidalloc_rseq_cs_watch:
        .long   0, 0
        .quad   3b, 4b - 3b, 5b
        .popsection
        .popsection
