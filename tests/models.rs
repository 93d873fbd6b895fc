//! What a run needs in memory, and adapters that become a model.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixtures::{Workspace, expect_code, stderr, stdout};

/// The plan that `azr plan` prints for these arguments.
#[track_caller]
fn plan(w: &Workspace, arguments: &[&str]) -> Value {
    let mut command = w.azr(&["--format=json", "plan"]);
    let text = stdout(&expect_code(command.args(arguments), 0));
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn bytes(plan: &Value, entry: &str) -> u64 {
    plan["bytes"][entry].as_u64().unwrap()
}

#[test]
fn a_plan_follows_the_settings() {
    let w = Workspace::new();
    let base = plan(&w, &["--model=model"]);
    let weights = bytes(&base, "weights");
    assert_eq!(
        (bytes(&base, "gradients"), bytes(&base, "optimizer_state")),
        (weights, 2 * weights)
    );
    assert_eq!((bytes(&base, "adapters"), bytes(&base, "reference")), (0, 0));
    assert!(base["total"].as_u64().unwrap() > 4 * weights);

    assert_eq!(bytes(&base, "rollout_weights"), 0);
    // Two bytes a parameter but for the norms', and one with scales.
    for (format, bounds) in
        [("bf16", 2 * weights / 5..weights / 2), ("int8", weights / 4..weights / 2)]
    {
        let option = format!("--set=backend.options.rollout_weights={format}");
        let copying = plan(&w, &["--model=model", &option]);
        let copies = bytes(&copying, "rollout_weights");
        assert!(bounds.contains(&copies), "{format}: {copies} bytes for {weights}");
        assert_eq!(copying["total"].as_u64().unwrap(), base["total"].as_u64().unwrap() + copies);
    }

    let grpo = ["--model=model", "--set=optimizer.options.algorithm=grpo"];
    assert_eq!(bytes(&plan(&w, &grpo), "reference"), weights);
    let muon = ["--model=model", "--set=optimizer.options.update_rule=muon"];
    assert!(bytes(&plan(&w, &muon), "optimizer_state") < 2 * weights);

    let activations = |settings: &[&str]| {
        bytes(&plan(&w, &[&["--model=model"][..], settings].concat()), "training_activations")
    };
    // A sequence is never split.
    let long = activations(&[]);
    assert_eq!(activations(&["--set=backend.options.micro_batch_rows=8"]), long);
    // One budget that is given leaves the others as they are.
    let short = ["--set=selfplay.max_prompt_tokens=100", "--set=selfplay.batch_size=1"];
    let deduction = [&short[..], &["--set=domains.code.max_new_tokens.deduction=5"]].concat();
    assert!(activations(&short) < long);
    assert_eq!(activations(&deduction), activations(&short));
}

#[test]
fn the_alternatives_of_a_plan_are_settings_that_need_less() {
    let w = Workspace::new();
    let few =
        ["--model=model", "--set=selfplay.batch_size=1", "--set=selfplay.learnability_samples=2"];
    let base = plan(&w, &few);
    let alternatives = base["alternatives"].as_array().unwrap();
    assert!(alternatives.len() > 3, "{base}");
    let most = &alternatives[alternatives.len() - 1];
    for alternative in [&alternatives[0], most] {
        let settings = alternative["set"].as_array().unwrap();
        let mut arguments = few.to_vec();
        for setting in settings {
            arguments.extend(["--set", setting.as_str().unwrap()]);
        }
        let total = plan(&w, &arguments)["total"].clone();
        assert_eq!(total, alternative["total"], "{arguments:?}");
        assert!(total.as_u64() < base["total"].as_u64());
    }
    assert!(most["set"].as_array().unwrap().len() > 2, "{most}");
}

/// With a model of a few bytes in the place of theirs.
#[test]
fn every_recipe_makes_a_run() {
    let w = Workspace::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let recipes: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(recipes.len() > 1, "{recipes:?}");
    for (number, recipe) in recipes.iter().enumerate() {
        let config = format!("--config={}", recipe.display());
        let arguments = [&config, "--steps=1", "--set=eval.every=0"];
        expect_code(&mut w.train(&number.to_string(), &arguments), 0);
    }
}

#[test]
fn adapters_of_a_run_are_planned_resumed_and_merged() {
    let w = Workspace::new();
    expect_code(&mut w.train("run", &["--steps=1", "--set=backend.options.lora={}"]), 0);
    assert!(bytes(&plan(&w, &["--resume=run"]), "adapters") > 0, "the run's own settings count");
    expect_code(&mut w.azr(&["train", "--resume=run", "--steps=2"]), 0);

    let adapters = "run/checkpoints/global_step_2";
    expect_code(&mut w.azr(&["model", "merge", "model", adapters, "merged"]), 0);
    let shape = |model: &str| -> Value {
        let mut command = w.azr(&["--format=json", "model", "inspect", model]);
        let facts: Value = serde_json::from_str(&stdout(&expect_code(&mut command, 0))).unwrap();
        facts["config"].clone()
    };
    assert_eq!(shape("merged"), shape("model"));
    let again = ["train", "--model=merged", "--run-dir=again", "--steps=1"];
    expect_code(w.azr(&again).arg("--set=selfplay.batch_size=1"), 0);

    // Neither the base nor another model may be taken for what the adapters belong to.
    let files = || {
        ["model.safetensors", "config.json", "tokenizer.json"]
            .map(|name| fs::read(w.path("model").join(name)).unwrap())
    };
    let before = files();
    let refused = |base: &str, out: &str| {
        stderr(&expect_code(&mut w.azr(&["model", "merge", base, adapters, out]), 1))
    };
    assert!(refused("model", "model").contains("not empty"));
    assert!(files() == before);
    let other = refused("merged", "other");
    assert!(other.contains("another model") && other.contains("hint:"), "{other}");
    assert!(!w.path("other").exists());

    fs::copy(w.path("merged/model.safetensors"), w.path("model/model.safetensors")).unwrap();
    let text = stderr(&expect_code(&mut w.azr(&["train", "--resume=run", "--steps=3"]), 1));
    assert!(text.contains("another model"), "a base that was replaced: {text}");
}

/// Qwen2.5-7B's `config.json`, without its weights: sizes are all that a plan needs.
fn qwen_7b(w: &Workspace) {
    let config = serde_json::json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32_768,
        "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    });
    fs::create_dir(w.path("qwen2.5-7b")).unwrap();
    fs::write(w.path("qwen2.5-7b/config.json"), config.to_string()).unwrap();
}

#[test]
fn full_self_play_of_7_billion_parameters_fits_on_one_h200() {
    let w = Workspace::new();
    qwen_7b(&w);
    let on_gpu = |gib: u64, settings: &[&str]| {
        let gpu = format!("--gpu-memory-gib={gib}");
        let arguments = ["--model=qwen2.5-7b", "--backend=cuda", &gpu];
        plan(&w, &[&arguments[..], settings].concat())
    };
    let total = |plan: &Value| plan["total"].as_u64().unwrap() as f64 / (1_u64 << 30) as f64;
    let checkpointing = "--set=backend.options.gradient_checkpointing=true";
    let state = |precision: &str| format!("--set=backend.options.optimizer_state={precision}");
    let lean = [checkpointing, &state("bf16")];
    // What an H200 has for programs.
    let bf16 = on_gpu(139, &lean);
    let parameters = bytes(&bf16, "weights") / 4;
    println!(
        "7B on 139 GiB: {:.1} GiB with bf16 state and checkpointing, {:.1} with float32 state, {:.1} without \
         checkpointing, {:.1} with neither; {:.2} G parameters",
        total(&bf16),
        total(&on_gpu(139, &[checkpointing])),
        total(&on_gpu(139, &[&state("bf16")])),
        total(&on_gpu(139, &[])),
        parameters as f64 / 1e9
    );
    assert_eq!(parameters, 7_615_616_512, "as its publishers count them");
    assert_eq!(bytes(&bf16, "gradients"), 4 * parameters);
    assert_eq!(bytes(&bf16, "optimizer_state"), 4 * parameters);
    assert_eq!(bf16["fits"], true, "{bf16}");
    let host = &bf16["host"];
    assert!(host["total"].as_u64().unwrap() >= 4 * 152_064 * 3584, "the largest matrix: {host}");
    assert!(host["bytes"].get("weights").is_none() && bf16["bytes"].get("process").is_none());

    // The published system needs four GPUs of 80 GiB.
    let small = on_gpu(80, &lean);
    assert_eq!(small["fits"], false, "{small}");
    let lora = &small["alternatives"].as_array().unwrap().last().unwrap();
    assert!(lora["total"].as_u64().unwrap() < 80 << 30, "{lora}");
    // Without a GPU and without a number, the plan is there all the same.
    let text = stdout(&expect_code(
        &mut w.azr(&["plan", "--model=qwen2.5-7b", "--backend=cuda", "--gpu-memory-gib=80"]),
        0,
    ));
    for part in [
        "on the GPU in MiB",
        "--gpu-memory-gib",
        "it does not fit",
        "on this machine in MiB",
        "--set ",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn a_plan_for_a_processor_takes_no_gpu() {
    let w = Workspace::new();
    let mut command = w.azr(&["plan", "--model=model", "--gpu-memory-gib=80"]);
    let text = stderr(&expect_code(&mut command, 1));
    assert!(text.contains("--gpu-memory-gib") && text.contains("`cuda`"), "{text}");
}
