//! The allocator that counts and limits what a program uses.
//!
//! The interpreter reads the same counter and raises `MemoryError` at its next check; what grows between two
//! checks meets the hard limit here and ends the process, after a frame that says why.
//! In every other process than a worker it costs one load and one branch: `monty-alloc`, which counts always, makes
//! all threads of the trainer write to one counter.

#![expect(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; it forwards to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use monty_types::{BASELINE_MEMORY, LIVE_MEMORY, OOM_EXIT_CODE};

use crate::protocol::OUT_OF_MEMORY_FRAME;

/// What the counter starts with, so that freeing what was allocated before does not take it below zero.
const START_BYTES: usize = 16 << 20;

/// Room above the interpreter's own limit for exceptions and for what grows between two of its checks.
const HEADROOM_BYTES: usize = 4 << 20;

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static HARD_LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator; in a worker process it also counts, and ends the process at the limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// Starts counting. False where [`Allocator`] is not the global allocator.
pub(super) fn arm() -> bool {
    LIVE_MEMORY.store(START_BYTES, Ordering::Relaxed);
    IS_ARMED.store(true, Ordering::Relaxed);
    let before = LIVE_MEMORY.load(Ordering::Relaxed);
    let block = black_box(vec![0_u8; 64]);
    let is_counted = LIVE_MEMORY.load(Ordering::Relaxed) > before;
    drop(block);
    BASELINE_MEMORY.store(LIVE_MEMORY.load(Ordering::Relaxed), Ordering::Relaxed);
    is_counted
}

/// Ends the process when it holds more than `bytes` and the headroom above what it holds now.
pub(super) fn set_limit(bytes: usize) {
    let live = LIVE_MEMORY.load(Ordering::Relaxed);
    BASELINE_MEMORY.store(live, Ordering::Relaxed);
    HARD_LIMIT.store(live.saturating_add(bytes).saturating_add(HEADROOM_BYTES), Ordering::Relaxed);
}

// SAFETY: every method passes its arguments to `System` unchanged and returns what that returned, or does not return.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        refund(layout.size());
        // SAFETY: the caller's promise; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match new_size.checked_sub(layout.size()) {
            Some(more) => charge(more),
            None => refund(layout.size().saturating_sub(new_size)),
        }
        // SAFETY: the caller's promise; the block came from `System`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[inline]
fn charge(size: usize) {
    if IS_ARMED.load(Ordering::Relaxed) {
        let live = LIVE_MEMORY.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        if live > HARD_LIMIT.load(Ordering::Relaxed) {
            end();
        }
    }
}

#[inline]
fn refund(size: usize) {
    if IS_ARMED.load(Ordering::Relaxed) {
        LIVE_MEMORY.fetch_sub(size, Ordering::Relaxed);
    }
}

/// A worker has one thread and builds a frame before it writes it, so no other frame is half written here.
#[cold]
fn end() -> ! {
    let frame = OUT_OF_MEMORY_FRAME;
    // SAFETY: two system calls; the frame is valid for its length. It fits into a pipe whole.
    unsafe {
        libc::write(1, frame.as_ptr().cast(), frame.len());
        libc::_exit(OOM_EXIT_CODE)
    }
}
