//! The published experiment on the model: pinned threads increment an area one after another, in
//! random order, with a pause between two of them.
//!
//! ```text
//!   thread   3     0     2     1  │  2     3     1     0  │ …      a round: each thread once
//!            ▮─────▮─────▮─────▮──┼──▮─────▮─────▮─────▮──┼─
//!              delay
//! ```

use super::caches::{Caches, Levels, Place};
use super::cids::{Kernel, Kind};
use super::inputs::{AREA_LINES, Costs};
use super::machine::Machine;
use super::random::Rng;

/// What an area is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// CPU number.
    Cpu,
    /// The kernel's cid.
    Cid(Kind),
}

impl Index {
    /// In the order of the published table's columns.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cid(Kind::Plain), Self::Cid(Kind::CacheLocal)];

    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "per CPU",
            Self::Cid(Kind::Plain) => "mm_cid",
            Self::Cid(Kind::CacheLocal) => "cache-local mm_cid",
        }
    }
}

/// One cell of the table.
#[derive(Debug, Clone)]
pub struct Setup {
    /// A thread is pinned to each of them.
    pub cpus: Vec<usize>,
    /// Between the end of a burst and the begin of the next.
    pub delay_ms: f64,
    /// Rounds that warm the caches and do not count.
    pub warm_up: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Of the order.
    pub seed: u64,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Mean of the bursts.
    pub ns: f64,
    /// Share of the lines by where they were found, in the order of [`Place::ALL`].
    pub shares: [f64; 7],
    /// Different areas that were used.
    pub areas: usize,
}

/// Runs the experiment.
#[must_use]
pub fn simulate(
    machine: Machine,
    levels: &Levels,
    costs: &Costs,
    index: Index,
    setup: &Setup,
) -> Cell {
    let threads = setup.cpus.len();
    let mut caches = Caches::new(machine, levels, machine.cpu_count() * AREA_LINES);
    let mut kernel = match index {
        Index::Cpu => None,
        Index::Cid(kind) => Some(Kernel::new(kind, machine.cpu_count(), threads, threads)),
    };
    let mut used = vec![false; machine.cpu_count()];
    let (mut found, mut total_ns) = ([0_u64; 7], 0.0);
    let mut rng = Rng::new(setup.seed);
    let mut order = setup.cpus.clone();
    let mut places = Vec::with_capacity(AREA_LINES);
    let mut now_ms = 0.0;
    for round in 0..setup.warm_up + setup.rounds {
        rng.shuffle(&mut order);
        for &cpu in &order {
            now_ms += setup.delay_ms;
            let area = kernel.as_mut().map_or(cpu, |kernel| kernel.enter(cpu, now_ms) as usize);
            used[area] = true;
            places.clear();
            let lines = area * AREA_LINES..(area + 1) * AREA_LINES;
            places.extend(lines.map(|line| caches.write(cpu, line as u32)));
            let ns = costs.burst_ns(&places);
            now_ms += ns / 1e6;
            if let Some(kernel) = &mut kernel {
                kernel.leave(cpu, now_ms);
            }
            if round >= setup.warm_up {
                total_ns += ns;
                places.iter().for_each(|place| found[*place as usize] += 1);
            }
        }
    }
    let bursts = (setup.rounds * threads).max(1) as f64;
    let lines = bursts * AREA_LINES as f64;
    Cell {
        ns: total_ns / bursts,
        shares: found.map(|n| n as f64 / lines),
        areas: used.into_iter().filter(|u| *u).count(),
    }
}

