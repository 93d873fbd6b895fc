//! The model backend on the CPU: opens GGUF files and Hugging Face directories as policies that generate, score
//! and learn.
//!
//! The model is `azr-transformer`'s, its arithmetic `azr-cpu`'s; here are the options and how they fit together.

mod memory;
mod options;

use std::sync::Arc;

use azr_cpu::Cpu;
use azr_plugin::serde_json::{self, json};
use azr_plugin::{Backend, Engine, ErrorCode, ModelSpec, PluginError, Policy, Result, Services};
use azr_transformer::{DevicePolicy, MemoryProbe, PolicyLimits, TrainingOptions};

pub use crate::memory::free_bytes;

pub use azr_transformer::{
    ActivationPrecision, Lora, MemoryPlan, OptimizerState, PolicyOptions, RolloutWeights, Workload,
};
pub use options::Options;

azr_plugin::export! {
    entry: azr_backend_cpu,
    backends: [CpuBackend],
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
        json!({
            "train": true,
            "families": ["llama", "qwen2"],
            "formats": ["gguf", "hf"],
            "rollout_weights": ["f32", "bf16", "int8"],
        })
    }

    fn create(options: Options, _services: Services) -> Result<Self> {
        options.check()?;
        let device = Cpu::new(options.threads)
            .map_err(|error| PluginError::new(ErrorCode::Unavailable, error.to_string()))?;
        let (limits, training) = (options.limits(), options.training()?);
        Ok(Self { device: Arc::new(device), limits, training })
    }
}

impl Backend for CpuBackend {
    fn open(&self, model: &ModelSpec) -> Result<Box<dyn Policy>> {
        let (device, mut training) = (self.device.clone(), self.training.clone());
        training.lora = training.lora.filter(|_| model.learns);
        if let Some(lora) = &mut training.lora {
            lora.adapter.base_model = model.path.display().to_string();
        }
        let probe: MemoryProbe = Some(Arc::new(free_bytes));
        let policy = DevicePolicy::open(device, model, self.limits, training, probe)?;
        Ok(Box::new(policy))
    }
}
