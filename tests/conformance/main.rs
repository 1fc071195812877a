//! What the C standard, POSIX and glibc's manual promise of the malloc family.
//!
//! ```text
//!   results.c      ordinary results, special cases of size zero and null, sized frees
//!   errors.c       ENOMEM and EINVAL, and what a refusal leaves untouched
//!   alignment.c    alignment of all blocks, requested and odd alignments
//!   content.c      zeroed, kept, shared with nobody
//!   errno.c        free keeps errno
//!   exhaustion.c   the end of memory under RLIMIT_AS
//!   mixing.c       made by one name, resized and freed by others, glibc's second names among them
//!   reports.c      mallinfo, malloc_stats, malloc_info, mallopt, malloc_trim
//! ```
//!
//! One test per case of a program, each in a process of its own.

use cidalloc_tests::{Limits, passes, passes_with};

const MIB: u64 = 1 << 20;

macro_rules! cases {
    ($source:literal: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                passes(concat!("conformance/", $source), stringify!($case));
            }
        )*
    };
}

cases! { "results.c":
    whole_family_comes_from_one_library
    zero_size_gives_unique_blocks
    free_of_null_does_nothing
    realloc_of_null_is_malloc
    realloc_to_zero_frees
    usable_size_is_enough_and_writable
    aligned_blocks_have_usable_sizes_too
    sized_free_takes_blocks_of_every_size
    sized_free_takes_aligned_blocks
    cfree_is_free
    reallocarray_multiplies
}

cases! { "errors.c":
    too_large_requests_say_enomem
    too_large_posix_memalign_returns_enomem
    too_large_alignments_are_refused
    overflowing_products_say_enomem
    refused_realloc_leaves_the_old_block
    posix_memalign_returns_einval_and_touches_nothing
    malloc_info_rejects_options
}

cases! { "alignment.c":
    blocks_fit_every_type_of_their_size
    every_power_of_two_is_kept_up_to_one_gib
    many_aligned_blocks_live_side_by_side
    aligned_blocks_can_be_reallocated
    odd_alignments_of_memalign_are_rounded_up
    odd_alignments_of_aligned_alloc_are_refused_or_rounded_up
    size_need_not_be_a_multiple_of_the_alignment
    valloc_gives_whole_pages
    pvalloc_rounds_up_to_pages
}

cases! { "content.c":
    calloc_zeroes_fresh_and_recycled_memory
    calloc_zeroes_large_recycled_memory
    realloc_keeps_content_up_to_64_mib_and_back
    realloc_in_small_steps_keeps_content
    live_blocks_do_not_overlap
    threads_exchange_blocks_unharmed
}

cases! { "errno.c":
    free_keeps_errno
    sized_frees_keep_errno
    free_keeps_errno_when_the_kernel_refuses
}

cases! { "mixing.c":
    every_name_makes_resizes_and_frees_every_other_names_blocks
    every_name_gives_the_memory_back
    aligned_blocks_are_resized_and_freed_like_others
    sized_frees_take_blocks_of_posix_memalign
    usable_bytes_of_every_origin_are_the_blocks_own
}

cases! { "reports.c":
    mallinfo2_follows_what_is_in_use
    mallinfo_is_mallinfo2_in_ints
    malloc_stats_writes_to_stderr_alone
    malloc_info_writes_one_document
    mallopt_takes_the_known_parameters
    malloc_trim_returns_freed_memory
}

fn within(mib: u64, case: &str) {
    let limits = Limits { address_space: Some(mib * MIB), ..Limits::default() };
    passes_with("conformance/exhaustion.c", case, &limits);
}

#[test]
fn exhaustion_by_tiny_blocks_is_refused_and_survived() {
    within(256, "tiny_blocks");
}

#[test]
fn exhaustion_by_page_sized_blocks_is_refused_and_survived() {
    within(256, "page_sized_blocks");
}

#[test]
fn exhaustion_by_medium_blocks_is_refused_and_survived() {
    within(256, "medium_blocks");
}

#[test]
fn exhaustion_by_large_blocks_is_refused_and_survived() {
    within(256, "large_blocks");
}

#[test]
fn exhaustion_by_huge_blocks_is_refused_and_survived() {
    within(256, "huge_blocks");
}

#[test]
fn threads_may_exhaust_memory_together() {
    within(256, "threads_exhaust_memory_together");
}

#[test]
fn nothing_crashes_when_no_mapping_succeeds_any_more() {
    within(1024, "nothing_more_can_be_mapped");
}

#[test]
fn small_programs_run_in_little_address_space() {
    for mib in [128, 64, 32] {
        within(mib, "small_program_works");
    }
}
