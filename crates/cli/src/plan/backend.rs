//! The backends whose memory can be planned.

use anyhow::{Context, Result};
use azr_backend_cpu::{
    ActivationPrecision, Lora, MemoryPlan, OptimizerState, PolicyOptions, RolloutWeights, Workload,
};
use azr_plugin::OptimizerKind;
use azr_run::EngineChoice;
use azr_weights::ModelConfig;
use serde::de::DeserializeOwned;

use super::Free;

/// A change of the settings.
pub(super) type Change = fn(&mut Backend, &mut Workload);

const PROMPTS: (&str, Change) = ("selfplay.max_prompt_tokens=1024", |_, workload| {
    workload.prompt_tokens = workload.prompt_tokens.min(1024);
});
const CHECKPOINTING: (&str, Change) =
    ("backend.options.gradient_checkpointing=true", |backend, _| {
        backend.policy_mut().gradient_checkpointing = true;
    });
const STATE: (&str, Change) = ("backend.options.optimizer_state=int8", |backend, _| {
    backend.policy_mut().optimizer_state = OptimizerState::Int8;
});
const ROLLOUTS: (&str, Change) = ("backend.options.rollout_weights=f32", |backend, _| {
    backend.policy_mut().rollout_weights = RolloutWeights::F32;
});
const LORA: (&str, Change) = ("backend.options.lora={}", |backend, _| {
    backend.policy_mut().lora.get_or_insert_with(Lora::default);
});

/// What could be changed, as arguments of `--set`.
const CPU_CHANGES: [(&str, Change); 7] = [
    PROMPTS,
    CHECKPOINTING,
    ("backend.options.micro_batch_rows=512", |backend, _| {
        backend.policy_mut().micro_batch_rows = Some(512);
    }),
    ("backend.options.kv_cache_mib=256", |backend, _| {
        backend.policy_mut().kv_cache_mib = Some(256);
    }),
    STATE,
    ROLLOUTS,
    LORA,
];
const CUDA_CHANGES: [(&str, Change); 8] = [
    ("backend.options.activations=bf16", |backend, workload| {
        if let Backend::Cuda { options, .. } = backend {
            options.activations = azr_backend_cuda::Activations::Bf16;
        }
        workload.activations = backend.activations();
    }),
    PROMPTS,
    CHECKPOINTING,
    ("backend.options.micro_batch_rows=2048", |backend, _| {
        backend.policy_mut().micro_batch_rows = Some(2048);
    }),
    ("backend.options.kv_cache_mib=2048", |backend, _| {
        backend.policy_mut().kv_cache_mib = Some(2048);
    }),
    STATE,
    ROLLOUTS,
    LORA,
];

/// A backend with its options.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    Cpu(azr_backend_cpu::Options),
    Cuda { options: azr_backend_cuda::Options, gpu: Gpu },
}

/// The memory of a GPU.
#[derive(Debug, Clone)]
pub(super) struct Gpu {
    /// All of it, if that is known.
    total: Option<u64>,
    /// What is free, if that is known.
    free: Option<u64>,
    note: String,
}

impl Gpu {
    /// One with that much memory, or else the one in this machine.
    fn find(ordinal: usize, gib: Option<u64>) -> Self {
        if let Some(gib) = gib {
            let bytes = Some(gib << 30);
            return Self { total: bytes, free: bytes, note: "--gpu-memory-gib".to_owned() };
        }
        match azr_backend_cuda::about(ordinal) {
            Ok(gpu) => Self {
                total: Some(gpu.total_bytes),
                free: Some(gpu.free_bytes),
                note: "free on the GPU".to_owned(),
            },
            Err(error) => {
                let note = format!("{error}; --gpu-memory-gib says how much there would be");
                Self { total: None, free: None, note }
            }
        }
    }
}

impl Backend {
    /// The backend that a run chose; its GPU with `gib` GiB, or as it is in this machine.
    pub(super) fn new(choice: &EngineChoice, gib: Option<u64>) -> Result<Self> {
        match &*choice.name {
            "cpu" => {
                anyhow::ensure!(gib.is_none(), "--gpu-memory-gib is for the backend `cuda`");
                Ok(Self::Cpu(options(choice)?))
            }
            "cuda" => {
                let options: azr_backend_cuda::Options = options(choice)?;
                let gpu = Gpu::find(options.device, gib);
                Ok(Self::Cuda { options, gpu })
            }
            other => anyhow::bail!(
                "only the backends `cpu` and `cuda` tell what they need, this run has `{other}`"
            ),
        }
    }

    pub(super) const fn is_gpu(&self) -> bool {
        matches!(self, Self::Cuda { .. })
    }

    pub(super) fn changes(&self) -> &'static [(&'static str, Change)] {
        match self {
            Self::Cpu(_) => &CPU_CHANGES,
            Self::Cuda { .. } => &CUDA_CHANGES,
        }
    }

    fn policy_mut(&mut self) -> &mut PolicyOptions {
        match self {
            Self::Cpu(options) => &mut options.policy,
            Self::Cuda { options, .. } => &mut options.policy,
        }
    }

    pub(super) fn activations(&self) -> ActivationPrecision {
        match self {
            Self::Cpu(_) => ActivationPrecision::F32,
            Self::Cuda { options, .. } => options.activations.precision(),
        }
    }

    pub(super) fn plan(&self, model: &ModelConfig, workload: &Workload) -> Result<MemoryPlan> {
        Ok(match self {
            Self::Cpu(options) => options.plan(model, workload)?,
            Self::Cuda { options, gpu } => options.plan(model, workload, gpu.total)?,
        })
    }

    pub(super) fn working_bytes(
        &self,
        model: &ModelConfig,
        plan: &MemoryPlan,
        optimizer: OptimizerKind,
    ) -> u64 {
        match self {
            Self::Cpu(options) => options.working_bytes(model, plan),
            Self::Cuda { options, .. } => options.working_bytes(model, plan, optimizer),
        }
    }

    pub(super) const fn working_note(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "logits and packed operands",
            Self::Cuda { .. } => "the driver's own, logits, products",
        }
    }

    /// What there is of the memory that the model is in.
    pub(super) fn free(&self) -> Free {
        match self {
            Self::Cpu(_) => free_here(),
            Self::Cuda { gpu, .. } => Free { bytes: gpu.free, note: gpu.note.clone() },
        }
    }
}

/// What there is of this machine's memory.
pub(super) fn free_here() -> Free {
    Free { bytes: azr_backend_cpu::free_bytes(), note: "free on this machine".to_owned() }
}

fn options<T: DeserializeOwned>(choice: &EngineChoice) -> Result<T> {
    serde_json::to_value(&choice.options)
        .and_then(serde_json::from_value)
        .with_context(|| format!("options of the backend `{}`", choice.name))
}
