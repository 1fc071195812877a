//! The descriptor of a page: of a span, or of the first and last page of a run.
//!
//! ```text
//!  0 owner     shard that may use the local bitmap        16 pages, previous, following, stamp
//!  4 next      link in the owner's list of queued spans      of a run in the page heap's bins
//!  8 flag      set: queued, current, or possessed         32 inline[4]: local and remote bits
//! 10 cursor    word where the next refill begins             of classes from 512 B up, or the
//! 11 class                                                   usable bytes of a large object
//! 12 run       what kind of run begins or ends here
//! 13 backed    eighths that have memory: hardened mode
//! ```
//!
//! A set bit is a free object that is in no cache. The local bitmap changes only inside
//! sections of the owning shard, the remote one by atomics from anywhere (OWNER-FENCED). A
//! late look at a span's flag or bits may come after the page was given to somebody else: it
//! must find a flag (POSSESSION), and memory that is always bits of this page. So flags are
//! never anything else, and bitmaps lie where page and class say, not behind a pointer.
#![allow(unsafe_code)]

use crate::ids::{ShardId, SizeClass};
use rseq_sys::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a page is to the page heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RunKind {
    /// Inside of a run, or never handed out.
    None = 0,
    /// Free, and perhaps backed.
    Dirty = 1,
    /// Free, and reads as zero.
    Clean = 2,
    /// In use, or out of the bins for a while: not to be merged with.
    Busy = 3,
}

/// The descriptor. Zeroed memory is a page that was never used.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Span {
    owner: AtomicU32,
    /// Page of the next queued span.
    pub next: AtomicU32,
    flag: AtomicBool,
    _unused: u8,
    /// Word at which the next refill begins to look.
    pub cursor: AtomicU8,
    class: AtomicU8,
    run_kind: AtomicU8,
    backed: AtomicU8,
    _unused2: [u8; 2],
    /// Pages of the run that begins or ends here.
    pub run_pages: AtomicU32,
    /// Previous run of its bin.
    pub run_previous: AtomicU32,
    /// Following run of its bin.
    pub run_following: AtomicU32,
    /// When the run was freed, in decay periods; of a guard, what kind it is.
    pub run_stamp: AtomicU32,
    inline: [AtomicU64; 2 * INLINE_WORDS],
}

/// Words of each bitmap that fit into the descriptor.
pub const INLINE_WORDS: usize = 2;

const _: () = assert!(size_of::<Span>() == 64);

impl Span {
    /// Makes the page a span of `class` owned by `owner`, in the caller's possession. Its
    /// bitmaps were made by [`Bitmaps::fill`].
    pub fn begin(&self, class: SizeClass, owner: ShardId) {
        self.class.store(class.0, Ordering::Relaxed);
        self.cursor.store(0, Ordering::Relaxed);
        self.flag.store(true, Ordering::Relaxed);
        self.owner.store(owner.0, Ordering::Release);
    }

    /// The owning shard.
    #[inline(always)]
    #[must_use]
    pub fn owner(&self) -> ShardId {
        ShardId(self.owner.load(Ordering::Acquire))
    }
    /// Changes the owner; the protocol is OWNER-FENCED.
    pub fn set_owner(&self, owner: ShardId) {
        self.owner.store(owner.0, Ordering::SeqCst);
    }
    /// The owner, for sections to compare with.
    #[inline(always)]
    #[must_use]
    pub fn owner_word(&self) -> &AtomicU32 {
        &self.owner
    }
    /// The class of its objects.
    #[inline(always)]
    #[must_use]
    pub fn class(&self) -> SizeClass {
        SizeClass(self.class.load(Ordering::Relaxed))
    }
    /// The words in the descriptor.
    #[must_use]
    pub fn inline_words(&self) -> *mut u64 {
        self.inline[0].as_ptr()
    }

    /// Takes possession of an unqueued span; false when somebody else has it, or it is queued.
    #[inline]
    #[must_use]
    pub fn try_possess(&self) -> bool {
        !self.flag.load(Ordering::Relaxed) && !self.flag.swap(true, Ordering::SeqCst)
    }
    /// Gives up possession without queueing: the first half of BIT-THEN-FLAG for the possessor.
    pub fn unqueue(&self) {
        self.flag.swap(false, Ordering::SeqCst);
        // On x86-64 the swap is the barrier already.
        #[cfg(not(target_arch = "x86_64"))]
        rseq_sys::sync::fence(Ordering::SeqCst);
    }

