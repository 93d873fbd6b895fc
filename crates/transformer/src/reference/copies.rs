//! Copies of matrices on the reference device: rounded values, or the codes of [`crate::quantise`] and exact integer sums.

use super::{Dense, Values, head, layers, need, need_lengths};
use crate::device::{CopyFormat, DeviceResult, SampleSpec};
use crate::packing::{Rounding, pack_bf16, unpack_bf16};
use crate::quantise::{ACTIVATION_CODES, WEIGHT_CODES, quantise};

/// A copy of a row-major `[n_out, n_in]` matrix.
#[derive(Debug, Clone, PartialEq)]
pub enum WeightCopy {
    /// The values, rounded to bfloat16.
    Bf16(Dense),
    /// Int8 codes.
    Int8(Quantised),
}

/// An int8 copy of a row-major `[n_out, n_in]` matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// Rows.
    pub n_out: usize,
    /// Columns.
    pub n_in: usize,
    /// Row-major codes in ±127.
    pub codes: Vec<i8>,
    /// What a code of each row is multiplied by.
    pub scales: Vec<f32>,
}

impl WeightCopy {
    pub(super) fn zeros(n_out: usize, n_in: usize, format: CopyFormat) -> DeviceResult<Self> {
        need(n_out > 0 && n_in > 0, "a matrix has no elements")?;
        let n = n_out * n_in;
        Ok(match format {
            CopyFormat::Bf16 => Self::Bf16(Dense { n_out, n_in, values: vec![0.0; n] }),
            CopyFormat::Int8 => {
                Self::Int8(Quantised { n_out, n_in, codes: vec![0; n], scales: vec![0.0; n_out] })
            }
        })
    }

    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Bf16(matrix) => (matrix.n_out, matrix.n_in),
            Self::Int8(copy) => (copy.n_out, copy.n_in),
        }
    }

    pub(super) fn write(&mut self, matrix: &Dense) -> DeviceResult<()> {
        need(self.shape() == (matrix.n_out, matrix.n_in), "matrix and copy differ in shape")?;
        match self {
            Self::Bf16(copy) => {
                for (to, &from) in copy.values.iter_mut().zip(&matrix.values) {
                    let half = pack_bf16(from as f32, Rounding::Nearest, 0);
                    *to = f64::from(unpack_bf16(half));
                }
            }
            Self::Int8(copy) => copy.write(matrix),
        }
        Ok(())
    }

    pub(super) fn read(&self, out: &mut [f32]) -> DeviceResult<()> {
        let (n_out, n_in) = self.shape();
        need(out.len() == n_out * n_in, "the output is not as long as the copy")?;
        match self {
            Self::Bf16(copy) => {
                for (to, &from) in out.iter_mut().zip(&copy.values) {
                    *to = from as f32;
                }
            }
            Self::Int8(copy) => {
                for (n, row) in out.chunks_exact_mut(n_in).enumerate() {
                    for (to, &code) in row.iter_mut().zip(&copy.codes[n * n_in..]) {
                        *to = f32::from(code) * copy.scales[n];
                    }
                }
            }
        }
        Ok(())
    }
}

impl Quantised {
    fn write(&mut self, matrix: &Dense) {
        for (n, codes) in self.codes.chunks_exact_mut(self.n_in).enumerate() {
            let (wide, scale) = quantised(matrix.row(n), WEIGHT_CODES);
            for (code, wide) in codes.iter_mut().zip(wide) {
                *code = wide as i8;
            }
            self.scales[n] = scale;
        }
    }

    /// The products of one row of activations.
    fn multiply(&self, x: &[f64]) -> Vec<f64> {
        let (x, x_scale) = quantised(x, ACTIVATION_CODES);
        let rows = self.codes.chunks_exact(self.n_in).zip(&self.scales);
        rows.map(|(codes, &scale)| {
            let sum: i64 = codes.iter().zip(&x).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
            sum as f64 * f64::from(x_scale) * f64::from(scale)
        })
        .collect()
    }
}

/// Codes and scale of float32 values.
fn quantised(values: &[f64], n_codes: i16) -> (Vec<i16>, f32) {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let mut codes = vec![0; values.len()];
    let scale = quantise(&values, n_codes, &mut codes);
    (codes, scale)
}

pub(super) fn linear(
    x: &Values,
    rows: usize,
    weight: &WeightCopy,
    bias: Option<&Values>,
    y: &mut Values,
) -> DeviceResult<()> {
    let weight = match weight {
        WeightCopy::Bf16(weight) => return layers::linear(x, rows, weight, bias, y),
        WeightCopy::Int8(weight) => weight,
    };
    let (n_out, n_in) = (weight.n_out, weight.n_in);
    need_lengths(&[(x, rows * n_in), (y, rows * n_out)])?;
    need(bias.is_none_or(|bias| bias.0.len() == n_out), "the bias is not as wide as the output")?;
    for row in 0..rows {
        for (n, product) in weight.multiply(&x.0[row * n_in..][..n_in]).into_iter().enumerate() {
            y.0[row * n_out + n] = product + bias.map_or(0.0, |bias| bias.0[n]);
        }
    }
    Ok(())
}

pub(super) fn sample(
    x: &Values,
    weight: &WeightCopy,
    specs: &[SampleSpec],
) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
    let weight = match weight {
        WeightCopy::Bf16(weight) => return head::sample(x, weight, specs),
        WeightCopy::Int8(weight) => weight,
    };
    need_lengths(&[(x, specs.len() * weight.n_in)])?;
    let rows = x.0.chunks_exact(weight.n_in).zip(specs);
    Ok(rows.map(|(x, spec)| head::sample_row(&weight.multiply(x), spec)).unzip())
}
