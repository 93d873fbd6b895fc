//! Small arrays on their way to kernels: tokens, positions, tiles of attention.
//!
//! They are written one behind the other into page-locked memory and copied to the same places of a block on the GPU, so
//! that the same series of operations finds them in the same places each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use azr_transformer::DeviceResult;

use crate::driver::{Driver, Pinned};

/// Room for the arrays of many operations; a larger one is a call's own.
pub(crate) const STAGE_BYTES: usize = 8 << 20;
/// Every array begins at a multiple of this.
const ALIGNMENT: usize = 256;

#[derive(Debug)]
pub(crate) struct Stage {
    host: Pinned,
    device: u64,
    used: usize,
    /// The part that was copied.
    n_copied: usize,
    /// Where the last array for each purpose is.
    last: BTreeMap<&'static str, (usize, usize)>,
}

impl Stage {
    /// A stage of [`STAGE_BYTES`] at `device`, held by the caller.
    pub(crate) fn new(driver: &Arc<Driver>, device: u64) -> DeviceResult<Self> {
        let host = driver.allocate_pinned(STAGE_BYTES)?;
        Ok(Self { host, device, used: 0, n_copied: 0, last: BTreeMap::new() })
    }

    /// Whether `len` more bytes fit.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.used.next_multiple_of(ALIGNMENT) + len <= self.host.len()
    }

    /// Takes bytes, for which there is room; returns where they will be on the GPU once [`Self::copy`] was called.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u64 {
        let start = self.used.next_multiple_of(ALIGNMENT);
        self.host[start..start + bytes.len()].copy_from_slice(bytes);
        self.used = start + bytes.len();
        self.device + start as u64
    }

    /// As [`Self::push`], unless the last array for `purpose` was the same: all layers of a model have the same positions.
    pub(crate) fn push_once(&mut self, purpose: &'static str, bytes: &[u8]) -> u64 {
        if let Some(&(start, end)) = self.last.get(purpose)
            && &self.host[start..end] == bytes
        {
            return self.device + start as u64;
        }
        let pointer = self.push(bytes);
        self.last.insert(purpose, (self.used - bytes.len(), self.used));
        pointer
    }

    /// Copies what is new.
    #[expect(unsafe_code, reason = "the copy happens after the call")]
    pub(crate) fn copy(&mut self, driver: &Driver) -> DeviceResult<()> {
        if self.n_copied == self.used {
            return Ok(());
        }
        let part = &self.host[self.n_copied..self.used];
        // SAFETY: bytes below `used` are not written again before `clear`, whose caller has waited for the copy.
        unsafe { driver.upload_pinned(self.device + self.n_copied as u64, part) }?;
        self.n_copied = self.used;
        Ok(())
    }

    /// Begins anew. All work that uses the stage must be done.
    pub(crate) fn clear(&mut self) {
        (self.used, self.n_copied) = (0, 0);
        self.last.clear();
    }
}
