//! Muon for hidden matrices: see [`azr_rl::muon_reference`] for the formula and its sources.
//!
//! Products run on the device, the rest on the host: the iteration needs each matrix both as rows and as a weight,
//! and a device keeps the two in different layouts.

use azr_plugin::OptimizerSpec;
use azr_rl::{NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, muon_scale};

use super::packing::Rounding;
use crate::device::{Device, DeviceResult, Tensor};

/// One step on `p` with gradient `g`, multiplied by `grad_scale` first, and momentum `m`.
/// `optimizer.beta1` is the momentum's decay.
pub(super) fn step<D: Device>(
    device: &D,
    p: &mut D::Matrix,
    g: &D::Matrix,
    m: &mut D::State,
    optimizer: &OptimizerSpec,
    (grad_scale, rounding): (f32, Rounding),
) -> DeviceResult<()> {
    let (n_out, n_in) = device.matrix_shape(p);
    let read = |matrix: &D::Matrix| Tensor::<D>::Matrix(matrix).read(device);
    let beta = optimizer.beta1;
    let mut scratch = device.matrix_zeros(n_out, n_in)?;
    device.matrix_state_read(m, &mut scratch)?;
    let (mut momentum, mut update) = (read(&scratch)?, read(g)?);
    for (momentum, update) in momentum.iter_mut().zip(&mut update) {
        let gradient = grad_scale * *update;
        *momentum = beta * *momentum + (1.0 - beta) * gradient;
        *update = beta * *momentum + (1.0 - beta) * gradient;
    }
    device.matrix_write(&mut scratch, &momentum)?;
    device.matrix_state_write(m, &scratch, rounding)?;
    drop((scratch, momentum));

    let is_tall = n_out > n_in;
    let wide = if is_tall { transposed(&update, n_out, n_in) } else { update };
    let factor = orthogonal_factor(device, wide, n_out.min(n_in), n_out.max(n_in))?;
    let factor = if is_tall { transposed(&factor, n_in, n_out) } else { factor };
    let mut values = read(p)?;
    let rate = optimizer.learning_rate * muon_scale(n_out, n_in) as f32;
    let decay = optimizer.learning_rate * optimizer.weight_decay;
    for (value, factor) in values.iter_mut().zip(&factor) {
        *value -= decay * *value + rate * factor;
    }
    device.matrix_write(p, &values)
}

/// The nearly orthogonal factor of row-major `[n_rows, n_columns]` values, no more rows than columns.
fn orthogonal_factor<D: Device>(
    device: &D,
    mut x: Vec<f32>,
    n_rows: usize,
    n_columns: usize,
) -> DeviceResult<Vec<f32>> {
    let norm = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() + 1e-7;
    x.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    let (a, b, c) = NEWTON_SCHULZ;
    let (a, b, c) = (a as f32, b as f32, c as f32);
    let (mut x_rows, mut product) = (device.zeros(x.len())?, device.zeros(x.len())?);
    let mut x_matrix = device.matrix_zeros(n_rows, n_columns)?;
    let mut gram = device.zeros(n_rows * n_rows)?;
    let mut gram_squared = device.zeros(n_rows * n_rows)?;
    let mut gram_matrix = device.matrix_zeros(n_rows, n_rows)?;
    let (mut gram_values, mut squared_values) =
        (vec![0.0; n_rows * n_rows], vec![0.0; n_rows * n_rows]);
    let mut moved = vec![0.0; x.len()];
    for _ in 0..NEWTON_SCHULZ_STEPS {
        device.write(&mut x_rows, 0, &x)?;
        device.matrix_write(&mut x_matrix, &x)?;
        device.linear(&x_rows, n_rows, &x_matrix, None, &mut gram)?;
        device.read(&gram, 0, &mut gram_values)?;
        device.matrix_write(&mut gram_matrix, &gram_values)?;
        device.linear(&gram, n_rows, &gram_matrix, None, &mut gram_squared)?;
        device.read(&gram_squared, 0, &mut squared_values)?;
        for (gram, squared) in gram_values.iter_mut().zip(&squared_values) {
            *gram = b * *gram + c * squared;
        }
        device.write(&mut gram, 0, &gram_values)?;
        device.linear_backward_input(&gram, n_rows, &x_matrix, &mut product, false)?;
        device.read(&product, 0, &mut moved)?;
        for (x, moved) in x.iter_mut().zip(&moved) {
            *x = a * *x + moved;
        }
    }
    Ok(x)
}

fn transposed(values: &[f32], n_rows: usize, n_columns: usize) -> Vec<f32> {
    let column = |column: usize| (0..n_rows).map(move |row| values[row * n_columns + column]);
    (0..n_columns).flat_map(column).collect()
}
