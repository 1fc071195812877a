//! What all handles of a pool share: how items are allocated and freed.
//!
//! ```text
//!  allocate   the current cid's group ── empty ─► a group from the free bits ── none ─► the lock:
//!               one bit of it                      one for the caller, the            steal, or a
//!               (a look, a section)                 others for the cid                 new range
//!
//!  free       the current cid's group, if the item is of it, or it is empty; else the free bits
//!
//!  without a cid: straight from and to the free bits, an atomic each
//! ```
//!
//! **Steal or grow.** Each cid may have up to 32 free items to itself. When nobody else has any, they
//! are taken from the cids, if there are a quarter as many as a new range would bring, or if there may
//! be no more ranges; else there is a new range. So what cids have never makes a pool more than that
//! quarter of a range larger than it need be, and a fence, which interrupts all CPUs, pays for itself.

#![allow(unsafe_code)]

use crate::builder::{BuildError, Builder, Initialiser, Numa};
use crate::cancel::Uncancelled;
use crate::cids::Shape;
use crate::control::{Change, Control};
use crate::fork::{self, Fork, Locked};
use crate::group::{Group, Index};
use crate::growth::Growth;
use crate::items::{Items, NoItem};
use crate::pool::{AllocateError, Item};
use crate::populate::{Populate, RangeImage};
use crate::range::{Plan, Range};
use crate::registry;
use crate::robust::{self, FreeError};
use cidalloc::percid::{self, Cids};
use numa_sys::policy::BindMode;
use rseq_sys::sync::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::ffi::CString;
use std::io;
use std::sync::Arc;

/// What all handles of a pool share.
pub(crate) struct Shared {
    /// With `cidpool:` before it.
    name: CString,
    item_len: usize,
    populate: Populate,
    initialise: Option<Initialiser>,
    fork: Fork,
    bind: BindMode,
    is_robust: bool,
    pub(crate) is_global: bool,
    generation: u32,
    /// A child could not make ranges of its own: it has none.
    is_lost: AtomicBool,
    pub(crate) cids: &'static Cids,
    pub(crate) items: Items,
    pub(crate) control: Control,
    pub(crate) steals: AtomicUsize,
    growth: Growth,
    /// Nodes of the ranges there are that the kernel did not bind.
    pub(crate) unbound: AtomicUsize,
}

/// How often a section is begun anew before its item is looked for elsewhere.
const TRIES: usize = 8;

impl Shared {
    pub(crate) fn build(builder: Builder) -> Result<Arc<Self>, BuildError> {
        let refused = |_| BuildError::Refused(io::ErrorKind::OutOfMemory.into());
        let cids = percid::get().map_err(refused)?;
        let shift = builder.stride.trailing_zeros();
        let (nodes, per_node) = if builder.is_global { (1, 1) } else { (cids.nodes, cids.cids) };
        let shape = Shape { nodes, cids: per_node, shift };
        let (copies, stride) = (shape.copies(), builder.stride);
        if shape.bytes().is_none() {
            return Err(BuildError::TooManyCopies { copies, stride });
        }
        let bind = match builder.numa {
            // A copy for all nodes is on none.
            _ if builder.is_global => BindMode::None,
            Numa::AsHeap => cids.bind.unwrap_or(BindMode::None),
            Numa::Bound(mode) => mode,
        };
        let ranges = builder.ranges_max;
        let len = builder.item_len.next_multiple_of(8);
        let items = match Items::new(shape, len, ranges) {
            Some(items) => items.map_err(BuildError::Refused)?,
            None => return Err(BuildError::TooManyItems { ranges, items: stride / len }),
        };
        // Names have no zeros: the builder looked.
        let name =
            CString::new(format!("cidpool:{}", builder.name)).map_err(|_| BuildError::BadName)?;
        let control = Control::new(&name, cids, bind).map_err(BuildError::Refused)?;
        let shared = Arc::new(Self {
            name,
            item_len: builder.item_len,
            populate: builder.populate,
            initialise: builder.initialise,
            fork: builder.fork,
            bind,
            is_robust: builder.robust,
            is_global: builder.is_global,
            generation: fork::generation(),
            is_lost: AtomicBool::new(false),
            cids,
            items,
            control,
            steals: AtomicUsize::new(0),
            growth: Growth::default(),
            unbound: AtomicUsize::new(0),
        });
        fork::register();
        registry::add(&shared);
        Ok(shared)
    }

