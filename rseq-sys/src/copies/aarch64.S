// The sections on copies on arm64. The contract is in mod.rs, the model is x86_64.rs, the
// declarations are in aarch64.rs; what stands around a window is in cs/aarch64_frame.S, of which
// the text begins, where the table is the rows and the anchor is Current.
//
//   before: x8 shift
//   window: x15 distance of the copy, x12 address of the word, x14 scratch that a window sets,
//           x16 and x17 scratch; arguments from x2 on stay as they came
//   result: x0 what (0 no cid, 1 differs, 2 done), x1 the word that was found
//
// The word is loaded by load-acquire and committed by store-release.

        .equ    CIDALLOC_NO_CID, 0
        .equ    CIDALLOC_DIFFERS, 1
        .equ    CIDALLOC_DONE, 2

// Begins a window: the distance of the current copy to x15. A thread that is not registered
// leaves without a cid.
        .macro  cidalloc_find_copy
        mov     x8, x1
        cidalloc_arm
        mov     x0, #CIDALLOC_NO_CID
        ldr     w16, [x9, #CIDALLOC_CPU_ID]
        tbnz    w16, #31, 4f
        ldp     w15, w16, [x10]
        ldr     w15, [x11, x15, lsl #2]
        add     x15, x15, x16
        lsl     x15, x15, x8
        .endm

// Begins a window: the address of the current copy of x2 to x12, too.
        .macro  cidalloc_begin_on_copy
        cidalloc_find_copy
        add     x12, x2, x15
        .endm

// Within a window: the word to x1. Leaves if it is not x3.
        .macro  cidalloc_compare_word
        ldar    x1, [x12]
        mov     x0, #CIDALLOC_DIFFERS
        cmp     x1, x3
        b.ne    4f
        .endm

// x0 current, x1 shift, x2 word, x3 k
        cidalloc_section copies_add
        cidalloc_begin_on_copy
        ldar    x1, [x12]
        add     x14, x1, x3
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_add, x14, x12

// x0 current, x1 shift, x2 word
        cidalloc_section copies_load
        cidalloc_begin_on_copy
        mov     x0, #CIDALLOC_DONE
        ldar    x1, [x12]
        cidalloc_end copies_load

// x0 current, x1 shift, x2 word, x3 expected, x4 new
        cidalloc_section copies_compare_store
        cidalloc_begin_on_copy
        cidalloc_compare_word
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_compare_store, x4, x12

// x0 current, x1 shift, x2 word, x3 expected, x4 other, x5 other expected, x6 new
        cidalloc_section copies_compare_two_store
        cidalloc_begin_on_copy
        add     x16, x4, x15
        ldar    x16, [x16]
        cidalloc_compare_word
        cmp     x16, x5
        csel    x1, x1, x16, eq
        b.ne    4f
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_compare_two_store, x6, x12

// x0 current, x1 shift, x2 word, x3 expected, x4 new, x5 other, x6 other new
        cidalloc_section copies_compare_store_store
        cidalloc_begin_on_copy
        cidalloc_compare_word
        str     x6, [x5, x15]
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_compare_store_store, x4, x12

// x0 current, x1 shift, x2 head, x3 node, x4 next
        cidalloc_section copies_push
        cidalloc_begin_on_copy
        ldar    x1, [x12]
        str     x1, [x3, x4]
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_push, x3, x12

// x0 current, x1 shift, x2 head, x3 next
        cidalloc_section copies_pop
        cidalloc_begin_on_copy
        ldar    x1, [x12]
        mov     x0, #CIDALLOC_DIFFERS
        cbz     x1, 4f
        ldr     x14, [x1, x3]
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_pop, x14, x12

// x0 current, x1 shift, x2 head
        cidalloc_section copies_pop_all
        cidalloc_begin_on_copy
        ldar    x1, [x12]
        mov     x0, #CIDALLOC_DONE
        cbz     x1, 4f
        cidalloc_commit copies_pop_all, xzr, x12

// x0 current, x1 shift, x2 word, x3 expected, x4 new, x5 to, x6 from, x7 len
        cidalloc_section copies_compare_copy_store
        cidalloc_begin_on_copy
        cidalloc_compare_word
        add     x15, x5, x15
        mov     x14, #0
7:
        add     x16, x14, #8
        cmp     x16, x7
        b.hi    8f
        ldr     x17, [x6, x14]
        str     x17, [x15, x14]
        mov     x14, x16
        b       7b
8:
        cmp     x14, x7
        b.hs    9f
        ldrb    w17, [x6, x14]
        strb    w17, [x15, x14]
        add     x14, x14, #1
        b       8b
9:
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_compare_copy_store, x4, x12

// x0 current, x1 shift, x2 route, x3 offset, x4 k
        cidalloc_section copies_add_through
        cidalloc_find_copy
        add     x15, x15, x3
        ldar    x12, [x2]
        tbnz    x12, #0, 4f
        add     x12, x12, x15
        ldar    x1, [x12]
        add     x14, x1, x4
        mov     x0, #CIDALLOC_DONE
        cidalloc_commit copies_add_through, x14, x12

        .purgem cidalloc_section
        .purgem cidalloc_find_copy
        .purgem cidalloc_begin_on_copy
        .purgem cidalloc_compare_word
        .purgem cidalloc_commit
        .purgem cidalloc_end
        .purgem cidalloc_arm
