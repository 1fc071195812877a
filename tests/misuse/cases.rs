//! Every misuse: the program that commits it, and how it ends without and in the hardened mode.
//!
//! ```text
//!  ROWS ─► a test of each mode: every case ends as it says here
//!      ├─► the README's table: always, sometimes, never
//!      └─► compare.rs: the same cases under other allocators
//! ```

use End::{GoesOn, Kill, Line, Maybe, Wild};

/// How a program ends that misuses a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGABRT, after this line and the address.
    Line(&'static str),
    /// By SIGSEGV, at the access.
    Kill,
    /// It goes on, and so does the allocator.
    GoesOn,
    /// As [`Line`], or it goes on: which, depends on what else happened.
    Maybe(&'static str),
    /// It goes on, or by SIGSEGV: depends on what lies there.
    Wild,
}

/// One program's run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) args: &'static [&'static str],
    pub(crate) default: End,
    pub(crate) hardened: End,
}

/// One kind of misuse.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) cases: &'static [Case],
    /// How it is seen by default, and in the hardened mode.
    pub(crate) how: [&'static str; 2],
}

const NOT_OURS: End = Line("free of a pointer that is not ours");
const INTERIOR: End = Line("free of an interior pointer");
const DOUBLE: End = Line("double free");
const FREE: End = Line("use of a free block");

const fn same(name: &'static str, end: End) -> Case {
    Case { source: "misuse/misuse.c", name, args: &[], default: end, hardened: end }
}
const fn uses(
    name: &'static str,
    args: &'static [&'static str],
    default: End,
    hardened: End,
) -> Case {
    Case { source: "misuse/uses.c", name, args, default, hardened }
}
const fn cxx(name: &'static str, hardened: End) -> Case {
    Case { source: "misuse/sized.cc", name, args: &["100"], default: GoesOn, hardened }
}
/// An overflow by one of a block of `args[0]` bytes.
const fn overflow(args: &'static [&'static str], line: &'static str) -> Case {
    uses("overflow_by_one", args, GoesOn, Line(line))
}

const SMALL: &[&str] = &["100"];
const TINY: &[&str] = &["16"];
const MIDDLE: &[&str] = &["5000"];
const LARGE: &[&str] = &["300000"];

pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "free or realloc of an address that the library never gave out: stack, static, \
               other allocator's, unmapped",
        how: ["outside the region, or on a page that was never used", "as by default"],
        cases: &[
            same("free_of_a_stack_address_is_refused", NOT_OURS),
            same("free_of_a_global_is_refused", NOT_OURS),
            same("free_of_a_far_address_is_refused", NOT_OURS),
            same("free_of_an_unmapped_address_is_refused", NOT_OURS),
            same("free_of_a_small_number_is_refused", NOT_OURS),
            same("free_of_a_foreign_mapping_is_refused", NOT_OURS),
            same("realloc_of_a_stack_address_is_refused", NOT_OURS),
        ],
    },
    Row {
        what: "free or realloc of an address inside a block",
        how: [
            "small: no multiple of the class's size from the span's beginning; large: not the \
             first page's beginning",
            "as by default",
        ],
        cases: &[
            same("free_inside_a_small_block_is_refused", INTERIOR),
            same("free_inside_a_medium_block_is_refused", INTERIOR),
            same("free_inside_a_large_block_is_refused", INTERIOR),
            same("free_at_an_odd_address_is_refused", INTERIOR),
            same("realloc_inside_a_small_block_is_refused", INTERIOR),
            same("realloc_inside_a_large_block_is_refused", INTERIOR),
        ],
    },
    Row {
        what: "second free of a large block, before its pages are used again",
        how: ["the page map says that they are free", "a bit per block; it waits meanwhile"],
        cases: &[
            same("second_free_of_a_large_block_is_refused", DOUBLE),
            same("second_free_of_a_large_block_is_refused_in_another_thread", DOUBLE),
            uses("double_free_at_once", LARGE, DOUBLE, DOUBLE),
        ],
    },
    Row {
        what: "second free of a small block, before it is handed out again",
        how: [
            "when both copies go home to the span before one is handed out again, or when its \
             page is free",
            "a bit per block, at once, from any thread; freed blocks wait before they are handed \
             out again",
        ],
        cases: &[
            uses("double_free_at_once", TINY, Maybe("double free"), DOUBLE),
            uses("double_free_at_once", SMALL, Maybe("double free"), DOUBLE),
            uses("double_free_at_once", MIDDLE, Maybe("double free"), DOUBLE),
            uses("double_free_after_other_frees", SMALL, Maybe("double free"), DOUBLE),
            uses("double_free_from_another_thread", SMALL, Maybe("double free"), DOUBLE),
            uses("double_free_by_two_threads_at_once", SMALL, Maybe("double free"), DOUBLE),
        ],
    },
    Row {
        what: "realloc of a free block",
        how: ["large: the page map; small: as a second free", "the bit per block"],
        cases: &[
            uses("realloc_of_a_free_block", SMALL, Maybe("double free"), FREE),
            uses("realloc_of_a_free_block", MIDDLE, Maybe("double free"), FREE),
        ],
    },
    Row {
        what: "`malloc_usable_size` of a free block",
        how: ["", "the bit per block"],
        cases: &[uses("usable_size_of_a_free_block", SMALL, GoesOn, FREE)],
    },
    Row {
        what: "sized free with a size, or an alignment, that is not the block's",
        how: [
            "the class is found by the address, so nothing comes of it",
            "the mark behind the block knows its length; an alignment only if the address has it \
             not",
        ],
        cases: &[
            uses(
                "sized_free_of_another_size",
                SMALL,
                GoesOn,
                Line("wrong size in a sized free: said 107, is 100"),
            ),
            uses(
                "sized_free_of_another_size",
                LARGE,
                GoesOn,
                Line("wrong size in a sized free: said 300007, is 300000"),
            ),
            uses(
                "sized_free_of_another_alignment",
                SMALL,
                GoesOn,
                Line("wrong alignment in a sized free: said 4096"),
            ),
            cxx(
                "sized_delete_of_another_size",
                Line("wrong size in a sized free: said 50, is 100"),
            ),
            cxx(
                "sized_delete_of_an_array_of_another_size",
                Line("wrong size in a sized free: said 200, is 100"),
            ),
            cxx(
                "aligned_delete_of_another_size",
                Line("wrong size in a sized free: said 200, is 128"),
            ),
        ],
    },
    Row {
        what: "overflow, by one byte that changes",
        how: ["", "when the block is freed: a keyed mark begins right behind it"],
        cases: &[
            overflow(&["1"], "heap overflow of a block of 1 bytes"),
            overflow(&["16"], "heap overflow of a block of 16 bytes"),
            overflow(&["24"], "heap overflow of a block of 24 bytes"),
            overflow(&["100"], "heap overflow of a block of 100 bytes"),
            overflow(&["1000"], "heap overflow of a block of 1000 bytes"),
            overflow(&["20000"], "heap overflow of a block of 20000 bytes"),
            overflow(&["32768"], "heap overflow of a block of 32768 bytes"),
            overflow(&["300000"], "heap overflow of a block of 300000 bytes"),
        ],
    },
    Row {
        what: "overflow beyond the span, or a large block's end",
        how: ["", "at the access: a page without access lies behind each"],
        cases: &[
            uses("overflow_without_end", SMALL, Wild, Kill),
            uses("overflow_without_end", &["40000"], Wild, Kill),
        ],
    },
    Row {
        what: "write to a free block that has a class",
        how: ["", "when the block is handed out again: it was zero"],
        cases: &[
            uses("write_after_free", TINY, GoesOn, Line("write after free")),
            uses("write_after_free", SMALL, GoesOn, Line("write after free")),
            uses("write_after_free", MIDDLE, GoesOn, Line("write after free")),
        ],
    },
    Row {
        what: "write to, or read of, a large block that is free, as long as it waits",
        how: ["", "at the access: its pages have none"],
        cases: &[
            uses("write_after_free", LARGE, GoesOn, Kill),
            uses("read_after_free", LARGE, GoesOn, Kill),
        ],
    },
    Row {
        what: "read of a free block that has a class",
        how: ["", "it reads as zero: what was in it is gone"],
        cases: &[
            uses("read_after_free", TINY, GoesOn, GoesOn),
            uses("read_after_free", SMALL, GoesOn, GoesOn),
        ],
    },
];

/// The same programs without a mistake.
pub(crate) const RIGHT: &[Case] = &[
    same("no_misuse", GoesOn),
    uses("no_misuse", SMALL, GoesOn, GoesOn),
    uses("no_misuse", &["20000"], GoesOn, GoesOn),
    uses("no_misuse", LARGE, GoesOn, GoesOn),
    cxx("no_misuse", GoesOn),
];

/// The word for all ends of one mode.
fn word(ends: impl Iterator<Item = End>) -> &'static str {
    let (mut seen, mut unseen, mut maybe) = (false, false, false);
    for end in ends {
        match end {
            Line(_) | Kill => seen = true,
            GoesOn | Wild => unseen = true,
            Maybe(_) => maybe = true,
        }
    }
    match (seen, unseen, maybe) {
        (true, false, false) => "always",
        (false, true, false) => "never",
        _ => "sometimes",
    }
}

impl Row {
    /// The words of both modes.
    pub(crate) fn words(&self) -> [&'static str; 2] {
        let cases = self.cases.iter();
        [word(cases.clone().map(|case| case.default)), word(cases.map(|case| case.hardened))]
    }
}