    pub(crate) fn name(&self) -> &str {
        // Made of a text that begins so.
        self.name.to_str().ok().and_then(|name| name.strip_prefix("cidpool:")).unwrap_or_default()
    }
    pub(crate) fn item_len(&self) -> usize {
        self.item_len
    }
    pub(crate) fn populate(&self) -> Populate {
        self.populate
    }
    /// Whether this process may use the items.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.fork == Fork::Copied || self.generation == fork::generation() || {
            core::hint::cold_path();
            self.fork == Fork::Wiped && !self.is_lost.load(Acquire)
        }
    }

    /// An item of the current cid's own; `None` if it has none, or the thread was interrupted.
    #[inline(always)]
    fn take_own(&self) -> Option<Index> {
        let group = self.control.look().filter(|group| group.mask != 0 && self.is_usable())?;
        let rest = Group { mask: group.mask & (group.mask - 1), ..group };
        match self.control.change(group, rest) {
            Change::Made => Some(group.first()),
            Change::Missed | Change::NoCid => None,
        }
    }

    /// Up to `most` items of one group, now the caller's.
    pub(crate) fn take(&self, most: u32) -> Result<Group, AllocateError> {
        if !self.is_usable() {
            return Err(AllocateError::NotInChild);
        }
        for _ in 0..TRIES {
            let Some(group) = self.control.look() else { break };
            if group.mask == 0 {
                return self.refill(group, most);
            }
            let (some, rest) = group.split(most);
            match self.control.change(group, rest) {
                Change::Made => return Ok(some),
                Change::Missed => {}
                Change::NoCid => break,
            }
        }
        self.items.take_some(most).map_or_else(|| self.take_slow(most), Ok)
    }

    fn refill(&self, empty: Group, most: u32) -> Result<Group, AllocateError> {
        let Some(group) = self.items.take_group() else { return self.take_slow(most) };
        let (some, rest) = group.split(most);
        if rest.mask != 0 && self.control.change(empty, rest) != Change::Made {
            self.items.put(rest);
        }
        Ok(some)
    }

    #[cold]
    fn take_slow(&self, most: u32) -> Result<Group, AllocateError> {
        let mut locked = fork::lock();
        let mut tries = 0;
        loop {
            // Whoever had the lock before may have left something.
            if let Some(some) = self.items.take_some(most) {
                return Ok(some);
            }
            let vacant = self.items.vacant();
            let worth = if vacant.is_some() { self.items.per_range.div_ceil(4) } else { 1 };
            if self.control.cached() >= worth
                && let Some(some) = self.steal(&locked, most)
            {
                return Ok(some);
            }
            let Some(slot) = vacant else {
                // Another search may have said so while it found something itself.
                self.items.look_again();
                if let Some(some) = self.items.take_some(most) {
                    return Ok(some);
                }
                tries += 1;
                // Sections may have been faster than the thief, each time; then there are items.
                if tries < TRIES && self.control.cached() > 0 {
                    continue;
                }
                return Err(AllocateError::Full { ranges: self.items.ranges_max() });
            };
            if self.growth.is_under_way(&locked) && locked.wait() {
                continue;
            }
            let range = match self.growth.run(&mut locked, || self.new_range(slot)) {
                Ok(range) => range,
                Err(error) => {
                    let refused = AllocateError::Refused {
                        errno: error.raw_os_error().unwrap_or(libc::ENOMEM),
                    };
                    let found = self.items.take_some(most);
                    return found.or_else(|| self.steal(&locked, most)).ok_or(refused);
                }
            };
            // It still is, unless somebody did not wait who could not: amid a fork. The image was made
            // for this slot, so not for another one that is vacant by now.
            if self.items.base(slot).is_none() {
                self.unbound.fetch_add(range.unbound, Relaxed);
                // SAFETY: the slot is vacant, and the lock held.
                return Ok(unsafe { self.items.install(slot, range, most) });
            }
        }
    }

    /// Takes what cids have: up to `most` for the caller, the others for everybody.
    fn steal(&self, locked: &Locked, most: u32) -> Option<Group> {
        self.steals.fetch_add(1, Relaxed);
        let mut mine = None;
        self.control.steal(locked, |group| {
            let (some, rest) = match mine {
                None => group.split(most),
                Some(_) => (Group { mask: 0, ..group }, group),
            };
            if some.mask != 0 {
                mine = Some(some);
            }
            if rest.mask != 0 {
                self.items.put(rest);
            }
        });
        mine
    }

    fn new_range(&self, slot: usize) -> io::Result<Range> {
        let _whole = Uncancelled::new();
        let mut range = Range::map(&Plan {
            name: &self.name,
            shape: self.items.shape,
            populate: self.populate,
            bind: self.bind,
            fork: self.fork,
        })?;
        if let (Some(initialise), Some(image)) = (&self.initialise, &mut range.image) {
            let (item_len, items) = (self.items.len, self.items.per_range);
            image
                .fill(|bytes| initialise(&mut RangeImage { number: slot, item_len, items, bytes }));
        }
        Ok(range)
    }

    /// Gives items back, of which the pool knows that they were allocated.
    #[inline]
    pub(crate) fn give(&self, group: Group) -> Result<(), FreeError> {
        for _ in 0..TRIES {
            let Some(now) = self.control.look() else { break };
            let fits = now.number == group.number;
            if fits && now.mask & group.mask != 0 {
                return Err(FreeError::DoubleFree);
            }
            if !fits && now.mask != 0 {
                break;
            }
            let mask = if fits { now.mask | group.mask } else { group.mask };
            match self.control.change(now, Group { mask, ..group }) {
                Change::Made => return Ok(()),
                Change::Missed => {}
                Change::NoCid => break,
            }
        }
        if self.items.put(group) { Ok(()) } else { Err(FreeError::DoubleFree) }
    }

    /// The items are somebody's from now on.
    #[inline]
    pub(crate) fn hand_out(&self, group: Group) {
        if self.is_robust {
            self.hand_out_checked(group);
        }
    }

    #[cold]
    fn hand_out_checked(&self, group: Group) {
        for item in group.iter().filter(|&item| self.items.is_recycled(item)) {
            self.check_poison(item);
        }
        self.items.set_live(group);
    }

    #[inline]
    pub(crate) fn locate(&self, item: Item) -> Result<Index, FreeError> {
        if !self.is_usable() {
            return Err(FreeError::NotInChild);
        }
        self.items.locate(item.0.addr().get()).map_err(|why| match why {
            NoItem::Foreign => FreeError::Foreign,
            NoItem::Interior => FreeError::Interior,
        })
    }

    /// What comes before an item is free.
    #[inline]
    pub(crate) fn take_back(&self, item: Index) -> Result<(), FreeError> {
        if self.is_robust {
            self.take_back_checked(item)?;
        }
        self.items.set_recycled(Group::one(item));
        Ok(())
    }

    #[cold]
    fn take_back_checked(&self, item: Index) -> Result<(), FreeError> {
        if !self.items.clear_live(item) {
            return Err(FreeError::DoubleFree);
        }
        self.poison(item);
        Ok(())
    }

    /// # Safety
    /// The item is the caller's.
    pub(crate) unsafe fn item(&self, item: Index) -> Item {
        // SAFETY: by the caller's promise.
        Item(unsafe { self.items.address(item) })
    }

    #[inline]
    pub(crate) fn allocate(&self) -> Result<Index, AllocateError> {
        let item = match self.take_own() {
            Some(item) => item,
            None => self.take(1)?.first(),
        };
        self.hand_out(Group::one(item));
        Ok(item)
    }

    pub(crate) fn allocate_as(&self, value: &[u8]) -> Result<Item, AllocateError> {
        let (len, item_len) = (value.len(), self.item_len);
        if len > item_len {
            return Err(AllocateError::TooLong { len, item_len });
        }
        let item = self.allocate()?;
        self.fill(item, value);
        // SAFETY: just allocated.
        Ok(unsafe { self.item(item) })
    }

    /// Opens a child's ranges to it, as the pool was told.
    pub(crate) fn after_fork(&self) {
        let _whole = Uncancelled::new();
        for slot in (0..self.items.used()).filter(|&slot| self.items.base(slot).is_some()) {
            // SAFETY: a range with a base; the forking thread has the lock.
            if !unsafe { self.items.range(slot) }.after_fork(&self.name) {
                self.is_lost.store(true, Release);
            }
        }
    }

    /// Has `range` unmapped when nobody can be looking at it. Not under the lock: what others have
    /// deferred may run here, and use pools.
    fn retire(range: Range) {
        range.discard();
        let guard = crossbeam_epoch::pin();
        // SAFETY: taken out: only who is pinned now may still have its addresses. A range may be
        // dropped by any thread.
        unsafe { guard.defer_unchecked(move || drop(range)) };
        guard.flush();
    }

    pub(crate) fn trim(&self) -> usize {
        if !self.is_usable() {
            return 0;
        }
        let _ = self.steal(&fork::lock(), 0);
        let mut slots = 0..self.items.used();
        let mut count = 0;
        loop {
            // As many as there is room for: no memory is allocated with the lock.
            let retired: [Option<Range>; 8] = {
                let _locked = fork::lock();
                core::array::from_fn(|_| slots.find_map(|slot| self.items.retire(slot)))
            };
            if retired[0].is_none() {
                return count;
            }
            for range in retired.into_iter().flatten() {
                self.unbound.fetch_sub(range.unbound, Relaxed);
                Self::retire(range);
                count += 1;
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // From here on neither statistics nor a child find it, and it has no other users.
        registry::remove(self);
        // What threads of an ancestor had, nobody can free in a child.
        if self.is_robust
            && self.generation == fork::generation()
            && let Some(first) = self.items.first_live()
        {
            // SAFETY: an allocated item's range is there.
            let address = unsafe { self.items.address(first) };
            robust::leak(self.name(), self.items.live(), address.addr().get());
        }
        for slot in (0..self.items.used()).filter(|&slot| self.items.base(slot).is_some()) {
            Self::retire(self.items.take_out(slot));
        }
    }
}
