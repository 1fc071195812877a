//! jemalloc, as its crate configures it.

#![no_std]

#[macro_use]
#[path = "../../family.rs"]
mod family;
#[path = "../../panic.rs"]
mod panic;
#[path = "../../reallocarray.rs"]
mod reallocarray;

use tikv_jemalloc_sys as _;

include!("family.in");
