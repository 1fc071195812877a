//! Whether memory can be put on a node, and the kernel asked where it is: tried on one page.
//!
//! ```text
//!  mmap ──► mbind(node) ──► touch ──► move_pages, no target: which node? ──► munmap
//! ```
#![allow(unsafe_code)]

use super::point::Point;
use cidalloc::os::page_size;
use core::ffi::c_void;
use numa_sys::{BindMode, Errno, policy};

/// What was refused.
#[derive(Debug)]
pub(crate) struct Placement {
    /// Of the node that was asked for.
    mbind: Result<u32, Errno>,
    get_mempolicy: Result<(), Errno>,
    /// The node that the page is on.
    move_pages: Result<u32, Errno>,
}

impl Placement {
    /// Tries.
    pub(crate) fn look() -> Self {
        let allowed = policy::mems_allowed();
        let node = allowed.as_ref().ok().and_then(|nodes| nodes.highest()).unwrap_or(0);
        let get_mempolicy = allowed.map(drop);
        match OwnPage::new() {
            Err(errno) => Self { mbind: Err(errno), get_mempolicy, move_pages: Err(errno) },
            Ok(page) => {
                let mbind = policy::bind_range(page.0, page_size(), node, BindMode::Preferred);
                page.touch();
                let move_pages = policy::node_of_page(page.0);
                Self { mbind: mbind.map(|()| node), get_mempolicy, move_pages }
            }
        }
    }

    /// Its lines; `nodes` is the number of nodes online.
    pub(crate) fn points(&self, nodes: Option<u32>) -> Vec<Point> {
        let several = nodes.is_some_and(|nodes| nodes > 1);
        let mbind = match self.mbind {
            Ok(node) => Point::word("mbind", "permitted", format!("a page for node {node}")),
            Err(errno) if several => refused("mbind", errno, "").costs(
                "memory of shards lies on the node that touches it first, and may stay remote",
                "allow mbind(2) in the seccomp profile (docker: --cap-add SYS_NICE), or a kernel \
                 with CONFIG_NUMA",
            ),
            Err(errno) => refused("mbind", errno, "; no loss with one node"),
        };
        let policy = match self.get_mempolicy {
            Ok(()) => Point::word("get_mempolicy", "permitted", ""),
            Err(errno) => refused("get_mempolicy", errno, "; the library can do without"),
        };
        let moved = match (self.move_pages, self.mbind) {
            (Ok(there), Ok(node)) if there != node => {
                let remark =
                    format!("the page is on node {there}, not on {node}: that one is full");
                Point::word("move_pages", "permitted", remark)
            }
            (Ok(node), _) => {
                Point::word("move_pages", "permitted", format!("the page is on node {node}"))
            }
            (Err(errno), _) => refused("move_pages", errno, "; placement cannot be verified"),
        };
        vec![mbind, policy, moved]
    }
}

fn refused(name: &'static str, errno: Errno, rest: &str) -> Point {
    Point::word(name, "refused", format!("{errno:?}{rest}"))
}

/// A page of our own; goes when dropped.
struct OwnPage(*mut c_void);

impl OwnPage {
    fn new() -> Result<Self, Errno> {
        let (prot, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the kernel wants it.
        let page = unsafe { libc::mmap(core::ptr::null_mut(), page_size(), prot, flags, -1, 0) };
        if page == libc::MAP_FAILED { Err(Errno::ENOMEM) } else { Ok(Self(page)) }
    }

    fn touch(&self) {
        // SAFETY: the first byte of our page.
        unsafe { self.0.cast::<u8>().write_volatile(1) };
    }
}

impl Drop for OwnPage {
    fn drop(&mut self) {
        // SAFETY: our mapping, which nobody uses any more.
        unsafe { libc::munmap(self.0, page_size()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_mbind_costs_where_there_are_several_nodes() {
        let refused = Placement {
            mbind: Err(Errno::EPERM),
            get_mempolicy: Err(Errno::EPERM),
            move_pages: Err(Errno::EPERM),
        };
        let degraded = |nodes| {
            let points = refused.points(nodes);
            points.iter().map(|point| point.degraded.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(degraded(Some(2)), [true, false, false]);
        assert_eq!(degraded(Some(1)), [false; 3]);
        assert!(refused.points(None).iter().all(|point| point.remark.starts_with("EPERM")));
    }

    #[test]
    fn a_page_elsewhere_is_told() {
        let elsewhere = Placement { mbind: Ok(1), get_mempolicy: Ok(()), move_pages: Ok(0) };
        let points = elsewhere.points(Some(2));
        assert_eq!(points[2].remark, "the page is on node 0, not on 1: that one is full");
        assert!(points.iter().all(|point| point.degraded.is_none()));
    }

    #[test]
    fn a_permitted_page_is_where_it_was_put() {
        if let Placement { mbind: Ok(node), move_pages: Ok(there), .. } = Placement::look() {
            assert_eq!(there, node);
        }
    }
}
