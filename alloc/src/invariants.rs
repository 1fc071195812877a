//! The invariants, by name. SAFETY comments, checks and tests cite these names.
//!
//! | name | statement |
//! | --- | --- |
//! | CID-EXCLUSIVE | Inside a section no other thread is inside one with the same shard index. (The kernel's first guarantee; `rseq_sys::cs`) |
//! | LEASE-HOLDER | Only the thread that a cid's slot is HELD by, or STOPPED by, uses the shards of that emulated cid. A slot leaves HELD by its thread, or by way of STOPPED and a fence after which that thread was found outside of operations. (`crate::slots`) |
//! | BIT-COVERS-SLOT | A slot that is not FREE has its bit set in the set of cids; who set the bit owns the FREE slot. (Looked at as each is claimed; `crate::slots`) |
//! | COMMIT-LAST | A section's last instruction is its only store that others see. |
//! | ONE-PLACE | Each object is at every instant in exactly one place: a hand (its user, or a thread between two places), a shard's slots, or one bit of its span's two bitmaps. |
//! | POSSESSION | A span that is neither queued nor current is *unqueued* (its flag is clear) or in the possession of one thread (its flag is set). Only its possessor takes bits, releases it, or changes its owner; anybody may set bits. |
//! | BIT-THEN-FLAG | Who sets bits looks at the span's flag afterwards; who clears the flag looks at the bits afterwards; both with a full barrier between. So free objects are never left in a span that nobody will visit. |
//! | OWNER-FENCED | Local bitmaps change only in sections that compare the owner inside their window. An owner is changed to NOBODY, then a fence is made, then the new one is set. |
//! | EMPTY-IS-ALONE | A span whose bits are all set has no object anywhere else, so its possessor may release its page. |
//! | PAGEMAP-BEFORE-PUBLISH | A page's map entry is written before any pointer into the page leaves the allocator, and cleared before the page is free. |
//! | NODE-HOME | A page belongs for ever to the node whose heap it came from; spans are owned by shards of that node only, and a shard hands out objects of its node only. |
//! | NEVER-WAIT-HOLDING | The locks are those of the page heaps. A thread waits for one only while it holds none: a handler above a holder does without (SELF-KNOWN), and fork tries for all of them and lets go of all when one is held. No lock is held across a section, and none on the paths between shard and span. |
//! | SELF-KNOWN | A lock knows its holder's thread pointer. A signal handler that interrupted a holder, and would have to wait, does without: fresh pages come from the region, freed runs are left on the deferred list. |
