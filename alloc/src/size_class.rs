//! Size classes: which sizes share a span, and the arithmetic of objects within one.
//!
//! ```text
//! sizes              classes                                             waste at most
//!    16 …   512      every 16 B                                          15 B
//!   528 …  4096      64 KiB / n for n = 16, 17 … 31; 32, 34 …; 64, 68 …  6.6 %
//!  4352 …  8192      64 KiB / n for n = 8 … 15                           11.8 %
//!  9344 … 16384      64 KiB / n for n = 4 … 7                            20.3 %
//! 18432 … 32768      18, 20, 21.3, 24, 28, 32 KiB                        14.3 %
//! 0 = no class (free or foreign page), LARGE and LARGE_BODY = pages of a large object,
//! GUARD and WAITING = pages that nobody may touch
//! ```
//!
//! Where most bytes are, a class is the largest size of which n fit into a span: there is no
//! tail that shares the last object's kernel page and stays empty. With 16 such steps in a
//! doubling, sizes spread evenly over the logarithm from 16 to 4096 cost 3.0 % of internal and
//! tail waste together; eight geometric steps, as most allocators have four or eight, cost
//! 5.8 %. Above 4 KiB the steps are coarser: of a larger object only the touched kernel pages
//! are resident. All sizes are multiples of 16, so objects are aligned to the largest power of
//! two that divides their size, and an aligned request looks up the first class with enough of it.

use crate::config::{BATCH_BYTES, BATCH_MAX, GRAIN, PAGE, SMALL_MAX};
use crate::ids::SizeClass;
use rseq_sys::cs::HEADERS;

/// Number of classes, the unused class 0 included.
pub const CLASSES: usize = 99;
/// Page-map entry of the first page of a large object.
pub const LARGE: u8 = 255;
/// Page-map entry of the other pages of a large object.
pub const LARGE_BODY: u8 = 254;
/// Page-map entry of a page without access, behind a span or at the end of a large object's run.
pub const GUARD: u8 = 253;
/// Page-map entry of the pages of a large object that was freed and waits.
pub const WAITING: u8 = 252;

/// What is known of a class at compile time.
#[derive(Debug, Clone, Copy)]
pub struct ClassInfo {
    /// Bytes of an object.
    pub size: u32,
    /// Objects in a span.
    pub objects: u16,
    /// Words of each of a span's bitmaps.
    pub words: u16,
    /// First slot in a shard.
    pub begin: u16,
    /// Slots in a shard: the most objects that a shard may cache.
    pub capacity_max: u16,
    /// Slots that a shard begins with.
    pub capacity_min: u16,
    /// Objects moved at once, at most.
    pub batch: u16,
}

const LINEAR_MAX: usize = 512;

/// All sizes, ascending; 0 for class 0.
const SIZES: [u32; CLASSES] = {
    // Objects per span from the first to the second, by the third; rounded to the fourth.
    let quotients =
        [(124, 64, 4, 16), (62, 32, 2, 16), (31, 16, 1, 16), (15, 8, 1, 64), (7, 4, 1, 64)];
    let mut sizes = [0u32; CLASSES];
    let mut class = 1;
    while class <= LINEAR_MAX / GRAIN {
        sizes[class] = (class * GRAIN) as u32;
        class += 1;
    }
    let mut part = 0;
    while part < quotients.len() {
        let (mut n, last, step, grain) = quotients[part];
        while n >= last {
            sizes[class] = (PAGE / n / grain * grain) as u32;
            class += 1;
            n -= step;
        }
        part += 1;
    }
    // Two or three to a span: the steps are what a cached object may waste of address space.
    let largest = [18 << 10, 20 << 10, PAGE as u32 / 3 / 64 * 64, 24 << 10, 28 << 10, 32 << 10];
    let mut i = 0;
    while i < largest.len() {
        sizes[class] = largest[i];
        class += 1;
        i += 1;
    }
    assert!(class == CLASSES);
    sizes
};

const fn size_of_class(class: usize) -> usize {
    SIZES[class] as usize
}

/// Bytes of one class that a shard may cache at most.
const CLASS_BYTES_MAX: usize = 256 << 10;
const SLOTS_MAX: usize = 2048;
const SLOTS_MIN: usize = 8;
/// Bytes of one class that a shard may cache at first.
const CLASS_BYTES_FIRST: usize = 4 << 10;