impl Cell {
    /// Share of the lines that were found in `place`.
    #[must_use]
    pub const fn share(&self, place: Place) -> f64 {
        self.shares[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::{IN_FLIGHT, ZEN_4};
    use super::super::machine::EPYC_9654_TWICE;
    use super::super::published::{Placement, TABLE};
    use super::*;

    fn cell(index: Index, placement: Placement, delay_ms: u32) -> Cell {
        let cpus = placement.cpus(&EPYC_9654_TWICE);
        // As many bursts in each cell, about: the order is random, its mean is not.
        let rounds = (500 / cpus.len()).max(2);
        let setup = Setup { cpus, delay_ms: f64::from(delay_ms), warm_up: 1, rounds, seed: 1 };
        let costs = Costs::with_in_flight(IN_FLIGHT.value);
        simulate(EPYC_9654_TWICE, &ZEN_4, &costs, index, &setup)
    }

    const PLAIN: Index = Index::Cid(Kind::Plain);
    const LOCAL: Index = Index::Cid(Kind::CacheLocal);

    #[test]
    fn per_cpu_areas_never_travel() {
        for (placement, delay) in [(Placement::OneOfEachL3, 200), (Placement::EightCores, 10)] {
            let cell = cell(Index::Cpu, placement, delay);
            assert_eq!(cell.share(Place::L1), 1.0);
            assert_eq!(cell.areas, placement.cpus(&EPYC_9654_TWICE).len());
        }
    }

    #[test]
    fn a_plain_cid_is_one_area_for_all_when_threads_are_200_ms_apart() {
        let cell = cell(PLAIN, Placement::EightCores, 200);
        assert_eq!(cell.areas, 1);
        // The last of a round may be the first of the next.
        assert!(cell.share(Place::SameL3) > 0.95, "{cell:?}");
    }

    #[test]
    fn of_other_l3s_twelve_in_twenty_three_are_in_the_other_socket() {
        let cell = cell(PLAIN, Placement::OneOfEachL3, 200);
        assert!((cell.share(Place::OtherSocket) - 12.0 / 23.0).abs() < 0.05, "{cell:?}");
        assert_eq!(cell.share(Place::SameL3), 0.0);
    }

    #[test]
    fn a_cache_local_cid_costs_what_a_cpu_number_does() {
        for placement in TABLE[..4].iter().map(|row| row.placement) {
            let [local, per_cpu] = [LOCAL, Index::Cpu].map(|i| cell(i, placement, 200).ns);
            assert!((local / per_cpu - 1.0).abs() < 0.02, "{placement:?}: {local} {per_cpu}");
        }
    }

    #[test]
    fn gains_are_ordered_as_published_at_10_ms_where_few_threads_are_few() {
        let gain = |p| cell(PLAIN, p, 10).ns / cell(LOCAL, p, 10).ns;
        let [eight, one_each, all] =
            [Placement::EightCores, Placement::OneOfEachL3, Placement::AllCores].map(gain);
        assert!(eight < one_each && one_each < all, "{eight} {one_each} {all}");
        let published = |p| TABLE.iter().find(|r| r.delay_ms == 10 && r.placement == p);
        let published = [Placement::EightCores, Placement::OneOfEachL3, Placement::AllCores]
            .map(|p| published(p).expect("a row").gain);
        assert!(published.is_sorted());
    }

    #[test]
    fn at_200_ms_threads_in_one_l3_lose_less_than_threads_in_all_of_them() {
        let gain = |p| cell(PLAIN, p, 200).ns / cell(LOCAL, p, 200).ns;
        let [eight, one_each, all] =
            [Placement::EightCores, Placement::OneOfEachL3, Placement::AllCores].map(gain);
        assert!(eight > 1.0 && one_each > 2.0 * eight, "{eight} {one_each}");
        assert!((all / one_each - 1.0).abs() < 0.1, "{all} {one_each}");
        let published = |p| TABLE.iter().find(|r| r.delay_ms == 200 && r.placement == p);
        let [eight, one_each] = [Placement::EightCores, Placement::OneOfEachL3]
            .map(|p| published(p).expect("a row").gain);
        assert!(one_each > eight);
    }

    #[test]
    fn a_seed_gives_the_same_cell() {
        let run = || cell(PLAIN, Placement::OneOfEachL3, 10);
        assert_eq!(run(), run());
    }
}
