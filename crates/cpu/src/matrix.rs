//! The layout of matrices: panels of sixteen outputs.
//!
//! A `[n_out, n_in]` matrix is stored as `[ceil(n_out / 16)][n_in][16]`: sixteen consecutive outputs lie side by
//! side for each input, which is one vector of every kernel. The lanes past `n_out` are padding: kernels keep them
//! finite and never let them reach a result. Parameters, gradients and moments share the layout, so that nothing is
//! repacked between steps.

use azr_transformer::{DeviceError, DeviceResult};

use crate::simd::LANES;
use crate::storage::Storage;

/// A `[n_out, n_in]` matrix in panels of sixteen outputs.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    pub(crate) panels: Storage,
}

/// The numbers of a matrix in this layout, to multiply with; they may be narrower than float32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a, E> {
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    pub(crate) values: &'a [E],
}

impl<E> Panels<'_, E> {
    /// Panels of sixteen outputs, the last one padded.
    pub(crate) fn n_panels(&self) -> usize {
        self.n_out.div_ceil(LANES)
    }

    /// Numbers of one panel.
    pub(crate) fn panel_len(&self) -> usize {
        self.n_in * LANES
    }
}

impl Matrix {
    pub(crate) fn zeros(n_out: usize, n_in: usize) -> DeviceResult<Self> {
        if n_out == 0 || n_in == 0 {
            return Err(DeviceError::Failed(format!(
                "a matrix of {n_out} by {n_in} has no elements"
            )));
        }
        let len = n_out.div_ceil(LANES).saturating_mul(LANES).saturating_mul(n_in);
        Ok(Self { n_out, n_in, panels: Storage::zeros(len, "a matrix")? })
    }

    pub(crate) fn view(&self) -> Panels<'_, f32> {
        Panels { n_out: self.n_out, n_in: self.n_in, values: &self.panels }
    }

    /// Panels of sixteen outputs, the last one padded.
    pub(crate) fn n_panels(&self) -> usize {
        self.view().n_panels()
    }

    /// Numbers of one panel.
    pub(crate) fn panel_len(&self) -> usize {
        self.view().panel_len()
    }

    /// Index of output `n` of input 0; the next input is sixteen numbers on.
    pub(crate) fn row_start(&self, n: usize) -> usize {
        n / LANES * self.panel_len() + n % LANES
    }

    /// Fills the matrix from row-major `values` of the same shape.
    pub(crate) fn write(&mut self, values: &[f32]) {
        for (n, row) in values.chunks_exact(self.n_in).enumerate() {
            let start = self.row_start(n);
            for (to, from) in self.panels[start..].iter_mut().step_by(LANES).zip(row) {
                *to = *from;
            }
        }
    }

    /// Copies the matrix to row-major `out` of the same shape.
    pub(crate) fn read(&self, out: &mut [f32]) {
        for (n, row) in out.chunks_exact_mut(self.n_in).enumerate() {
            self.read_row(n, row);
        }
    }

    /// Copies output `n` to `row`.
    pub(crate) fn read_row(&self, n: usize, row: &mut [f32]) {
        for (to, from) in row.iter_mut().zip(self.panels[self.row_start(n)..].iter().step_by(LANES))
        {
            *to = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written() {
        for (n_out, n_in) in [(1, 1), (16, 3), (17, 5), (31, 1), (40, 7)] {
            let mut matrix = Matrix::zeros(n_out, n_in).unwrap();
            let values: Vec<f32> = (1..=n_out * n_in).map(|i| i as f32).collect();
            matrix.write(&values);
            let mut out = vec![0.0; n_out * n_in];
            matrix.read(&mut out);
            assert_eq!(out, values);
            assert_eq!(
                matrix.panels.iter().sum::<f32>(),
                values.iter().sum::<f32>(),
                "the padding is zero"
            );
        }
    }
}
