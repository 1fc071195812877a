//! Tests of the topology on trees built for them: holes, missing parts, damage.

use super::*;
use core::sync::atomic::{AtomicU32, Ordering};
use proptest::prelude::*;
use std::ffi::CString;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

struct Tree {
    root: PathBuf,
    name: CString,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("numa-sys-tree-{}-{next}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let name = CString::new(root.to_str().unwrap()).unwrap();
        let tree = Tree { root, name };
        for (path, text) in files {
            tree.write(path, text.as_bytes());
        }
        tree
    }

    /// A path that ends in `/` makes a folder.
    fn write(&self, path: &str, text: &[u8]) {
        let full = self.root.join(path);
        if path.ends_with('/') {
            return std::fs::create_dir_all(full).unwrap();
        }
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
    }

    fn sysfs(&self) -> Sysfs<'_> {
        Sysfs::new(&self.name)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

const NO: Error = Error::Sys(Errno::ENOENT);

/// Nodes 0, 2, 5 of 8 are online; 2 has CPUs but no memory, 5 memory but no CPUs; CPU 6 is
/// present but offline, CPUs 8 and 9 are possible only.
fn holes() -> Tree {
    Tree::new(&[
        ("cpu/possible", "0-9\n"),
        ("cpu/present", "0-7\n"),
        ("cpu/online", "0-5,7\n"),
        ("cpu/cpu0/node0/", ""),
        ("cpu/cpu1/node0/", ""),
        ("cpu/cpu2/node0/", ""),
        ("cpu/cpu3/node0/", ""),
        ("cpu/cpu4/node2/", ""),
        ("cpu/cpu5/node2/", ""),
        ("cpu/cpu6/node2/", ""),
        ("cpu/cpu7/node2/", ""),
        ("node/possible", "0-7\n"),
        ("node/online", "0,2,5\n"),
        ("node/has_memory", "0,5\n"),
        ("node/has_cpu", "0,2\n"),
        ("node/node0/cpulist", "0-3\n"),
        ("node/node0/distance", "10 20 30\n"),
        ("node/node0/meminfo", "Node 0 MemTotal:        4155604 kB\nNode 0 MemFree:  1 kB\n"),
        ("node/node2/cpulist", "4-5,7\n"),
        ("node/node2/distance", "21 10 17\n"),
        ("node/node2/meminfo", "Node 2 MemTotal:  0 kB\nNode 2 MemFree:  0 kB\n"),
        ("node/node5/cpulist", "\n"),
        ("node/node5/distance", "31 18 10\n"),
        ("node/node5/meminfo", "Node 5 MemTotal: 17179869184 kB\nNode 5 MemFree: 8 kB\n"),
    ])
}

fn list<const WORDS: usize>(mask: Result<Bits<WORDS>, Error>) -> String {
    mask.unwrap().to_string()
}

#[test]
fn holes_in_node_numbers_are_no_nodes() {
    let tree = holes();
    let sysfs = tree.sysfs();
    assert_eq!(sysfs.possible_cpus_end(), Ok(Some(10)));
    assert_eq!(sysfs.possible_nodes_end(), Ok(Some(8)));
    assert_eq!(list(sysfs.possible_cpus()), "0-9");
    assert_eq!(list(sysfs.online_cpus()), "0-5,7");
    assert_eq!(list(sysfs.possible_nodes()), "0-7");
    assert_eq!(list(sysfs.online_nodes()), "0,2,5");
    assert_eq!(list(sysfs.nodes_with_memory()), "0,5");
    assert_eq!(list(sysfs.nodes_with_cpus()), "0,2");
    assert_eq!(sysfs.node_cpus(1), Err(NO));
    assert_eq!(sysfs.node_memory(1), Err(NO));
}

#[test]
fn distances_count_online_nodes_only() {
    let tree = holes();
    let table: Vec<_> = [(0, 0), (0, 2), (0, 5), (2, 0), (2, 5), (5, 0), (5, 2)]
        .map(|(from, to)| tree.sysfs().distance(from, to).unwrap())
        .to_vec();
    assert_eq!(table, [10, 20, 30, 21, 17, 31, 18]);
    for (from, to) in [(0, 1), (1, 0), (1, 1), (0, 3), (0, 9999), (9999, 0)] {
        assert_eq!(tree.sysfs().distance(from, to), Err(NO), "{from} to {to}");
    }
}

#[test]
fn nodes_may_lack_cpus_or_memory() {
    let tree = holes();
    let sysfs = tree.sysfs();
    assert_eq!(list(sysfs.node_cpus(5)), "");
    assert_eq!(list(sysfs.node_cpus(2)), "4-5,7");
    let memory = |node| sysfs.node_memory(node).map(|memory| memory.total_bytes);
    assert_eq!(memory(2), Ok(0));
    assert_eq!(memory(0), Ok(4_155_604 * 1024));
    assert_eq!(memory(5), Ok(16 << 40), "16 TiB need more than 32 bits of KiB");
    assert_eq!(sysfs.node_memory(5).unwrap().free_bytes, 8192);
    let nearest = [0, 2, 5].map(|node| sysfs.nearest_node_with_memory(node));
    assert_eq!(nearest, [Ok(0), Ok(5), Ok(5)]);
    assert_eq!(sysfs.nearest_node_with_memory(3), Err(NO));
}

#[test]
fn a_cpus_node_comes_from_its_link_even_offline() {
    let tree = holes();
    let nodes: Vec<_> = (0..8).map(|cpu| tree.sysfs().node_of_cpu(cpu).unwrap()).collect();
    assert_eq!(nodes, [0, 0, 0, 0, 2, 2, 2, 2]);
    for absent in [8, 9, 10, u32::MAX] {
        assert_eq!(tree.sysfs().node_of_cpu(absent), Err(NO));
    }
}

#[test]
fn without_links_the_nodes_lists_decide() {
    let tree = holes();
    std::fs::remove_dir_all(tree.root.join("cpu")).unwrap();
    tree.write("cpu/possible", b"0-9\n");
    let nodes: Vec<_> = (0..10).map(|cpu| tree.sysfs().node_of_cpu(cpu).ok()).collect();
    let (a, b) = (Some(0), Some(2));
    assert_eq!(nodes, [a, a, a, a, b, b, None, b, None, None]);
    // A node that goes away between the list of nodes and its own list is passed over.
    std::fs::remove_dir_all(tree.root.join("node/node0")).unwrap();
    assert_eq!(tree.sysfs().node_of_cpu(4), Ok(2));
}

#[test]
fn a_machine_without_node_folder_has_node_0() {
    let tree = Tree::new(&[("cpu/possible", "0-3\n"), ("cpu/online", "0,2\n")]);
    let sysfs = tree.sysfs();
    assert_eq!(sysfs.possible_nodes_end(), Ok(Some(1)));
    for nodes in [sysfs.online_nodes(), sysfs.possible_nodes(), sysfs.nodes_with_memory()] {
        assert_eq!(list(nodes), "0");
    }
    assert_eq!([0, 3, 4].map(|cpu| sysfs.node_of_cpu(cpu)), [Ok(0), Ok(0), Err(NO)]);
    assert_eq!(list(sysfs.node_cpus(0)), "0,2");
    assert_eq!(sysfs.node_cpus(1), Err(NO));
    assert_eq!([sysfs.distance(0, 0), sysfs.distance(0, 1)], [Ok(10), Err(NO)]);
    let memory = sysfs.node_memory(0).unwrap();
    assert!(0 < memory.free_bytes && memory.free_bytes <= memory.total_bytes);
    assert_eq!(sysfs.node_memory(1), Err(NO));
    assert_eq!(sysfs.nearest_node_with_memory(0), Ok(0));
}

#[test]
fn without_sysfs_nothing_is_made_up() {
    let sysfs = Sysfs::new(c"/nowhere/at/all");
    assert_eq!(sysfs.possible_cpus_end(), Err(NO));
    assert_eq!(sysfs.possible_nodes_end(), Err(NO));
    assert_eq!(sysfs.online_nodes(), Err(NO));
    assert_eq!(sysfs.node_of_cpu(0), Err(NO));
    assert_eq!(sysfs.distance(0, 0), Err(NO));
    assert!(NO.to_string().ends_with("see that /sys is there"));
}

#[test]
fn sparse_cpu_numbers_give_the_highest_plus_one() {
    let tree = Tree::new(&[("cpu/possible", "0-1,128-129\n"), ("node/possible", "1,3\n")]);
    assert_eq!(tree.sysfs().possible_cpus_end(), Ok(Some(130)));
    assert_eq!(tree.sysfs().possible_nodes_end(), Ok(Some(4)));
}

#[test]
fn lists_longer_than_any_buffer_are_read_whole() {
    let odd: Vec<String> = (0..4096).map(|n| (2 * n + 1).to_string()).collect();
    let tree = Tree::new(&[("cpu/possible", &format!("{}\n", odd.join(",")))]);
    let cpus = tree.sysfs().possible_cpus().unwrap();
    assert!(cpus.iter().eq((0..4096).map(|n| 2 * n + 1)));
    assert_eq!(tree.sysfs().possible_cpus_end(), Ok(Some(8192)));
}

#[test]
fn damage_is_reported_where_it_is() {
    let malformed = |kind, position| Error::Malformed(ParseError::new(kind, position));
    let tree = holes();
    tree.write("cpu/possible", b"0-3,oops\n");
    let expected = malformed(ParseErrorKind::ExpectedNumber, 4);
    assert_eq!(tree.sysfs().possible_cpus_end(), Err(expected));
    tree.write("cpu/possible", b"0-9999\n");
    assert_eq!(tree.sysfs().possible_cpus(), Err(Error::Sys(Errno::ERANGE)));
    assert_eq!(tree.sysfs().possible_cpus_end(), Ok(Some(10_000)), "the bound alone fits");
    tree.write("cpu/possible", b"0-4294967295\n");
    assert_eq!(tree.sysfs().possible_cpus(), Err(Error::Sys(Errno::ERANGE)));
    tree.write("node/node0/distance", b"10 20x 30\n");
    assert_eq!(tree.sysfs().distance(0, 2), Err(malformed(ParseErrorKind::UnexpectedByte, 5)));
    tree.write("node/node0/distance", b"10 20\n");
    assert_eq!(tree.sysfs().distance(0, 5), Err(malformed(ParseErrorKind::Missing, 0)));
    for text in ["", "Node 0 MemFree: 1 kB\n", "\n\n"] {
        tree.write("node/node0/meminfo", text.as_bytes());
        let missing = malformed(ParseErrorKind::Missing, 0);
        assert_eq!(tree.sysfs().node_memory(0), Err(missing), "{text:?}");
    }
    for text in ["\nNode 0 MemTotal: 1 MB\n", "\nNode 0 MemTotal: -1 kB\n", "\nNode 0 MemTotal:\n"]
    {
        tree.write("node/node0/meminfo", text.as_bytes());
        let wrong = malformed(ParseErrorKind::UnexpectedByte, 1);
        assert_eq!(tree.sysfs().node_memory(0), Err(wrong), "{text:?}");
    }
}

#[test]
fn a_path_too_long_is_an_error() {
    let root = CString::new("x".repeat(300)).unwrap();
    assert_eq!(Sysfs::new(&root).online_nodes(), Err(Error::Sys(Errno::ENAMETOOLONG)));
}

proptest! {
    #[test]
    fn a_file_and_its_text_in_memory_read_the_same(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..1500),
            prop::collection::vec(prop::sample::select(b"0123456789,,,--\n".to_vec()), 0..1500),
            prop::collection::vec((0u32..4000, 0u32..90), 0..300).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(a, more)| format!("{a}-{}", a + more)).collect();
                all.join(",").into_bytes()
            }),
        ]
    ) {
        let tree = Tree::new(&[]);
        tree.write("cpu/possible", &text);
        let expected = match CpuMask::from_list(&text) {
            Err(ParseError { kind: ParseErrorKind::TooLarge, .. }) => None,
            other => Some(other),
        };
        // A number too large for the set is ERANGE of the file and a position of the text.
        match (tree.sysfs().possible_cpus(), expected) {
            (Err(Error::Sys(Errno::ERANGE)) | Err(Error::Malformed(_)), None) => {}
            (found, Some(expected)) => prop_assert_eq!(found, expected.map_err(Error::Malformed)),
            (found, None) => prop_assert!(false, "{:?}", found),
        }
    }
}

