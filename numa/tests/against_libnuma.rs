//! Our answers beside libnuma's own and beside `numactl --hardware`, on the machine at hand.
//!
//! libnuma is loaded at run time, so that building needs none of it; where it is absent a test
//! prints one line and compares nothing.

use core::ffi::{CStr, c_int, c_longlong, c_uint, c_void};
use numa_sys::policy::node_of_page;
use numa_sys::topology::{self, Sysfs};
use numa_sys::*;

/// libnuma, loaded for good.
struct LibNuma(*mut c_void);

impl LibNuma {
    fn load() -> Option<LibNuma> {
        // SAFETY: libnuma's constructor only reads files and sets up its own state.
        let handle = unsafe { libc::dlopen(c"libnuma.so.1".as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            eprintln!("skipped: libnuma.so.1 cannot be loaded (Debian: package libnuma1)");
            return None;
        }
        let numa = LibNuma(handle);
        // SAFETY: `int numa_available(void)`.
        let available = unsafe { numa.function::<extern "C" fn() -> c_int>(c"numa_available") };
        let available = available();
        assert_eq!(available == 0, numa_available().is_ok(), "numa_available");
        if available != 0 {
            eprintln!("skipped: libnuma says that this kernel has no NUMA");
            return None;
        }
        Some(numa)
    }

    /// # Safety
    ///
    /// `F` is a function pointer of the type that numa(3) gives `name`.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> F {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        // SAFETY: a live handle and a C string.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null(), "libnuma has no {name:?}");
        // SAFETY: the caller's duty.
        unsafe { core::mem::transmute_copy(&symbol) }
    }

    fn int(&self, name: &CStr) -> c_int {
        // SAFETY: called only for names of functions `int (*)(void)`.
        let function = unsafe { self.function::<extern "C" fn() -> c_int>(name) };
        function()
    }

    /// Whether a `struct bitmask` of libnuma holds the number.
    fn has(&self, mask: *const c_void, id: u32) -> bool {
        type IsBitSet = extern "C" fn(*const c_void, c_uint) -> c_int;
        // SAFETY: `int numa_bitmask_isbitset(const struct bitmask *, unsigned int)`.
        let is_set = unsafe { self.function::<IsBitSet>(c"numa_bitmask_isbitset") };
        is_set(mask, id) != 0
    }
}

fn signed<E>(answer: Result<u32, E>) -> c_int {
    answer.map_or(-1, |value| c_int::try_from(value).unwrap())
}

#[test]
fn counts_and_bounds_agree() {
    let Some(numa) = LibNuma::load() else { return };
    assert_eq!(signed(numa_max_node()), numa.int(c"numa_max_node"));
    assert_eq!(signed(numa_max_possible_node()), numa.int(c"numa_max_possible_node"));
    assert_eq!(signed(numa_num_possible_nodes()), numa.int(c"numa_num_possible_nodes"));
    assert_eq!(signed(numa_num_configured_nodes()), numa.int(c"numa_num_configured_nodes"));
    assert_eq!(signed(numa_num_configured_cpus()), numa.int(c"numa_num_configured_cpus"));
}

#[test]
fn every_online_cpu_is_on_the_same_node() {
    let Some(numa) = LibNuma::load() else { return };
    // SAFETY: `int numa_node_of_cpu(int cpu)`.
    let theirs = unsafe { numa.function::<extern "C" fn(c_int) -> c_int>(c"numa_node_of_cpu") };
    let online = Sysfs::SYSTEM.online_cpus().unwrap();
    assert!(!online.is_empty());
    for cpu in &online {
        let expected = theirs(cpu as c_int);
        assert_eq!(signed(numa_node_of_cpu(cpu)), expected, "CPU {cpu}");
        assert_eq!(topology::node_of_cpu(cpu).map(|node| node as c_int), Some(expected));
    }
    let end = topology::possible_cpus().unwrap();
    assert_eq!(signed(numa_node_of_cpu(end)), theirs(end as c_int), "a CPU that cannot be");
}

#[test]
fn every_node_has_the_same_cpus() {
    let Some(numa) = LibNuma::load() else { return };
    type ToCpus = extern "C" fn(c_int, *mut c_void) -> c_int;
    // SAFETY: `struct bitmask *numa_allocate_cpumask(void)`.
    let new = unsafe { numa.function::<extern "C" fn() -> *mut c_void>(c"numa_allocate_cpumask") };
    // SAFETY: `void numa_bitmask_free(struct bitmask *)`.
    let free = unsafe { numa.function::<extern "C" fn(*mut c_void)>(c"numa_bitmask_free") };
    // SAFETY: `int numa_node_to_cpus(int, struct bitmask *)`.
    let theirs = unsafe { numa.function::<ToCpus>(c"numa_node_to_cpus") };
    for node in &Sysfs::SYSTEM.online_nodes().unwrap() {
        let ours = numa_node_to_cpus(node).unwrap();
        let mask = new();
        assert_eq!(theirs(node as c_int, mask), 0, "node {node}");
        for cpu in 0..topology::possible_cpus().unwrap() {
            assert_eq!(ours.contains(cpu), numa.has(mask, cpu), "node {node}, CPU {cpu}");
        }
        free(mask);
    }
}

