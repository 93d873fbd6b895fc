//! The model backend on NVIDIA GPUs: opens GGUF files and Hugging Face directories as policies that generate, score and
//! learn.
//!
//! The model is `azr-transformer`'s, its arithmetic `azr-cuda`'s; here are the options and how they fit together.

mod options;

use std::sync::Arc;

use azr_cuda::Cuda;
use azr_plugin::serde_json::{self, json};
use azr_plugin::{Backend, Engine, ErrorCode, ModelSpec, PluginError, Policy, Result, Services};
use azr_transformer::{DevicePolicy, MemoryProbe, PolicyLimits, TrainingOptions};

pub use azr_cuda::{About, OpenError};
pub use options::{Activations, Options, largest_matrix_bytes};

azr_plugin::export! {
    entry: azr_backend_cuda,
    backends: [CudaBackend],
}

/// The backend `cuda`.
#[derive(Debug)]
pub struct CudaBackend {
    device: Arc<Cuda>,
    limits: PolicyLimits,
    training: TrainingOptions,
}

impl Engine for CudaBackend {
    const NAME: &'static str = "cuda";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "runs and trains Llama and Qwen2 models on an NVIDIA GPU, in bfloat16 or float32";

    type Options = Options;

    fn capabilities() -> serde_json::Value {
        json!({
            "train": true,
            "families": ["llama", "qwen2"],
            "formats": ["gguf", "hf"],
            "activations": ["bf16", "f32"],
            "rollout_weights": ["f32", "bf16", "int8"],
        })
    }

    fn create(options: Options, _services: Services) -> Result<Self> {
        options.check()?;
        let training = options.policy.training()?;
        let device =
            Cuda::open(options.device, options.activations.precision()).map_err(refused)?;
        let memory = device.about().map_err(refused)?.total_bytes;
        let limits = options.policy.limits(Options::default_limits(Some(memory)));
        Ok(Self { device: Arc::new(device), limits, training })
    }
}

impl Backend for CudaBackend {
    fn open(&self, model: &ModelSpec) -> Result<Box<dyn Policy>> {
        let (device, mut training) = (self.device.clone(), self.training.clone());
        training.lora = training.lora.filter(|_| model.learns);
        if let Some(lora) = &mut training.lora {
            lora.adapter.base_model = model.path.display().to_string();
        }
        let asked = device.clone();
        let probe: MemoryProbe = Some(Arc::new(move || asked.free_bytes()));
        let policy = DevicePolicy::open(device, model, self.limits, training, probe)?;
        Ok(Box::new(policy))
    }
}

/// What GPU number `ordinal` is, or why it cannot be used.
///
/// # Errors
/// That.
pub fn about(ordinal: usize) -> std::result::Result<About, OpenError> {
    Cuda::open(ordinal, Activations::default().precision())?.about()
}

fn refused(error: OpenError) -> PluginError {
    PluginError::new(ErrorCode::Unavailable, error.to_string()).with_hint(error.hint())
}
