//! What a child of fork finds: as the pool was told.

mod support;

use cidpool::{
    AllocateError, Cache, Fork, FreeError, FreeList, Item, List, Node, PerCid, Pool, Populate,
    Ring, Snapshot, WhenFull, field,
};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};
use std::collections::HashSet;
use support::{Stop, in_child, rerun_well, signal_in_child, wait_for, word};

const POPULATES: [Populate; 2] = [Populate::Zero, Populate::Image];

fn pool(fork: Fork, populate: Populate) -> Pool {
    made(Pool::builder(64), fork, populate)
}

/// A pool of two items: one that is freed is the next one, on whichever cid the thread is then.
fn pair(fork: Fork, populate: Populate) -> Pool {
    made(Pool::builder(2048).stride(4096).ranges_max(1), fork, populate)
}

fn made(builder: cidpool::Builder, fork: Fork, populate: Populate) -> Pool {
    let builder = builder.fork(fork).populate(populate);
    if populate == Populate::Zero {
        return builder.build().unwrap();
    }
    builder.initialise(|range| range.bytes().fill(5)).build().unwrap()
}

fn initial(populate: Populate) -> u64 {
    if populate == Populate::Zero { 0 } else { u64::from_ne_bytes([5; 8]) }
}

fn all(pool: &Pool, item: Item, value: u64) -> bool {
    pool.copies(item).all(|(_, copy)| word(copy).load(Relaxed) == value)
}

fn set_first(pool: &Pool, item: Item, value: u64) {
    let (_, copy) = pool.copies(item).next().unwrap();
    word(copy).store(value, Relaxed);
}

fn free(pool: &Pool, item: Item) {
    // SAFETY: tests pass items that are theirs.
    unsafe { pool.free(item) };
}

#[test]
fn a_copied_pool_is_the_child_s_own_from_then_on() {
    for populate in POPULATES {
        let pool = pool(Fork::Copied, populate);
        let (item, untouched) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        set_first(&pool, item, 77);
        in_child(|| {
            let inherited = word(item.as_ptr()).load(Relaxed) == 77;
            set_first(&pool, item, 78);
            // An item of the same page, whose image both processes have.
            free(&pool, untouched);
            let other = pool.allocate_init(&[9; 64]).unwrap();
            inherited
                && all(
                    &pool,
                    untouched,
                    if other == untouched { u64::from_ne_bytes([9; 8]) } else { initial(populate) },
                )
                && all(&pool, other, u64::from_ne_bytes([9; 8]))
        });
        assert_eq!(word(item.as_ptr()).load(Relaxed), 77, "the child's write is its own");
        assert!(all(&pool, untouched, initial(populate)), "{populate:?}");
        free(&pool, item);
        free(&pool, untouched);
    }
}

#[test]
fn what_the_parent_initialises_afterwards_the_child_does_not_see() {
    for populate in POPULATES {
        let pool = pair(Fork::Copied, populate);
        let (kept, spare) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        free(&pool, spare);
        let mut ends = [0; 2];
        // SAFETY: a pipe; the child ends with what it found.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let child = libc::fork();
            if child == 0 {
                let mut byte = 0u8;
                // Or nobody would ever tell it that the parent has failed.
                libc::close(ends[1]);
                libc::read(ends[0], (&raw mut byte).cast(), 1);
                // The spare one is free in the child: but nobody wrote to it.
                libc::_exit(i32::from(!all(&pool, spare, initial(populate))));
            }
            let value = u64::from_ne_bytes([6; 8]);
            let again = pool.allocate_init(&[6; 64]).unwrap();
            assert!(all(&pool, again, value));
            assert_eq!(libc::write(ends[1], b"x".as_ptr().cast(), 1), 1);
            assert_eq!(wait_for(child), 0, "{populate:?}");
            assert_eq!(again, spare);
            free(&pool, again);
        }
        free(&pool, kept);
    }
}

#[test]
fn what_was_initialised_between_two_forks_the_second_child_has() {
    let pool = pool(Fork::Wiped, Populate::Image);
    let first = pool.allocate_init(&[1; 64]).unwrap();
    in_child(|| all(&pool, first, u64::from_ne_bytes([1; 8])));
    let second = pool.allocate_init(&[2; 64]).unwrap();
    in_child(|| {
        all(&pool, first, u64::from_ne_bytes([1; 8]))
            && all(&pool, second, u64::from_ne_bytes([2; 8]))
    });
    [first, second].into_iter().for_each(|item| free(&pool, item));
}

