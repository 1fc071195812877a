//! The frame of all sections on x86-64: descriptor, window, abort code; and the way to the shard.
//! Those of [`crate::copies`] have the same frame, and another way to their memory.
//!
//! Registers by name in all of them: `t` descriptor, then free for use; `s` shard index, then base;
//! `c` slot; `h` header word (`t` in pop and push, which so need no saved register). A window begins
//! after label 3 and ends at label 4; the instruction before 4 is the commit store, or a branch that
//! leaves without one. Label 5 is the abort address.
//!
//! Points (`points.rs`) stand between any two accesses to memory, where no flags are awaited.

/// A section: arms its descriptor, runs `$body` as the window, and restarts when aborted.
/// The descriptor goes to `__rseq_cs`, where debuggers look for it, and the abort code with
/// its signature, shown as an undefined instruction, out of the way of the hot path.
macro_rules! section {
    ($operation:literal, [$($body:expr),+ $(,)?], $($operand:tt)*) => {
        asm!(
            "2:",
            point!($operation, 14),
            "lea {t}, [rip + 66f]",
            "mov qword ptr fs:[{area} + {RSEQ_CS}], {t}",
            "3:",
            point!($operation, 1),
            $($body,)+
            "4:",
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "66: .long 0, 0",
            ".quad 3b, 4b - 3b, 5f",
            ".popsection",
            ".pushsection .text.rseq_preempted_or_signalled, \"ax\"",
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {SIGNATURE}",
            abort!(),
            ".popsection",
            t = out(reg) _,
            RSEQ_CS = const RSEQ_CS,
            SIGNATURE = const SIGNATURE,
            CPU_ID = const CPU_ID,
            $($operand)*
            options(nostack),
        )
    };
}

/// A section on the current shard, whose base is in `s` after `$miss`, which makes the outcome of
/// a thread without one.
macro_rules! on_shard {
    ($operation:literal, $anchor:expr, [$miss:literal; $($body:expr),+ $(,)?], $($operand:tt)*) => {
        section!(
            $operation,
            [
                "mov {c}, qword ptr fs:[{ids}]",
                keep!("c", 16),
                point!($operation, 2),
                "mov {s:e}, {c:e}",
                "shr {c}, 32",
                "shl {s}, {CID_BITS}",
                $miss,
                "add {s}, {c}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                point!($operation, 3),
                "mov {s}, qword ptr [{table} + {s}*8]",
                point!($operation, 4),
                $($body,)+
            ],
            CID_BITS = const CID_BITS,
            s = out(reg) _, c = out(reg) _,
            area = in(reg) $anchor.area, ids = in(reg) $anchor.ids, table = in(reg) $anchor.table,
            $($operand)*
        )
    };
}

pub(crate) use section;
