//! The tunables: their names, defaults and meaning, and how their values are read.
//!
//! Each is `CIDALLOC_` and its name in capitals in the environment, or `--option name=value` of
//! `cidalloc run`. They are read once, when the heap is set up. The table below is the one in
//! the README and in the command's help.

use crate::cid_set::Policy;
use crate::parts::Parts;
use core::ffi::CStr;
use core::fmt;

/// Where shard indices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidSource {
    /// The kernel's concurrency ids where it has them, else CPU numbers, else emulated ones.
    Auto,
    /// The kernel's concurrency ids (`mm_cid`, Linux 6.3).
    Kernel,
    /// CPU numbers (rseq, Linux 4.18).
    Cpu,
    /// Cids given out by this library, without rseq.
    Emulated,
    /// No caches: each operation goes to a span by atomics.
    None,
}

/// How the memory of an arena is tied to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numa {
    /// Preferred there, elsewhere when that node is full.
    Preferred,
    /// There or not at all.
    Bind,
    /// Not at all: one page heap for all nodes.
    None,
}

/// All options.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// See [`TABLE`].
    pub cid: CidSource,
    /// See [`TABLE`].
    pub cid_policy: Policy,
    /// See [`TABLE`].
    pub numa: Numa,
    /// Cids that share an arena; 0: as the machine asks.
    pub arena_cids: usize,
    /// Bytes of free objects that one shard may cache.
    pub cache_bytes_max: usize,
    /// Milliseconds after which free pages are purged.
    pub decay_ms: u64,
    /// Milliseconds after which an idle shard is drained.
    pub drain_ms: u64,
    /// Parts of the hardened mode.
    pub hardened: Parts,
    /// Whether statistics are written at exit.
    pub stats: bool,
    /// Where to; standard error if `None`.
    pub stats_file: Option<&'static CStr>,
}

/// One option as a user sees it.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub values: &'static str,
    /// What it is when not given.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// All options that exist.
pub const TABLE: [Info; 10] = [
    Info {
        name: "cid",
        values: "auto, kernel, cpu, emulated, none",
        default: "auto",
        help: "what shards are indexed by: concurrency ids of the kernel, CPU numbers, concurrency ids of our own, or nothing",
    },
    Info {
        name: "cid_policy",
        values: "cache-local, compact",
        default: "cache-local",
        help: "which free cid a thread gets where they are emulated: its last one, or the lowest",
    },
    Info {
        name: "numa",
        values: "preferred, bind, none",
        default: "preferred",
        help: "how an arena's memory is tied to its node, on machines with several",
    },
    Info {
        name: "arena_cids",
        values: "auto, 1, 2, 4, 8",
        default: "auto",
        help: "neighbouring cids of one node that share an arena of spans; by default as measured for so many CPUs",
    },
    Info {
        name: "cache_bytes_max",
        values: "bytes, with k, m or g",
        default: "2m",
        help: "free objects that one shard may cache",
    },
    Info {
        name: "decay_ms",
        values: "milliseconds",
        default: "1000",
        help: "time after which free pages go back to the system; 0 = at once",
    },
    Info {
        name: "drain_ms",
        values: "milliseconds",
        default: "1000",
        help: "time after which the shard of an unused cid is emptied, and an unused size class of a used one",
    },
    Info {
        name: "hardened",
        values: "0, 1, or some of state,guard,canary,zero,random,quarantine",
        default: "0",
        help: "detect misuse, and make what is left of it harder to exploit, at a price: see docs/hardened.md",
    },
    Info {
        name: "stats",
        values: "0, 1",
        default: "0",
        help: "write statistics when the program ends",
    },
    Info {
        name: "stats_file",
        values: "path",
        default: "standard error",
        help: "file to append them to",
    },
];

/// Why a value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No option has that name.
    UnknownName,
    /// The value is not one of those in the table.
    BadValue(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadValue(values) => write!(f, "expected {values}"),
            Self::UnknownName => {
                f.write_str("no such option; there are:")?;
                TABLE.iter().try_for_each(|info| write!(f, " {}", info.name))
            }
        }
    }
}