/// What `each_cpu` says, as "CPU:node".
fn cpu_nodes(tree: &Tree) -> Result<Vec<String>, Error> {
    let mut seen = Vec::new();
    tree.sysfs().each_cpu(|cpu, node| seen.push(format!("{cpu}:{node}")))?;
    seen.sort();
    Ok(seen)
}

#[test]
fn each_present_cpu_has_its_node_offline_ones_and_those_beside_holes_too() {
    let seen = cpu_nodes(&holes()).unwrap();
    assert_eq!(seen, ["0:0", "1:0", "2:0", "3:0", "4:2", "5:2", "6:2", "7:2"]);
}

#[test]
fn without_numa_each_present_cpu_is_on_node_0() {
    let tree =
        Tree::new(&[("cpu/possible", "0-3\n"), ("cpu/present", "0-2\n"), ("cpu/online", "0,2\n")]);
    assert_eq!(cpu_nodes(&tree).unwrap(), ["0:0", "1:0", "2:0"]);
}

#[test]
fn a_sandbox_without_links_and_lists_of_present_cpus_says_what_nodes_list() {
    let tree = Tree::new(&[
        ("cpu/possible", "0-3\n"),
        ("node/online", "0-1\n"),
        ("node/node0/cpulist", "0,2\n"),
        ("node/node1/cpulist", "1,3\n"),
    ]);
    assert_eq!(cpu_nodes(&tree).unwrap(), ["0:0", "1:1", "2:0", "3:1"]);
    assert_eq!(cpu_nodes(&Tree::new(&[])), Err(NO));
}
