//! The model backend on the CPU: opens GGUF files and Hugging Face directories as policies that generate, score
//! and learn.
//!
//! The model is `azr-transformer`'s, its arithmetic `azr-cpu`'s; here are the options and how they fit together.

mod memory;

use std::sync::Arc;

use azr_cpu::Cpu;
use azr_plugin::serde_json::{self, json};
use azr_plugin::{Backend, Engine, ErrorCode, ModelSpec, PluginError, Policy, Result, Services};
use azr_transformer::{
    DevicePolicy, GenerateLimits, PolicyLimits, StatePrecision, TrainingOptions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::memory::free_bytes;

azr_plugin::export! {
    entry: azr_backend_cpu,
    backends: [CpuBackend],
}

/// Options of [`CpuBackend`]. None of them changes what a sample of given weights is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct Options {
    /// Threads that compute; by default as many as the machine has cores. Never changes a result.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// Most samples that are decoded in one step; 64 by default.
    #[schemars(range(min = 1, max = 65536))]
    pub max_live_rows: Option<usize>,
    /// Most memory for the key-value cache of a wave, in MiB; 2048 by default.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub kv_cache_mib: Option<u64>,
    /// Most tokens whose activations are kept at once in an update; 2048 by default.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub micro_batch_rows: Option<usize>,
    /// Precision of the optimizer's state: `f32` (8 bytes a trained parameter), `bf16` (4) or `int8` (2).
    pub optimizer_state: OptimizerState,
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

impl Options {
    fn limits(&self) -> PolicyLimits {
        let default = PolicyLimits::default();
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

    fn training(&self) -> TrainingOptions {
        TrainingOptions {
            optimizer_state: match self.optimizer_state {
                OptimizerState::F32 => StatePrecision::F32,
                OptimizerState::Bf16 => StatePrecision::Bf16,
                OptimizerState::Int8 => StatePrecision::Int8,
            },
        }
    }

    fn check(&self) -> Result<()> {
        let rules = [
            ("threads", self.threads.map(|n| n as u64), 1024),
            ("max_live_rows", self.max_live_rows.map(|n| n as u64), 1 << 16),
            ("kv_cache_mib", self.kv_cache_mib, 1 << 20),
            ("micro_batch_rows", self.micro_batch_rows.map(|n| n as u64), 1 << 20),
        ];
        for (name, value, max) in rules {
            if let Some(value) = value
                && !(1..=max).contains(&value)
            {
                let message = format!("{name} is {value}");
                return Err(PluginError::new(ErrorCode::InvalidConfig, message)
                    .with_hint(format!("give a number from 1 to {max}")));
            }
        }
        Ok(())
    }
}

/// The backend `cpu`.
#[derive(Debug)]
pub struct CpuBackend {
    device: Arc<Cpu>,
    limits: PolicyLimits,
    training: TrainingOptions,
}

impl Engine for CpuBackend {
    const NAME: &'static str = "cpu";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "runs and trains Llama and Qwen2 models on the processor, in float32";

    type Options = Options;

    fn capabilities() -> serde_json::Value {
        json!({ "train": true, "families": ["llama", "qwen2"], "formats": ["gguf", "hf"] })
    }

    fn create(options: Options, _services: Services) -> Result<Self> {
        options.check()?;
        let device = Cpu::new(options.threads)
            .map_err(|error| PluginError::new(ErrorCode::Unavailable, error.to_string()))?;
        let (limits, training) = (options.limits(), options.training());
        Ok(Self { device: Arc::new(device), limits, training })
    }
}

impl Backend for CpuBackend {
    fn open(&self, model: &ModelSpec) -> Result<Box<dyn Policy>> {
        let (device, training) = (self.device.clone(), self.training.clone());
        let policy = DevicePolicy::open(device, model, self.limits, training, Some(free_bytes))?;
        Ok(Box::new(policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_optional_and_checked() {
        let parse = |text: &str| serde_json::from_str::<Options>(text);
        let none = parse("{}").unwrap();
        assert_eq!(none.limits(), PolicyLimits::default());
        let some = parse(
            r#"{"threads": 1, "max_live_rows": 3, "kv_cache_mib": 5, "micro_batch_rows": 7}"#,
        )
        .unwrap();
        let limits = some.limits();
        assert_eq!((limits.generate.max_live_rows, limits.micro_batch_rows), (3, 7));
        assert_eq!(limits.generate.kv_cache_bytes, 5 << 20);
        assert!(some.check().is_ok());
        assert!(parse(r#"{"thread": 1}"#).is_err());
        for bad in [r#"{"threads": 0}"#, r#"{"kv_cache_mib": 99999999999}"#] {
            let error = CpuBackend::create(parse(bad).unwrap(), Services::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
        }
    }
}
