//! mimalloc, the third line.

#![no_std]

#[macro_use]
#[path = "../../family.rs"]
mod family;
#[path = "../../panic.rs"]
mod panic;

use libmimalloc_sys as _;

include!("family.in");
