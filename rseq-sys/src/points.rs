//! The points at which a test may hold a section up: macros that are empty without the feature
//! `inject`.
//!
//! ```text
//!   around!(0x10)         a function of a section: before it (place 0), after it (place 15)
//!   at!(0x110, 3)         between two accesses of plain code
//!   point!(0x10, 3)       between two accesses within a window: text for `asm!`
//!   keep!("c", 16)        a word that was read, for twice!
//!   twice!("c", "[…]")    right before the commit: ids and word are still what they were
//!   abort!()              where the kernel leads an aborted window: counts it
//! ```
//!
//! A point has the number of its operation, a multiple of 16, plus its place; what the places are
//! is listed in `inject::SECTIONS`, `inject::COPIES` and `inject::LEASED`. Place 14 is before a section
//! is armed. Operations on copies under leases have none. Within a window no register is free, no
//! call allowed and no stack: a point there is instructions on the thread's own words in TLS, which
//! it can wait on, or a jump to the abort address. They clobber the flags, so a point stands where
//! none are awaited. Their addresses are those of the local-exec model, for executables alone: a
//! shared library with a point in it does not link.

#[cfg(feature = "inject")]
macro_rules! around {
    ($operation:literal) => {
        let _around = crate::inject::Around::new($operation);
    };
}
#[cfg(not(feature = "inject"))]
macro_rules! around {
    ($operation:literal) => {};
}

#[cfg(feature = "inject")]
macro_rules! at {
    ($operation:literal, $place:literal) => {
        crate::inject::pass($operation + $place);
    };
}
#[cfg(not(feature = "inject"))]
macro_rules! at {
    ($operation:literal, $place:literal) => {};
}

#[cfg(feature = "inject")]
macro_rules! unchanged {
    ($header:expr, $word:expr) => {
        crate::inject::unchanged($header, $word);
    };
}
#[cfg(not(feature = "inject"))]
macro_rules! unchanged {
    ($header:expr, $word:expr) => {};
}

// Offsets into `inject::Control`: 0 armed, 2 at, 4 passed, 8 spins, 12 aborted, 16 ids, 24 word,
// 32 aborts. Spins below 0 leave for the abort address at once. To be held up and to go on are one
// store each, armed with at, at with passed: an abort between two would be counted as neither.
#[cfg(all(feature = "inject", target_arch = "x86_64"))]
macro_rules! point {
    ($operation:literal, $place:literal) => {
        concat!(
            "cmp word ptr fs:[cidalloc_inject@tpoff], ",
            $operation,
            " + ",
            $place,
            "\njne 92f\n",
            "mov dword ptr fs:[cidalloc_inject@tpoff], (",
            $operation,
            " + ",
            $place,
            ") * 65536\ncmp dword ptr fs:[cidalloc_inject@tpoff + 8], 0\n",
            "jl 5f\n",
            "91: pause\n",
            "cmp word ptr fs:[cidalloc_inject@tpoff + 2], 0\n",
            "je 92f\n",
            "dec dword ptr fs:[cidalloc_inject@tpoff + 8]\n",
            "jns 91b\n",
            "add dword ptr fs:[cidalloc_inject@tpoff + 2], 65536 - ",
            $operation,
            " - ",
            $place,
            "\n92:"
        )
    };
}
#[cfg(all(not(feature = "inject"), target_arch = "x86_64"))]
macro_rules! point {
    ($operation:literal, $place:literal) => {
        ""
    };
}

#[cfg(all(feature = "inject", target_arch = "x86_64"))]
macro_rules! keep {
    ($register:literal, $offset:literal) => {
        concat!("mov qword ptr fs:[cidalloc_inject@tpoff + ", $offset, "], {", $register, "}")
    };
}
#[cfg(all(not(feature = "inject"), target_arch = "x86_64"))]
macro_rules! keep {
    ($register:literal, $offset:literal) => {
        ""
    };
}

#[cfg(all(feature = "inject", target_arch = "x86_64"))]
macro_rules! twice {
    ($register:literal, $word:literal) => {
        concat!(
            "mov {",
            $register,
            "}, qword ptr fs:[{ids}]\n",
            "cmp {",
            $register,
            "}, qword ptr fs:[cidalloc_inject@tpoff + 16]\n",
            "jne 95f\n",
            "mov {",
            $register,
            "}, qword ptr ",
            $word,
            "\ncmp {",
            $register,
            "}, qword ptr fs:[cidalloc_inject@tpoff + 24]\n",
            "jne 95f"
        )
    };
}
#[cfg(all(not(feature = "inject"), target_arch = "x86_64"))]
macro_rules! twice {
    ($register:literal, $word:literal) => {
        ""
    };
}

#[cfg(all(feature = "inject", target_arch = "x86_64"))]
macro_rules! abort {
    () => {
        concat!(
            "5: inc dword ptr fs:[cidalloc_inject@tpoff + 32]\n",
            "cmp word ptr fs:[cidalloc_inject@tpoff + 2], 0\n",
            "je 2b\n",
            "mov word ptr fs:[cidalloc_inject@tpoff + 2], 0\n",
            "inc dword ptr fs:[cidalloc_inject@tpoff + 12]\n",
            "jmp 2b\n",
            "95: ud2"
        )
    };
}
#[cfg(all(not(feature = "inject"), target_arch = "x86_64"))]
macro_rules! abort {
    () => {
        "5: jmp 2b"
    };
}
