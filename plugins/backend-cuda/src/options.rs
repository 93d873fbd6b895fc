//! The options of the backend `cuda`.

use azr_plugin::{ErrorCode, OptimizerKind, PluginError, Result};
use azr_transformer::{
    ActivationPrecision, GenerateLimits, MemoryPlan, PolicyLimits, PolicyOptions, RolloutWeights,
    Workload,
};
use azr_weights::ModelConfig;
use schemars::JsonSchema;
use schemars::transform::ReplaceUnevaluatedProperties;
use serde::{Deserialize, Serialize};

/// More GPUs than any machine has.
const MAX_DEVICE: usize = 1023;
/// What the driver takes for itself: its context, our kernels and those of cuBLASLt.
const CONTEXT_BYTES: u64 = 512 << 20;
/// Samples decoded at once: each more costs little until its keys and values outweigh the weights.
const LIVE_ROWS: usize = 256;
/// Rows of a prefill: enough for products to run at full speed.
const PREFILL_ROWS: usize = 4096;
/// Rows of a micro-batch of an update: enough that reading weights and adding to gradients no longer counts.
const MICRO_BATCH_ROWS: usize = 16_384;
/// Most memory for keys and values unless it is more than this part of the GPU's.
const CACHE_BYTES: u64 = 16 << 30;
const CACHE_PART: u64 = 4;

/// Options of [`crate::CudaBackend`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars", transform = ReplaceUnevaluatedProperties::default())]
pub struct Options {
    /// Which GPU, by the driver's numbers; 0 by default, the fastest one unless `CUDA_DEVICE_ORDER` says otherwise.
    #[schemars(range(max = 1023))]
    pub device: usize,
    /// In how many bits activations are kept and multiplied: `bf16` or `f32`, which takes twice the memory and several times
    /// as long. Weights, gradients and sums are float32 with either.
    pub activations: Activations,
    /// What every backend has.
    #[serde(flatten)]
    pub policy: PolicyOptions,
}

/// In how many bits activations are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "schemars")]
pub enum Activations {
    /// bfloat16.
    #[default]
    Bf16,
    /// Float32.
    F32,
}

impl Activations {
    /// The device's word for it.
    pub const fn precision(self) -> ActivationPrecision {
        match self {
            Self::Bf16 => ActivationPrecision::Bf16,
            Self::F32 => ActivationPrecision::F32,
        }
    }
}

impl Options {
    /// How much is computed at once where no option says so, on a GPU with `memory` bytes, if that is known. It depends on
    /// what the GPU has, not on what is free: how many rows are computed together changes how they are rounded.
    pub fn default_limits(memory: Option<u64>) -> PolicyLimits {
        let cache = memory.map_or(CACHE_BYTES, |bytes| CACHE_BYTES.min(bytes / CACHE_PART));
        PolicyLimits {
            generate: GenerateLimits {
                max_live_rows: LIVE_ROWS,
                kv_cache_bytes: cache,
                prefill_rows: PREFILL_ROWS,
            },
            micro_batch_rows: MICRO_BATCH_ROWS,
        }
    }

    /// What a run of a model of this configuration needs on a GPU with `memory` bytes, beside [`Options::working_bytes`].
    ///
    /// # Errors
    /// Options that make no backend, or adapters that do not fit the model.
    pub fn plan(
        &self,
        model: &ModelConfig,
        workload: &Workload,
        memory: Option<u64>,
    ) -> Result<MemoryPlan> {
        self.check()?;
        self.policy.plan(model, Self::default_limits(memory), workload)
    }

    /// Bytes of the GPU's working memory for what `plan` plans: the driver's own, logits, workspace of products, and the
    /// largest matrix as float32 where one is converted.
    pub fn working_bytes(
        &self,
        model: &ModelConfig,
        plan: &MemoryPlan,
        kind: OptimizerKind,
    ) -> u64 {
        let n_rows = plan.n_training_rows.max(plan.n_generation_rows);
        let precision = self.activations.precision();
        let largest = largest_matrix_bytes(model);
        // Halves are joined to be quantised and where Muon steps.
        let copies = self.policy.rollout_weights;
        let is_bf16 = precision == ActivationPrecision::Bf16;
        let joins = is_bf16 && (kind == OptimizerKind::Muon || copies == RolloutWeights::Int8);
        // Copies in bfloat16 are widened to be multiplied with float32.
        let widens = !is_bf16 && copies == RolloutWeights::Bf16;
        CONTEXT_BYTES
            .saturating_add(azr_cuda::working_bytes(precision, n_rows, model.vocab_size))
            .saturating_add(if joins || widens { largest } else { 0 })
    }

