//! The backend as the loop sees it: open, learn, save, load.

use std::path::Path;
use std::sync::Arc;

use azr_backend_cpu::{CpuBackend, Lora, OptimizerState, Options, PolicyOptions, RolloutWeights};
use azr_cpu::Cpu;
use azr_plugin::{
    Backend, Completion, Engine, ErrorCode, GenerateRequest, ModelSpec, OptimizerKind, Policy,
    Quiet, Ratio, Sampling, ScoreRequest, Services, TrainSequence, UpdateReport,
};
use azr_transformer::{Model, TransformerError};
use azr_weights::{Family, ModelConfig, write_hf_directory};

use crate::parity::{tiny_config, update_request};

/// Writes a random model and returns how to open it.
fn write_model(directory: &Path, config: &ModelConfig) -> ModelSpec {
    let model = Model::random(Arc::new(Cpu::new(Some(1)).unwrap()), config.clone(), 3).unwrap();
    let mut tensors = model.parameters().iter().map(|spec| {
        Ok::<_, TransformerError>((spec.name.clone(), spec.shape.clone(), model.read(&spec.name)?))
    });
    write_hf_directory(directory, config, &mut tensors).unwrap();
    let vocabulary = (0..200_u32).map(|id| format!("<{id}>").into_bytes()).collect();
    ModelSpec { path: directory.to_path_buf(), vocabulary, eos: vec![5], learns: true }
}

fn backend(options: Options) -> CpuBackend {
    CpuBackend::create(options, Services::default()).unwrap()
}

fn of_policy(policy: PolicyOptions) -> Options {
    Options { policy, ..Options::default() }
}

/// Everything that `save` writes.
fn saved(policy: &dyn Policy) -> Vec<(String, Vec<u8>)> {
    let directory = tempfile::tempdir().unwrap();
    policy.save(directory.path(), true).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_saved_policy_goes_on_to_the_bit() {
    let lora = |names: &[&str]| {
        let targets = names.iter().map(|&name| name.to_owned()).collect();
        Some(Lora { rank: 3, targets, ..Lora::default() })
    };
    let (adamw, muon) = (OptimizerKind::Adamw, OptimizerKind::Muon);
    for (family, kind, optimizer_state, lora) in [
        (Family::Llama, adamw, OptimizerState::F32, None),
        (Family::Qwen2, adamw, OptimizerState::Bf16, None),
        (Family::Llama, adamw, OptimizerState::Int8, None),
        (Family::Qwen2, adamw, OptimizerState::F32, lora(&["q_proj", "down_proj"])),
        (Family::Llama, muon, OptimizerState::Int8, lora(&["v_proj"])),
        (Family::Qwen2, muon, OptimizerState::Bf16, None),
    ] {
        let mut request = update_request();
        request.optimizer.kind = kind;
        request.loss.ratio = if kind == muon { Ratio::Sequence } else { Ratio::Token };
        let options = |threads| {
            let lora = lora.clone();
            let gradient_checkpointing = family == Family::Qwen2;
            let policy = PolicyOptions {
                optimizer_state,
                gradient_checkpointing,
                lora,
                ..PolicyOptions::default()
            };
            Options { threads: Some(threads), policy }
        };
        let directory = tempfile::tempdir().unwrap();
        let spec = write_model(
            &directory.path().join("model"),
            &tiny_config(family, family == Family::Llama),
        );
        let mut policy = backend(options(2)).open(&spec).unwrap();
        let info = policy.info();
        assert_eq!(
            (info.family.as_str(), info.vocab_size, info.context_length),
            (family.as_str(), 203, 300)
        );
        assert!(info.device.starts_with("cpu"));

        policy.update(&request, &Quiet).unwrap();
        let checkpoint = directory.path().join("checkpoint");
        policy.save(&checkpoint, true).unwrap();
        let mut resumed = backend(options(1)).open(&spec).unwrap();
        resumed.load(&checkpoint).unwrap();
        assert!(saved(&*policy) == saved(&*resumed));
        assert_eq!(saved(&*policy).len(), 3);

        for policy in [&mut policy, &mut resumed] {
            assert!(policy.update(&request, &Quiet).unwrap().applied);
        }
        assert!(saved(&*policy) == saved(&*resumed));

        // Without optimizer state the next step is another one, and no older state is left behind.
        policy.load(&checkpoint).unwrap();
        policy.save(&checkpoint, false).unwrap();
        assert!(!checkpoint.join("optimizer.safetensors").exists());
        policy.load(&checkpoint).unwrap();
        policy.update(&request, &Quiet).unwrap();
        assert!(saved(&*policy) != saved(&*resumed));
    }
}

#[test]
fn adapters_become_an_ordinary_model() {
    let directory = tempfile::tempdir().unwrap();
    let [base, adapters, merged] =
        ["base", "adapters", "merged"].map(|name| directory.path().join(name));
    let spec = write_model(&base, &tiny_config(Family::Qwen2, true));
    let options = PolicyOptions { lora: Some(Lora::default()), ..PolicyOptions::default() };
    let mut policy = backend(of_policy(options)).open(&spec).unwrap();
    for _ in 0..3 {
        assert!(policy.update(&update_request(), &Quiet).unwrap().applied);
    }
    policy.save(&adapters, false).unwrap();
    azr_weights::merge_adapters(&base, &adapters, &merged).unwrap();

    let mut ordinary = backend(Options::default()).open(&spec).unwrap();
    let request =
        ScoreRequest { prompt: vec![3, 1, 4], response: vec![1, 5, 9, 2], temperature: 1.0 };
    let scores =
        |policy: &mut dyn Policy| policy.score(std::slice::from_ref(&request), &Quiet).unwrap();
    let before = scores(&mut *ordinary);
    let error = ordinary.load(&adapters).unwrap_err();
    assert!(error.message.contains("holds adapters, not a model"), "{error}");
    ordinary.load(&merged).unwrap();
    let (adapted, merged) = (scores(&mut *policy), scores(&mut *ordinary));
    assert!((before[0][0] - merged[0][0]).abs() > 1e-3, "the adapters did something");
    for (adapted, merged) in adapted[0].iter().zip(&merged[0]) {
        assert!((adapted - merged).abs() < 1e-4, "{adapted} {merged}");
    }

    let lora = Some(Lora { rank: 4, ..Lora::default() });
    let narrow = PolicyOptions { lora, ..PolicyOptions::default() };
    let mut narrow = backend(of_policy(narrow)).open(&spec).unwrap();
    let error = narrow.load(&adapters).unwrap_err();
    assert!(error.message.contains("rank 4, alpha 32"), "{error}");
}

#[test]
fn gradient_checkpointing_changes_no_bit() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(directory.path(), &tiny_config(Family::Qwen2, false));
    let trained = |gradient_checkpointing, lora: Option<Lora>| {
        let options = PolicyOptions {
            gradient_checkpointing,
            lora,
            micro_batch_rows: Some(120),
            ..PolicyOptions::default()
        };
        let mut policy = backend(of_policy(options)).open(&spec).unwrap();
        policy.update(&update_request(), &Quiet).unwrap();
        saved(&*policy)
    };
    for lora in [None, Some(Lora::default())] {
        assert!(trained(true, lora.clone()) == trained(false, lora));
    }
}

