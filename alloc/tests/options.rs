//! Environments of all kinds, against a plain reading of the options' table.

use cidalloc::options::{Options, TABLE};
use core::ffi::CStr;
use proptest::prelude::*;
use std::ffi::CString;

/// Leaked, since environments live for ever.
fn leak(entry: &[u8]) -> &'static CStr {
    let text: Vec<u8> = entry.iter().copied().filter(|&b| b != 0).collect();
    Box::leak(CString::new(text).unwrap().into_boxed_c_str())
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(TABLE.map(|info| info.name).to_vec());
    let word = prop::sample::select(vec![
        "0",
        "1",
        "auto",
        "kernel",
        "cpu",
        "none",
        "bind",
        "preferred",
        "64k",
        "2M",
        "1g",
        "",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "17179869184g",
        "1kk",
        "0x10",
        " 1",
        "k",
    ]);
    prop_oneof![
        4 => (name, word).prop_map(|(name, word)| {
            format!("CIDALLOC_{}={word}", name.to_uppercase()).into_bytes()
        }),
        2 => "CIDALLOC_[A-Z_]{0,40}=?.{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

/// A number as the help describes it.
fn number(text: &str) -> Option<usize> {
    let shift = match text.chars().last()?.to_ascii_lowercase() {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let n: usize = digits.parse().ok().filter(|_| plain)?;
    n.checked_mul(1 << shift)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_environment_is_read_and_what_is_refused_is_said_once(
        entries in prop::collection::vec(entry(), 0..20),
    ) {
        let environment: Vec<_> = entries.iter().map(|entry| leak(entry)).collect();
        let mut refused: Vec<CString> = Vec::new();
        let options = Options::from_environment(environment.iter().copied(), |entry, _| {
            refused.push(entry.to_owned());
        });
        let mut bytes = Options::DEFAULT.cache_bytes_max;
        for entry in &environment {
            let Some(text) = entry.to_bytes().strip_prefix(b"CIDALLOC_CACHE_BYTES_MAX=") else {
                continue;
            };
            match core::str::from_utf8(text).ok().and_then(number) {
                Some(n) => bytes = n,
                None => prop_assert!(refused.iter().any(|r| r.as_c_str() == *entry)),
            }
        }
        prop_assert_eq!(options.cache_bytes_max, bytes);
        let ours = |entry: &CStr| entry.to_bytes().starts_with(b"CIDALLOC_");
        prop_assert!(refused.len() <= environment.iter().filter(|entry| ours(entry)).count());
        prop_assert!(refused.iter().all(|entry| ours(entry)));
    }
}
