//! Memory of the GPU, given back when its owner is dropped.

use std::sync::{Arc, Mutex, PoisonError};

use crate::driver::Driver;

/// Pointers of memory whose owners are gone. The engine frees them when nothing that waits to be launched uses them; when
/// there is no engine any more, nothing waits, and they are freed at once.
#[derive(Debug, Clone)]
pub(crate) struct Garbage {
    driver: Arc<Driver>,
    list: Arc<Mutex<Option<Vec<u64>>>>,
}

impl Garbage {
    pub(crate) fn new(driver: &Arc<Driver>) -> Self {
        Self { driver: driver.clone(), list: Arc::new(Mutex::new(Some(Vec::new()))) }
    }

    /// The pointers to free.
    pub(crate) fn take(&self) -> Vec<u64> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Frees everything, and from here on at once.
    pub(crate) fn close(&self) {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner).take();
        list.into_iter().flatten().for_each(|pointer| self.free(pointer));
    }

    fn push(&self, pointer: u64) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *list {
            Some(list) => list.push(pointer),
            None => self.free(pointer),
        }
    }

    /// Nobody is left to tell of an error, and a GPU that fails has given everything back.
    fn free(&self, pointer: u64) {
        let _ = self.driver.bind().and_then(|()| self.driver.free(pointer));
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
        self.garbage.push(self.pointer);
    }
}
