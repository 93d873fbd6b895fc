//! Float32 memory: aligned, zeroed, on huge pages where it is large, and failing instead of aborting.
#![expect(
    unsafe_code,
    reason = "the global allocator is the one way to an allocation that may fail and is aligned"
)]

use std::alloc::{Layout, alloc, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use azr_transformer::{DeviceError, DeviceResult};

/// Alignment of small allocations, a cache line.
const LINE: usize = 64;
/// Alignment of large allocations, a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// A fixed number of float32 values.
pub(crate) struct Storage {
    data: NonNull<f32>,
    len: usize,
    layout: Layout,
}

// SAFETY: a `Storage` owns its memory and gives it out by the rules of references, as a `Vec<f32>` does.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Storage {
    /// `len` zeros for `purpose`.
    pub(crate) fn zeros(len: usize, purpose: &'static str) -> DeviceResult<Self> {
        let requested_bytes = (len as u64).saturating_mul(size_of::<f32>() as u64);
        let out_of_memory = DeviceError::OutOfMemory { requested_bytes, purpose };
        let n_bytes = len.max(1).checked_mul(size_of::<f32>()).ok_or(out_of_memory.clone())?;
        let is_large = n_bytes >= 2 * HUGE_PAGE;
        let layout = Layout::from_size_align(n_bytes, if is_large { HUGE_PAGE } else { LINE })
            .map_err(|_| out_of_memory.clone())?;
        // SAFETY: the layout has a size of at least one value.
        let data = NonNull::new(unsafe { alloc(layout) }.cast::<f32>()).ok_or(out_of_memory)?;
        if is_large {
            use_huge_pages(data, n_bytes);
        }
        // SAFETY: the allocation has room for `len` values, and zero bytes are the value 0.
        unsafe { data.write_bytes(0, len) };
        Ok(Self { data, len, layout })
    }
}

/// Asks for huge pages; without them everything works, slower.
fn use_huge_pages(data: NonNull<f32>, n_bytes: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range was just allocated, starts on a page, and the advice does not change its contents.
    unsafe {
        libc::madvise(data.as_ptr().cast(), n_bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, n_bytes);
}

impl Drop for Storage {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeros` with this layout.
        unsafe { dealloc(self.data.as_ptr().cast(), self.layout) };
    }
}

impl Deref for Storage {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` values were written when the memory was allocated, and it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for Storage {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_aligned_and_writable() {
        for len in [0, 1, 17, 3 << 20] {
            let mut storage = Storage::zeros(len, "test").unwrap();
            assert_eq!(storage.len(), len);
            assert_eq!(storage.as_ptr().addr() % LINE, 0);
            assert!(storage.iter().all(|&value| value == 0.0));
            storage.fill(1.0);
            assert!(storage.iter().all(|&value| value == 1.0));
        }
    }

    #[test]
    fn too_much_memory_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, 1 << 60, 1 << 46] {
            let error = Storage::zeros(len, "test").unwrap_err();
            assert!(matches!(error, DeviceError::OutOfMemory { purpose: "test", .. }), "{error}");
        }
    }
}