impl Options {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        cid: CidSource::Auto,
        cid_policy: Policy::CacheLocal,
        numa: Numa::Preferred,
        arena_cids: 0,
        cache_bytes_max: 2 << 20,
        decay_ms: 1000,
        drain_ms: 1000,
        hardened: Parts::NONE,
        stats: false,
        stats_file: None,
    };

    /// Sets the option `name`, in lower case, to `value`.
    ///
    /// # Errors
    /// [`Refusal`]; the options are then unchanged.
    pub fn set(&mut self, name: &[u8], value: &'static CStr) -> Result<(), Refusal> {
        let info =
            TABLE.iter().find(|info| info.name.as_bytes() == name).ok_or(Refusal::UnknownName)?;
        let text = value.to_bytes();
        let bad = Refusal::BadValue(info.values);
        match info.name {
            "cid" => {
                self.cid = match text {
                    b"auto" => CidSource::Auto,
                    b"kernel" => CidSource::Kernel,
                    b"cpu" => CidSource::Cpu,
                    b"emulated" => CidSource::Emulated,
                    b"none" => CidSource::None,
                    _ => return Err(bad),
                }
            }
            "cid_policy" => {
                self.cid_policy = match text {
                    b"cache-local" => Policy::CacheLocal,
                    b"compact" => Policy::Compact,
                    _ => return Err(bad),
                }
            }
            "numa" => {
                self.numa = match text {
                    b"preferred" => Numa::Preferred,
                    b"bind" => Numa::Bind,
                    b"none" => Numa::None,
                    _ => return Err(bad),
                }
            }
            "arena_cids" => {
                self.arena_cids = match text {
                    b"auto" => 0,
                    b"1" => 1,
                    b"2" => 2,
                    b"4" => 4,
                    b"8" => 8,
                    _ => return Err(bad),
                }
            }
            "cache_bytes_max" => self.cache_bytes_max = number(text).ok_or(bad)?,
            "decay_ms" => self.decay_ms = number(text).ok_or(bad)? as u64,
            "drain_ms" => self.drain_ms = number(text).ok_or(bad)? as u64,
            "hardened" => self.hardened = Parts::parse(text).ok_or(bad)?,
            "stats" => {
                self.stats = match text {
                    b"0" => false,
                    b"1" => true,
                    _ => return Err(bad),
                }
            }
            _ => self.stats_file = Some(value),
        }
        Ok(())
    }

    /// The options that the environment asks for. `refused` hears of each that cannot be had.
    pub fn from_environment(
        environment: impl Iterator<Item = &'static CStr>,
        mut refused: impl FnMut(&CStr, Refusal),
    ) -> Self {
        let mut options = Self::DEFAULT;
        for entry in environment {
            let Some(rest) = entry.to_bytes().strip_prefix(b"CIDALLOC_") else {
                continue;
            };
            let mut name = [0u8; 32];
            let Some(length) = rest.iter().position(|&b| b == b'=') else {
                continue;
            };
            if length > name.len() {
                refused(entry, Refusal::UnknownName);
                continue;
            }
            for (low, &b) in name.iter_mut().zip(&rest[..length]) {
                *low = b.to_ascii_lowercase();
            }
            let value = &entry["CIDALLOC_".len() + length + 1..];
            if let Err(refusal) = options.set(&name[..length], value) {
                refused(entry, refusal);
            }
        }
        options
    }
}

/// A decimal number, with k, m or g for its power of 1024.
fn number(text: &[u8]) -> Option<usize> {
    let (digits, shift) = match text.split_last()? {
        (b'k' | b'K', rest) => (rest, 10),
        (b'm' | b'M', rest) => (rest, 20),
        (b'g' | b'G', rest) => (rest, 30),
        _ => (text, 0),
    };
    if digits.is_empty() {
        return None;
    }
    let mut n = 0usize;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
    }
    n.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn numbers_have_suffixes_and_bounds() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"17k"), Some(17 << 10));
        assert_eq!(number(b"3G"), Some(3 << 30));
        for bad in [&b""[..], b"k", b"-1", b"1kb", b"99999999999999999999", b"99999999999g"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn every_default_in_the_table_is_the_default() {
        let mut options = Options { cache_bytes_max: 0, decay_ms: 7, ..Options::DEFAULT };
        for (name, value) in [(&b"cache_bytes_max"[..], c"2m"), (b"decay_ms", c"1000")] {
            options.set(name, value).unwrap();
        }
        assert_eq!(options.cache_bytes_max, Options::DEFAULT.cache_bytes_max);
        assert_eq!(options.decay_ms, Options::DEFAULT.decay_ms);
        assert_eq!(TABLE[4].default, "2m");
    }

    #[test]
    fn refusals_name_the_option_and_change_nothing() {
        let mut refused: Vec<(std::string::String, Refusal)> = Vec::new();
        let environment =
            [c"HOME=/", c"CIDALLOC_CID=moon", c"CIDALLOC_DECAY_MS=5", c"CIDALLOC_SPEED=11"];
        let options = Options::from_environment(environment.into_iter(), |entry, why| {
            refused.push((entry.to_str().unwrap().into(), why));
        });
        assert_eq!(options.decay_ms, 5);
        assert_eq!(options.cid, CidSource::Auto);
        assert_eq!(refused.len(), 2);
        assert_eq!(refused[0].1, Refusal::BadValue(TABLE[0].values));
        assert_eq!(refused[1], ("CIDALLOC_SPEED=11".into(), Refusal::UnknownName));
    }
}
