//! Small arrays on their way to kernels: tokens, positions, tiles of attention.
//!
//! They are written one behind the other into page-locked memory and copied to the same places of a block on the GPU, so
//! that the same series of operations finds them in the same places each time.

use azr_transformer::DeviceResult;

use crate::driver::Driver;

/// Room for the arrays of many operations; a larger one is a call's own.
pub(crate) const STAGE_BYTES: usize = 8 << 20;
/// Every array begins at a multiple of this.
const ALIGNMENT: usize = 256;

#[derive(Debug)]
pub(crate) struct Stage {
    host: &'static mut [u8],
    device: u64,
    used: usize,
    /// The part that was copied.
    n_copied: usize,
}

impl Stage {
    /// A stage of [`STAGE_BYTES`] at `device`, held by the caller.
    pub(crate) fn new(driver: &Driver, device: u64) -> DeviceResult<Self> {
        Ok(Self { host: driver.allocate_pinned(STAGE_BYTES)?, device, used: 0, n_copied: 0 })
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
    }
}
