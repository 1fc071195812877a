//! Tests of the list parser: examples of the kernel's documentation, and properties against a
//! naive model.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

fn ids(text: &[u8]) -> Result<Vec<u32>, ParseError> {
    let mut found = Vec::new();
    for region in regions(text) {
        found.extend(region?.0.ids());
    }
    Ok(found)
}

#[test]
fn the_kernels_examples_are_read() {
    assert_eq!(ids(b"0-3,8,10-11\n").unwrap(), [0, 1, 2, 3, 8, 10, 11]);
    assert_eq!(ids(b"0-10:2/4").unwrap(), [0, 1, 4, 5, 8, 9]);
    assert_eq!(ids(b"0-1023:2/256").unwrap(), [0, 1, 256, 257, 512, 513, 768, 769]);
    assert_eq!(ids(b"0\n").unwrap(), [0]);
    assert_eq!(ids(b"\n").unwrap(), []);
    assert_eq!(ids(b"").unwrap(), []);
    assert_eq!(ids(b"8,0-1").unwrap(), [8, 0, 1]);
    assert_eq!(ids(b"0-9:0/4,3").unwrap(), [3]);
    assert_eq!(ids(b"4294967295").unwrap(), [u32::MAX]);
}

#[test]
fn errors_say_where_and_why() {
    use ParseErrorKind::*;
    let long = "0".repeat(REGION_MAX + 1);
    for (text, kind, position) in [
        ("x", ExpectedNumber, 0),
        ("0-", ExpectedNumber, 2),
        ("0,", ExpectedNumber, 2),
        (",0", ExpectedNumber, 0),
        ("0,,1", ExpectedNumber, 2),
        (",", ExpectedNumber, 0),
        ("0\n,1", UnexpectedByte, 1),
        ("\n,1", UnexpectedByte, 0),
        ("0\n\n", UnexpectedByte, 1),
        ("0 ,1", UnexpectedByte, 1),
        ("0-3x", UnexpectedByte, 3),
        ("0-3:1", UnexpectedByte, 5),
        ("5:1/2", UnexpectedByte, 1),
        ("0-3:1/2/3", UnexpectedByte, 7),
        ("1,4294967296", TooLarge, 2),
        ("1,0-99999999999999999999", TooLarge, 4),
        ("7,3-2", Reversed, 2),
        ("0-3:1/0", BadStride, 0),
        ("0-3:3/2", BadStride, 0),
        (&long, TooLong, 0),
        ("-1", ExpectedNumber, 0),
        ("all", ExpectedNumber, 0),
        ("0x1", UnexpectedByte, 1),
    ] {
        assert_eq!(ids(text.as_bytes()), Err(ParseError { kind, position }), "{text:?}");
    }
    let error = ids(b"0-3,x").unwrap_err().to_string();
    assert!(error.starts_with("a number is missing at byte 4"), "{error}");
}

#[test]
fn nothing_follows_an_error() {
    let mut all = regions(b"0,x,1");
    assert!(matches!(all.next(), Some(Ok(_))));
    assert!(matches!(all.next(), Some(Err(_))));
    assert!(all.next().is_none() && all.next().is_none());
}

#[test]
fn huge_regions_are_not_walked_for_their_bounds() {
    let region = Region::strided(1, u32::MAX, 3, u32::MAX - 5).unwrap();
    assert_eq!(region.highest(), Some(u32::MAX - 2));
    assert!(region.ids().eq([1, 2, 3, u32::MAX - 4, u32::MAX - 3, u32::MAX - 2]));
    assert_eq!(Region::new(0, u32::MAX).unwrap().highest(), Some(u32::MAX));
    assert!(Region::new(u32::MAX - 1, u32::MAX).unwrap().ids().eq([u32::MAX - 1, u32::MAX]));
}

/// The model: one number after the other, as the definition says it.
fn model(region: Region) -> BTreeSet<u32> {
    let Region { first, last, used, group } = region;
    (first..=last).filter(|id| (id - first) % group < used).collect()
}

fn any_region() -> impl Strategy<Value = Region> {
    let bounds = (0u32..5000, 0u32..300);
    prop_oneof![
        bounds.clone().prop_map(|(first, more)| Region::new(first, first + more).unwrap()),
        (bounds, 1u32..40, 0u32..40).prop_map(|((first, more), group, used)| {
            Region::strided(first, first + more, used % (group + 1), group).unwrap()
        }),
    ]
}

/// A second parser, by splitting, for texts of the list's own alphabet.
fn model_parse(text: &str) -> Option<BTreeSet<u32>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut found = BTreeSet::new();
    if text.is_empty() {
        return Some(found);
    }
    let number = |text: &str| -> Option<u32> {
        text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        text.parse().ok()
    };
    for piece in text.split(',') {
        let (bounds, stride) = match piece.split_once(':') {
            Some((bounds, stride)) => (bounds, Some(stride)),
            None => (piece, None),
        };
        let (first, last) = match (bounds.split_once('-'), stride) {
            (Some((first, last)), _) => (number(first)?, number(last)?),
            (None, Some(_)) => return None,
            (None, None) => (number(bounds)?, number(bounds)?),
        };
        let (used, group) = match stride.map(|stride| stride.split_once('/')) {
            None => (1, 1),
            Some(None) => return None,
            Some(Some((used, group))) => (number(used)?, number(group)?),
        };
        found.extend(model(Region::strided(first, last, used, group)?));
    }
    Some(found)
}

proptest! {
    #[test]
    fn a_printed_list_reads_as_the_same_numbers(all in prop::collection::vec(any_region(), 0..20)) {
        let text: Vec<String> = all.iter().map(|region| region.to_string()).collect();
        let text = text.join(",");
        let expected: Vec<u32> = all.iter().flat_map(|&region| model(region)).collect();
        prop_assert_eq!(ids(text.as_bytes()), Ok(expected.clone()));
        prop_assert_eq!(ids(format!("{text}\n").as_bytes()), Ok(expected));
    }

    #[test]
    fn a_region_agrees_with_its_definition(region in any_region()) {
        let expected = model(region);
        prop_assert!(region.ids().eq(expected.iter().copied()));
        prop_assert_eq!(region.highest(), expected.last().copied());
        prop_assert!((0..5400).all(|id| region.contains(id) == expected.contains(&id)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..700)) {
        for region in regions(&text) {
            if let Err(error) = region {
                prop_assert!(error.position <= text.len());
            }
        }
    }

    #[test]
    fn texts_of_the_alphabet_agree_with_a_splitting_parser(text in "[0-9]{0,3}([-,:/\n][0-9]{0,3}){0,9}\n?") {
        let found = ids(text.as_bytes()).map(|ids| ids.into_iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(found.ok(), model_parse(&text), "{:?}", text);
    }
}
