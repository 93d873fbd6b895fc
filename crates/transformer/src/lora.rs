//! LoRA (arXiv 2106.09685): low-rank adapters that are trained in place of the matrices they belong to.
//!
//! The model computes with `W + alpha / rank * B A`, materialised: generation, scoring and training use the very
//! same matrix, at the speed of a model without adapters. It is made anew from the frozen `W` after every step, so
//! that nothing drifts and unmerging is exact. `W` is kept in host memory in half precision where that loses
//! nothing, which holds for models that were published so.

use std::collections::BTreeMap;

use azr_weights::{AdapterConfig, BaseDigest, ModelConfig, Projection, TensorSpec};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::device::{Device, DeviceResult, Tensor, TensorMut};
use crate::error::{Result, TransformerError};
use crate::optimizer::packing::unpack_bf16;
use crate::parameters::{Parameters, n_values};

/// Which adapters a model trains.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraOptions {
    /// Rank, scale and adapted matrices.
    pub adapter: AdapterConfig,
    /// Seed of the first values of `A`.
    pub seed: u64,
}

/// `A` (`[rank, n_in]`) and `B` (`[n_out, rank]`) of one matrix, or their gradients.
pub(crate) struct Pair<D: Device> {
    pub(crate) a: D::Matrix,
    pub(crate) b: D::Matrix,
}

/// One adapter.
pub(crate) struct Adapter<D: Device> {
    pub(crate) pair: Pair<D>,
    /// Both times `alpha / rank`, for the backward pass.
    pub(crate) scaled: Pair<D>,
    base: Frozen,
}

/// The adapters of a model.
pub(crate) struct Lora<D: Device> {
    scale: f32,
    rank: usize,
    /// Names and shapes of `A` and `B` of every adapter, in the order of [`Lora::tensors`].
    pub(crate) specs: Vec<TensorSpec>,
    pub(crate) layers: Vec<BTreeMap<Projection, Adapter<D>>>,
    /// [`BaseDigest`] of the frozen matrices.
    pub(crate) base_digest: String,
}

impl<D: Device> Pair<D> {
    pub(crate) fn zeros(
        device: &D,
        config: &ModelConfig,
        rank: usize,
        projection: Projection,
    ) -> DeviceResult<Self> {
        let [n_out, n_in] = projection.shape(config);
        Ok(Self { a: device.matrix_zeros(rank, n_in)?, b: device.matrix_zeros(n_out, rank)? })
    }

    pub(crate) fn tensors(&self) -> [Tensor<'_, D>; 2] {
        [Tensor::Matrix(&self.a), Tensor::Matrix(&self.b)]
    }

    pub(crate) fn tensors_mut(&mut self) -> [TensorMut<'_, D>; 2] {
        [TensorMut::Matrix(&mut self.a), TensorMut::Matrix(&mut self.b)]
    }
}

impl<D: Device> Lora<D> {
    /// Fresh adapters for a model with these weights: `A` uniform in `±1 / sqrt(n_in)` (Kaiming with `a = sqrt(5)`, as
    /// PEFT has it), a function of the seed and the adapter's place alone; `B` is 0, so that nothing changes yet.
    pub(crate) fn new(
        device: &D,
        config: &ModelConfig,
        options: &LoraOptions,
        weights: &Parameters<D>,
    ) -> Result<Self> {
        let adapter = &options.adapter;
        adapter.check(config).map_err(TransformerError::invalid)?;
        let mut digest = BaseDigest::default();
        let mut lora = Self {
            scale: adapter.scale(),
            rank: adapter.rank,
            specs: Vec::new(),
            layers: (0..config.n_layers).map(|_| BTreeMap::new()).collect(),
            base_digest: String::new(),
        };
        for (index, spec) in adapter.adapters(config).into_iter().enumerate() {
            let pair = || Pair::zeros(device, config, adapter.rank, spec.projection);
            let mut values = pair()?;
            let uniform = uniform_values(&spec.a, index, options.seed);
            TensorMut::<D>::Matrix(&mut values.a).write(device, &spec.a, &uniform)?;
            let weight = &weights.layers[spec.layer].linear(spec.projection).weight;
            let base = Tensor::<D>::Matrix(weight).read(device)?;
            digest.add(&base);
            let entry = Adapter { pair: values, scaled: pair()?, base: Frozen::new(base) };
            lora.layers[spec.layer].insert(spec.projection, entry);
            lora.specs.extend([spec.a, spec.b]);
        }
        lora.base_digest = digest.finish();
        Ok(lora)
    }

