//! rpmalloc, with its own way to start in a program that it is preloaded into.

#[macro_use]
#[path = "../../family.rs"]
mod family;
mod pages;
#[path = "../../reallocarray.rs"]
mod reallocarray;
mod thread;

use rpmalloc_sys as _;

include!("family.in");
