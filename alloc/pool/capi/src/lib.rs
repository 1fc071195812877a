//! The C interface of the pools.
