//! How much memory a call needs, and refusing it in words before the system ends the process.

use azr_plugin::OptimizerKind;
use azr_weights::{AdapterConfig, AdapterSpec, ModelConfig, Projection, TensorSpec};

use crate::device::{ActivationPrecision, CopyFormat, Device, Moment, StatePrecision};
use crate::error::{Result, TransformerError};
use crate::forward::Keep;
use crate::model::{MemoryProbe, Model};
use crate::optimizer::has_moment;
use crate::optimizer::packing::BLOCK;
use crate::parameters::n_values;

/// What memory is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryUse {
    /// The model's weights.
    Weights,
    /// Adapters, and the matrices they are added to.
    Adapters,
    /// Copies of the weights, for generation.
    RolloutWeights,
    /// Key-value cache and activations of a wave.
    Generation,
    /// Activations of scoring.
    Scoring,
    /// Activations of training, and gradients and optimizer state if they are not there yet.
    Training,
}

impl MemoryUse {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "loading the model",
            Self::Adapters => "making adapters",
            Self::RolloutWeights => "copying the weights for generation",
            Self::Generation => "generating",
            Self::Scoring => "scoring",
            Self::Training => "training",
        }
    }

    /// The way out.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Weights => "use a smaller model",
            Self::Adapters => "give the backend option `lora` fewer targets",
            Self::RolloutWeights => "set the backend option `rollout_weights = \"f32\"`",
            Self::Generation => "lower the backend options `kv_cache_mib` and `max_live_rows`",
            Self::Scoring => {
                "lower the backend option `micro_batch_rows` or `selfplay.max_prompt_tokens`"
            }
            Self::Training => {
                "set the backend option `gradient_checkpointing = true`, lower `micro_batch_rows` (and `selfplay.max_prompt_tokens`: a sequence is computed whole), set `optimizer_state = \"int8\"` or train adapters with `lora` (`azr plan` shows what each saves)"
            }
        }
    }
}

/// Values per row of [`crate::forward::Activations`].
pub(crate) fn activation_values(config: &ModelConfig, keep: Keep) -> usize {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
    let (n_residual, n_layers) = keep.counts(config);
    let layer = 2 + 2 * q + 2 * kv + config.n_heads + hidden + 2 * inner;
    n_residual * hidden + n_layers * layer + hidden + inner + 1
}

/// Values per row of [`crate::backward::BackwardBuffers`].
pub(crate) fn backward_values(config: &ModelConfig, rank: usize) -> usize {
    let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
    2 * config.hidden_size + 2 * q + 2 * kv + 3 * config.intermediate_size + rank
}

impl<D: Device> Model<D> {
    /// Bytes of `n_rows` rows of activations.
    pub(crate) fn activation_bytes(&self, n_rows: usize, n_values: usize) -> u64 {
        activation_bytes(n_rows, n_values, self.device.activation_precision())
    }

    /// Fails if less than `needed` bytes are known to be free.
    pub(crate) fn check_memory(&self, purpose: MemoryUse, needed: u64) -> Result<()> {
        check_free(&self.free_memory, purpose, needed)
    }
}

/// Bytes of `n_rows` rows of `n_values` activations. The few float32 values of a row are counted as activations.
pub(crate) fn activation_bytes(
    n_rows: usize,
    n_values: usize,
    precision: ActivationPrecision,
) -> u64 {
    (n_rows as u64).saturating_mul(n_values as u64).saturating_mul(precision.bytes() as u64)
}

/// Bytes of one copy of a model's parameters.
pub(crate) fn parameter_bytes(config: &ModelConfig) -> u64 {
    tensor_bytes(&config.tensors())
}

/// Bytes of the copies of a model's matrices that generation multiplies with.
pub(crate) fn copy_bytes(config: &ModelConfig, format: CopyFormat) -> u64 {
    let copy = |[n_out, n_in]: [usize; 2]| {
        let output_bytes = match format {
            CopyFormat::Bf16 => (n_in as u64).saturating_mul(2),
            // A byte a weight and the scale.
            CopyFormat::Int8 => n_in as u64 + 4,
        };
        (n_out as u64).saturating_mul(output_bytes)
    };
    let layer: u64 = Projection::ALL.map(|projection| copy(projection.shape(config))).iter().sum();
    layer.saturating_mul(config.n_layers as u64) + copy([config.vocab_size, config.hidden_size])
}

/// Bytes of float32 tensors.
pub(crate) fn tensor_bytes(specs: &[TensorSpec]) -> u64 {
    specs.iter().map(|spec| (n_values(spec) as u64).saturating_mul(size_of::<f32>() as u64)).sum()
}

/// Bytes of adapters, as they are and scaled.
pub(crate) fn adapter_bytes(config: &ModelConfig, adapter: &AdapterConfig) -> u64 {
    let one = |spec: AdapterSpec| 2 * tensor_bytes(&[spec.a, spec.b]);
    adapter.adapters(config).into_iter().map(one).sum()
}

