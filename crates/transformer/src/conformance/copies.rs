//! Copies of weights that generation multiplies with, and products with them.

use std::ops::Range;

use super::head::{Samples, Shape, samples_agree};
use super::{
    Case, Checks, On, Outputs, RowCase, download, numbers, same_bits, split_rows, upload,
    upload_matrix, upload_rows,
};
use crate::device::{CopyFormat, Device, DeviceResult};

/// Of a product with a copy, relative to the largest.
const fn tolerance(format: CopyFormat) -> f32 {
    match format {
        // As of other float32 sums, here of up to four thousand products.
        CopyFormat::Bf16 => 1e-5,
        // Exact integers, rounded to float32 once and multiplied twice.
        CopyFormat::Int8 => 1e-6,
    }
}

/// `(n_out, n_in, rows)`: odd inputs, which leave half a pair, less than a panel, one more and one less, and row counts
/// around the height of every plausible tile.
const SHAPES: [(usize, usize, usize); 11] = [
    (1, 1, 1),
    (3, 2, 5),
    (16, 16, 16),
    (17, 15, 1),
    (31, 33, 2),
    (40, 70, 4),
    (65, 9, 6),
    (130, 24, 7),
    (200, 521, 13),
    (33, 4099, 3),
    (36, 47, 40),
];

/// Weights of which the first rows are zeros, huge, tiny, and halves of their codes.
fn weights(shape: (usize, usize)) -> Vec<f32> {
    let (n_out, n_in) = shape;
    let mut values = numbers(90, n_out * n_in);
    for (n, row) in values.chunks_exact_mut(n_in).enumerate() {
        match n {
            1 => row.fill(0.0),
            2 => row.iter_mut().for_each(|value| *value *= 1e30),
            3 => row.iter_mut().for_each(|value| *value *= 1e-30),
            4 => row.iter_mut().for_each(|value| *value *= 1e-41),
            5 => row.iter_mut().enumerate().for_each(|(k, value)| *value = 63.5 - k as f32),
            _ => {}
        }
    }
    values
}

fn copy_of<D: Device>(
    device: &On<'_, D>,
    format: CopyFormat,
    shape: (usize, usize),
    values: &[f32],
) -> DeviceResult<D::WeightCopy> {
    let mut copy = device.copy_zeros(shape.0, shape.1, format)?;
    device.copy_write(&mut copy, &upload_matrix(device, shape, values)?)?;
    Ok(copy)
}

fn values_of<D: Device>(
    device: &On<'_, D>,
    shape: (usize, usize),
    copy: &D::WeightCopy,
) -> DeviceResult<Vec<f32>> {
    let mut values = vec![0.0; shape.0 * shape.1];
    device.copy_read(copy, &mut values)?;
    Ok(values)
}

/// A copy of one matrix, and then of another one in the same place.
struct CopyValues {
    format: CopyFormat,
    shape: (usize, usize),
}

impl Case for CopyValues {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let values = numbers(91, self.shape.0 * self.shape.1);
        let mut copy = copy_of(device, self.format, self.shape, &values)?;
        let values = values_of(device, self.shape, &copy)?;
        device.copy_write(&mut copy, &upload_matrix(device, self.shape, &weights(self.shape))?)?;
        Ok(vec![("values", values), ("new values", values_of(device, self.shape, &copy)?)])
    }
}

/// Products with a bfloat16 copy have the bits of those with a matrix of the values that it stands for.
fn bf16_is_linear<D: Device>(
    device: &On<'_, D>,
    shape: (usize, usize),
    n_rows: usize,
) -> DeviceResult<Result<(), String>> {
    let copy = copy_of(device, CopyFormat::Bf16, shape, &numbers(98, shape.0 * shape.1))?;
    let matrix = upload_matrix(device, shape, &values_of(device, shape, &copy)?)?;
    let x = upload_rows(device, &numbers(99, n_rows * shape.1))?;
    let bias = upload(device, &numbers(100, shape.0))?;
    let (mut y, mut wanted) =
        (device.activations(n_rows * shape.0)?, device.activations(n_rows * shape.0)?);
    device.copy_linear(&x, n_rows, &copy, Some(&bias), &mut y)?;
    device.linear(&x, n_rows, &matrix, Some(&bias), &mut wanted)?;
    Ok(same_bits(&download(device, &y)?, &download(device, &wanted)?))
}

struct Linear {
    format: CopyFormat,
    shape: (usize, usize),
    n_rows: usize,
    with_bias: bool,
}

impl Linear {
    fn run_rows<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<f32>> {
        let (n_out, n_in) = self.shape;
        let mut x = numbers(92, self.n_rows * n_in);
        for (row, x) in x.chunks_exact_mut(n_in).enumerate() {
            // Rows of very different size have scales of their own; one in seven is zeros.
            let factor = [1.0, 1e-6, 30.0, 1.0, 0.0, 1e-41, 0.1][row % 7];
            x.iter_mut().for_each(|value| *value *= factor);
        }
        let copy = copy_of(device, self.format, self.shape, &numbers(93, n_out * n_in))?;
        let bias = upload(device, &numbers(94, n_out))?;
        let mut y = upload_rows(device, &numbers(95, rows.len() * n_out + 5))?;
        let x = upload_rows(device, &x[rows.start * n_in..rows.end * n_in])?;
        let bias = self.with_bias.then_some(&bias);
        device.copy_linear(&x, rows.len(), &copy, bias, &mut y)?;
        download(device, &y)
    }
}

