//! The arguments of a kernel, as the driver takes them: a pointer to each.

use std::ffi::c_void;

/// Arguments in the order of the kernel's parameters, each at the beginning of an 8-byte word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Arguments {
    words: Vec<u64>,
    starts: Vec<usize>,
}

impl Arguments {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A pointer to device memory; 0 for none.
    pub(crate) fn pointer(self, pointer: u64) -> Self {
        self.value(pointer)
    }

    /// Pointers to device memory.
    pub(crate) fn pointers<const N: usize>(self, pointers: [u64; N]) -> Self {
        pointers.into_iter().fold(self, Self::pointer)
    }

    /// An `int`, of a number that is known to be small: shapes are checked where buffers are made.
    pub(crate) fn int(self, value: usize) -> Self {
        self.value(i32::try_from(value).unwrap_or(i32::MAX))
    }

    /// A `size_t`.
    pub(crate) fn size(self, value: usize) -> Self {
        self.value(value as u64)
    }

    /// A `float`.
    pub(crate) fn float(self, value: f32) -> Self {
        self.value(value)
    }

    /// A number, or a struct by value, with the layout that the kernel's parameter has.
    pub(crate) fn value<T: bytemuck::NoUninit>(mut self, value: T) -> Self {
        let bytes = bytemuck::bytes_of(&value);
        self.starts.push(self.words.len());
        self.words.extend(bytes.chunks(8).map(|part| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            u64::from_ne_bytes(word)
        }));
        self
    }

    /// A pointer to each argument, valid while `self` lives and does not change.
    pub(crate) fn as_pointers(&self) -> Vec<*mut c_void> {
        self.starts.iter().map(|&start| self.words[start..].as_ptr().cast_mut().cast()).collect()
    }
}
