// The sections on arm64: out of line functions by AAPCS64, hidden, leaves without a frame.
// The contract is in mod.rs, the model is x86_64.rs, the declarations are in aarch64.rs; what
// stands around a window is in aarch64_frame.S, of which the text begins.
//
//   window: x15 shard index then base, x12 address of the header, x14 header,
//           x16 and x17 scratch; arguments stay as they came, the result grows in x0
//
// x0 is the anchor until label 2 and the result from then on, so every window sets it before it
// may leave.
//
// The header is loaded by load-acquire and committed by store-release, as one word. In take
// and put the owner and the word are loaded so: the word must not be older than the owner.

        .equ    CIDALLOC_CID_BITS, 13

// Begins a window: the shard's index to x15, and the outcome of a miss to x0. A thread that is
// not registered leaves with it.
        .macro  cidalloc_begin_window miss
        cidalloc_arm
        mov     x0, #\miss
        ldr     w16, [x9, #CIDALLOC_CPU_ID]
        tbnz    w16, #31, 4f
        ldp     w15, w16, [x10]
        add     w15, w16, w15, lsl #CIDALLOC_CID_BITS
        .endm

// Within a window: the shard's base to x15, the header of class x1 to x14, its address to x12.
        .macro  cidalloc_load_header
        ldr     x15, [x11, x15, lsl #3]
        add     x12, x15, x1, lsl #3
        ldar    x14, [x12]
        .endm

// x0 anchor, x1 class -> x0 object, or odd
        cidalloc_section pop
        mov     w3, #0xffffffff                 // cur - 1, ops + 1
        cidalloc_begin_window 1
        cidalloc_load_header
        and     x16, x14, #0xffff
        add     x16, x15, x16, lsl #3
        ldr     x0, [x16, #-8]
        tbnz    x0, #0, 4f
        add     x14, x14, x3
        cidalloc_commit pop, x14, x12

// x0 anchor, x1 class, x2 object -> x0 room that there was, 0 for a full class
        cidalloc_section push
        mov     x3, #1
        movk    x3, #1, lsl #32                 // cur + 1, ops + 1
        cidalloc_begin_window 0
        cidalloc_load_header
        ubfx    x16, x14, #16, #16
        and     x17, x14, #0xffff
        subs    x0, x16, x17
        b.eq    4f
        str     x2, [x15, x17, lsl #3]
        add     x14, x14, x3
        cidalloc_commit push, x14, x12

// x0 anchor, x1 class, x2 object, w3 node -> x0 room that there was, 0 for a full class, too
        cidalloc_section push_on_node
        mov     x4, #1
        movk    x4, #1, lsl #32                 // cur + 1, ops + 1
        cidalloc_begin_window 0
        cidalloc_load_header
        ldr     w16, [x15, #4]
        cmp     w16, w3
        b.ne    4f
        ubfx    x16, x14, #16, #16
        and     x17, x14, #0xffff
        subs    x0, x16, x17
        b.eq    4f
        str     x2, [x15, x17, lsl #3]
        add     x14, x14, x4
        cidalloc_commit push_on_node, x14, x12

// x0 anchor, x1 class, x2 begin, x3 buf, x4 max -> x0 popped
        cidalloc_section pop_batch
        cidalloc_begin_window 0
        cidalloc_load_header
        and     x5, x14, #0xffff
        subs    x6, x5, x2                      // signed: a stopped shard's cur is below begin
        b.le    4f
        cmp     x6, x4
        csel    x6, x6, x4, ls
        cbz     x6, 4f
        sub     x5, x5, x6
        add     x5, x15, x5, lsl #3
        sub     x14, x14, x6
7:
        ldr     x7, [x5, x0, lsl #3]
        str     x7, [x3, x0, lsl #3]
        add     x0, x0, #1
        cmp     x0, x6
        b.lo    7b
        cidalloc_commit pop_batch, x14, x12

// x0 anchor, x1 class, x2 buf, x3 len, w4 node -> x0 pushed
        cidalloc_section push_batch
        cidalloc_begin_window 0
        cidalloc_load_header
        ldr     w16, [x15, #4]
        cmp     w16, w4
        b.ne    4f
        ubfx    x6, x14, #16, #16
        and     x5, x14, #0xffff
        sub     x6, x6, x5
        cmp     x6, x3
        csel    x6, x6, x3, ls
        cbz     x6, 4f
        add     x5, x15, x5, lsl #3
        add     x14, x14, x6
7:
        ldr     x7, [x2, x0, lsl #3]
        str     x7, [x5, x0, lsl #3]
        add     x0, x0, #1
        cmp     x0, x6
        b.lo    7b
        cidalloc_commit push_batch, x14, x12

// x0 anchor, x1 class, x2 begin, w3 expected, w4 new -> x0 whether done
        cidalloc_section reshape
        mov     w4, w4
        cidalloc_begin_window 0
        cidalloc_load_header
        cmp     w14, w3
        b.ne    4f
        mov     x0, #1
        add     x16, x15, x2, lsl #3
        str     x0, [x16, #-8]                  // the sentinel
        and     x14, x14, #0xffffffff00000000
        orr     x14, x14, x4
        cidalloc_commit reshape, x14, x12

// x0 anchor, x1 owner, x2 word, x3 mask -> x0 whether it is the owner, x1 bits taken
        cidalloc_section take
        mov     x4, x1
        cidalloc_begin_window 0
        ldar    w5, [x4]
        cmp     w5, w15
        b.ne    4f
        ldar    x14, [x2]
        and     x1, x14, x3
        bic     x14, x14, x3
        mov     x0, #1
        cidalloc_commit take, x14, x2

// x0 anchor, x1 owner, x2 word, x3 mask -> x0 whether it is the owner, x1 the word before
        cidalloc_section put
        mov     x4, x1
        cidalloc_begin_window 0
        ldar    w5, [x4]
        cmp     w5, w15
        b.ne    4f
        ldar    x1, [x2]
        orr     x14, x1, x3
        mov     x0, #1
        cidalloc_commit put, x14, x2

        .purgem cidalloc_section
        .purgem cidalloc_begin_window
        .purgem cidalloc_load_header
        .purgem cidalloc_commit
        .purgem cidalloc_end
        .purgem cidalloc_arm
