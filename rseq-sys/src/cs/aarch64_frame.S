// The frame of all sections on arm64: what stands around a window. Put before their text, which
// drops its macros at the end; by itself it assembles to nothing.
//
//   entry:  anchor -> x9 area, x10 address of the ids, x11 table
//   2:      arm: rseq_cs = descriptor (x13)          <- abort comes back here
//   3:      window
//           stlr                                     <- the commit store, always last
//   4:      ret
//
// What is live across label 2 is in x0 to x15 only: the linker may put a veneer, which
// changes x16 and x17, between the abort code and label 2.
//
// The text goes through a Rust format string and two assemblers: no braces, no preprocessor.

        .equ    CIDALLOC_ANCHOR_AREA, 0
        .equ    CIDALLOC_ANCHOR_IDS, 8
        .equ    CIDALLOC_ANCHOR_TABLE, 16
        .equ    CIDALLOC_CPU_ID, 4
        .equ    CIDALLOC_RSEQ_CS, 8
        .equ    CIDALLOC_SIGNATURE, 0xd428bc00

// Opens a function and resolves the anchor. The hint is `bti c`, a landing pad for long
// calls by way of a veneer, and does nothing on older processors.
        .macro  cidalloc_section name
        .pushsection .text.cidalloc_rseq_\name, "ax", %progbits
        .balign 16
        .globl  cidalloc_rseq_\name
        .hidden cidalloc_rseq_\name
        .type   cidalloc_rseq_\name, %function
cidalloc_rseq_\name:
        .cfi_startproc
        hint    #34
        ldp     x9, x10, [x0, #CIDALLOC_ANCHOR_AREA]
        ldr     x11, [x0, #CIDALLOC_ANCHOR_TABLE]
        mrs     x12, tpidr_el0
        add     x9, x12, x9
        add     x10, x12, x10
        adrp    x13, .Lcidalloc_rseq_cs_\name
        add     x13, x13, :lo12:.Lcidalloc_rseq_cs_\name
        .endm

// Arms the section and begins its window.
        .macro  cidalloc_arm
2:
        str     x13, [x9, #CIDALLOC_RSEQ_CS]
3:
        .endm

// Ends the window with the store of `value` to `address`.
        .macro  cidalloc_commit name, value, address
        stlr    \value, [\address]
        cidalloc_end \name
        .endm

// Ends the window, returns, and leaves the abort code and the descriptor in their sections. A
// profiler's signal lands on the abort code: hence its own frame description.
        .macro  cidalloc_end name
4:
        ret
        .cfi_endproc
        .size   cidalloc_rseq_\name, . - cidalloc_rseq_\name

        .pushsection .text.rseq_preempted_or_signalled, "ax", %progbits
        .balign 4
        .cfi_startproc
        .inst   CIDALLOC_SIGNATURE
5:
        b       2b
        .cfi_endproc
        .popsection

        .pushsection __rseq_cs, "aw", %progbits
        .balign 32
.Lcidalloc_rseq_cs_\name:
        .long   0, 0
        .quad   3b, 4b - 3b, 5b
        .popsection
        .popsection
        .endm

