//! Float32 memory: aligned, zeroed, on huge pages unless it is small, and failing instead of aborting.
#![expect(unsafe_code, reason = "values are reached through a pointer into a block")]

mod block;

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use azr_transformer::{DeviceError, DeviceResult};

use block::Share;

/// A fixed number of float32 values.
pub(crate) struct Storage {
    data: NonNull<f32>,
    len: usize,
    /// Where the values are; `data` is its start.
    _share: Share,
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
        let share = Share::new(n_bytes).ok_or(out_of_memory)?;
        let data = share.start().cast::<f32>();
        // SAFETY: the share has room for `len` values, and zero bytes are the value 0.
        unsafe { data.write_bytes(0, len) };
        Ok(Self { data, len, _share: share })
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
            assert_eq!(storage.as_ptr().addr() % 64, 0);
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
