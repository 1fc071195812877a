//! Tests of reading: pieces of any size, descriptors closed, paths of any length.

use super::*;
use proptest::prelude::*;
use std::ffi::CString;
use std::format;
use std::vec::Vec;

struct TempFile(CString);

impl TempFile {
    fn new(name: &str, contents: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("numa-sys-{}-{name}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        TempFile(CString::new(path.to_str().unwrap()).unwrap())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0.to_str().unwrap());
    }
}

fn pieces(path: &CStr) -> Vec<(usize, Vec<u8>)> {
    let mut found = Vec::new();
    let file = File::open(path).unwrap();
    let end = file.for_each_token(
        |byte| byte == b',',
        |token| {
            found.push((token.offset, token.bytes.to_vec()));
            ControlFlow::<()>::Continue(())
        },
    );
    assert_eq!(end, Ok(None));
    found
}

fn pieces_expected(contents: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut offset = 0;
    let cut = |piece: &[u8]| piece[..piece.len().min(TOKEN_MAX)].to_vec();
    contents
        .split(|&byte| byte == b',')
        .map(|piece| {
            let found = (offset, cut(piece));
            offset += piece.len() + 1;
            found
        })
        .collect()
}

#[test]
fn pieces_around_the_buffer_size_come_whole_or_cut() {
    let sizes = [0, 1, TOKEN_MAX - 1, TOKEN_MAX, TOKEN_MAX + 1, 2 * TOKEN_MAX, 3 * TOKEN_MAX + 1];
    for first in sizes {
        for second in sizes {
            let mut contents = std::vec![b'x'; first];
            contents.push(b',');
            contents.extend(core::iter::repeat_n(b'y', second));
            let file = TempFile::new("edges", &contents);
            assert_eq!(pieces(&file.0), pieces_expected(&contents), "{first} and {second}");
        }
    }
}

proptest! {
    #[test]
    fn pieces_are_those_of_a_split_in_memory(
        contents in prop::collection::vec(
            prop_oneof![1 => Just(b','), 60 => any::<u8>()], 0..3000)
    ) {
        let file = TempFile::new("split", &contents);
        prop_assert_eq!(pieces(&file.0), pieces_expected(&contents));
    }
}

#[test]
fn a_break_ends_the_reading() {
    let file = TempFile::new("break", b"1,2,3");
    let found = File::open(&file.0)
        .unwrap()
        .for_each_token(|byte| byte == b',', |token| ControlFlow::Break(token.offset));
    assert_eq!(found, Ok(Some(0)));
}

#[test]
fn descriptors_are_closed() {
    let file = TempFile::new("close", b"1,2,3");
    let first = File::open(&file.0).unwrap().fd;
    // Other tests open files too: only a leak would climb this far.
    for _ in 0..2000 {
        let _ = pieces(&file.0);
    }
    assert!(File::open(&file.0).unwrap().fd < first + 500);
}

#[test]
fn a_path_one_byte_too_long_is_an_error() {
    // Root, slash, name and NUL of exactly 256 bytes fit; one more does not.
    let name = format_args!("node");
    let longest = CString::new("x".repeat(256 - "/node".len() - 1)).unwrap();
    assert!(Path::new(&longest, name).is_ok_and(|path| path.as_cstr().count_bytes() == 255));
    let longer = CString::new("x".repeat(256 - "/node".len())).unwrap();
    assert_eq!(Path::new(&longer, name).err(), Some(Errno::ENAMETOOLONG));
}
