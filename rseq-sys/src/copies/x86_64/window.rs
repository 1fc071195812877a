//! The way of a section to its copy: the frame is [`crate::cs`]'s.
//!
//! Registers by name: `t` descriptor, then free for use; `s` distance of the copy, below 0 for a
//! thread without one; `c` the ids, then the word that was found; `cl` the shift, which no window
//! changes.

/// A section on the current copy, which is `{s}` bytes above copy 0. Gives that distance: below 0 if
/// the thread has no cid.
macro_rules! on_copy {
    ($operation:literal, $current:expr, $shift:expr, [$($body:expr),+ $(,)?], $($operand:tt)*) => {
        on_copy_unless!(
            $operation, $current, $shift,
            ["test {rows}, {rows}", "jz 6f"],
            [$($body),+],
            $($operand)*
        )
    };
}

/// As [`on_copy!`], where `$one_row` goes to label 6 if there is one row alone: then `{s}` is the copy.
macro_rules! on_copy_unless {
    ($operation:literal, $current:expr, $shift:expr, [$($one_row:expr),*],
        [$($body:expr),+], $($operand:tt)*) => {{
        let distance: isize;
        section!(
            $operation,
            [
                "mov {c}, qword ptr fs:[{ids}]",
                keep!("c", 16),
                point!($operation, 2),
                "movsxd {s}, dword ptr fs:[{area} + {CPU_ID}]",
                "test {s}, {s}",
                "js 4f",
                "mov {s}, {c}",
                "shr {s}, 32",
                $($one_row,)*
                "mov {c:e}, {c:e}",
                "mov {c:e}, dword ptr [{rows} + {c}*4]",
                "add {s}, {c}",
                "6:",
                point!($operation, 3),
                "shl {s}, cl",
                $($body,)+
            ],
            s = out(reg) distance,
            area = in(reg) $current.area, ids = in(reg) $current.ids, rows = in(reg) $current.several,
            $($operand)*
            in("cl") $shift as u8,
        );
        distance
    }};
}