    /// Fails on numbers outside of their range.
    pub(crate) fn check(&self) -> Result<()> {
        if self.device > MAX_DEVICE {
            let message = format!("device is {}", self.device);
            return Err(PluginError::new(ErrorCode::InvalidConfig, message)
                .with_hint("give the number of a GPU, 0 for the first"));
        }
        self.policy.check()
    }
}

/// Bytes of a model's largest matrix as float32. One tensor at a time is in the host's memory like that when a model is
/// opened or saved.
pub fn largest_matrix_bytes(model: &ModelConfig) -> u64 {
    let widest = model.intermediate_size.max(model.n_heads * model.head_dim);
    let n_values = (model.vocab_size.max(widest) as u64).saturating_mul(model.hidden_size as u64);
    n_values.saturating_mul(size_of::<f32>() as u64)
}

#[cfg(test)]
mod tests {
    use azr_plugin::serde_json::{self, Value};
    use azr_weights::Family;

    use super::*;

    fn parse(text: &str) -> serde_json::Result<Options> {
        serde_json::from_str(text)
    }

    #[test]
    fn options_are_optional_and_checked() {
        let none = parse("{}").unwrap();
        assert_eq!(none.activations.precision(), ActivationPrecision::Bf16);
        let some =
            parse(r#"{"device": 2, "activations": "f32", "kv_cache_mib": 5, "lora": {"rank": 3}}"#)
                .unwrap();
        assert_eq!((some.device, some.activations), (2, Activations::F32));
        assert_eq!(some.policy.training().unwrap().lora.unwrap().adapter.rank, 3);
        let limits = some.policy.limits(Options::default_limits(None));
        assert_eq!(limits.generate.kv_cache_bytes, 5 << 20);
        assert!(some.check().is_ok());
        for unknown in [r#"{"threads": 1}"#, r#"{"activations": "f16"}"#, r#"{"device": -1}"#] {
            assert!(parse(unknown).is_err(), "{unknown}");
        }
        for (bad, expected) in [
            (r#"{"device": 1024}"#, "device is 1024"),
            (r#"{"max_live_rows": 0}"#, "max_live_rows is 0"),
        ] {
            let error = parse(bad).unwrap().check().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.contains(expected), "{error}");
        }
    }

    /// The host reads the options there are from the top of the schema.
    #[test]
    fn the_schema_lists_every_option_and_allows_no_other() {
        let schema = schemars::schema_for!(Options).to_value();
        assert_eq!(schema["additionalProperties"], false, "{schema:#}");
        assert_eq!(schema.get("unevaluatedProperties"), None);
        let Value::Object(options) = serde_json::to_value(Options::default()).unwrap() else {
            unreachable!("options are an object")
        };
        for name in options.keys() {
            let described = &schema["properties"][name]["description"];
            assert!(described.as_str().is_some_and(|text| !text.is_empty()), "{name}: {schema:#}");
        }
    }

    #[test]
    fn a_small_gpu_keeps_most_of_its_memory_for_the_model() {
        let cache = |gib: u64| Options::default_limits(Some(gib << 30)).generate.kv_cache_bytes;
        assert_eq!([cache(8), cache(24), cache(139)], [2 << 30, 6 << 30, 16 << 30]);
        assert_eq!(Options::default_limits(None), Options::default_limits(Some(139 << 30)));
    }

    #[test]
    fn working_memory_has_room_for_matrices_that_are_converted() {
        let model = ModelConfig {
            family: Family::Qwen2,
            hidden_size: 64,
            intermediate_size: 160,
            n_layers: 1,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 16,
            vocab_size: 1000,
            context_length: 128,
            rope_theta: 1e4,
            rms_norm_eps: 1e-6,
            tie_word_embeddings: true,
            qkv_bias: true,
        };
        let workload = Workload {
            prompt_tokens: 10,
            response_tokens: 10,
            n_samples: 2,
            n_sequences: 2,
            optimizer: OptimizerKind::Adamw,
            has_reference: false,
            activations: ActivationPrecision::Bf16,
            is_bf16: false,
        };
        let working = |text: &str, kind| {
            let options = parse(text).unwrap();
            let plan = options.plan(&model, &workload, None).unwrap();
            options.working_bytes(&model, &plan, kind)
        };
        let plain = working("{}", OptimizerKind::Adamw);
        let largest = largest_matrix_bytes(&model);
        assert_eq!(largest, 4 * 64 * 1000);
        assert_eq!(working("{}", OptimizerKind::Muon), plain + largest);
        assert_eq!(
            working(r#"{"rollout_weights": "int8"}"#, OptimizerKind::Adamw),
            plain + largest
        );
        assert_eq!(working(r#"{"rollout_weights": "bf16"}"#, OptimizerKind::Adamw), plain);
    }
}
