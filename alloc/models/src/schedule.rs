//! Which task goes on at each point: determined by a seed, in one of three ways.
//!
//! ```text
//!  sticky   the one that runs, but in one of n points any: n from 2 to 128
//!  sleepy   the one that runs, but in one of n points it sleeps for 4 to 512 points while others
//!           go on; as it wakes it may go on at once
//!  ranked   the highest in a random order of rank; at a few random points the one that runs
//!           becomes the lowest (probabilistic concurrency testing, Burckhardt et al., 2010)
//! ```
//!
//! Who waits, or has ended, lets any other go on. The first is good at races of many steps, the others
//! at those that need one task to stand still for long: until something came back, or until all is
//! over.

use crate::random::Random;
use crate::world::TASKS;
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Points that an execution is thought to have when those of changes are chosen: from 2⁵ to 2¹².
const POINTS_LOG2: (usize, usize) = (5, 12);
/// Changes of rank in one execution, at most.
const CHANGES: usize = 4;

enum Way {
    Sticky { one_in: usize },
    Sleepy { one_in: usize, until: Vec<usize> },
    Ranked { ranks: Vec<u64>, changes: Vec<usize>, lowest: u64 },
}

/// The schedule of one execution.
pub(crate) struct Seeded {
    random: Random,
    way: Way,
    points: usize,
    begun: bool,
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let way = match random.below(3) {
            0 => Way::Sticky { one_in: 2 << random.below(7) },
            1 => Way::Sleepy { one_in: 8 << random.below(5), until: vec![0; TASKS] },
            _ => {
                let log2 = POINTS_LOG2.0 + random.below(POINTS_LOG2.1 - POINTS_LOG2.0 + 1);
                let count = 1 + random.below(CHANGES);
                let changes = (0..count).map(|_| random.below(1 << log2)).collect();
                Way::Ranked { ranks: Vec::new(), changes, lowest: u64::MAX / 2 }
            }
        };
        Self { random, way, points: 0, begun: false }
    }

    fn any(&mut self, runnable: &[&Task], but: Option<TaskId>) -> Option<TaskId> {
        let others: Vec<_> =
            runnable.iter().map(|task| task.id()).filter(|&id| Some(id) != but).collect();
        match others.len() {
            0 => runnable.first().map(|task| task.id()),
            n => Some(others[self.random.below(n)]),
        }
    }
}

impl Scheduler for Seeded {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!core::mem::replace(&mut self.begun, true)).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_waiting: bool,
    ) -> Option<TaskId> {
        self.points += 1;
        let goes_on = current.filter(|&id| runnable.iter().any(|task| task.id() == id));
        if let Way::Ranked { ranks, changes, lowest } = &mut self.way {
            let most = runnable.iter().map(|task| usize::from(task.id())).max()?;
            while ranks.len() <= most.max(current.map_or(0, usize::from)) {
                // Above all that became the lowest.
                ranks.push(u64::MAX / 2 + (self.random.next() >> 2));
            }
            if let Some(id) = current
                && (is_waiting || changes.contains(&self.points))
            {
                *lowest -= 1;
                ranks[usize::from(id)] = *lowest;
            }
            return runnable.iter().map(|task| task.id()).max_by_key(|&id| ranks[usize::from(id)]);
        }
        if let Way::Sleepy { one_in, until } = &mut self.way {
            let now = self.points;
            if let Some(id) = goes_on {
                if is_waiting || self.random.below(*one_in) == 0 {
                    until[usize::from(id)] = now + (4 << self.random.below(8));
                } else if !(until.contains(&now) && self.random.happens(128)) {
                    return Some(id);
                }
            }
            // Whoever woke last; all sleep: whoever wakes first.
            let ids = runnable.iter().map(|task| task.id());
            let awake = ids.clone().filter(|&id| until[usize::from(id)] <= now);
            return awake
                .max_by_key(|&id| until[usize::from(id)])
                .or_else(|| ids.min_by_key(|&id| until[usize::from(id)]));
        }
        let Way::Sticky { one_in } = self.way else { return None };
        match goes_on {
            Some(_) if is_waiting => self.any(runnable, goes_on),
            Some(id) if self.random.below(one_in) != 0 => Some(id),
            _ => self.any(runnable, None),
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next()
    }
}