#[test]
fn a_failed_save_keeps_the_optimizer_state_that_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(&directory.path().join("model"), &tiny_config(Family::Llama, true));
    let mut policy = backend(Options::default()).open(&spec).unwrap();
    policy.update(&update_request(), &Quiet).unwrap();
    let checkpoint = directory.path().join("checkpoint");
    policy.save(&checkpoint, true).unwrap();
    let state = || std::fs::read(checkpoint.join("optimizer.safetensors")).unwrap();
    let before = state();

    // A directory in the place of the weights cannot be replaced by a file.
    let weights = checkpoint.join("model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir(&weights).unwrap();
    policy.update(&update_request(), &Quiet).unwrap();
    for with_optimizer in [true, false] {
        assert!(policy.save(&checkpoint, with_optimizer).is_err());
        assert!(state() == before);
        assert_eq!(std::fs::read_dir(&checkpoint).unwrap().count(), 3, "nothing half is left");
    }
    std::fs::remove_dir(&weights).unwrap();
    policy.save(&checkpoint, true).unwrap();
    assert!(state() != before);
}

#[test]
fn completions_are_text_of_the_vocabulary() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(directory.path(), &tiny_config(Family::Llama, true));
    let mut policy = backend(Options::default()).open(&spec).unwrap();
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 6, stop: vec!["7>".into()] };
    let request = GenerateRequest { prompt: vec![1, 2], seeds: (0..20).collect(), sampling };
    for completion in policy.generate(&[request], &Quiet, &Quiet).unwrap().remove(0) {
        let text: String = completion
            .tokens
            .iter()
            .filter(|&&id| id < 200 && id != 5)
            .map(|id| format!("<{id}>"))
            .collect();
        assert_eq!(completion.text, text.split("7>").next().unwrap());
    }
}

/// Completions of a few prompts and what an update of a step size of almost 0 says of them.
fn rollout_and_report(policy: &mut dyn Policy) -> (Vec<Vec<Completion>>, UpdateReport) {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 30, stop: Vec::new() };
    let requests: Vec<GenerateRequest> = (1..5)
        .map(|prompt| GenerateRequest {
            prompt: vec![prompt, 7, 9 * prompt],
            seeds: (0..8).collect(),
            sampling: sampling.clone(),
        })
        .collect();
    let completions = policy.generate(&requests, &Quiet, &Quiet).unwrap();
    let sequences = requests.iter().zip(&completions).flat_map(|(request, completions)| {
        completions.iter().map(|completion| TrainSequence {
            prompt: request.prompt.clone(),
            response: completion.tokens.clone(),
            behaviour_logprobs: completion.logprobs.clone(),
            advantages: vec![1.0; completion.tokens.len()],
            weights: vec![1e-3; completion.tokens.len()],
            ..TrainSequence::default()
        })
    });
    let mut request = update_request();
    request.sequences = sequences.collect();
    (request.loss.temperature, request.optimizer.learning_rate) = (1.0, 1e-9);
    let report = policy.update(&request, &Quiet).unwrap();
    (completions, report)
}

