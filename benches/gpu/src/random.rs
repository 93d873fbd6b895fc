//! Random numbers for weights and activations, cheap enough for billions of them: what is computed must not be zeros,
//! which a GPU multiplies faster, but need not be good numbers either.

use std::sync::Arc;
use std::thread;

use azr_transformer::{Device, DeviceResult, Model, TransformerError};
use azr_weights::ModelConfig;

use crate::gpu::Gpu;

/// Activations that are drawn; the rest repeats them.
const N_DRAWN: usize = 1 << 22;
/// Values below which a thread is not worth its start.
const MIN_PER_THREAD: usize = 1 << 16;

/// `len` numbers, uniform with variance `deviation` squared, on all cores: a function of `seed` and the index alone.
pub(crate) fn numbers(seed: u64, len: usize, deviation: f32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    let n_threads = thread::available_parallelism().map_or(1, Into::into);
    let per_thread = len.div_ceil(n_threads).max(MIN_PER_THREAD);
    // A uniform number in [-1, 1) has the variance 1/3.
    let scale = deviation * 3.0_f32.sqrt() / (1_u32 << 31) as f32;
    thread::scope(|scope| {
        for (part, values) in values.chunks_mut(per_thread).enumerate() {
            scope.spawn(move || {
                for (index, value) in values.iter_mut().enumerate() {
                    let bits = mixed(seed, (part * per_thread + index) as u64);
                    *value = (bits >> 32) as u32 as i32 as f32 * scale;
                }
            });
        }
    });
    values
}

/// The mixer of SplitMix64.
fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 40).wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `len` activations.
pub(crate) fn activations<D: Device>(device: &D, len: usize) -> DeviceResult<D::Buffer> {
    let mut buffer = device.activations(len)?;
    fill(device, &mut buffer)?;
    Ok(buffer)
}

/// `len` float32 values.
pub(crate) fn values<D: Device>(device: &D, len: usize) -> DeviceResult<D::Buffer> {
    let mut buffer = device.zeros(len)?;
    fill(device, &mut buffer)?;
    Ok(buffer)
}

fn fill<D: Device>(device: &D, buffer: &mut D::Buffer) -> DeviceResult<()> {
    let len = device.len(buffer);
    let mut done = len.min(N_DRAWN);
    device.write(buffer, 0, &numbers(len as u64, done, 1.0))?;
    while done < len {
        let more = done.min(len - done);
        device.copy_within(buffer, 0, done, more)?;
        done += more;
    }
    Ok(())
}

/// Weights of a linear map.
pub(crate) fn matrix<D: Device>(device: &D, n_out: usize, n_in: usize) -> DeviceResult<D::Matrix> {
    let mut matrix = device.matrix_zeros(n_out, n_in)?;
    device.matrix_write(&mut matrix, &numbers(1, n_out * n_in, deviation(n_in)))?;
    Ok(matrix)
}

/// What keeps products as large as what goes into them.
fn deviation(n_in: usize) -> f32 {
    1.0 / (n_in as f32).sqrt()
}

/// A model of random weights.
pub(crate) fn model<D: Gpu>(
    device: &Arc<D>,
    config: &ModelConfig,
) -> Result<Model<D>, TransformerError> {
    let specs = config.tensors();
    let probe = device.clone();
    let free_memory: azr_transformer::MemoryProbe = Some(Arc::new(move || probe.free_bytes()));
    Model::load(device.clone(), config.clone(), free_memory, |name| {
        let index = specs.iter().position(|spec| spec.name == name).unwrap_or_default();
        let spec = &specs[index];
        let len = spec.n_elements().unwrap_or_default();
        Ok(match spec.shape[..] {
            [_, n_in] => numbers(index as u64, len, deviation(n_in)),
            _ if name.ends_with(".bias") => numbers(index as u64, len, 0.02),
            _ => vec![1.0; len],
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_deviation_on_any_number_of_threads() {
        let values = numbers(3, 3 * MIN_PER_THREAD + 5, 0.5);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
        let square =
            values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01 && (square.sqrt() - 0.5).abs() < 0.01, "{mean}, {square}");
        assert_eq!(values[..100], numbers(3, 100, 0.5));
        assert_ne!(values[..100], numbers(4, 100, 0.5));
    }
}