    /// Whether it is queued, current, or in somebody's possession.
    #[must_use]
    pub fn is_flagged(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// What the page is to the page heap.
    #[must_use]
    pub fn run_kind(&self) -> RunKind {
        match self.run_kind.load(Ordering::Relaxed) {
            1 => RunKind::Dirty,
            2 => RunKind::Clean,
            3 => RunKind::Busy,
            _ => RunKind::None,
        }
    }
    /// Sets what the page is to the page heap.
    pub fn set_run_kind(&self, kind: RunKind) {
        self.run_kind.store(kind as u8, Ordering::Relaxed);
    }

    /// The eighths of the page, a bit each, that are known to have memory. Kept by the hardened
    /// mode alone, by who possesses the span.
    #[must_use]
    pub fn backed(&self) -> u8 {
        self.backed.load(Ordering::Relaxed)
    }
    /// Notes what [`Self::backed`] says.
    pub fn set_backed(&self, eighths: u8) {
        self.backed.store(eighths, Ordering::Relaxed);
    }

    /// Bytes that the owner of the large object beginning here may use.
    #[must_use]
    pub fn large_bytes(&self) -> usize {
        self.large().load(Ordering::Relaxed) as usize
    }
    /// Makes the page the first of a large object of `bytes` usable bytes.
    pub fn begin_large(&self, bytes: usize) {
        self.flag.store(true, Ordering::Relaxed);
        self.large().store(bytes as u64, Ordering::Relaxed);
    }
    /// Bytes that the owner of the large object beginning here asked for; kept by the hardened
    /// mode alone.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.inline[1].load(Ordering::Relaxed) as usize
    }
    /// Notes what [`Self::asked`] says.
    pub fn set_asked(&self, bytes: usize) {
        self.inline[1].store(bytes as u64, Ordering::Relaxed);
    }
    fn large(&self) -> &AtomicU64 {
        &self.inline[0]
    }
}

/// Where the free objects of a span of one class at one page are noted.
#[derive(Debug, Clone, Copy)]
pub struct Bitmaps {
    local: *mut u64,
    remote: *const AtomicU64,
    words: usize,
    objects: usize,
}

impl Bitmaps {
    /// Both bitmaps for `class` in `memory`, the remote words `apart` after the local ones.
    ///
    /// # Safety
    /// `memory` is committed for ever, aligned, and holds `apart` words and the class's number
    /// of words more; those of this page and no others.
    #[inline(always)]
    #[must_use]
    pub unsafe fn new(class: SizeClass, memory: *mut u64, apart: usize) -> Self {
        let info = class.info();
        Self {
            local: memory,
            remote: memory.wrapping_add(apart).cast(),
            words: info.words as usize,
            objects: info.objects as usize,
        }
    }

    /// Notes all objects as free: in the local bitmap, or for an owner whose local bits nobody
    /// uses, in the remote one. The page must not be published yet.
    pub fn fill(&self, owner: ShardId) {
        for i in 0..self.words {
            let full = full_word(self.objects, i);
            let (local, remote) = if owner.has_local_bits() { (full, 0) } else { (0, full) };
            self.local_word(i).store(local, Ordering::Relaxed);
            self.remote(i).store(remote, Ordering::Relaxed);
        }
    }

    /// Word `i` of the local bitmap, for sections.
    #[inline(always)]
    #[must_use]
    pub fn local_word(&self, i: usize) -> &AtomicU64 {
        debug_assert!(i < self.words);
        // SAFETY: a word of the bitmap (`new`), aligned; sections change it by single stores.
        unsafe { AtomicU64::from_ptr(self.local.wrapping_add(i)) }
    }
    /// Word `i` of the local bitmap as it is now.
    #[inline(always)]
    #[must_use]
    pub fn local(&self, i: usize) -> u64 {
        self.local_word(i).load(Ordering::Relaxed)
    }
    /// Word `i` of the remote bitmap.
    #[inline(always)]
    #[must_use]
    pub fn remote(&self, i: usize) -> &AtomicU64 {
        debug_assert!(i < self.words);
        // SAFETY: a word of the bitmap (`new`).
        unsafe { &*self.remote.add(i) }
    }
    /// Acquires: who finds all of a span free gives its page to others, for whom it must be after
    /// the last use that anybody made of an object.
    fn free_bits(&self, i: usize) -> u64 {
        self.local_word(i).load(Ordering::Acquire) | self.remote(i).load(Ordering::Acquire)
    }
    /// Whether any object is free.
    #[must_use]
    pub fn any_free(&self) -> bool {
        (0..self.words).any(|i| self.free_bits(i) != 0)
    }
    /// Whether all objects are free and nowhere else (EMPTY-IS-ALONE).
    #[must_use]
    pub fn all_free(&self) -> bool {
        (0..self.words).all(|i| self.free_bits(i) == full_word(self.objects, i))
    }
    /// Number of free objects.
    #[must_use]
    pub fn count_free(&self) -> u32 {
        (0..self.words).map(|i| self.free_bits(i).count_ones()).sum()
    }
}

/// The word `i` of a bitmap of `objects` bits, all set.
#[inline]
#[must_use]
pub fn full_word(objects: usize, i: usize) -> u64 {
    match objects - i * 64 {
        n if n >= 64 => u64::MAX,
        n => (1 << n) - 1,
    }
}