impl Case for Linear {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        Ok(vec![("y", self.run_rows(device, 0..self.n_rows)?)])
    }
}

impl RowCase for Linear {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let y = self.run_rows(device, rows)?;
        Ok(split_rows(&y[..n_rows * self.shape.0], n_rows))
    }
}

/// Sums of the largest codes of one sign, which no int32 could hold.
struct Largest;

impl Case for Largest {
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs> {
        let (n_out, n_in) = (18, 3 * 4096 + 5);
        let copy = copy_of(device, CopyFormat::Int8, (n_out, n_in), &vec![-1.0; n_out * n_in])?;
        let x = upload_rows(device, &vec![2.0; 2 * n_in])?;
        let mut y = device.activations(2 * n_out)?;
        device.copy_linear(&x, 2, &copy, None, &mut y)?;
        Ok(vec![("y", download(device, &y)?)])
    }
}

/// Weights and activations that are not finite make everything that depends on them so, NaN of int8 products, and nothing
/// else.
fn not_finite<D: Device>(
    device: &On<'_, D>,
    format: CopyFormat,
) -> DeviceResult<Result<(), String>> {
    let (n_out, n_in, n_rows) = (20, 33, 4);
    let products = |weights: &[f32], x: &[f32]| {
        let copy = copy_of(device, format, (n_out, n_in), weights)?;
        let mut y = device.activations(n_rows * n_out)?;
        device.copy_linear(&upload_rows(device, x)?, n_rows, &copy, None, &mut y)?;
        download(device, &y)
    };
    let (weights, x) = (numbers(96, n_out * n_in), numbers(97, n_rows * n_in));
    let wanted = products(&weights, &x)?;
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut bad_weights, mut bad_x) = (weights.clone(), x.clone());
        bad_weights[17 * n_in + 32] = bad;
        bad_x[2 * n_in] = bad;
        for (row, found) in products(&bad_weights, &bad_x)?.chunks_exact(n_out).enumerate() {
            for (n, found) in found.iter().enumerate() {
                let wanted = wanted[row * n_out + n];
                let is_right = match format {
                    _ if n != 17 && row != 2 => found.to_bits() == wanted.to_bits(),
                    CopyFormat::Bf16 => !found.is_finite(),
                    CopyFormat::Int8 => found.is_nan(),
                };
                if !is_right {
                    return Ok(Err(format!("{bad}: output {n} of row {row} is {found}")));
                }
            }
        }
    }
    Ok(Ok(()))
}

pub(super) fn check<D: Device>(checks: &mut Checks<'_, D>) {
    for format in CopyFormat::ALL {
        check_format(checks, format);
    }
    for (n_out, n_in, n_rows) in SHAPES {
        let result = bf16_is_linear(&checks.on, (n_out, n_in), n_rows);
        let result = result.unwrap_or_else(|error| Err(error.to_string()));
        checks.record(
            format!("Bf16 copy_linear as linear, {n_rows} rows of {n_out} by {n_in}"),
            result,
        );
    }
    checks.agrees(
        "Int8 copy_linear of the largest codes".to_owned(),
        tolerance(CopyFormat::Int8),
        &Largest,
    );
}

fn check_format<D: Device>(checks: &mut Checks<'_, D>, format: CopyFormat) {
    for (n_out, n_in, n_rows) in SHAPES {
        let shape = (n_out, n_in);
        let values = CopyValues { format, shape };
        checks.agrees(format!("{format:?} copy of {n_out} by {n_in}"), 0.0, &values);
        for with_bias in [false, true] {
            let on = format!("bias {with_bias}, {n_rows} rows of {n_out} by {n_in}");
            let linear = Linear { format, shape, n_rows, with_bias };
            checks.agrees(format!("{format:?} copy_linear, {on}"), tolerance(format), &linear);
        }
    }
    for shape in [(50, 71), (33, 600), (520, 20)] {
        let linear = Linear { format, shape, n_rows: 70, with_bias: true };
        checks.rows_agree(format!("rows of {format:?} copy_linear, {shape:?}"), &linear);
    }
    let result = not_finite(&checks.on, format);
    let result = result.unwrap_or_else(|error| Err(error.to_string()));
    checks.record(format!("{format:?} copy_linear of what is not finite"), result);
    for (vocab, width, n_rows) in [(1, 3, 2), (50, 9, 1), (333, 24, 40), (2100, 8, 19)] {
        let shape = Shape { vocab, width, n_rows };
        let result = samples_agree(&checks.on, &Samples { shape, copy: Some(format) });
        let on = format!("{n_rows} rows of {width}, {vocab} tokens");
        checks.record(format!("{format:?} copy_head_sample, {on}"), result);
    }
    let shape = Shape { vocab: 333, width: 24, n_rows: 40 };
    let samples = Samples { shape, copy: Some(format) };
    checks.rows_agree(format!("rows of {format:?} copy_head_sample"), &samples);
}
