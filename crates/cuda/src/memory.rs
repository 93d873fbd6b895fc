//! Memory of the GPU, given back when its owner is dropped.

use std::sync::{Arc, Mutex, PoisonError};

/// Pointers of memory whose owners are gone. The engine frees them when nothing that waits to be launched uses them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Garbage(Arc<Mutex<Vec<u64>>>);

impl Garbage {
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An allocation.
#[derive(Debug)]
pub(crate) struct Memory {
    pointer: u64,
    bytes: usize,
    garbage: Garbage,
}

impl Memory {
    /// Takes ownership of `bytes` bytes at `pointer`.
    pub(crate) fn new(pointer: u64, bytes: usize, garbage: &Garbage) -> Self {
        Self { pointer, bytes, garbage: garbage.clone() }
    }

    pub(crate) fn pointer(&self) -> u64 {
        self.pointer
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Garbage(list) = &self.garbage;
        list.lock().unwrap_or_else(PoisonError::into_inner).push(self.pointer);
    }
}
