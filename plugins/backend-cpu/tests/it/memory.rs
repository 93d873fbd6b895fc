//! What an update takes of the machine's memory, measured in a process of its own, against what was planned.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use azr_backend_cpu::{
    ActivationPrecision, CpuBackend, Lora, OptimizerState, Options, PolicyOptions, Workload,
};
use azr_cpu::Cpu;
use azr_plugin::{
    Backend, Engine, ModelSpec, OptimizerKind, Quiet, Services, TrainSequence, UpdateRequest,
    serde_json,
};
use azr_transformer::{Model, TransformerError};
use azr_weights::{Family, ModelConfig, write_hf_directory};

use crate::parity::update_request;

/// Tells a child which model to open, and with which options.
const MODEL: &str = "AZR_TEST_MEMORY_MODEL";
const OPTIONS: &str = "AZR_TEST_MEMORY_OPTIONS";
/// Planned and measured may differ by this part.
const TOLERANCE: f64 = 0.15;

/// 27 million parameters, of which 19 million in the layers.
fn config() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        hidden_size: 512,
        intermediate_size: 1536,
        n_layers: 6,
        n_heads: 8,
        n_kv_heads: 4,
        head_dim: 64,
        vocab_size: 16_384,
        context_length: 512,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        qkv_bias: false,
    }
}

fn workload() -> Workload {
    Workload {
        activations: ActivationPrecision::F32,
        prompt_tokens: 1,
        response_tokens: 128,
        n_samples: 1,
        n_sequences: 4,
        optimizer: OptimizerKind::Adamw,
        has_reference: false,
        is_bf16: false,
    }
}

fn write_model(directory: &Path) {
    let model = Model::random(Arc::new(Cpu::new(None).unwrap()), config(), 3).unwrap();
    let mut tensors = model.parameters().iter().map(|spec| {
        Ok::<_, TransformerError>((spec.name.clone(), spec.shape.clone(), model.read(&spec.name)?))
    });
    write_hf_directory(directory, model.config(), &mut tensors).unwrap();
}

/// Peak of this process's resident memory since it was last reset, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The measured process; does nothing unless a test started it as such.
#[test]
fn one_update_of_a_child() {
    let (Ok(path), Ok(options)) = (std::env::var(MODEL), std::env::var(OPTIONS)) else {
        return;
    };
    let options: Options = serde_json::from_str(&options).unwrap();
    let before = peak_bytes();
    let backend = CpuBackend::create(options, Services::default()).unwrap();
    let spec = ModelSpec { path: path.into(), vocabulary: Vec::new(), eos: vec![5], learns: true };
    let mut policy = backend.open(&spec).unwrap();
    // Loading maps the file, whose pages are the system's to take back.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let sequence = |seed: u32| {
        let response: Vec<u32> = (0..128).map(|i| (seed * 7919 + i * 104_729) % 16_384).collect();
        TrainSequence {
            prompt: vec![seed],
            behaviour_logprobs: vec![-9.0; response.len()],
            advantages: vec![1.0; response.len()],
            weights: vec![0.01; response.len()],
            response,
            ..TrainSequence::default()
        }
    };
    let request = UpdateRequest { sequences: (0..4).map(sequence).collect(), ..update_request() };
    assert!(policy.update(&request, &Quiet).unwrap().applied);
    println!("measured {}", peak_bytes() - before);
}

#[test]
#[ignore = "slow: 5 processes train 27 million parameters"]
fn slow_plans_are_what_updates_take() {
    let directory = tempfile::tempdir().unwrap();
    write_model(directory.path());
    let options = |change: fn(&mut PolicyOptions)| {
        let mut policy = PolicyOptions { micro_batch_rows: Some(512), ..PolicyOptions::default() };
        change(&mut policy);
        Options { threads: Some(1), policy }
    };
    let cases = [
        ("full, float32 state", options(|_| {})),
        ("bf16 state", options(|o| o.optimizer_state = OptimizerState::Bf16)),
        ("int8 state", options(|o| o.optimizer_state = OptimizerState::Int8)),
        ("checkpointing", options(|o| o.gradient_checkpointing = true)),
        ("LoRA", options(|o| o.lora = Some(Lora::default()))),
        (
            "LoRA and checkpointing",
            options(|o| {
                o.lora = Some(Lora::default());
                o.gradient_checkpointing = true;
            }),
        ),
    ];
    let mut failures = Vec::new();
    for (name, options) in cases {
        let plan = options.plan(&config(), &workload()).unwrap();
        let planned = plan.resident()
            + plan.frozen
            + plan.training_activations
            + options.working_bytes(&config(), &plan);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::one_update_of_a_child", "--nocapture"])
            .env(MODEL, directory.path())
            .env(OPTIONS, serde_json::to_string(&options).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        let measured = text.lines().find_map(|line| line.split("measured ").nth(1)).unwrap();
        let measured: u64 = measured.trim().parse().unwrap();
        let ratio = planned as f64 / measured as f64;
        println!(
            "{name}: planned {} MiB, measured {} MiB, {ratio:.3}",
            planned >> 20,
            measured >> 20
        );
        if (ratio - 1.0).abs() > TOLERANCE {
            failures.push(name);
        }
    }
    assert!(failures.is_empty(), "{failures:?} differ by more than 15 %");
}
