//! What the model is given: latencies as they were published, and three figures measured with
//! `locality lines`. None of them comes from the table that the model is compared with.
//!
//! ```text
//!   burst = latency of the first line + Σ over lines of max(work, latency of its place / in flight)
//! ```
//!
//! A burst walks through its lines in order and its accesses do not depend on each other: core
//! and prefetcher keep several of them in flight, and the work on one hides the wait for others.

use super::caches::{Levels, Place, Shape};

/// One figure.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Its unit; may be empty.
    pub unit: &'static str,
    /// Who says so.
    pub source: &'static str,
}

const fn input(name: &'static str, value: f64, unit: &'static str, source: &'static str) -> Input {
    Input { name, value, unit, source }
}

const GUIDE: &str = "AMD, Software Optimization Guide for the Zen 4 Microarchitecture, \
                     publication 57647";
const BOUNCE: &str = "nviennot/core-to-core-latency, README: dual EPYC 7R13 (Zen 3), the nearest \
                      published machine with two sockets";
const HERE: &str = "measured: `locality lines`, EPYC VM of family 25 model 1 (Zen 3)";

/// Clock of a core that runs alone.
pub const CLOCK: Input = input("clock", 3.7, "GHz", "AMD, EPYC 9654: maximum boost clock");
/// First level.
pub const L1: Input = input("own L1", 4.0, "cycles", GUIDE);
/// Second level.
pub const L2: Input = input("own L2", 14.0, "cycles", GUIDE);
/// Third level.
pub const L3: Input = input("own L3", 50.0, "cycles", GUIDE);
/// A core of the same group.
pub const SAME_L3: Input = input("core of the same L3", 23.0, "ns", BOUNCE);
/// Another group of the socket.
pub const OTHER_L3: Input = input("another L3 of the socket", 107.0, "ns", BOUNCE);
/// The other socket.
pub const OTHER_SOCKET: Input = input("the other socket", 197.0, "ns", BOUNCE);
/// Memory.
pub const MEMORY: Input = input(
    "memory",
    122.0,
    "ns",
    "AnandTech, AMD Rome Second Generation EPYC Review: EPYC 7742, one node per socket; in no \
     cell of the table, since caches are warm",
);
/// Work on a line that is in the first level.
pub const WORK: Input = input("work on a line", 1.57, "ns", HERE);
/// Accesses in flight that do not leave the group.
pub const IN_FLIGHT_NEAR: Input = input("lines in flight within an L3", 9.0, "", HERE);
/// Accesses in flight that do.
pub const IN_FLIGHT: Input = input("lines in flight beyond it", 15.0, "", HERE);
/// The most that could be in flight.
pub const IN_FLIGHT_MAX: f64 = 24.0;

/// All of them.
pub const ALL: [Input; 11] =
    [CLOCK, L1, L2, L3, SAME_L3, OTHER_L3, OTHER_SOCKET, MEMORY, WORK, IN_FLIGHT_NEAR, IN_FLIGHT];

/// Bytes of a line.
pub const LINE_BYTES: usize = 64;
/// Bytes of an area.
pub const AREA_BYTES: usize = 16 << 10;
/// Lines of an area.
pub const AREA_LINES: usize = AREA_BYTES / LINE_BYTES;

/// Zen 4's caches: 32 KiB, 1 MiB, 32 MiB.
pub const ZEN_4: Levels = Levels {
    l1: Shape { sets: 64, ways: 8 },
    l2: Shape { sets: 2048, ways: 8 },
    l3: Shape { sets: 32_768, ways: 16 },
};

/// What accesses cost.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Latencies in nanoseconds, in the order of [`Place::ALL`].
    pub latency_ns: [f64; 7],
    /// Work on a line in nanoseconds.
    pub work_ns: f64,
    /// Lines in flight within a group of cores.
    pub near: f64,
    /// Lines in flight beyond it.
    pub far: f64,
}

impl Costs {
    /// From the inputs, with so many lines in flight beyond the group, and no more within it.
    #[must_use]
    pub fn with_in_flight(in_flight: f64) -> Self {
        let cycles = |input: Input| input.value / CLOCK.value;
        let ns = |input: Input| input.value;
        Self {
            latency_ns: [
                cycles(L1),
                cycles(L2),
                cycles(L3),
                ns(SAME_L3),
                ns(OTHER_L3),
                ns(OTHER_SOCKET),
                ns(MEMORY),
            ],
            work_ns: WORK.value,
            near: IN_FLIGHT_NEAR.value.min(in_flight),
            far: in_flight,
        }
    }

    fn latency(&self, place: Place) -> f64 {
        self.latency_ns[place as usize]
    }

    /// How far apart two lines from this place follow each other.
    fn pace(&self, place: Place) -> f64 {
        let in_flight = match place {
            Place::L1 | Place::L2 | Place::L3 | Place::SameL3 => self.near,
            Place::OtherL3 | Place::OtherSocket | Place::Memory => self.far,
        };
        (self.latency(place) / in_flight).max(self.work_ns)
    }

    /// Nanoseconds of a burst whose lines were found in these places.
    #[must_use]
    pub fn burst_ns(&self, places: &[Place]) -> f64 {
        let first = places.first().map_or(0.0, |place| self.latency(*place));
        first + places.iter().map(|place| self.pace(*place)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_HAND: Costs = Costs {
        latency_ns: [1.0, 4.0, 14.0, 20.0, 100.0, 200.0, 120.0],
        work_ns: 2.0,
        near: 5.0,
        far: 10.0,
    };

    #[test]
    fn work_hides_near_lines_and_far_ones_flow_at_the_pace_of_their_latency() {
        // 1 + 4 × 2
        assert_eq!(BY_HAND.burst_ns(&[Place::L1; 4]), 9.0);
        // 20 + 3 × 4
        assert_eq!(BY_HAND.burst_ns(&[Place::SameL3; 3]), 32.0);
        // 100 + 2 × 10
        assert_eq!(BY_HAND.burst_ns(&[Place::OtherL3; 2]), 120.0);
        // 4 + 2 + 20 + 12: a fifth of 4 is hidden
        let mixed = [Place::L2, Place::OtherSocket, Place::Memory];
        assert_eq!(BY_HAND.burst_ns(&mixed), 38.0);
        assert_eq!(BY_HAND.burst_ns(&[]), 0.0);
    }

    #[test]
    fn farther_places_cost_more() {
        let ns = Costs::with_in_flight(IN_FLIGHT.value).latency_ns;
        assert!(ns[..6].is_sorted(), "{ns:?}");
        assert!(Place::ALL.iter().enumerate().all(|(i, p)| *p as usize == i));
    }

    #[test]
    fn caches_have_the_sizes_of_the_published_machine() {
        let bytes = |s: Shape| s.sets as usize * s.ways * LINE_BYTES;
        assert_eq!(
            [bytes(ZEN_4.l1), bytes(ZEN_4.l2), bytes(ZEN_4.l3)],
            [32 << 10, 1 << 20, 32 << 20]
        );
    }

    #[test]
    fn the_document_names_each_input_with_its_value_and_source() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/locality.md");
        let text = std::fs::read_to_string(path).expect("docs/locality.md");
        for input in ALL {
            let row = format!("| {} | {} {}", input.name, input.value, input.unit);
            let line = text.lines().find(|line| line.starts_with(row.trim_end()));
            let line = line.unwrap_or_else(|| panic!("no row begins with: {row}"));
            assert!(line.contains(input.source), "{}: another source in {line}", input.name);
        }
    }
}