    /// `A` and `B` of every adapter.
    pub(crate) fn tensors(&self) -> Vec<Tensor<'_, D>> {
        self.layers.iter().flat_map(BTreeMap::values).flat_map(|one| one.pair.tensors()).collect()
    }

    /// `A` and `B` of every adapter.
    pub(crate) fn tensors_mut(&mut self) -> Vec<TensorMut<'_, D>> {
        let adapters = self.layers.iter_mut().flat_map(BTreeMap::values_mut);
        adapters.flat_map(|one| one.pair.tensors_mut()).collect()
    }

    /// Gradients of zeros for every adapter.
    pub(crate) fn gradients(
        &self,
        device: &D,
        config: &ModelConfig,
    ) -> DeviceResult<Vec<BTreeMap<Projection, Pair<D>>>> {
        let pair =
            |&projection| Ok((projection, Pair::zeros(device, config, self.rank, projection)?));
        self.layers.iter().map(|layer| layer.keys().map(pair).collect()).collect()
    }

    /// Makes the adapted matrices of `weights` what the adapters say.
    pub(crate) fn apply(&mut self, device: &D, weights: &mut Parameters<D>) -> DeviceResult<()> {
        for (layer, weights) in self.layers.iter_mut().zip(&mut weights.layers) {
            for (&projection, adapter) in layer {
                adapter.apply(device, self.scale, &mut weights.linear_mut(projection).weight)?;
            }
        }
        Ok(())
    }
}

impl<D: Device> Adapter<D> {
    fn apply(&mut self, device: &D, scale: f32, weight: &mut D::Matrix) -> DeviceResult<()> {
        let (rank, n_in) = device.matrix_shape(&self.pair.a);
        let (n_out, _) = device.matrix_shape(&self.pair.b);
        let scaled = |matrix: &D::Matrix| -> DeviceResult<Vec<f32>> {
            let values = Tensor::<D>::Matrix(matrix).read(device)?;
            Ok(values.into_iter().map(|value| scale * value).collect())
        };
        let (a, b) = (scaled(&self.pair.a)?, scaled(&self.pair.b)?);
        device.matrix_write(&mut self.scaled.a, &a)?;
        device.matrix_write(&mut self.scaled.b, &b)?;
        // The product is that of a weight's gradient: rank rows, `A` as inputs and the columns of `B` as outputs.
        let columns: Vec<f32> =
            (0..rank).flat_map(|r| b.chunks_exact(rank).map(move |row| row[r])).collect();
        let (mut inputs, mut outputs) = (device.zeros(rank * n_in)?, device.zeros(rank * n_out)?);
        Tensor::<D>::Matrix(&self.pair.a)
            .read(device)
            .and_then(|a| device.write(&mut inputs, 0, &a))?;
        device.write(&mut outputs, 0, &columns)?;
        device.matrix_write(weight, &self.base.values())?;
        device.linear_backward_weight(&outputs, &inputs, rank, weight)
    }
}

/// Bytes a value of the frozen matrices: 2 if all of them can be halved.
pub(crate) fn bytes_of_frozen<D: Device>(
    device: &D,
    weights: &Parameters<D>,
    adapter: &AdapterConfig,
) -> DeviceResult<u64> {
    for layer in &weights.layers {
        for &projection in &adapter.targets {
            let weight = Tensor::<D>::Matrix(&layer.linear(projection).weight);
            if !is_bf16(&weight.read(device)?) {
                return Ok(4);
            }
        }
    }
    Ok(2)
}

fn is_bf16(values: &[f32]) -> bool {
    values.iter().all(|value| value.to_bits() & 0xffff == 0)
}

/// The values of a matrix that does not change, row-major.
enum Frozen {
    /// Upper halves of float32 values whose lower halves are 0.
    Bf16(Vec<u16>),
    F32(Vec<f32>),
}

impl Frozen {
    fn new(values: Vec<f32>) -> Self {
        if is_bf16(&values) {
            Self::Bf16(values.iter().map(|value| (value.to_bits() >> 16) as u16).collect())
        } else {
            Self::F32(values)
        }
    }

    fn values(&self) -> std::borrow::Cow<'_, [f32]> {
        match self {
            Self::Bf16(halves) => halves.iter().map(|&half| unpack_bf16(half)).collect(),
            Self::F32(values) => values.into(),
        }
    }
}

/// Uniform values in `±1 / sqrt(n_in)`, a function of `seed` and the adapter's index alone.
fn uniform_values(spec: &TensorSpec, index: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    let bound = 1.0 / (spec.shape[1] as f32).sqrt();
    // 24 bits are what a float32 below 1 can hold.
    let mut unit = move || (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
    (0..n_values(spec)).map(|_| bound * (2.0 * unit() - 1.0)).collect()
}
