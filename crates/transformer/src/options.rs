//! The options that every backend of this transformer has, whatever the device.

use std::collections::BTreeSet;

use azr_plugin::{ErrorCode, PluginError};
use azr_weights::{AdapterConfig, ModelConfig, Projection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::{CopyFormat, StatePrecision};
use crate::generate::GenerateLimits;
use crate::lora::LoraOptions;
use crate::model::TrainingOptions;
use crate::plan::{MemoryPlan, Workload};
use crate::policy::PolicyLimits;

/// Options of a policy. None of them but `rollout_weights` changes what a sample of given weights is, beyond rounding on
/// devices whose products depend on the number of rows.
///
/// A backend puts them among its own with `#[serde(flatten)]`. It needs `deny_unknown_fields`, and
/// `#[schemars(transform = schemars::transform::ReplaceUnevaluatedProperties::default())]`: the host names the options
/// there are from a schema that lists them all and allows no others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "schemars")]
pub struct PolicyOptions {
    /// Most samples that are decoded in one step; 64 by default, 256 on a GPU.
    #[schemars(range(min = 1, max = 65536))]
    pub max_live_rows: Option<usize>,
    /// Most memory for the key-value cache of a wave, in MiB; 2048 by default, on a GPU 16384 or a quarter of its memory,
    /// whichever is less.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub kv_cache_mib: Option<u64>,
    /// Most tokens whose activations are kept at once in an update; 2048 by default, 16384 on a GPU.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub micro_batch_rows: Option<usize>,
    /// Precision of the optimizer's state: `f32` (8 bytes a trained parameter), `bf16` (4) or `int8` (2).
    pub optimizer_state: OptimizerState,
    /// Keep only the inputs of the layers in an update and compute the rest again: the same gradients to the bit for
    /// a fraction of the memory, in about a third more time.
    pub gradient_checkpointing: bool,
    /// With which weights the model generates: `f32`, its own, or copies of them in `bf16` or `int8`, which take two bytes
    /// or one more a parameter and are faster above all where few samples are decoded at a time. Samples are then those of
    /// a slightly different policy, of `bf16` a nearer one than of `int8`; ratios correct for that, because they come with
    /// its log-probabilities. Scoring and updates use the model's own weights.
    pub rollout_weights: RolloutWeights,
    /// Train low-rank adapters and leave the model as it is. Checkpoints then hold the adapters alone, as PEFT writes
    /// them; `azr model merge` makes a model of them.
    pub lora: Option<Lora>,
}

/// LoRA (arXiv 2106.09685): each target matrix `W` becomes `W + alpha / rank * B A`, of which `A` and `B` are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct Lora {
    /// Rows of `A` and columns of `B`; 16 by default.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: usize,
    /// Scale of the adapters times the rank; 32 by default.
    pub alpha: f32,
    /// Adapted matrices of every layer, of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj` and
    /// `down_proj`; all of them by default.
    pub targets: Vec<String>,
    /// Seed of the first values of `A`.
    pub seed: u64,
}

impl Default for Lora {
    fn default() -> Self {
        let targets = Projection::ALL.map(|projection| projection.as_str().to_owned()).to_vec();
        Self { rank: 16, alpha: 32.0, targets, seed: 0 }
    }
}

impl Lora {
    fn options(&self) -> azr_plugin::Result<LoraOptions> {
        let invalid = |message: String| PluginError::new(ErrorCode::InvalidConfig, message);
        let names = || Projection::ALL.map(Projection::as_str).join(", ");
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            let message = format!("lora.alpha is {}", self.alpha);
            return Err(invalid(message).with_hint("give a number above 0, for example 2 * rank"));
        }
        if !(1..=4096).contains(&self.rank) {
            let message = format!("lora.rank is {}", self.rank);
            return Err(invalid(message).with_hint("give a number from 1 to 4096, for example 16"));
        }
        let mut targets = BTreeSet::new();
        for name in &self.targets {
            let target = Projection::ALL.into_iter().find(|target| target.as_str() == name);
            let target = target.ok_or_else(|| {
                invalid(format!("lora.targets names `{name}`, which no model has"))
                    .with_hint(format!("choose from {}", names()))
            })?;
            if !targets.insert(target) {
                return Err(invalid(format!("lora.targets names `{name}` twice")));
            }
        }
        if targets.is_empty() {
            return Err(invalid("lora.targets is empty".to_owned())
                .with_hint(format!("choose from {}", names())));
        }
        let base_model = String::new();
        let adapter = AdapterConfig { rank: self.rank, alpha: self.alpha, targets, base_model };
        Ok(LoraOptions { adapter, seed: self.seed })
    }
}

