//! The kernel's concurrency ids, as a model: a cid for each (process, CPU), kept there for a
//! while after its last use.
//!
//! ```text
//!   thread comes to CPU 3            every 100 ms
//!    ├ CPU 3 holds a cid: that one    ├ a CPU that has not used its cid for 100 ms gives it back
//!    └ else: claim                    └ so do those whose cid is not below the number in use
//!        plain        lowest free                                         (Linux 6.4 to 6.12)
//!        cache-local  CPU 3's last one, else a new one, else lowest free  (Linux 6.13 to 6.18)
//! ```
//!
//! Claims are made of the library's own [`CidSet`]. Before 6.13 cids had no bound but the number
//! of possible CPUs, hence the plain kind counts as many users as CPUs.

use cidalloc::cid_set::{CidSet, Policy};

/// Between two scans, and how long a cid must be unused before a scan takes it away.
pub const SCAN_MS: f64 = 100.0;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Linux 6.4 to 6.12.
    Plain,
    /// Linux 6.13 to 6.18.
    CacheLocal,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    cid: Option<u32>,
    recent: Option<u32>,
    used_ms: f64,
    running: bool,
}

/// The cids of one process.
#[derive(Debug)]
pub struct Kernel {
    kind: Kind,
    set: Box<CidSet>,
    cpus: Vec<Cpu>,
    next_scan_ms: f64,
}

impl Kernel {
    /// A process of `users` threads that may run on `allowed` of the CPUs below `cpus`.
    #[must_use]
    pub fn new(kind: Kind, cpus: usize, allowed: usize, users: usize) -> Self {
        let set = Box::new(CidSet::new());
        set.allow(allowed);
        let users = if kind == Kind::Plain { allowed } else { users };
        set.set_users(u32::try_from(users).unwrap_or(u32::MAX));
        Self { kind, set, cpus: vec![Cpu::default(); cpus], next_scan_ms: SCAN_MS }
    }

    /// A thread begins to run on `cpu`: its cid.
    ///
    /// # Panics
    /// If more threads run at once than CPUs are allowed.
    pub fn enter(&mut self, cpu: usize, now_ms: f64) -> u32 {
        while self.next_scan_ms <= now_ms {
            self.scan(self.next_scan_ms);
            self.next_scan_ms += SCAN_MS;
        }
        let cid = self.cpus[cpu].cid.unwrap_or_else(|| self.claim(cpu));
        let entry = &mut self.cpus[cpu];
        *entry = Cpu { cid: Some(cid), recent: Some(cid), used_ms: now_ms, running: true };
        cid
    }

    /// The thread on `cpu` no longer runs.
    pub fn leave(&mut self, cpu: usize, now_ms: f64) {
        self.cpus[cpu].used_ms = now_ms;
        self.cpus[cpu].running = false;
    }

    fn claim(&self, cpu: usize) -> u32 {
        let policy = match self.kind {
            Kind::Plain => Policy::Compact,
            Kind::CacheLocal => Policy::CacheLocal,
        };
        self.set.claim(policy, self.cpus[cpu].recent, None).expect("a cid is free").cid
    }

    /// Takes the cid of the idle CPU that used its own least recently, if the bound is reached.
    pub fn make_room(&mut self) {
        if self.set.used() < self.set.bound() {
            return;
        }
        let idle = self.cpus.iter_mut().filter(|cpu| cpu.cid.is_some() && !cpu.running);
        if let Some(oldest) = idle.min_by(|a, b| a.used_ms.total_cmp(&b.used_ms)) {
            oldest.cid.take().into_iter().for_each(|cid| self.set.release(cid));
        }
    }

    /// Whether `cpu` holds a cid.
    #[must_use]
    pub fn holds(&self, cpu: usize) -> bool {
        self.cpus[cpu].cid.is_some()
    }

    fn scan(&mut self, now_ms: f64) {
        self.give_back(|cpu, _| now_ms - cpu.used_ms >= SCAN_MS);
        let in_use = self.set.used();
        self.give_back(|_, cid| cid >= in_use);
    }

    fn give_back(&mut self, is_due: impl Fn(&Cpu, u32) -> bool) {
        for cpu in self.cpus.iter_mut().filter(|cpu| !cpu.running) {
            if let Some(cid) = cpu.cid.filter(|cid| is_due(cpu, *cid)) {
                cpu.cid = None;
                self.set.release(cid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &mut Kernel, cpu: usize, now_ms: f64) -> u32 {
        let cid = kernel.enter(cpu, now_ms);
        kernel.leave(cpu, now_ms);
        cid
    }

    #[test]
    fn a_plain_cid_stays_with_its_cpu_for_a_while() {
        let mut kernel = Kernel::new(Kind::Plain, 4, 4, 4);
        assert_eq!([run(&mut kernel, 2, 0.0), run(&mut kernel, 0, 10.0)], [0, 1]);
        assert_eq!([run(&mut kernel, 2, 90.0), run(&mut kernel, 0, 95.0)], [0, 1]);
    }

    #[test]
    fn after_two_hundred_milliseconds_every_thread_takes_the_lowest() {
        let mut kernel = Kernel::new(Kind::Plain, 4, 4, 4);
        let cids = [2, 0, 3, 2, 1].map(|cpu| kernel.next_after(cpu, 200.5));
        assert_eq!(cids, [0; 5]);
    }

    #[test]
    fn a_cache_local_cid_comes_back_to_its_cpu() {
        let mut kernel = Kernel::new(Kind::CacheLocal, 4, 4, 4);
        let first = [2, 0, 3, 1].map(|cpu| kernel.next_after(cpu, 200.5));
        assert_eq!(first, [0, 1, 2, 3]);
        let again = [1, 2, 3, 0].map(|cpu| kernel.next_after(cpu, 200.5));
        assert_eq!(again, [3, 0, 2, 1]);
    }

    #[test]
    fn cache_local_cids_stay_below_the_number_of_threads() {
        let mut kernel = Kernel::new(Kind::CacheLocal, 16, 16, 3);
        for step in 0..64 {
            assert!(kernel.next_after(step * 7 % 16, 60.0) < 3);
        }
    }

    #[test]
    fn a_high_cid_is_given_back_when_few_are_in_use() {
        let mut kernel = Kernel::new(Kind::Plain, 4, 4, 4);
        let together: Vec<u32> = (0..3).map(|cpu| kernel.enter(cpu, 0.0)).collect();
        assert_eq!(together, [0, 1, 2]);
        (0..2).for_each(|cpu| kernel.leave(cpu, 0.0));
        kernel.leave(2, 90.0);
        // At 100 ms CPUs 0 and 1 are due; CPU 2 is not, but one cid is in use and its own is 2.
        assert_eq!(run(&mut kernel, 2, 101.0), 0);
    }

    #[test]
    fn a_running_thread_keeps_its_cid_however_long() {
        let mut kernel = Kernel::new(Kind::Plain, 4, 4, 4);
        assert_eq!(kernel.enter(0, 0.0), 0);
        assert_eq!([1, 2, 3].map(|cpu| kernel.next_after(cpu, 500.0)), [1, 1, 1]);
    }

    impl Kernel {
        /// A short run on `cpu`, `later` after the last scan-aligned instant.
        fn next_after(&mut self, cpu: usize, later: f64) -> u32 {
            let now = self.cpus.iter().map(|c| c.used_ms).fold(0.0, f64::max) + later;
            self.make_room_for(cpu);
            run(self, cpu, now)
        }

        fn make_room_for(&mut self, cpu: usize) {
            if !self.holds(cpu) {
                self.make_room();
            }
        }
    }
}
