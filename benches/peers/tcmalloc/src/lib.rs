//! Google's tcmalloc with pages of 8 KiB: so it is by default.

#[macro_use]
#[path = "../../family.rs"]
mod family;
mod statistics;

use libtcmalloc_sys as _;

include!("family.in");
