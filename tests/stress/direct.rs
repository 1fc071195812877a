//! Every operation of the crate from many threads, and at the end each object in one place.
//!
//! The heap is used beside the program's own allocator, so that every block in it is known:
//! an object that is in no cache, in no bitmap and in no hand was lost.
#![allow(unsafe_code)]

mod blocks;
mod disturb;
mod engine;
mod face;
mod parent;
mod runs;
mod signals;
mod worker;

use face::Direct;

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    worker::run(&Direct, true);
}

runs::runs! {
    no_object_is_lost_with_2_threads: 2 "signals,trim" [];
    no_object_is_lost_with_16_threads: 16 "signals,trim,fork,churn" [];
    no_object_is_lost_with_64_threads: 64 "signals,churn" [];
    no_object_is_lost_on_one_cpu: 8 "signals,trim,fork,pin" [];
    no_object_is_lost_with_cpu_numbers: 16 "signals,trim,churn" ["CIDALLOC_CID" = "cpu"];
    no_object_is_lost_with_emulated_cids: 16 "signals,trim,fork,churn" ["CIDALLOC_CID" = "emulated"];
    no_object_is_lost_with_compact_emulated_cids: 64 "signals,trim"
        ["CIDALLOC_CID" = "emulated" "CIDALLOC_CID_POLICY" = "compact"];
    no_object_is_lost_with_emulated_cids_on_one_cpu: 8 "signals,trim,fork,pin" ["CIDALLOC_CID" = "emulated"];
    no_object_is_lost_without_rseq: 16 "signals,trim,fork" ["WITHOUT" = "rseq=ENOSYS"];
    no_object_is_lost_without_rseq_and_membarrier: 16 "signals,trim,fork,churn"
        ["WITHOUT" = "rseq=EPERM,membarrier=EPERM"];
    no_object_is_lost_without_rseq_and_without_a_number_of_cpus: 16 "signals,trim"
        ["WITHOUT" = "rseq=ENOSYS,sched_getaffinity=EPERM"];
    no_object_is_lost_with_emulated_cids_when_everything_happens: 64 "signals,fork,churn,trim"
        ["CIDALLOC_CID" = "emulated" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"
         "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_from_shared_arenas: 16 "signals,trim,fork,churn"
        ["CIDALLOC_ARENA_CIDS" = "2" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_from_shared_arenas_with_emulated_cids: 16 "signals,trim,churn"
        ["CIDALLOC_ARENA_CIDS" = "8" "CIDALLOC_CID" = "emulated"];
    no_object_is_lost_without_cids: 16 "signals,trim,fork" ["CIDALLOC_CID" = "none"];
    no_object_is_lost_where_we_register_threads: 16 "signals,trim,fork,churn"
        ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"];
    no_object_is_lost_from_tiny_caches: 16 "signals,trim" ["CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_when_drained_every_millisecond: 16 "signals,fork,churn"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"];
    no_object_is_lost_in_the_hardened_mode: 16 "signals,fork,churn,trim"
        ["CIDALLOC_HARDENED" = "1" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_in_the_hardened_mode_where_all_threads_share_a_ring: 4 "trim"
        ["CIDALLOC_HARDENED" = "1" "CIDALLOC_CID" = "none"];
    no_object_is_lost_in_the_hardened_mode_with_emulated_cids: 16 "signals,fork,churn"
        ["CIDALLOC_HARDENED" = "1" "CIDALLOC_CID" = "emulated"];
    no_object_is_lost_when_everything_happens: 64 "signals,fork,churn,trim"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
}
