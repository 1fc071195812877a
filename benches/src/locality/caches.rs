//! Where each line of memory is, and what moves it. Every access writes, so that a line is in
//! one place only: MESI's M, or memory.
//!
//! ```text
//!   core's L1 ─evicted─▶ core's L2 ─evicted─▶ L3 of its group ─evicted─▶ memory
//!       ▲                                                                  │
//!       └──────────── whoever writes takes the line, from wherever ────────┘
//! ```
//!
//! Levels exclude each other, least recently used lines leave first, and the bits above the
//! line's offset choose the set. There is no prefetcher and no other program here: how much of
//! the latency is hidden is [`super::inputs::Costs`]' affair.

use super::machine::Machine;

/// Where an access found its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// First level of the own core.
    L1,
    /// Second level of the own core.
    L2,
    /// Third level of the own group.
    L3,
    /// A core of the own group.
    SameL3,
    /// A core or an L3 of another group of the socket.
    OtherL3,
    /// The other socket.
    OtherSocket,
    /// Memory.
    Memory,
}

impl Place {
    /// All of them, the nearest first.
    pub const ALL: [Self; 7] = [
        Self::L1,
        Self::L2,
        Self::L3,
        Self::SameL3,
        Self::OtherL3,
        Self::OtherSocket,
        Self::Memory,
    ];

    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "own L1",
            Self::L2 => "own L2",
            Self::L3 => "own L3",
            Self::SameL3 => "same L3",
            Self::OtherL3 => "other L3",
            Self::OtherSocket => "other socket",
            Self::Memory => "memory",
        }
    }
}

/// One cache's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Sets.
    pub sets: u32,
    /// Lines of a set.
    pub ways: usize,
}

/// The shapes of the three levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Of a core.
    pub l1: Shape,
    /// Of a core.
    pub l2: Shape,
    /// Of a group of cores.
    pub l3: Shape,
}

/// The lines of one cache; of each set the one used last comes last.
#[derive(Debug)]
struct Cache {
    shape: Shape,
    sets: Vec<Vec<u32>>,
}

impl Cache {
    fn new(shape: Shape) -> Self {
        Self { shape, sets: vec![Vec::new(); shape.sets as usize] }
    }

    /// Takes a line out; false when it was not here.
    fn take(&mut self, line: u32) -> bool {
        let set = self.set(line);
        let at = set.iter().position(|l| *l == line);
        at.map(|at| set.remove(at)).is_some()
    }

    /// Puts a line in, as the one used last; the one that has to leave.
    fn put(&mut self, line: u32) -> Option<u32> {
        let ways = self.shape.ways;
        let set = self.set(line);
        set.push(line);
        (set.len() > ways).then(|| set.remove(0))
    }

