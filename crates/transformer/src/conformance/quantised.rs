//! Int8 copies of weights, and what is multiplied with them.

use std::ops::Range;

use super::head::{Samples, Shape, samples_agree};
use super::{Case, Checks, Outputs, RowCase, download, numbers, split_rows, upload, upload_matrix};
use crate::device::{Device, DeviceResult};

/// Exact integers, rounded to float32 once and multiplied twice.
const PRODUCT: f32 = 1e-6;

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
    device: &D,
    shape: (usize, usize),
    values: &[f32],
) -> DeviceResult<D::Quantised> {
    let mut copy = device.quantised_zeros(shape.0, shape.1)?;
    device.quantise(&upload_matrix(device, shape, values)?, &mut copy)?;
    Ok(copy)
}

fn codes_of<D: Device>(
    device: &D,
    shape: (usize, usize),
    copy: &D::Quantised,
) -> DeviceResult<[Vec<f32>; 2]> {
    let (mut codes, mut scales) = (vec![0; shape.0 * shape.1], vec![0.0; shape.0]);
    device.quantised_read(copy, &mut codes, &mut scales)?;
    Ok([codes.into_iter().map(f32::from).collect(), scales])
}

/// A copy of one matrix, and then of another one in the same place.
struct Codes {
    shape: (usize, usize),
}

impl Case for Codes {
    fn run<D: Device>(&self, device: &D) -> DeviceResult<Outputs> {
        let mut copy = copy_of(device, self.shape, &numbers(91, self.shape.0 * self.shape.1))?;
        let [codes, scales] = codes_of(device, self.shape, &copy)?;
        device.quantise(&upload_matrix(device, self.shape, &weights(self.shape))?, &mut copy)?;
        let [new_codes, new_scales] = codes_of(device, self.shape, &copy)?;
        Ok(vec![
            ("codes", codes),
            ("scales", scales),
            ("new codes", new_codes),
            ("new scales", new_scales),
        ])
    }
}

struct Linear {
    shape: (usize, usize),
    n_rows: usize,
    with_bias: bool,
}

impl Linear {
    fn run_rows<D: Device>(&self, device: &D, rows: Range<usize>) -> DeviceResult<Vec<f32>> {
        let (n_out, n_in) = self.shape;
        let mut x = numbers(92, self.n_rows * n_in);
        for (row, x) in x.chunks_exact_mut(n_in).enumerate() {
            // Rows of very different size have scales of their own; one in seven is zeros.
            let factor = [1.0, 1e-6, 30.0, 1.0, 0.0, 1e-41, 0.1][row % 7];
            x.iter_mut().for_each(|value| *value *= factor);
        }
        let copy = copy_of(device, self.shape, &numbers(93, n_out * n_in))?;
        let bias = upload(device, &numbers(94, n_out))?;
        let mut y = upload(device, &numbers(95, rows.len() * n_out + 5))?;
        let x = upload(device, &x[rows.start * n_in..rows.end * n_in])?;
        let bias = self.with_bias.then_some(&bias);
        device.quantised_linear(&x, rows.len(), &copy, bias, &mut y)?;
        download(device, &y)
    }
}

impl Case for Linear {
    fn run<D: Device>(&self, device: &D) -> DeviceResult<Outputs> {
        Ok(vec![("y", self.run_rows(device, 0..self.n_rows)?)])
    }
}

impl RowCase for Linear {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn run<D: Device>(&self, device: &D, rows: Range<usize>) -> DeviceResult<Vec<Vec<f32>>> {
        let n_rows = rows.len();
        let y = self.run_rows(device, rows)?;
        Ok(split_rows(&y[..n_rows * self.shape.0], n_rows))
    }
}

/// Sums of the largest codes of one sign, which no int32 could hold.
struct Largest;

impl Case for Largest {
    fn run<D: Device>(&self, device: &D) -> DeviceResult<Outputs> {
        let (n_out, n_in) = (18, 3 * 4096 + 5);
        let copy = copy_of(device, (n_out, n_in), &vec![-1.0; n_out * n_in])?;
        let x = upload(device, &vec![2.0; 2 * n_in])?;
        let mut y = device.zeros(2 * n_out)?;
        device.quantised_linear(&x, 2, &copy, None, &mut y)?;
        Ok(vec![("y", download(device, &y)?)])
    }
}

/// Weights and activations that are not finite make NaN of everything that depends on them, and of nothing else.
fn not_finite<D: Device>(device: &D) -> DeviceResult<Result<(), String>> {
    let (n_out, n_in, n_rows) = (20, 33, 4);
    let products = |weights: &[f32], x: &[f32]| {
        let copy = copy_of(device, (n_out, n_in), weights)?;
        let mut y = device.zeros(n_rows * n_out)?;
        device.quantised_linear(&upload(device, x)?, n_rows, &copy, None, &mut y)?;
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
                let is_right = if n == 17 || row == 2 {
                    found.is_nan()
                } else {
                    found.to_bits() == wanted.to_bits()
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
    for (n_out, n_in, n_rows) in SHAPES {
        let shape = (n_out, n_in);
        checks.agrees(format!("quantise, {n_out} by {n_in}"), 0.0, &Codes { shape });
        for with_bias in [false, true] {
            let name =
                format!("quantised_linear, bias {with_bias}, {n_rows} rows of {n_out} by {n_in}");
            checks.agrees(name, PRODUCT, &Linear { shape, n_rows, with_bias });
        }
    }
    checks.agrees("quantised_linear of the largest codes".to_owned(), PRODUCT, &Largest);
    for shape in [(50, 71), (33, 600), (520, 20)] {
        let linear = Linear { shape, n_rows: 70, with_bias: true };
        checks.rows_agree(format!("rows of quantised_linear, {shape:?}"), &linear);
    }
    let result = not_finite(checks.device).unwrap_or_else(|error| Err(error.to_string()));
    checks.record("quantised_linear of what is not finite".to_owned(), result);
    for (vocab, width, n_rows) in [(1, 3, 2), (50, 9, 1), (333, 24, 40), (2100, 8, 19)] {
        let shape = Shape { vocab, width, n_rows };
        let result = samples_agree(checks.device, &Samples { shape, is_quantised: true });
        let name = format!("quantised_head_sample, {n_rows} rows of {width}, {vocab} tokens");
        checks.record(name, result);
    }
    let shape = Shape { vocab: 333, width: 24, n_rows: 40 };
    checks.rows_agree(
        "rows of quantised_head_sample".to_owned(),
        &Samples { shape, is_quantised: true },
    );
}
