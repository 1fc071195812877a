//! Limits of cgroup v2: the narrowest between this process's group and the top.
//!
//! ```text
//!  /proc/self/cgroup     0::/system.slice/x.service          our path
//!  /proc/self/mountinfo  … / /sys/fs/cgroup … - cgroup2 …    where, and from which root on
//!     TOP/memory.max, TOP/system.slice/memory.max, …         "max" or bytes
//!     TOP/cpu.max, …                                         "max 100000" or "QUOTA PERIOD"
//! ```

use super::point::Point;
use std::path::{Path, PathBuf};

/// Asks; `allowed` is the number of CPUs that this process may run on.
pub(crate) fn look(allowed: Option<u32>) -> Vec<Point> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let groups = groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    if groups.is_empty() {
        let none = |name| Point::word(name, "unknown", "no cgroup v2 to be seen");
        return vec![none("memory_max"), none("cpu_max")];
    }
    points(&groups, allowed)
}

/// The folders of our group and of those above it, ours first; none where there is no v2.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let (Some(path), Some((root, top))) = (path, mount(mountinfo)) else { return Vec::new() };
    // A group outside of what is mounted here begins with "/..": the top is all there is.
    let below = Path::new(path).strip_prefix(root).ok();
    let inside = below.filter(|below| !below.components().any(|c| c.as_os_str() == ".."));
    let ours = Path::new(top).join(inside.unwrap_or(Path::new("")));
    ours.ancestors().take_while(|folder| folder.starts_with(top)).map(PathBuf::from).collect()
}

/// Root and mount point of the first mount of type cgroup2.
fn mount(mountinfo: &str) -> Option<(&str, &str)> {
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let found = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup2 ").then_some(found)
    })
}

fn points(groups: &[PathBuf], allowed: Option<u32>) -> Vec<Point> {
    let read = |name: &str| {
        let texts = groups.iter().map(|folder| std::fs::read_to_string(folder.join(name)));
        texts.filter_map(Result::ok).collect::<Vec<_>>()
    };
    let memory = read("memory.max");
    let memory = memory.iter().filter_map(|text| text.trim().parse().ok()).min();
    let cpu = read("cpu.max");
    let cpu = cpu.iter().filter_map(|text| quota(text)).min();
    vec![
        match memory {
            None => Point::word("memory_max", "unlimited", "cgroup v2"),
            Some(bytes) => Point::bytes("memory_max", bytes, "cgroup v2"),
        },
        match cpu {
            None => Point::word("cpu_max", "unlimited", "cgroup v2"),
            Some(hundredths) => {
                let time = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                let of = allowed.map_or_else(String::new, |cpus| format!(", {cpus} allowed"));
                Point::word("cpu_max", time, format!("CPUs' time{of}; cgroup v2"))
            }
        },
    ]
}

/// Hundredths of a CPU that `QUOTA PERIOD` gives; `None` for "max".
fn quota(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.checked_mul(100)?.checked_div(period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::point::Value;

    const HYBRID: &str = "\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn groups_lead_from_ours_to_the_top() {
        let cgroup = "8:memory:/other\n0::/system.slice/x.service\n";
        let top = Path::new("/sys/fs/cgroup/unified");
        let slice = top.join("system.slice");
        let expected = [slice.join("x.service"), slice.clone(), top.to_path_buf()];
        assert_eq!(groups(cgroup, HYBRID), expected);
        assert_eq!(groups("0::/\n", HYBRID), [top]);
        assert_eq!(groups("0::/../../elsewhere\n", HYBRID), [top]);
        assert_eq!(groups("8:memory:/other\n", HYBRID), [top; 0]);
        assert_eq!(groups(cgroup, HYBRID.lines().next().unwrap()), [top; 0]);
        // A container that sees its own part alone.
        let part = "41 31 0:38 /system.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let part = groups(cgroup, part);
        assert_eq!(part[0], Path::new("/sys/fs/cgroup/x.service"));
    }

    #[test]
    fn the_narrowest_limit_counts() {
        let top = std::env::temp_dir().join(format!("cidalloc-cgroup-{}", std::process::id()));
        let ours = top.join("a/b");
        std::fs::create_dir_all(&ours).unwrap();
        for (name, text) in [
            ("memory.max", "max\n"),
            ("a/memory.max", "1048576\n"),
            ("a/b/memory.max", "2097152\n"),
            ("a/cpu.max", "150000 100000\n"),
            ("a/b/cpu.max", "max 100000\n"),
        ] {
            std::fs::write(top.join(name), text).unwrap();
        }
        let groups = [ours, top.join("a"), top.clone()];
        let found = points(&groups, Some(8));
        let free = points(&groups[2..], Some(8));
        std::fs::remove_dir_all(top).unwrap();
        assert_eq!(found[0].value, Value::Bytes(1 << 20));
        assert_eq!(found[1], Point::word("cpu_max", "1.50", "CPUs' time, 8 allowed; cgroup v2"));
        assert_eq!(free[0].value, Value::Word("unlimited".into()));
        assert_eq!(free[1].value, Value::Word("unlimited".into()));
    }

    #[test]
    fn quotas_are_parts_of_a_cpu() {
        assert_eq!(quota("50000 100000\n"), Some(50));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("1 0"), None);
        assert_eq!(quota(""), None);
    }
}