const fn clamp(value: usize, low: usize, high: usize) -> usize {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

const fn build() -> [ClassInfo; CLASSES] {
    let none = ClassInfo {
        size: 0,
        objects: 0,
        words: 0,
        begin: 0,
        capacity_max: 0,
        capacity_min: 0,
        batch: 0,
    };
    let mut table = [none; CLASSES];
    let mut slot = HEADERS;
    let mut class = 1;
    while class < CLASSES {
        let size = size_of_class(class);
        let capacity_max = clamp(CLASS_BYTES_MAX / size, SLOTS_MIN, SLOTS_MAX);
        slot += 1;
        table[class] = ClassInfo {
            size: size as u32,
            objects: (PAGE / size) as u16,
            words: (PAGE / size).div_ceil(64) as u16,
            begin: slot as u16,
            capacity_max: capacity_max as u16,
            capacity_min: clamp(CLASS_BYTES_FIRST / size, 2, 64) as u16,
            batch: clamp(BATCH_BYTES / size, 2, BATCH_MAX) as u16,
        };
        slot += capacity_max;
        class += 1;
    }
    assert!(slot <= u16::MAX as usize);
    table
}

/// All classes; entry 0 is unused.
pub static CLASS: [ClassInfo; CLASSES] = build();

/// Header of a shard's objects of other nodes, of any class: nobody pops one of them, they wait
/// for their way home.
pub const HOMEWARD: usize = CLASSES;
/// Its first slot.
pub const HOMEWARD_BEGIN: u16 = {
    let last = build()[CLASSES - 1];
    last.begin + last.capacity_max + 1
};
/// Its slots.
pub const HOMEWARD_SLOTS: u16 = if cfg!(cidalloc_model) { 4 } else { 128 };
/// The largest size that waits there: what waits is memory that its own node lacks.
pub const HOMEWARD_SIZE_MAX: u32 = (CLASS_BYTES_MAX / HOMEWARD_SLOTS as usize) as u32;

/// Words of a shard's headers and slots.
pub const SHARD_WORDS: usize = HOMEWARD_BEGIN as usize + HOMEWARD_SLOTS as usize;

const fn build_lookup() -> [u8; SMALL_MAX / GRAIN + 1] {
    let mut table = [1u8; SMALL_MAX / GRAIN + 1];
    let mut class = 1;
    let mut grain = 1;
    while grain <= SMALL_MAX / GRAIN {
        while size_of_class(class) < grain * GRAIN {
            class += 1;
        }
        table[grain] = class as u8;
        grain += 1;
    }
    table
}

static LOOKUP: [u8; SMALL_MAX / GRAIN + 1] = build_lookup();

/// `ALIGNED[a][c]` = the first class from `c` on whose objects are all aligned to 2ᵃ.
static ALIGNED: [[u8; CLASSES]; SMALL_MAX.ilog2() as usize + 1] = {
    let mut table = [[0u8; CLASSES]; SMALL_MAX.ilog2() as usize + 1];
    let mut shift = 0;
    while shift < table.len() {
        // The largest class is aligned to every alignment that has a class.
        let mut fits = CLASSES - 1;
        let mut class = CLASSES - 1;
        while class > 0 {
            if size_of_class(class).is_multiple_of(1 << shift) {
                fits = class;
            }
            table[shift][class] = fits as u8;
            class -= 1;
        }
        shift += 1;
    }
    table
};

/// `RECIPROCAL[c]` = ⌈2³² / size⌉, and 0 for entries that are no class.
///
/// For an offset below 64 KiB, the high half of `offset * reciprocal` is the object's index
/// and the low half is below the reciprocal exactly when the offset is a multiple of the size
/// (Lemire, Kaser, Kurz, "Faster remainder by direct computation", 2019). With reciprocal 0
/// no offset passes, which sends pages that are no span to the cold path at no extra cost.
static RECIPROCAL: [u32; HEADERS] = {
    let mut table = [0u32; HEADERS];
    let mut class = 1;
    while class < CLASSES {
        table[class] = (1u64 << 32).div_ceil(size_of_class(class) as u64) as u32;
        class += 1;
    }
    table
};

/// The class for `size` bytes, 0 included.
///
/// # Panics
/// Never: `size` must be at most [`SMALL_MAX`], which is checked in debug builds.
#[inline(always)]
#[must_use]
#[allow(unsafe_code)]
pub fn of_size(size: usize) -> SizeClass {
    debug_assert!(size <= SMALL_MAX);
    // SAFETY: the table reaches to SMALL_MAX.
    SizeClass(unsafe { *LOOKUP.get_unchecked((size + GRAIN - 1) >> GRAIN.ilog2()) })
}

/// The smallest class for `size` bytes whose objects are all aligned to `align`, a power of
/// two; `None` when only a large object will do.
#[inline]
#[must_use]
pub fn of_aligned(size: usize, align: usize) -> Option<SizeClass> {
    debug_assert!(align.is_power_of_two());
    if size > SMALL_MAX || align > SMALL_MAX {
        return None;
    }
    Some(SizeClass(ALIGNED[align.ilog2() as usize][of_size(size).index()]))
}

/// Whether `offset` in a span of page-map entry `entry` is where an object begins.
/// False for every entry that is no class.
#[inline(always)]
#[must_use]
#[allow(unsafe_code)]
pub fn is_object_start(entry: usize, offset: usize) -> bool {
    debug_assert!(entry < HEADERS);
    // SAFETY: the table has an entry for everything that the page map may hold.
    let reciprocal = unsafe { *RECIPROCAL.get_unchecked(entry) };
    (offset as u32).wrapping_mul(reciprocal) < reciprocal
}

/// Index of the object that contains `offset` in a span of `class`.
#[inline(always)]
#[must_use]
#[allow(unsafe_code)]
pub fn object_index(class: SizeClass, offset: usize) -> usize {
    // SAFETY: the table has an entry for every u8.
    let reciprocal = unsafe { *RECIPROCAL.get_unchecked(class.0 as usize) };
    (offset * reciprocal as usize) >> 32
}

const _: () = {
    assert!(size_of_class(CLASSES - 1) == SMALL_MAX);
    assert!(CLASSES <= WAITING as usize && HOMEWARD < HEADERS);
    assert!(SHARD_WORDS <= u16::MAX as usize);
    assert!(build()[1].words == 64);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 0..=SMALL_MAX {
            let class = of_size(size);
            assert!(class.info().size as usize >= size.max(1));
            if class.0 > 1 {
                assert!((CLASS[class.0 as usize - 1].size as usize) < size);
            }
        }
    }

    #[test]
    fn waste_is_bounded_as_documented() {
        for size in 1..=SMALL_MAX {
            let waste = of_size(size).info().size as usize - size;
            let per_mille = waste * 1000 / (size + waste);
            let bounded = match size {
                0..=512 => waste <= 15,
                513..=4096 => per_mille <= 66,
                4097..=8192 => per_mille <= 118,
                8193..=16384 => per_mille <= 203,
                _ => per_mille <= 143,
            };
            assert!(bounded, "{size}: {waste}");
        }
    }

    #[test]
    fn object_arithmetic_agrees_with_division_everywhere() {
        for (class, info) in CLASS.iter().enumerate().skip(1) {
            let size = info.size as usize;
            for offset in 0..PAGE {
                assert_eq!(object_index(SizeClass(class as u8), offset), offset / size);
                assert_eq!(is_object_start(class, offset), offset % size == 0);
            }
        }
        for entry in [0, LARGE, LARGE_BODY, GUARD, WAITING, CLASSES as u8] {
            assert!((0..PAGE).all(|offset| !is_object_start(entry.into(), offset)));
        }
    }

    #[test]
    fn aligned_requests_get_aligned_objects() {
        for shift in 0..=15 {
            for size in (0..=SMALL_MAX).step_by(7) {
                let class = of_aligned(size, 1 << shift).unwrap();
                let fits = |info: &ClassInfo| {
                    info.size as usize >= size && info.size.is_multiple_of(1 << shift)
                };
                assert_eq!(class.index(), 1 + CLASS[1..].iter().position(fits).unwrap());
            }
        }
        assert!(of_aligned(1, PAGE).is_none());
    }

    #[test]
    fn slots_of_classes_are_disjoint_and_fit_a_shard() {
        let mut next = HEADERS;
        for info in &CLASS[1..] {
            assert_eq!(info.begin as usize, next + 1);
            assert!(info.capacity_min <= info.capacity_max && info.batch <= BATCH_MAX as u16);
            next = (info.begin + info.capacity_max) as usize;
        }
        assert_eq!(HOMEWARD_BEGIN as usize, next + 1);
        assert_eq!(HOMEWARD_BEGIN as usize + HOMEWARD_SLOTS as usize, SHARD_WORDS);
    }
}
