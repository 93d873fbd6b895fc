//! Splitting mutable slices among the tasks of a job.
#![expect(
    unsafe_code,
    reason = "tasks that write disjoint parts of one slice cannot be told apart by the compiler"
)]

use std::marker::PhantomData;
use std::ops::Range;

use crate::pool::Pool;

/// A mutable slice whose parts tasks may borrow at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    data: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which may be sent; parts are given out by unsafe functions only.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { data: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The values in `range`, which must be within the slice.
    ///
    /// # Safety
    ///
    /// While the result lives no other task may use any value in `range`.
    pub(crate) unsafe fn part(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "a part is out of range");
        // SAFETY: the range is within the slice, and by the contract of this function nobody else uses it.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(range.start), range.end - range.start)
        }
    }

    /// A pointer to the value at `start`, which must be within the slice or at its end.
    pub(crate) fn pointer(self, start: usize) -> *mut f32 {
        assert!(start <= self.len, "a pointer is out of range");
        self.data.wrapping_add(start)
    }
}

/// Bounds of part `index` of `n_parts` nearly equal parts of `len`.
pub(crate) fn part(len: usize, index: usize, n_parts: usize) -> Range<usize> {
    len * index / n_parts..len * (index + 1) / n_parts
}

impl Pool {
    /// Calls `work(rows, outputs)` for parts of `0..n_rows`, of at least `min_rows` rows unless there are fewer;
    /// output `i` is the part of `outputs[i].0`, rows of width `outputs[i].1`, that belongs to these rows.
    pub(crate) fn split_rows<const N: usize>(
        &self,
        n_rows: usize,
        min_rows: usize,
        outputs: [(&mut [f32], usize); N],
        work: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
    ) {
        let outputs = outputs.map(|(slice, width)| (Shared::new(slice), width));
        let n_parts = (n_rows / min_rows.max(1)).clamp(1, 4 * self.n_threads());
        self.run(n_parts, &|index, _| {
            let rows = part(n_rows, index, n_parts);
            let parts = outputs.map(|(shared, width)| {
                // SAFETY: the rows of different tasks are disjoint, and so are rows of one width.
                unsafe { shared.part(rows.start * width..rows.end * width) }
            });
            work(rows, parts);
        });
    }
}
