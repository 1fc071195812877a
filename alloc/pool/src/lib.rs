//! Memory pools and counters with one copy per concurrency id.

#![deny(unsafe_code)]
