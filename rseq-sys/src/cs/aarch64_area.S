// The own rseq area on arm64, and where libc keeps its: for registration.rs.
//
//   .tdata   cidalloc_rseq_area   32 bytes, cpu_id -1 (at 4) until the kernel fills it
//   .tbss    cidalloc_lease       8 bytes, the address of the thread's lease: for lease.rs
//
// The text goes through a Rust format string and two assemblers: no braces, no preprocessor.

        .pushsection .tdata.cidalloc_rseq_area, "awT", %progbits
        .balign 32
        .globl  cidalloc_rseq_area
        .hidden cidalloc_rseq_area
        .type   cidalloc_rseq_area, %object
cidalloc_rseq_area:
        .long   0, -1, 0, 0, 0, 0, 0, 0
        .size   cidalloc_rseq_area, 32
        .popsection

        .pushsection .tbss.cidalloc_lease, "awT", %nobits
        .balign 8
        .globl  cidalloc_lease
        .hidden cidalloc_lease
        .type   cidalloc_lease, %object
cidalloc_lease:
        .zero   8
        .size   cidalloc_lease, 8
        .popsection

        .weak   __libc_single_threaded
        .weak   __rseq_offset
        .weak   __rseq_size

        .macro  cidalloc_getter name
        .pushsection .text.\name, "ax", %progbits
        .balign 4
        .globl  \name
        .hidden \name
        .type   \name, %function
\name:
        .cfi_startproc
        hint    #34                             // bti c
        .endm

        .macro  cidalloc_getter_end name
        ret
        .cfi_endproc
        .size   \name, . - \name
        .popsection
        .endm

// -> x0 from the thread pointer to the own area: initial-exec, filled in by the loader
        cidalloc_getter cidalloc_rseq_own_offset
        adrp    x0, :gottprel:cidalloc_rseq_area
        ldr     x0, [x0, :gottprel_lo12:cidalloc_rseq_area]
        cidalloc_getter_end cidalloc_rseq_own_offset

// -> x0 from the thread pointer to the word of the thread's lease
        cidalloc_getter cidalloc_lease_offset
        adrp    x0, :gottprel:cidalloc_lease
        ldr     x0, [x0, :gottprel_lo12:cidalloc_lease]
        cidalloc_getter_end cidalloc_lease_offset

// -> x0 address of libc's word, null where libc has none
        cidalloc_getter cidalloc_libc_single_threaded
        adrp    x0, :got:__libc_single_threaded
        ldr     x0, [x0, :got_lo12:__libc_single_threaded]
        cidalloc_getter_end cidalloc_libc_single_threaded

        cidalloc_getter cidalloc_rseq_libc_offset
        adrp    x0, :got:__rseq_offset
        ldr     x0, [x0, :got_lo12:__rseq_offset]
        cidalloc_getter_end cidalloc_rseq_libc_offset

        cidalloc_getter cidalloc_rseq_libc_size
        adrp    x0, :got:__rseq_size
        ldr     x0, [x0, :got_lo12:__rseq_size]
        cidalloc_getter_end cidalloc_rseq_libc_size

        .purgem cidalloc_getter
        .purgem cidalloc_getter_end
