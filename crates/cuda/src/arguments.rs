//! The arguments of a kernel, as the driver takes them: a pointer to each.

use std::ffi::c_void;

/// Words for the arguments of any kernel: the largest takes a struct of 15 words, others up to 16 pointers and numbers.
const MAX_WORDS: usize = 24;
/// Most arguments of a kernel.
const MAX_ARGUMENTS: usize = 20;

/// Arguments in the order of the kernel's parameters, each at the beginning of an 8-byte word. In place, because hundreds
/// of launches are made for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    words: [u64; MAX_WORDS],
    n_words: usize,
    starts: [u8; MAX_ARGUMENTS],
    n_arguments: usize,
    /// Whether a number did not fit its parameter.
    overflows: bool,
}

impl Arguments {
    pub(crate) const fn new() -> Self {
        Self {
            words: [0; MAX_WORDS],
            n_words: 0,
            starts: [0; MAX_ARGUMENTS],
            n_arguments: 0,
            overflows: false,
        }
    }

    /// A pointer to device memory; 0 for none.
    pub(crate) fn pointer(self, pointer: u64) -> Self {
        self.value(pointer)
    }

    /// Pointers to device memory.
    pub(crate) fn pointers<const N: usize>(self, pointers: [u64; N]) -> Self {
        pointers.into_iter().fold(self, Self::pointer)
    }

    /// An `int`; a launch with a number beyond that is refused.
    pub(crate) fn int(mut self, value: usize) -> Self {
        let small = i32::try_from(value);
        self.overflows |= small.is_err();
        self.value(small.unwrap_or(0))
    }

    /// Whether every number fits its parameter.
    pub(crate) fn fit(&self) -> bool {
        !self.overflows
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
        let n_words = bytes.len().div_ceil(size_of::<u64>());
        debug_assert!(self.n_words + n_words <= MAX_WORDS && self.n_arguments < MAX_ARGUMENTS);
        let words = &mut self.words[self.n_words..self.n_words + n_words];
        bytemuck::cast_slice_mut(words)[..bytes.len()].copy_from_slice(bytes);
        self.starts[self.n_arguments] = self.n_words as u8;
        self.n_arguments += 1;
        self.n_words += n_words;
        self
    }

    /// A pointer to each argument, valid while `self` lives and does not move.
    pub(crate) fn as_pointers(&self) -> [*mut c_void; MAX_ARGUMENTS] {
        self.starts.map(|start| self.words[usize::from(start)..].as_ptr().cast_mut().cast())
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "what a driver does with the pointers")]

    use super::*;

    #[test]
    fn what_does_not_fit_is_known() {
        assert!(Arguments::new().int(i32::MAX as usize).int(0).fit());
        assert!(!Arguments::new().int(1 << 31).int(0).fit());
    }

    #[test]
    fn every_argument_is_where_its_pointer_points() {
        let arguments = Arguments::new().pointer(7).int(3).value([1_u32, 2, 3]).float(0.5).size(9);
        let pointers = arguments.as_pointers();
        // SAFETY: the pointers are to the words of `arguments`, which hold these types.
        unsafe {
            assert_eq!(*pointers[0].cast::<u64>(), 7);
            assert_eq!(*pointers[1].cast::<i32>(), 3);
            assert_eq!(*pointers[2].cast::<[u32; 3]>(), [1, 2, 3]);
            assert_eq!(*pointers[3].cast::<f32>(), 0.5);
            assert_eq!(*pointers[4].cast::<u64>(), 9);
        }
    }
}