#[test]
fn rollouts_of_copies_differ_a_little_from_the_policy_that_learns() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(directory.path(), &tiny_config(Family::Qwen2, true));
    let open = |rollout_weights, threads, max_live_rows, lora| {
        let (threads, max_live_rows) = (Some(threads), Some(max_live_rows));
        let policy =
            PolicyOptions { rollout_weights, max_live_rows, lora, ..PolicyOptions::default() };
        backend(Options { threads, policy }).open(&spec).unwrap()
    };
    let (of_f32, report) = rollout_and_report(&mut *open(RolloutWeights::F32, 2, 64, None));
    assert!(report.logprob_gap_max < 2e-5, "{report:?}");

    for (weights, mean_bound, max_bound) in [
        (RolloutWeights::Bf16, 3e-4, 0.06),
        // 0.015 on average, at most 0.11 nats: weights of 8 bits in three layers and a head.
        (RolloutWeights::Int8, 1e-3, 0.2),
    ] {
        let (of_copies, report) = rollout_and_report(&mut *open(weights, 2, 64, None));
        let is_near = report.logprob_gap_max < max_bound;
        assert!(report.logprob_gap_mean > mean_bound && is_near, "{weights:?} {report:?}");
        assert_ne!(of_copies, of_f32);
        for (threads, max_live_rows) in [(1, 64), (3, 5), (2, 1)] {
            let mut other = open(weights, threads, max_live_rows, None);
            assert_eq!(rollout_and_report(&mut *other), (of_copies.clone(), report.clone()));
        }
        // Adapters that do nothing yet change no sample, and these are still of copies.
        let mut adapted = open(weights, 2, 64, Some(Lora::default()));
        assert_eq!(rollout_and_report(&mut *adapted).0, of_copies);
    }
}

#[test]
fn copies_follow_what_is_learned_and_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(&directory.path().join("model"), &tiny_config(Family::Llama, false));
    let checkpoint = directory.path().join("checkpoint");
    for (rollout_weights, lora) in [
        (RolloutWeights::Bf16, None),
        (RolloutWeights::Int8, None),
        (RolloutWeights::Int8, Some(Lora::default())),
    ] {
        let open = || {
            let lora = lora.clone();
            let options = PolicyOptions { rollout_weights, lora, ..PolicyOptions::default() };
            backend(of_policy(options)).open(&spec).unwrap()
        };
        let mut policy = open();
        let before = rollout_and_report(&mut *policy).0;
        for _ in 0..5 {
            assert!(policy.update(&update_request(), &Quiet).unwrap().applied);
        }
        policy.save(&checkpoint, true).unwrap();
        let after = rollout_and_report(&mut *policy).0;
        assert_ne!(before, after);
        let mut resumed = open();
        assert_eq!(rollout_and_report(&mut *resumed).0, before);
        resumed.load(&checkpoint).unwrap();
        assert_eq!(rollout_and_report(&mut *resumed).0, after);
        std::fs::remove_dir_all(&checkpoint).unwrap();
    }
}

#[test]
fn foreign_checkpoints_and_tokenizers_are_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let config = tiny_config(Family::Llama, true);
    let spec = write_model(&directory.path().join("a"), &config);
    let wider = ModelConfig { intermediate_size: 71, ..config };
    let other = write_model(&directory.path().join("b"), &wider);
    let backend = backend(Options::default());
    let mut policy = backend.open(&spec).unwrap();
    let before = saved(&*policy);

    let error = policy.load(&other.path).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInput);
    assert!(
        error.message.contains("intermediate_size: 70 here, intermediate_size: 71 there"),
        "{error}"
    );
    let error = policy.load(&directory.path().join("absent")).unwrap_err();
    assert!(error.message.contains("absent"), "{error}");
    std::fs::write(spec.path.join("optimizer.safetensors"), b"damaged").unwrap();
    assert!(policy.load(&spec.path).is_err());
    assert!(before == saved(&*policy));

    let foreign = ModelSpec { vocabulary: vec![Vec::new(); 204], ..spec };
    let error = backend.open(&foreign).err().unwrap();
    assert!(error.message.contains("204 ids"), "{error}");
}

#[test]
fn a_cache_that_is_too_small_names_its_option() {
    let directory = tempfile::tempdir().unwrap();
    let spec = write_model(
        directory.path(),
        &ModelConfig { context_length: 100_000, ..tiny_config(Family::Llama, true) },
    );
    let mut policy =
        backend(of_policy(PolicyOptions { kv_cache_mib: Some(1), ..PolicyOptions::default() }))
            .open(&spec)
            .unwrap();
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 9000, stop: Vec::new() };
    let request = GenerateRequest { prompt: vec![1, 2], seeds: vec![0], sampling };
    let error = policy.generate(&[request], &Quiet, &Quiet).unwrap_err();
    assert!(error.hint.is_some_and(|hint| hint.contains("kv_cache_mib")));
}
