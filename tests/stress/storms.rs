//! The stress run in bad weather: signals of two clocks, CPUs that come and go, a process that is
//! stopped and goes on again and again.
#![allow(unsafe_code)]

mod blocks;
mod disturb;
mod engine;
mod face;
mod parent;
mod signals;
mod worker;

use face::Direct;

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    worker::run(&Direct, true);
}

parent::runs! {
    two_clocks_may_interrupt: 16 "signals,prof,trim" ["CIDALLOC_CID" = "kernel"];
    two_clocks_may_interrupt_with_emulated_cids: 16 "signals,prof,trim" ["CIDALLOC_CID" = "emulated"];
    affinities_may_change_all_the_time: 16 "affinity,churn,trim" ["CIDALLOC_CID" = "kernel"];
    affinities_may_change_all_the_time_with_emulated_cids: 16 "affinity,churn,trim"
        ["CIDALLOC_CID" = "emulated"];
    the_process_may_be_stopped_again_and_again: 16 "stops,signals,fork" ["CIDALLOC_CID" = "kernel"];
    the_process_may_be_stopped_again_and_again_with_emulated_cids: 16 "stops,signals,fork"
        ["CIDALLOC_CID" = "emulated"];
    all_of_it_may_happen_at_once: 32 "stops,signals,prof,affinity,churn,fork,trim"
        ["CIDALLOC_CID" = "kernel" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"];
    all_of_it_may_happen_at_once_with_emulated_cids: 32 "stops,signals,prof,affinity,churn,fork,trim"
        ["CIDALLOC_CID" = "emulated" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"];
}
