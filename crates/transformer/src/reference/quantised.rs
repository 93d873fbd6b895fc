//! Int8 copies of matrices on the reference device: the codes of [`crate::quantise`] and exact integer sums.

use super::{Dense, Values, head, need, need_lengths};
use crate::device::{DeviceResult, SampleSpec};
use crate::quantise::{ACTIVATION_CODES, WEIGHT_CODES, quantise};

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

impl Quantised {
    pub(super) fn zeros(n_out: usize, n_in: usize) -> DeviceResult<Self> {
        need(n_out > 0 && n_in > 0, "a matrix has no elements")?;
        Ok(Self { n_out, n_in, codes: vec![0; n_out * n_in], scales: vec![0.0; n_out] })
    }

    pub(super) fn copy_from(&mut self, matrix: &Dense) -> DeviceResult<()> {
        need(
            (self.n_out, self.n_in) == (matrix.n_out, matrix.n_in),
            "matrix and copy differ in shape",
        )?;
        for (n, codes) in self.codes.chunks_exact_mut(self.n_in).enumerate() {
            let (wide, scale) = quantised(matrix.row(n), WEIGHT_CODES);
            for (code, wide) in codes.iter_mut().zip(wide) {
                *code = wide as i8;
            }
            self.scales[n] = scale;
        }
        Ok(())
    }

    pub(super) fn read(&self, codes: &mut [i8], scales: &mut [f32]) -> DeviceResult<()> {
        need(
            (codes.len(), scales.len()) == (self.codes.len(), self.n_out),
            "the output is not as long as the copy",
        )?;
        codes.copy_from_slice(&self.codes);
        scales.copy_from_slice(&self.scales);
        Ok(())
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
    weight: &Quantised,
    bias: Option<&Values>,
    y: &mut Values,
) -> DeviceResult<()> {
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
    weight: &Quantised,
    specs: &[SampleSpec],
) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
    need_lengths(&[(x, specs.len() * weight.n_in)])?;
    let rows = x.0.chunks_exact(weight.n_in).zip(specs);
    Ok(rows.map(|(x, spec)| head::sample_row(&weight.multiply(x), spec)).unzip())
}