/// Precision of the optimizer's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "schemars")]
pub enum OptimizerState {
    /// Four bytes per running mean.
    #[default]
    F32,
    /// Two bytes, rounded stochastically.
    Bf16,
    /// One byte, with a scale for each block of 256, rounded stochastically.
    Int8,
}

/// With which weights the model generates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "schemars")]
pub enum RolloutWeights {
    /// The model's own.
    #[default]
    F32,
    /// Copies rounded to bfloat16, multiplied in float32.
    Bf16,
    /// Int8 copies with a scale for each output, multiplied with int16 activations.
    Int8,
}

impl PolicyOptions {
    /// What a run of a model of this configuration needs in memory, beside what the device needs to work. `default` are the
    /// limits where the options name none.
    ///
    /// # Errors
    /// Options that make no backend, or adapters that do not fit the model.
    pub fn plan(
        &self,
        model: &ModelConfig,
        default: PolicyLimits,
        workload: &Workload,
    ) -> azr_plugin::Result<MemoryPlan> {
        self.check()?;
        let training = self.training()?;
        if let Some(lora) = &training.lora {
            lora.adapter
                .check(model)
                .map_err(|reason| PluginError::new(ErrorCode::InvalidConfig, reason))?;
        }
        Ok(MemoryPlan::new(model, &training, &self.limits(default), workload))
    }

    /// How much is computed at once; as much as `default` says where the options say nothing.
    pub fn limits(&self, default: PolicyLimits) -> PolicyLimits {
        PolicyLimits {
            generate: GenerateLimits {
                max_live_rows: self.max_live_rows.unwrap_or(default.generate.max_live_rows),
                kv_cache_bytes: self
                    .kv_cache_mib
                    .map_or(default.generate.kv_cache_bytes, |mib| mib << 20),
                ..default.generate
            },
            micro_batch_rows: self.micro_batch_rows.unwrap_or(default.micro_batch_rows),
        }
    }

    /// How a model learns.
    ///
    /// # Errors
    /// Adapters that cannot be.
    pub fn training(&self) -> azr_plugin::Result<TrainingOptions> {
        Ok(TrainingOptions {
            optimizer_state: match self.optimizer_state {
                OptimizerState::F32 => StatePrecision::F32,
                OptimizerState::Bf16 => StatePrecision::Bf16,
                OptimizerState::Int8 => StatePrecision::Int8,
            },
            gradient_checkpointing: self.gradient_checkpointing,
            lora: self.lora.as_ref().map(Lora::options).transpose()?,
            rollout_weights: match self.rollout_weights {
                RolloutWeights::F32 => None,
                RolloutWeights::Bf16 => Some(CopyFormat::Bf16),
                RolloutWeights::Int8 => Some(CopyFormat::Int8),
            },
        })
    }

    /// Fails on numbers outside of their range.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> azr_plugin::Result<()> {
        check_range("max_live_rows", self.max_live_rows.map(|n| n as u64), 1 << 16)?;
        check_range("kv_cache_mib", self.kv_cache_mib, 1 << 20)?;
        check_range("micro_batch_rows", self.micro_batch_rows.map(|n| n as u64), 1 << 20)
    }
}

/// Fails unless an option, where it is given, is from 1 to `max`.
///
/// # Errors
/// That.
pub fn check_range(name: &str, value: Option<u64>, max: u64) -> azr_plugin::Result<()> {
    match value {
        Some(value) if !(1..=max).contains(&value) => {
            let message = format!("{name} is {value}");
            Err(PluginError::new(ErrorCode::InvalidConfig, message)
                .with_hint(format!("give a number from 1 to {max}")))
        }
        _ => Ok(()),
    }
}