#[test]
fn a_wiped_pool_begins_anew_with_the_same_items() {
    for populate in POPULATES {
        let pool = pool(Fork::Wiped, populate);
        let (written, given) = (pool.allocate().unwrap(), pool.allocate_init(&[8; 64]).unwrap());
        for (_, copy) in pool.copies(written) {
            word(copy).store(77, Relaxed);
        }
        let value = u64::from_ne_bytes([8; 8]);
        in_child(|| {
            let wiped = all(&pool, written, initial(populate));
            // An image's value is the item's beginning.
            let kept = all(&pool, given, if populate == Populate::Zero { 0 } else { value });
            let other = pool.allocate_init(&[9; 64]).unwrap();
            let fresh = other != written && other != given;
            let set = all(&pool, other, u64::from_ne_bytes([9; 8]));
            free(&pool, written);
            wiped && kept && fresh && set
        });
        assert!(all(&pool, written, 77) && all(&pool, given, value), "{populate:?}");
        let other = pool.allocate().unwrap();
        assert!(populate == Populate::Zero || all(&pool, other, initial(populate)));
        [written, given, other].into_iter().for_each(|item| free(&pool, item));
    }
}

#[test]
fn an_unusable_pool_says_so_in_the_child_and_leaves_its_addresses_alone() {
    for populate in POPULATES {
        let pool = pool(Fork::Unusable, populate);
        let item = pool.allocate().unwrap();
        in_child(|| {
            // SAFETY: nothing is freed.
            let freed = unsafe { pool.try_free(item) };
            let refused = pool.allocate() == Err(AllocateError::NotInChild)
                && pool.allocate_zeroed() == Err(AllocateError::NotInChild)
                && freed == Err(FreeError::NotInChild)
                && pool.trim() == 0
                && pool.statistics().resident.is_none();
            let own = Pool::builder(64).fork(Fork::Unusable).build().unwrap();
            let usable = own.allocate_zeroed().is_ok();
            drop(pool.clone());
            refused && usable
        });
        assert_eq!(signal_in_child(|| set_first(&pool, item, 1)), libc::SIGSEGV);
        set_first(&pool, item, 1);
        free(&pool, item);
    }
}

/// The page that another library's handler of `fork` maps in the child.
static TAKEN: AtomicPtr<u8> = AtomicPtr::new(null_mut());

extern "C" fn take_the_page() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: in the child there is nothing to be lost.
    unsafe { libc::mmap(TAKEN.load(Relaxed).cast(), 4096, protection, flags, -1, 0) };
}

#[test]
fn a_child_ends_in_which_something_else_is_where_the_pool_was() {
    rerun_well("another_handler_of_fork_comes_first", &[]);
}

#[test]
#[ignore = "run by another one, in a process in which no pool was made before"]
fn another_handler_of_fork_comes_first() {
    // SAFETY: a handler that is made for it.
    unsafe { libc::pthread_atfork(None, None, Some(take_the_page)) };
    let pool = pool(Fork::Unusable, Populate::Zero);
    let item = pool.allocate().unwrap();
    TAKEN.store(item.as_ptr().as_ptr().map_addr(|address| address & !4095), Relaxed);
    assert_eq!(signal_in_child(|| {}), libc::SIGABRT);
    free(&pool, item);
}

#[test]
fn a_child_may_drop_what_it_cannot_use() {
    let mut unusable = Some(pool(Fork::Unusable, Populate::Image));
    let item = unusable.as_ref().unwrap().allocate().unwrap();
    in_child(|| {
        // Whatever comes to lie where the pool was stays there.
        let page = item.as_ptr().map_addr(|address| address.saturating_add(0)).as_ptr();
        // SAFETY: over addresses at which there is nothing to be lost.
        let mapped = unsafe {
            let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(page.cast(), 4096, protection, flags | libc::MAP_FIXED, -1, 0)
        };
        drop(unusable.take());
        for _ in 0..1000 {
            crossbeam_epoch::pin().flush();
        }
        // SAFETY: mapped just now.
        mapped == page.cast() && unsafe { page.read_volatile() } == 0
    });
    let pool = unusable.unwrap();
    free(&pool, item);
}

/// One structure of each kind, with something in it.
struct Structures {
    boxes: FreeList<u64>,
    nodes: List<u64>,
    ring: Ring,
    cache: Cache<u64, u64>,
    value: PerCid<u64>,
}

impl Structures {
    fn new(fork: Fork) -> Self {
        let pool = |item_len: usize| Pool::builder(item_len).fork(fork).build().unwrap();
        let made = Self {
            boxes: FreeList::new(&pool(64), 4).unwrap(),
            nodes: List::new(&pool(8)).unwrap(),
            ring: Ring::new(&pool(Ring::item_len(4096)), WhenFull::Overwrite).unwrap(),
            cache: Cache::new(&pool(4096)).unwrap(),
            value: PerCid::new(&pool(8)).unwrap(),
        };
        made.use_all();
        made
    }

