//! Working memory that is kept between operations.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use azr_transformer::DeviceResult;

use crate::storage::Storage;

/// Most pieces kept; an operation holds at most four at a time.
const MAX_KEPT: usize = 6;

/// Pieces of working memory that are not in use.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    free: Mutex<Vec<Storage>>,
}

/// A piece of working memory with arbitrary contents; it goes back when dropped.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    scratch: &'a Scratch,
    storage: Option<Storage>,
    len: usize,
}

impl Scratch {
    fn free(&self) -> MutexGuard<'_, Vec<Storage>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `len` numbers of arbitrary value.
    pub(crate) fn take(&self, len: usize) -> DeviceResult<Piece<'_>> {
        let mut free = self.free();
        let best = (0..free.len()).filter(|&i| free[i].len() >= len).min_by_key(|&i| free[i].len());
        let kept = best.map(|index| free.swap_remove(index));
        drop(free);
        let storage = match kept {
            Some(storage) => storage,
            None => Storage::zeros(len, "working memory")?,
        };
        Ok(Piece { scratch: self, storage: Some(storage), len })
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        let mut free = self.scratch.free();
        free.extend(self.storage.take());
        if free.len() > MAX_KEPT {
            let smallest = (0..free.len()).min_by_key(|&i| free[i].len());
            smallest.map(|index| free.swap_remove(index));
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.storage.as_ref().map_or(&[], |storage| &storage[..self.len])
    }
}

impl DerefMut for Piece<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.storage.as_mut().map_or(&mut [], |storage| &mut storage[..self.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let scratch = Scratch::default();
        let address = scratch.take(100).unwrap().as_ptr();
        let first = scratch.take(50).unwrap();
        assert_eq!((first.as_ptr(), first.len()), (address, 50));
        let second = scratch.take(50).unwrap();
        assert_ne!(second.as_ptr(), address);
        let pieces: Vec<_> = (0..20).map(|len| scratch.take(len).unwrap()).collect();
        drop((first, second, pieces));
        assert_eq!(scratch.free().len(), MAX_KEPT);
    }
}
