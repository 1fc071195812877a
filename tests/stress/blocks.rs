//! Blocks that know what they should hold, and the two faces of the allocator that give them.
//!
//! ```text
//!  block   address, size, align, seed ──► key ──► word i holds mix(key + i)
//!          all words up to 2 KiB; of larger ones both ends, and a word in each 256 bytes
//! ```

use core::alloc::Layout;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Ends the process with one line: unwinding would run through a broken heap.
macro_rules! fail {
    ($($arg:tt)*) => {{
        eprintln!("stress failed (seed {}): {}", $crate::engine::seed(), format_args!($($arg)*));
        std::process::abort()
    }};
}
pub(crate) use fail;

/// Which sizes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "only a soak wants others than mixed ones")]
pub(crate) enum Sizes {
    /// As programs have them.
    Mixed,
    /// At most 256 bytes.
    Small,
    /// At most 40 KiB.
    Middle,
    /// From 32 KiB on.
    Large,
}

static SIZES: AtomicU8 = AtomicU8::new(Sizes::Mixed as u8);

/// Has all blocks from now on be of other sizes.
#[allow(dead_code, reason = "as above")]
pub(crate) fn set_sizes(sizes: Sizes) {
    SIZES.store(sizes as u8, Relaxed);
}

/// A generator whose whole state is printed as a seed (Vigna, "splitmix64").
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    /// Sizes as programs have them: least are small, some are MiB; or those of [`set_sizes`].
    pub(crate) fn size(&mut self) -> usize {
        let (least, among) = match SIZES.load(Relaxed) {
            small if small == Sizes::Small as u8 => (0, 160..400),
            middle if middle == Sizes::Middle as u8 => (0, 8..400),
            large if large == Sizes::Large as u8 => (32 << 10, 0..60),
            _ => (0, 0..400),
        };
        let largest = match among.start + self.below(among.len()) {
            0 => 4 << 20,
            1..8 => 256 << 10,
            8..60 => 40 << 10,
            60..160 => 4 << 10,
            _ => 256,
        };
        1 + least + self.below(largest)
    }
    pub(crate) fn align(&mut self) -> usize {
        match self.below(200) {
            0 => 1 << (16 + self.below(6)),
            1..20 => 32 << self.below(11),
            n => 1 << (n % 5),
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What gives blocks and takes them.
pub(crate) trait Face: Sync {
    fn alloc(&self, layout: Layout, random: &mut Random) -> *mut u8;
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8;
    /// The block moved or resized, and whether its class is still that of its layout.
    ///
    /// # Safety
    /// The block is live and of `layout`.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> (*mut u8, bool);
    /// # Safety
    /// The block is live and of `layout`; `by_layout` is what `realloc` said last.
    unsafe fn free(&self, block: *mut u8, layout: Layout, by_layout: bool, random: &mut Random);
}

/// A live block and what it should hold.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) address: usize,
    layout: Layout,
    seed: u64,
    by_layout: bool,
}

impl Block {
    pub(crate) fn new(face: &impl Face, layout: Layout, random: &mut Random) -> Self {
        let zeroed = random.one_in(8);
        let p = if zeroed { face.alloc_zeroed(layout) } else { face.alloc(layout, random) };
        let block =
            Self { address: p.expose_provenance(), layout, seed: random.next(), by_layout: true };
        if p.is_null() || !block.address.is_multiple_of(layout.align()) {
            fail!("{layout:?} at {p:?}");
        }
        if zeroed {
            // SAFETY: a live block of this size.
            let bytes = unsafe { core::slice::from_raw_parts(p, layout.size()) };
            if let Some(at) = bytes.iter().position(|&b| b != 0) {
                fail!("zeroed {layout:?} at {p:?} is not zero from {at} on");
            }
        }
        block.fill();
        block
    }

    /// A random size and alignment, changed every time.
    pub(crate) fn random(face: &impl Face, random: &mut Random) -> Self {
        let layout = Layout::from_size_align(random.size(), random.align());
        Self::new(face, layout.expect("a power of two"), random)
    }

    fn key(&self) -> u64 {
        mix(self.seed ^ self.address as u64 ^ (self.layout.size() as u64) << 40)
    }

    /// The words to write or look at: a byte offset, up to 8 bytes there, and their value.
    fn words(&self, size: usize) -> impl Iterator<Item = (usize, usize, [u8; 8])> + use<> {
        let (key, step) = (self.key(), if self.layout.size() <= 2048 { 8 } else { 256 });
        let whole = self.layout.size();
        let word = move |at: usize| {
            (at, 8.min(whole - at), mix(key.wrapping_add(at as u64)).to_ne_bytes())
        };
        let tail = whole.saturating_sub(64) / 8 * 8;
        (0..whole)
            .step_by(step)
            .chain((tail..whole).step_by(8).filter(move |at| !at.is_multiple_of(step)))
            .map(word)
            .filter(move |(at, n, _)| at + n <= size)
    }

    fn fill(&self) {
        let p = core::ptr::with_exposed_provenance_mut::<u8>(self.address);
        for (at, n, bytes) in self.words(self.layout.size()) {
            // SAFETY: `at + n` is within the live block.
            unsafe { p.add(at).copy_from_nonoverlapping(bytes.as_ptr(), n) };
        }
    }

    /// Looks whether the first `size` bytes at `address` are as this block should be.
    fn check_at(&self, address: usize, size: usize, when: &str) {
        let p = core::ptr::with_exposed_provenance::<u8>(address);
        for (at, n, bytes) in self.words(size) {
            // SAFETY: `at + n` is within the live block at `address`.
            let found = unsafe { core::slice::from_raw_parts(p.add(at), n) };
            if *found != bytes[..n] {
                fail!("{when}: {self:x?} holds {found:x?} at {at}, not {:x?}", &bytes[..n]);
            }
        }
    }

    pub(crate) fn check(&self, when: &str) {
        self.check_at(self.address, self.layout.size(), when);
    }

    pub(crate) fn realloc(&mut self, face: &impl Face, random: &mut Random) {
        self.check("before realloc");
        let old = self.layout.size();
        let size = match random.below(4) {
            0 => (old / 2).max(1),
            1 => old + random.below(old + 64),
            2 => 1 + random.below(old),
            _ => random.size(),
        };
        let p = core::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: our own live block, and what is known of it.
        let (p, keeps_class) = unsafe { face.realloc(p, self.layout, size) };
        if p.is_null() || !p.addr().is_multiple_of(self.layout.align()) {
            fail!("realloc of {self:x?} to {size} at {p:?}");
        }
        self.check_at(p.expose_provenance(), size.min(old), "after realloc");
        self.address = p.addr();
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("small enough");
        self.by_layout = keeps_class;
        self.seed = random.next();
        self.fill();
    }

    pub(crate) fn free(self, face: &impl Face, random: &mut Random) {
        self.check("at free");
        let p = core::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: our own live block, given up here.
        unsafe { face.free(p, self.layout, self.by_layout, random) };
    }
}
