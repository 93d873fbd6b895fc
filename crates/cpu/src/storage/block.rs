//! Where values lie: small ones by themselves, larger ones side by side in blocks of whole huge pages.
//!
//! A matrix of a small model is shorter than a few huge pages, and so is one layer's part of a key-value cache. Each on
//! pages of 4 KiB, the processor would look up an address for every few rows.
#![expect(
    unsafe_code,
    reason = "the global allocator is the one way to an allocation that may fail and is aligned"
)]

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Alignment of every share, a cache line.
const LINE: usize = 64;
/// Alignment of a block on huge pages.
const HUGE_PAGE: usize = 2 << 20;
/// Shares below this size have no use for huge pages.
const MIN_COMMON: usize = 64 << 10;
/// Shares from this size on have a block each.
const MIN_ALONE: usize = 4 << 20;
/// Size of a block with several shares.
const BLOCK: usize = 16 << 20;

/// The process's memory.
static MEMORY: Memory = Memory(Mutex::new(None));

/// The block that takes the next shares, and how much of it is taken.
#[derive(Debug)]
struct Memory(Mutex<Option<(Arc<Block>, usize)>>);

/// An allocation, freed with its last share.
#[derive(Debug)]
struct Block {
    data: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `Block` owns its memory, and its shares are disjoint.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(n_bytes: usize, align: usize) -> Option<Self> {
        let layout = Layout::from_size_align(n_bytes, align).ok()?;
        // SAFETY: callers ask for at least one byte.
        let data = NonNull::new(unsafe { alloc(layout) })?;
        if align == HUGE_PAGE {
            use_huge_pages(data, n_bytes);
        }
        Some(Self { data, layout })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.data.as_ptr(), self.layout) };
    }
}

/// Asks for huge pages; without them everything works, slower.
fn use_huge_pages(data: NonNull<u8>, n_bytes: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range was just allocated, starts on a page, and the advice does not change its contents.
    unsafe {
        libc::madvise(data.as_ptr().cast(), n_bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, n_bytes);
}

/// Bytes that belong to one owner.
#[derive(Debug)]
pub(super) struct Share {
    block: Arc<Block>,
    offset: usize,
}

impl Share {
    /// `n_bytes` bytes of arbitrary value, at least one; absent if there is no memory.
    pub(super) fn new(n_bytes: usize) -> Option<Self> {
        MEMORY.share(n_bytes)
    }

    fn alone(n_bytes: usize, align: usize) -> Option<Self> {
        Some(Self { block: Arc::new(Block::new(n_bytes, align)?), offset: 0 })
    }

    /// The first byte, aligned to a cache line.
    pub(super) fn start(&self) -> NonNull<u8> {
        // SAFETY: a share is within its block.
        unsafe { self.block.data.add(self.offset) }
    }
}

impl Memory {
    fn share(&self, n_bytes: usize) -> Option<Share> {
        if n_bytes >= MIN_ALONE {
            return Share::alone(n_bytes, HUGE_PAGE);
        }
        // A whole block may be more than there is.
        let common = if n_bytes >= MIN_COMMON { self.common(n_bytes) } else { None };
        common.or_else(|| Share::alone(n_bytes, LINE))
    }

    fn common(&self, n_bytes: usize) -> Option<Share> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((block, end)) = current.as_mut() {
            if Arc::strong_count(block) == 1 {
                *end = 0;
            }
            let offset = *end;
            if offset + n_bytes <= BLOCK {
                *end = (offset + n_bytes).next_multiple_of(LINE);
                return Some(Share { block: block.clone(), offset });
            }
        }
        let block = Arc::new(Block::new(BLOCK, HUGE_PAGE)?);
        *current = Some((block.clone(), n_bytes.next_multiple_of(LINE)));
        Some(Share { block, offset: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of a share.
    fn range(share: &Share, n_bytes: usize) -> (usize, usize) {
        let start = share.start().as_ptr().addr();
        (start, start + n_bytes)
    }

    #[test]
    fn shares_are_aligned_within_their_block_and_do_not_overlap() {
        let memory = Memory(Mutex::default());
        let sizes = [1, 100, MIN_COMMON - 1, MIN_COMMON, MIN_COMMON + 1, MIN_ALONE - 1, MIN_ALONE];
        // More than a block holds, so that several blocks are used.
        let sizes: Vec<usize> = sizes.into_iter().cycle().take(7 * 6).collect();
        let mut shares: Vec<Share> = Vec::new();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &n_bytes in &sizes {
            let share = memory.share(n_bytes).unwrap();
            let (start, end) = range(&share, n_bytes);
            let (block, layout) = (share.block.data.as_ptr().addr(), share.block.layout);
            assert!(start.is_multiple_of(LINE) && end <= block + layout.size());
            assert_eq!(layout.align() == HUGE_PAGE, n_bytes >= MIN_COMMON, "{n_bytes} bytes");
            shares.push(share);
            ranges.push((start, end));
        }
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:?}");
    }

    #[test]
    fn a_block_lives_as_long_as_its_last_share() {
        let memory = Memory(Mutex::default());
        let fill_a_block = || -> Vec<Share> {
            let n_shares = BLOCK / (MIN_ALONE - 1) + 1;
            (0..n_shares).map(|_| memory.share(MIN_ALONE - 1).unwrap()).collect()
        };
        let (first, second) =
            (memory.share(MIN_COMMON).unwrap(), memory.share(MIN_COMMON).unwrap());
        let block = Arc::downgrade(&second.block);
        drop((first, fill_a_block()));
        assert!(block.upgrade().is_some());
        drop(second);
        assert!(block.upgrade().is_none(), "nobody uses it, and another one is current");
        // What nobody uses is used again.
        let again = memory.share(MIN_COMMON).unwrap();
        assert_eq!(again.offset, 0);
    }

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(Share::new(1 << 60).is_none() && Share::new(isize::MAX as usize).is_none());
    }
}
