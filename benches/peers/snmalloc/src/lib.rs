//! snmalloc, without its checks: so it is by default.

#![no_std]

#[macro_use]
#[path = "../../family.rs"]
mod family;
#[path = "../../panic.rs"]
mod panic;

use snmalloc_sys as _;

include!("family.in");
