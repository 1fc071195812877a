//! Tests of the sets against a sorted set of the standard library.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::format;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn the_words_are_the_kernels() {
    let mut mask = NodeMask::EMPTY;
    for id in [0, 63, 64, 1023] {
        assert_eq!(mask.insert(id), Ok(true));
    }
    // SAFETY: plain integers, seen as bytes.
    let bytes = unsafe {
        core::slice::from_raw_parts(mask.words().as_ptr().cast::<u8>(), size_of::<NodeMask>())
    };
    if cfg!(target_endian = "little") {
        let set: Vec<_> = (0..128).filter(|&at| bytes[at] != 0).map(|at| (at, bytes[at])).collect();
        assert_eq!(set, [(0, 1), (7, 128), (8, 1), (127, 128)]);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    assert_eq!(NodeMask::single(1023).map(|mask| mask.highest()), Ok(Some(1023)));
    let error = NodeMask::single(1024).unwrap_err();
    assert_eq!(error.to_string(), "number 1024 does not fit: this set holds 0 to 1023");
    let mut mask = CpuMask::EMPTY;
    assert!(mask.insert(8192).is_err() && mask.insert(u32::MAX).is_err());
    assert!(!mask.contains(u32::MAX) && !mask.remove(u32::MAX) && mask.is_empty());
    let error = NodeMask::from_list(b"3,1000-1024").unwrap_err();
    assert_eq!((error.kind, error.position), (cpulist::ParseErrorKind::TooLarge, 2));
}

#[test]
fn the_empty_set_is_the_empty_text() {
    assert_eq!(NodeMask::EMPTY.to_string(), "");
    assert_eq!(NodeMask::from_list(b"\n"), Ok(NodeMask::EMPTY));
    assert_eq!(format!("{:?}", NodeMask::default()), "{}");
    assert_eq!((NodeMask::EMPTY.lowest(), NodeMask::EMPTY.highest()), (None, None));
}

proptest! {
    #[test]
    fn a_mask_is_a_set(
        ops in prop::collection::vec((any::<bool>(), 0u32..1100), 0..300),
        others in prop::collection::btree_set(0u32..1024, 0..300),
    ) {
        let mut mask = NodeMask::EMPTY;
        let mut set = BTreeSet::new();
        for (insert, id) in ops {
            if insert && id < NodeMask::CAPACITY {
                prop_assert_eq!(mask.insert(id), Ok(set.insert(id)));
            } else if insert {
                prop_assert!(mask.insert(id).is_err());
            } else {
                prop_assert_eq!(mask.remove(id), set.remove(&id));
            }
        }
        prop_assert!(mask.iter().eq(set.iter().copied()));
        prop_assert!((0..1100).all(|id| mask.contains(id) == set.contains(&id)));
        prop_assert_eq!(mask.count() as usize, set.len());
        prop_assert_eq!(mask.is_empty(), set.is_empty());
        prop_assert_eq!((mask.lowest(), mask.highest()), (set.first().copied(), set.last().copied()));
        let mut other = NodeMask::EMPTY;
        for &id in &others {
            other.insert(id).unwrap();
        }
        prop_assert!(mask.and(&other).iter().eq(set.intersection(&others).copied()));
    }

    #[test]
    fn printing_and_reading_gives_the_same_set(
        ids in prop::collection::vec(prop_oneof![0u32..40, 0u32..8192], 0..200),
    ) {
        let mut mask = CpuMask::EMPTY;
        for id in ids {
            mask.insert(id).unwrap();
        }
        let text = mask.to_string();
        prop_assert_eq!(CpuMask::from_list(text.as_bytes()), Ok(mask));
        prop_assert_eq!(CpuMask::from_list(format!("{text}\n").as_bytes()), Ok(mask));
    }
}
