//! What every [`Device`] must do, as checks that a device's own tests run.
//!
//! * Each operation agrees with the float64 [`Reference`] on random values of odd and edge shapes, outputs starting
//!   from values of their own, so that `+=` and overwriting are told apart, and with room behind them that must stay
//!   as it is. Where activations are bfloat16, their values are rounded before either device gets them.
//! * Any result has the same bits when an operation is repeated.
//! * Where rows are [`Rows::Independent`], the bits of a row's result are the same alone and among other rows, of a
//!   query's result alone, among other queries and wherever the shared prefix ends.
//! * Copies of weights stand for the same values as the reference's, to the bit. Products with those in bfloat16 have
//!   the bits of products with a matrix of these values; int8 ones, whose sums are exact, are nearly the reference's.
//! * Operands that are too short and indices out of range are errors.
//!
//! Inputs come from a counter and are the same on every machine.

mod attention;
mod copies;
mod head;
mod layers;
mod matrices;
mod refusals;

use std::ops::Deref;

use crate::device::{ActivationPrecision, Device, DeviceResult};
use crate::packing::{Rounding, pack_bf16, unpack_bf16};
use crate::reference::Reference;

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked, on which shape.
    pub name: String,
    /// What was found instead of what should be, if anything.
    pub failure: Option<String>,
}

/// What a device promises of the rows of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A row's bits depend on that row alone.
    Independent,
    /// They may depend on how many rows there are: of a device whose products are a library's.
    Together,
}

/// Runs every check on `device`; all failures should be none. Takes about a second on a processor.
pub fn run_all<D: Device>(device: &D, rows: Rows) -> Vec<CheckResult> {
    let precision = device.activation_precision();
    let mut checks = Checks { on: On { device, precision }, rows, results: Vec::new() };
    matrices::check(&mut checks);
    copies::check(&mut checks);
    layers::check(&mut checks);
    attention::check(&mut checks);
    head::check(&mut checks);
    refusals::check(&mut checks);
    checks.results
}

/// Named outputs of an operation.
type Outputs = Vec<(&'static str, Vec<f32>)>;

/// An operation on given values that can be run on any device.
trait Case {
    /// Runs the operation and reads every buffer it may have changed.
    fn run<D: Device>(&self, device: &On<'_, D>) -> DeviceResult<Outputs>;
}

/// An operation on rows that can be run on some of them.
trait RowCase {
    /// Number of rows.
    fn n_rows(&self) -> usize;
    /// Runs the operation on `rows` alone; one result per row.
    fn run<D: Device>(
        &self,
        device: &On<'_, D>,
        rows: std::ops::Range<usize>,
    ) -> DeviceResult<Vec<Vec<f32>>>;
}

/// A device that gets values in the precision of the device under test, be it that or the reference.
struct On<'a, D> {
    device: &'a D,
    precision: ActivationPrecision,
}

impl<D> Deref for On<'_, D> {
    type Target = D;

    fn deref(&self) -> &D {
        self.device
    }
}

impl<D> On<'_, D> {
    /// What is left of values that the device under test keeps as activations, or multiplies with them.
    fn kept(&self, values: &[f32]) -> Vec<f32> {
        let kept = |&value: &f32| match self.precision {
            ActivationPrecision::F32 => value,
            ActivationPrecision::Bf16 => unpack_bf16(pack_bf16(value, Rounding::Nearest, 0)),
        };
        values.iter().map(kept).collect()
    }
}

/// The checks of one device.
struct Checks<'a, D> {
    on: On<'a, D>,
    rows: Rows,
    results: Vec<CheckResult>,
}

impl<D: Device> Checks<'_, D> {
    fn record(&mut self, name: String, result: Result<(), String>) {
        self.results.push(CheckResult { name, failure: result.err() });
    }

    /// The device agrees with the reference within `tolerance` of the largest number of each output, and with
    /// itself to the bit.
    fn agrees(&mut self, name: String, tolerance: f32, case: &impl Case) {
        let result = agreement(&self.on, tolerance.max(self.least_tolerance()), case);
        self.record(name, result);
    }

    /// Rows have the same bits alone, in twos, threes and so on, and all together, on devices that promise it.
    fn rows_agree(&mut self, name: String, case: &impl RowCase) {
        if self.rows == Rows::Independent {
            let result = row_agreement(&self.on, case);
            self.record(name, result);
        }
    }

    /// The tolerance of an operation that rounds what lies between its operands and its results: attention, which multiplies
    /// by weights and their gradients.
    fn twice_rounded(&self, tolerance: f32) -> f32 {
        tolerance.max(2.0 * self.least_tolerance())
    }

    /// What rounding of activations alone may make of a result.
    fn least_tolerance(&self) -> f32 {
        match self.on.precision {
            ActivationPrecision::F32 => 0.0,
            // Rounding to bfloat16 changes a number by 1/256 of it at most; some operations round twice.
            ActivationPrecision::Bf16 => 0.008,
        }
    }
}

fn agreement<D: Device>(
    device: &On<'_, D>,
    tolerance: f32,
    case: &impl Case,
) -> Result<(), String> {
    let text = |error: crate::DeviceError| error.to_string();
    let found = case.run(device).map_err(text)?;
    let again = case.run(device).map_err(text)?;
    let reference = On { device: &Reference, precision: device.precision };
    let wanted = case.run(&reference).map_err(text)?;
    for (((name, found), (_, again)), (_, wanted)) in found.iter().zip(&again).zip(&wanted) {
        same_bits(found, again).map_err(|difference| format!("{name}, repeated: {difference}"))?;
        close(found, wanted, tolerance).map_err(|difference| format!("{name}: {difference}"))?;
    }
    Ok(())
}