/// Bytes of the frozen matrices that adapters are added to, `bytes` a value. They are in the memory of the host.
pub(crate) fn frozen_bytes(config: &ModelConfig, adapter: &AdapterConfig, bytes: u64) -> u64 {
    let one = |spec: AdapterSpec| {
        let [n_out, n_in] = spec.projection.shape(config);
        bytes * n_out as u64 * n_in as u64
    };
    adapter.adapters(config).into_iter().map(one).sum()
}

/// Bytes of the optimizer's running means of tensors like `specs`.
pub(crate) fn optimizer_bytes(
    specs: &[TensorSpec],
    kind: OptimizerKind,
    precision: StatePrecision,
) -> u64 {
    let bytes = |n: u64| match precision {
        StatePrecision::F32 => n.saturating_mul(4),
        StatePrecision::Bf16 => n.saturating_mul(2),
        StatePrecision::Int8 => n.saturating_add(n.div_ceil(BLOCK as u64).saturating_mul(4)),
    };
    let means = |spec| Moment::ALL.into_iter().filter(move |&m| has_moment(kind, spec, m)).count();
    specs.iter().map(|spec| bytes(n_values(spec) as u64).saturating_mul(means(spec) as u64)).sum()
}

/// Fails if `probe` knows that less than `needed` bytes are free.
pub(crate) fn check_free(probe: &MemoryProbe, purpose: MemoryUse, needed: u64) -> Result<()> {
    match probe.as_ref().and_then(|probe| probe()) {
        Some(free) if free < needed => Err(TransformerError::NotEnoughMemory {
            purpose,
            needed_mib: needed.div_ceil(1 << 20),
            free_mib: free >> 20,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use azr_weights::Family;

    use super::*;
    use crate::backward::BackwardBuffers;
    use crate::device::DeviceError;
    use crate::forward::Activations;
    use crate::reference::Reference;
    use crate::tests::{tiny_config, tiny_model};

    #[test]
    fn estimates_are_what_is_allocated() {
        let model = tiny_model(Family::Qwen2, true);
        for (keep, n_layers) in [(Keep::All, 2), (Keep::Inputs, 1), (Keep::Nothing, 1)] {
            let a = Activations::new(&model, 3, keep).unwrap();
            assert_eq!(a.layers.len(), n_layers);
            let layers = a.layers.iter().flat_map(|l| {
                [&l.q, &l.k, &l.v, &l.attention, &l.lse, &l.middle, &l.mlp_inv_rms, &l.gate, &l.up]
            });
            let n: usize = layers
                .chain(&a.residual)
                .chain(&a.attention_inv_rms)
                .chain([&a.norm, &a.product, &a.inv_rms])
                .map(|buffer| buffer.0.len())
                .sum();
            assert_eq!(n, 3 * activation_values(model.config(), keep));
        }
        let buffers = BackwardBuffers::new(&model, 3).unwrap();
        assert_eq!(buffers.n_values(&Reference), 3 * backward_values(model.config(), 0));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_option_that_helps() {
        let config = tiny_config(Family::Llama, true);
        let load = Model::load(
            Arc::new(Reference),
            config,
            Some(Arc::new(|| Some(1000))),
            |_| -> Result<Vec<f32>> { panic!("nothing is read before the check") },
        );
        let error = azr_plugin::PluginError::from(load.unwrap_err());
        assert!(error.message.starts_with("loading the model needs 1 MiB"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("use a smaller model"));
    }

    #[test]
    fn a_device_that_runs_out_of_memory_says_what_for_and_which_option_helps() {
        let error = DeviceError::OutOfMemory { requested_bytes: 3 << 20, purpose: "a matrix" };
        for (purpose, expected, hint) in [
            (MemoryUse::Training, "training: out of memory, 3 MiB for a matrix", "optimizer_state"),
            (
                MemoryUse::Generation,
                "generating: out of memory, 3 MiB for a matrix",
                "kv_cache_mib",
            ),
        ] {
            let error =
                azr_plugin::PluginError::from(TransformerError::from(error.clone()).of(purpose));
            assert_eq!(error.code, azr_plugin::ErrorCode::Unavailable);
            assert!(error.message.starts_with(expected), "{error}");
            assert!(error.hint.is_some_and(|text| text.contains(hint)));
        }
    }

    #[test]
    fn optimizer_state_that_does_not_fit_is_refused_before_it_is_read() {
        let mut model = tiny_model(Family::Llama, true);
        model.free_memory = Some(Arc::new(|| Some(1000)));
        let error = model
            .load_optimizer(OptimizerKind::Adamw, 1, |_| -> Result<Vec<f32>> {
                panic!("nothing is read before the check")
            })
            .unwrap_err();
        let error = azr_plugin::PluginError::from(error);
        assert!(error.message.starts_with("training needs 1 MiB"), "{error}");
        assert_eq!(model.n_steps(), 0);
    }
}