    fn use_all(&self) {
        // More than a stack has room for: some go to the depot.
        (0..20).for_each(|i| drop(self.boxes.push(Box::new(i))));
        (0..3).for_each(|i| self.nodes.push(Node::new(i)).unwrap());
        self.ring.append(b"record").unwrap();
        self.cache.insert(1, 2);
        self.value.word(field!(u64)).add(3).unwrap();
    }

    fn records(&self) -> usize {
        let mut snapshot = Snapshot::new(&self.ring);
        self.ring.snapshot(&mut snapshot);
        snapshot.records().count()
    }
}

#[test]
fn a_child_may_drop_structures_that_it_cannot_use() {
    let structures = Structures::new(Fork::Unusable);
    let boxes = structures.boxes.len();
    let mut taken = Some(structures.boxes.take(|| 0));
    in_child(|| {
        drop(taken.take());
        true
    });
    drop(taken);
    let mut structures = Some(structures);
    in_child(|| {
        let mut inherited = structures.take().unwrap();
        let nodes = inherited.nodes.drain().count();
        let values = inherited.value.quiescent().count();
        let found = inherited.boxes.drain().len();
        drop(inherited);
        nodes == 0 && values == 0 && found < boxes
    });
    let mut structures = structures.unwrap();
    assert_eq!(structures.boxes.drain().len(), boxes, "what was taken went back");
    assert_eq!(structures.nodes.drain().count(), 3);
    assert_eq!((structures.records(), structures.value.sum(field!(u64))), (1, 3));
}

#[test]
fn structures_of_a_wiped_pool_begin_anew_in_the_child() {
    let structures = Structures::new(Fork::Wiped);
    let boxes = structures.boxes.len();
    let mut structures = Some(structures);
    in_child(|| {
        let mut inherited = structures.take().unwrap();
        let is_wiped = inherited.nodes.drain().count() == 0
            && inherited.records() == 0
            && inherited.cache.get(1).is_none()
            && inherited.value.sum(field!(u64)) == 0
            // What was between cids is still there.
            && inherited.boxes.drain().len() < boxes;
        inherited.use_all();
        let is_used = inherited.nodes.drain().count() == 3
            && inherited.records() == 1
            && inherited.value.sum(field!(u64)) == 3
            && !inherited.boxes.drain().is_empty();
        drop(inherited);
        is_wiped && is_used
    });
    let mut structures = structures.unwrap();
    assert_eq!(structures.boxes.drain().len(), boxes);
    assert_eq!((structures.nodes.drain().count(), structures.records()), (3, 1));
}

#[test]
fn a_child_need_not_free_what_its_parent_allocated() {
    let mut robust = Some(Pool::builder(64).robust(true).build().unwrap());
    let item = robust.as_ref().unwrap().allocate().unwrap();
    in_child(|| {
        drop(robust.take());
        true
    });
    free(&robust.unwrap(), item);
}

#[test]
fn children_of_children_have_pools_as_well() {
    let pool = pool(Fork::Copied, Populate::Image);
    let item = pool.allocate().unwrap();
    in_child(|| {
        set_first(&pool, item, 1);
        let mine = pool.allocate_init(&[1; 64]).unwrap();
        in_child(|| {
            let other = pool.allocate_init(&[2; 64]).unwrap();
            all(&pool, mine, u64::from_ne_bytes([1; 8]))
                && all(&pool, other, u64::from_ne_bytes([2; 8]))
        });
        all(&pool, mine, u64::from_ne_bytes([1; 8]))
    });
    free(&pool, item);
}

#[test]
fn children_of_children_end_no_sooner_for_a_pool_that_they_have_not() {
    for populate in POPULATES {
        let pool = pool(Fork::Unusable, populate);
        let item = pool.allocate().unwrap();
        in_child(|| {
            in_child(|| pool.allocate() == Err(AllocateError::NotInChild));
            pool.allocate() == Err(AllocateError::NotInChild)
        });
        free(&pool, item);
    }
}

#[test]
fn a_fork_amid_allocations_leaves_a_pool_that_works() {
    let pool = Pool::builder(64).stride(4096).ranges_max(16).build().unwrap();
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while running.load(Relaxed) {
                    let mut items = Vec::new();
                    if pool.allocate_many(50, &mut items).is_ok() {
                        // SAFETY: ours, once.
                        unsafe { pool.free_many(&items) };
                    }
                    pool.trim();
                }
            });
        }
        let _stop = Stop(&running);
        for _ in 0..100 {
            let mine = pool.allocate();
            in_child(|| {
                let mut items: HashSet<Item> = mine.iter().copied().collect();
                while let Ok(item) = pool.allocate() {
                    if !items.insert(item) {
                        return false;
                    }
                }
                // At most a group for each thread that is not here is lost.
                let all = pool.statistics().capacity;
                items.len() + 4 * 64 >= all
            });
            if let Ok(item) = mine {
                free(&pool, item);
            }
        }
    });
}