    fn set(&mut self, line: u32) -> &mut Vec<u32> {
        &mut self.sets[(line % self.shape.sets) as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Memory,
    Core(usize),
    Group(usize),
}

/// All caches of a machine.
#[derive(Debug)]
pub struct Caches {
    machine: Machine,
    l1: Vec<Cache>,
    l2: Vec<Cache>,
    l3: Vec<Cache>,
    holders: Vec<Holder>,
}

impl Caches {
    /// Empty ones, over `lines` lines of memory.
    #[must_use]
    pub fn new(machine: Machine, levels: &Levels, lines: usize) -> Self {
        let all = |count: usize, shape| (0..count).map(|_| Cache::new(shape)).collect();
        Self {
            machine,
            l1: all(machine.core_count(), levels.l1),
            l2: all(machine.core_count(), levels.l2),
            l3: all(machine.l3_count(), levels.l3),
            holders: vec![Holder::Memory; lines],
        }
    }

    /// `cpu` writes to `line`: where it was until now.
    pub fn write(&mut self, cpu: usize, line: u32) -> Place {
        let core = self.machine.core_of(cpu);
        let group = self.machine.l3_of(core);
        let place = match self.holders[line as usize] {
            Holder::Memory => Place::Memory,
            Holder::Core(holder) => {
                let in_l1 = self.l1[holder].take(line) || !self.l2[holder].take(line);
                match holder == core {
                    true if in_l1 => Place::L1,
                    true => Place::L2,
                    false => self.distance(group, self.machine.l3_of(holder), Place::SameL3),
                }
            }
            Holder::Group(holder) => {
                self.l3[holder].take(line);
                self.distance(group, holder, Place::L3)
            }
        };
        self.fill(core, line);
        place
    }

    fn distance(&self, own: usize, other: usize, same: Place) -> Place {
        match () {
            () if own == other => same,
            () if self.machine.socket_of(own) == self.machine.socket_of(other) => Place::OtherL3,
            () => Place::OtherSocket,
        }
    }

    /// Puts the line into the core's first level; what leaves one level enters the next.
    fn fill(&mut self, core: usize, line: u32) {
        self.holders[line as usize] = Holder::Core(core);
        let Some(line) = self.l1[core].put(line) else { return };
        let Some(line) = self.l2[core].put(line) else { return };
        let group = self.machine.l3_of(core);
        self.holders[line as usize] = Holder::Group(group);
        let Some(line) = self.l3[group].put(line) else { return };
        self.holders[line as usize] = Holder::Memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sockets of two groups of two cores; caches of one set: two lines, two, four.
    fn small() -> Caches {
        let machine = Machine { sockets: 2, l3s: 2, cores: 2, threads: 2 };
        let shape = |ways| Shape { sets: 1, ways };
        let levels = Levels { l1: shape(2), l2: shape(2), l3: shape(4) };
        Caches::new(machine, &levels, 64)
    }

    #[test]
    fn a_line_is_nearest_to_who_wrote_it_last() {
        let mut caches = small();
        assert_eq!(caches.write(0, 5), Place::Memory);
        assert_eq!(caches.write(0, 5), Place::L1);
        // CPU 8 is the other thread of core 0.
        assert_eq!(caches.write(8, 5), Place::L1);
        assert_eq!(caches.write(1, 5), Place::SameL3);
        assert_eq!(caches.write(2, 5), Place::OtherL3);
        assert_eq!(caches.write(4, 5), Place::OtherSocket);
        assert_eq!(caches.write(6, 5), Place::OtherL3);
        assert_eq!(caches.write(0, 5), Place::OtherSocket);
    }

    #[test]
    fn lines_leave_level_by_level_the_oldest_first() {
        let mut caches = small();
        // Lines 0 to 8 on core 0: 7, 8 in L1; 5, 6 in L2; 1, 2, 3, 4 in L3; 0 in memory.
        (0..9).for_each(|line| assert_eq!(caches.write(0, line), Place::Memory));
        assert_eq!(caches.holders[0], Holder::Memory);
        assert!((1..=4).all(|l| caches.holders[l] == Holder::Group(0)));
        assert!((5..=8).all(|l| caches.holders[l] == Holder::Core(0)));
        assert_eq!(caches.write(0, 8), Place::L1);
        // 6 comes up, 7 goes down.
        assert_eq!(caches.write(0, 6), Place::L2);
        assert_eq!(caches.write(0, 7), Place::L2);
        // The neighbour finds what was evicted in their L3, and another group finds it there too.
        assert_eq!(caches.write(1, 2), Place::L3);
        assert_eq!(caches.write(2, 3), Place::OtherL3);
        assert_eq!(caches.write(4, 4), Place::OtherSocket);
    }

    #[test]
    fn a_line_that_left_is_no_longer_in_the_way() {
        let mut caches = small();
        caches.write(0, 1);
        caches.write(0, 2);
        // Core 1 takes both, so that two others have room in core 0's first level.
        caches.write(1, 1);
        caches.write(1, 2);
        caches.write(0, 3);
        caches.write(0, 4);
        assert_eq!(caches.write(0, 3), Place::L1);
        assert_eq!(caches.write(0, 4), Place::L1);
    }

    #[test]
    fn sets_are_chosen_by_the_low_bits() {
        let mut cache = Cache::new(Shape { sets: 2, ways: 1 });
        assert_eq!(cache.put(0), None);
        assert_eq!(cache.put(1), None);
        assert_eq!(cache.put(2), Some(0));
        assert!(cache.take(1) && !cache.take(0));
    }
}
