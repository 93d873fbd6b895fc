//! Copies of matrices that generation multiplies with: bfloat16 in the panels of [`crate::matrix`], or the codes of
//! [`crate::quantised`].

use azr_transformer::packing::{Rounding, pack_bf16, unpack_bf16};
use azr_transformer::{CopyFormat, DeviceError, DeviceResult};

use crate::Cpu;
use crate::head::Weights;
use crate::matrix::{Matrix, Panels};
use crate::quantised::Quantised;
use crate::simd::{Kernel, LANES, Simd};
use crate::storage::Storage;

/// A copy of a `[n_out, n_in]` matrix.
#[derive(Debug)]
pub struct WeightCopy(Packed);

#[derive(Debug)]
enum Packed {
    Bf16(Halves),
    Int8(Quantised),
}

/// A matrix in bfloat16.
#[derive(Debug)]
struct Halves {
    n_out: usize,
    n_in: usize,
    /// Two numbers in the place of each: memory is float32 here, whatever is kept in it.
    words: Storage,
}

impl WeightCopy {
    pub(crate) fn zeros(n_out: usize, n_in: usize, format: CopyFormat) -> DeviceResult<Self> {
        if n_out == 0 || n_in == 0 {
            let message = format!("a copy of {n_out} by {n_in} weights has no elements");
            return Err(DeviceError::Failed(message));
        }
        Ok(Self(match format {
            CopyFormat::Bf16 => {
                let n_words = n_out.div_ceil(LANES).saturating_mul(panel_words(n_in));
                let words = Storage::zeros(n_words, "bfloat16 weights")?;
                Packed::Bf16(Halves { n_out, n_in, words })
            }
            CopyFormat::Int8 => Packed::Int8(Quantised::zeros(n_out, n_in)?),
        }))
    }

    /// Writes the weights that the copy stands for to row-major `out`, whose length is the caller's duty.
    pub(crate) fn read(&self, out: &mut [f32]) {
        match &self.0 {
            Packed::Bf16(halves) => halves.read(out),
            Packed::Int8(copy) => copy.read(out),
        }
    }
}

/// Float32 numbers that a panel of bfloat16 takes the place of.
fn panel_words(n_in: usize) -> usize {
    n_in * LANES / 2
}

impl Halves {
    fn view(&self) -> Panels<'_, u16> {
        Panels { n_out: self.n_out, n_in: self.n_in, values: bytemuck::cast_slice(&self.words) }
    }

    fn read(&self, out: &mut [f32]) {
        let panels = self.view();
        for (n, row) in out.chunks_exact_mut(self.n_in).enumerate() {
            let lane = &panels.values[n / LANES * panels.panel_len() + n % LANES..];
            for (to, &from) in row.iter_mut().zip(lane.iter().step_by(LANES)) {
                *to = unpack_bf16(from);
            }
        }
    }
}

/// Rounds values to bfloat16.
struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = pack_bf16(from, Rounding::Nearest, 0);
        }
    }
}

impl Cpu {
    /// Makes `copy` that of `matrix`, which has the same shape.
    pub(crate) fn copy_weights(&self, matrix: &Matrix, copy: &mut WeightCopy) {
        match &mut copy.0 {
            Packed::Bf16(halves) => {
                let outputs = [(&mut halves.words[..], panel_words(matrix.n_in))];
                self.pool.split_rows(matrix.n_panels(), 1, outputs, |panels, [words]| {
                    let to: &mut [u16] = bytemuck::cast_slice_mut(words);
                    let from = &matrix.panels[panels.start * matrix.panel_len()..][..to.len()];
                    self.backend.run(Round { from, to });
                });
            }
            Packed::Int8(copy) => self.quantise(matrix, copy),
        }
    }
}

impl Weights for WeightCopy {
    fn shape(&self) -> (usize, usize) {
        match &self.0 {
            Packed::Bf16(halves) => (halves.n_out, halves.n_in),
            Packed::Int8(copy) => (copy.n_out, copy.n_in),
        }
    }

    fn product(
        &self,
        cpu: &Cpu,
        x: &[f32],
        n_rows: usize,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> DeviceResult<()> {
        match &self.0 {
            Packed::Bf16(halves) => cpu.product(x, n_rows, halves.view(), bias, y),
            Packed::Int8(copy) => cpu.quantised_product(x, n_rows, copy, bias, y),
        }
    }
}