#[test]
fn distances_agree_also_where_there_is_none() {
    let Some(numa) = LibNuma::load() else { return };
    // SAFETY: `int numa_distance(int, int)`.
    let theirs = unsafe { numa.function::<extern "C" fn(c_int, c_int) -> c_int>(c"numa_distance") };
    let end = numa_max_node().unwrap() + 2;
    for (from, to) in (0..end).flat_map(|from| (0..end).map(move |to| (from, to))) {
        let ours = numa_distance(from, to).unwrap_or(0);
        assert_eq!(ours as c_int, theirs(from as c_int, to as c_int), "{from} to {to}");
    }
}

#[test]
fn sizes_agree() {
    let Some(numa) = LibNuma::load() else { return };
    type Size = extern "C" fn(c_int, *mut c_longlong) -> c_longlong;
    // SAFETY: `long long numa_node_size64(int, long long *)`.
    let theirs = unsafe { numa.function::<Size>(c"numa_node_size64") };
    for node in &Sysfs::SYSTEM.online_nodes().unwrap() {
        let mut free = 0;
        let total = theirs(node as c_int, &raw mut free);
        let ours = numa_node_size(node).unwrap();
        assert_eq!(ours.total_bytes as i64, total, "node {node}");
        // What is free changes between the two questions; half the node does not.
        assert!(
            (ours.free_bytes as i64 - free).abs() <= total / 2,
            "node {node}: {ours:?}, {free}"
        );
    }
}

#[test]
fn the_nodes_allowed_agree() {
    let Some(numa) = LibNuma::load() else { return };
    // SAFETY: `struct bitmask *numa_get_mems_allowed(void)`.
    let get = unsafe { numa.function::<extern "C" fn() -> *mut c_void>(c"numa_get_mems_allowed") };
    let (ours, theirs) = (numa_get_mems_allowed().unwrap(), get());
    assert!(!ours.is_empty());
    for node in 0..=numa_max_possible_node().unwrap() {
        assert_eq!(ours.contains(node), numa.has(theirs, node), "node {node}");
    }
}

#[test]
fn memory_of_theirs_is_where_we_see_it() {
    let Some(numa) = LibNuma::load() else { return };
    type Alloc = extern "C" fn(usize, c_int) -> *mut c_void;
    // SAFETY: `void *numa_alloc_onnode(size_t, int)`.
    let alloc = unsafe { numa.function::<Alloc>(c"numa_alloc_onnode") };
    // SAFETY: `void numa_free(void *, size_t)`.
    let free = unsafe { numa.function::<extern "C" fn(*mut c_void, usize)>(c"numa_free") };
    for node in &numa_get_mems_allowed().unwrap() {
        let block = alloc(1 << 16, node as c_int);
        assert!(!block.is_null());
        // SAFETY: a fresh block of 64 KiB.
        unsafe { block.cast::<u8>().write(1) };
        assert_eq!(node_of_page(block), Ok(node));
        free(block, 1 << 16);
    }
}

#[test]
fn numactl_prints_the_same_hardware() {
    let output = match std::process::Command::new("numactl").arg("--hardware").output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        _ => {
            return eprintln!("skipped: numactl --hardware does not run (Debian: package numactl)");
        }
    };
    let nodes = Sysfs::SYSTEM.online_nodes().unwrap();
    let mut seen = 0;
    let header = nodes.iter().map(|node| format!("{node}")).collect::<Vec<_>>();
    for line in output.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["node", node, "cpus:", cpus @ ..] = &words[..] {
            let ours = numa_node_to_cpus(node.parse().unwrap()).unwrap();
            let cpus: Vec<u32> = cpus.iter().map(|cpu| cpu.parse().unwrap()).collect();
            assert!(ours.iter().eq(cpus), "{line}: {ours:?}");
            seen += 1;
        } else if let ["node", node, "size:", mib, "MB"] = &words[..] {
            let ours = numa_node_size(node.parse().unwrap()).unwrap();
            assert_eq!(ours.total_bytes >> 20, mib.parse().unwrap(), "{line}");
            seen += 1;
        } else if let Some((from, row)) =
            line.split_once(':').filter(|(from, _)| from.trim().parse::<u32>().is_ok())
        {
            let from = from.trim().parse().unwrap();
            let ours: Vec<_> = nodes.iter().map(|to| numa_distance(from, to).unwrap()).collect();
            let row: Vec<u32> = row.split_whitespace().map(|d| d.parse().unwrap()).collect();
            assert_eq!(ours, row, "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 3 * header.len(), "lines understood: {seen} of\n{output}");
}