fn row_agreement<D: Device>(device: &On<'_, D>, case: &impl RowCase) -> Result<(), String> {
    let run = |rows| case.run(device, rows).map_err(|error| error.to_string());
    let all = run(0..case.n_rows())?;
    for n_rows in [1, 2, 3, 4, 5, 6, 7, 8, 15, 33] {
        for start in (0..case.n_rows().saturating_sub(n_rows)).step_by(n_rows) {
            for (index, row) in run(start..start + n_rows)?.iter().enumerate() {
                same_bits(row, &all[start + index]).map_err(|difference| {
                    format!("row {} among {n_rows}: {difference}", start + index)
                })?;
            }
        }
    }
    Ok(())
}

fn same_bits(found: &[f32], wanted: &[f32]) -> Result<(), String> {
    let pairs = found.iter().zip(wanted).enumerate();
    match pairs.into_iter().find(|(_, (found, wanted))| found.to_bits() != wanted.to_bits()) {
        None if found.len() == wanted.len() => Ok(()),
        None => Err(format!("{} numbers instead of {}", found.len(), wanted.len())),
        Some((index, (found, wanted))) => {
            Err(format!("[{index}] is {found:e} instead of {wanted:e}"))
        }
    }
}

/// Within `tolerance` of the largest number, or of 0.1 where all are smaller: sums of products are as exact as their
/// largest terms allow, however small the sum comes out.
fn close(found: &[f32], wanted: &[f32], tolerance: f32) -> Result<(), String> {
    let bound = tolerance * wanted.iter().fold(0.1_f32, |max, value| max.max(value.abs()));
    let pairs = found.iter().zip(wanted).enumerate();
    let differs = |found: f32, wanted: f32| {
        let difference = (found - wanted).abs();
        difference.is_nan() || difference > bound
    };
    match pairs.into_iter().find(|(_, (found, wanted))| differs(**found, **wanted)) {
        None if found.len() == wanted.len() => Ok(()),
        None => Err(format!("{} numbers instead of {}", found.len(), wanted.len())),
        Some((index, (found, wanted))) => {
            Err(format!("[{index}] is {found:e} instead of {wanted:e}, not within {bound:e}"))
        }
    }
}

/// Numbers in [-1, 1) from a counter (the mixer of SplitMix64).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    (0..len as u64).map(|index| (uniform(seed, index) * 2.0 - 1.0) as f32).collect()
}

/// A number in [0, 1).
fn uniform(seed: u64, index: u64) -> f64 {
    let mut z = (seed << 32).wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Indices below `n`.
fn indices(seed: u64, len: usize, n: usize) -> Vec<u32> {
    (0..len as u64).map(|index| (uniform(seed, index) * n as f64) as u32).collect()
}

/// Gains, biases, their gradients and what is kept of each row.
fn upload<D: Device>(device: &On<'_, D>, values: &[f32]) -> DeviceResult<D::Buffer> {
    let mut buffer = device.zeros(values.len())?;
    device.write(&mut buffer, 0, values)?;
    Ok(buffer)
}

/// Activations.
fn upload_rows<D: Device>(device: &On<'_, D>, values: &[f32]) -> DeviceResult<D::Buffer> {
    let mut buffer = device.activations(values.len())?;
    device.write(&mut buffer, 0, &device.kept(values))?;
    Ok(buffer)
}

fn download<D: Device>(device: &On<'_, D>, buffer: &D::Buffer) -> DeviceResult<Vec<f32>> {
    let mut values = vec![0.0; device.len(buffer)];
    device.read(buffer, 0, &mut values)?;
    Ok(values)
}

/// Weights.
fn upload_matrix<D: Device>(
    device: &On<'_, D>,
    shape: (usize, usize),
    values: &[f32],
) -> DeviceResult<D::Matrix> {
    let mut matrix = device.matrix_zeros(shape.0, shape.1)?;
    device.matrix_write(&mut matrix, &device.kept(values))?;
    Ok(matrix)
}

/// Gradients of weights.
fn upload_gradient<D: Device>(
    device: &On<'_, D>,
    shape: (usize, usize),
    values: &[f32],
) -> DeviceResult<D::Matrix> {
    let mut matrix = device.gradient_zeros(shape.0, shape.1)?;
    device.matrix_write(&mut matrix, values)?;
    Ok(matrix)
}

fn download_matrix<D: Device>(device: &On<'_, D>, matrix: &D::Matrix) -> DeviceResult<Vec<f32>> {
    let (n_out, n_in) = device.matrix_shape(matrix);
    let mut values = vec![0.0; n_out * n_in];
    device.matrix_read(matrix, &mut values)?;
    Ok(values)
}

/// The rows of a row-major array.
fn split_rows(values: &[f32], n_rows: usize) -> Vec<Vec<f32>> {
    values.chunks_exact((values.len() / n_rows).max(1)).map(<[f32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_passes() {
        let results = run_all(&Reference, Rows::Independent);
        assert!(results.len() > 100, "{} checks", results.len());
        let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn differences_are_found() {
        assert!(close(&[1.0, 2.0], &[1.0, 2.001], 1e-4).is_err());
        assert!(close(&[1.0, f32::NAN], &[1.0, 2.0], 1e-4).is_err());
        assert!(close(&[1.0], &[1.0, 2.0], 1e-4).is_err());
        assert!(close(&[1.0, 2.000_01], &[1.0, 2.0], 1e-4).is_ok());
        assert!(same_bits(&[0.0], &[-0.0]).is_err());
    }
}
