//! Records of threads that ended without a word: looked for before there are more records.
//!
//! ```text
//!  told of       destructors of libc, in their second round ──► leave
//!  not told of   first operation in the last two rounds   ┐  record, cid, and one user stay,
//!                clone(2) past libc, exit(2)              ┘  until none is free ──► bury
//! ```
//!
//! Only threads of the calling process are asked for, and only the kernel's word that there is no
//! such thread counts. A number that is another thread's by now keeps a record for longer.

use crate::os;
use crate::records::{self, Record};
use crate::slots::CIDS;

/// Gives back what threads have that are no more, if all records are in use. Not to be interrupted
/// by a handler that may fork.
pub(super) fn bury_if_none_is_free() {
    if !records::is_look_due() {
        return;
    }
    let (process, mut alive) = (os::process_id(), 0);
    for record in records::all() {
        let owner = record.owner();
        if owner.is_nobody() {
            continue;
        }
        let is_dead = owner.process() == process && os::is_thread_gone(process, owner.thread());
        if is_dead && record.disown(owner) {
            bury(record);
        } else {
            alive += 1;
        }
    }
    records::looked(alive);
}

/// The thread is not there, and who calls this has the record alone.
fn bury(record: &Record) {
    if record.lease.is_inside() {
        record.lease.abandon();
    }
    if let Some(inside) = record.lease.enter() {
        record.release(&inside);
    }
    CIDS.remove_user();
    records::give_back(record);
}
