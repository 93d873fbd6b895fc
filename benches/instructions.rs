//! Instruction counts of hot paths, against committed figures: what guards speed on machines whose clocks cannot.
//!
//! `cargo xtask bench instructions` runs each path once and twice under Valgrind's callgrind, takes the difference, and
//! fails where it is further than 3 % from `benches/instructions.json`; with `--write` it replaces the figures.
//! Valgrind offers AVX2 and nothing newer, so the counts are those of the AVX2 kernels on any x86-64 machine.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at its first surprise and prints what it measured"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs};

use azr_bench::smollm2_135m;
use azr_cpu::Cpu;
use azr_executor::parse_literal;
use azr_plugin::{
    ControlTokens, GenerateRequest, LossSpec, Quiet, Sampling, TrainSequence, UpdateBounds,
    UpdateRequest,
};
use azr_tokenizer::{OpenOptions, TextTokenizer};
use azr_transformer::{Device, GenerateLimits, Model, SampleSpec, Vocabulary};
use azr_weights::ModelConfig;

/// Relative change of a count that is let pass: compilers and libraries move it a little.
const TOLERANCE: f64 = 0.03;

/// A hot path, done a number of times after what it needs was made.
type HotPath = fn(n_times: usize);

const PATHS: [(&str, HotPath); 5] = [
    ("generate", generate),
    ("update", update),
    ("sample", sample),
    ("tokenize", tokenize),
    ("literal", literal),
];

/// A model of the built-in one's shape.
fn model() -> Model<Cpu> {
    let config = ModelConfig {
        hidden_size: 128,
        intermediate_size: 341,
        n_layers: 4,
        n_heads: 4,
        n_kv_heads: 4,
        head_dim: 32,
        vocab_size: 640,
        context_length: 1024,
        ..smollm2_135m()
    };
    Model::random(Arc::new(Cpu::new(Some(1)).unwrap()), config, 1).unwrap()
}

fn tokens(seed: u32, n: u32) -> Vec<u32> {
    (0..n).map(|i| (seed * 97 + i * 31) % 640).collect()
}

/// Two prompts of 60 tokens, four samples of 20 each.
fn generate(n_times: usize) {
    let mut model = model();
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 20, stop: Vec::new() };
    let request = |seed| GenerateRequest {
        prompt: tokens(seed, 60),
        seeds: vec![1, 2, 3, 4],
        sampling: sampling.clone(),
    };
    let requests = [request(1), request(2)];
    for _ in 0..n_times {
        let limits = GenerateLimits::default();
        model.generate(&requests, &Vocabulary::default(), &limits, &Quiet, &Quiet).unwrap();
    }
}

/// One AdamW step on two groups of four responses of 20 tokens to prompts of 60.
fn update(n_times: usize) {
    let mut model = model();
    let sequence = |index: u32| TrainSequence {
        prompt: tokens(index / 4, 60),
        response: tokens(10 + index, 20),
        advantages: vec![if index.is_multiple_of(2) { 1.0 } else { -1.0 }; 20],
        behaviour_logprobs: vec![-6.0; 20],
        weights: vec![0.05; 20],
        ..TrainSequence::default()
    };
    let request = UpdateRequest {
        sequences: (0..8).map(sequence).collect(),
        loss: LossSpec::default(),
        optimizer: azr_bench::adamw(),
        bounds: UpdateBounds::default(),
    };
    // The first update makes the optimizer's state.
    for _ in 0..=n_times {
        model.update(&request, 512, &Quiet).unwrap();
    }
}

/// Logits and samples of four rows over SmolLM2's vocabulary, narrow rows so that sampling is what counts.
fn sample(n_times: usize) {
    let cpu = Cpu::new(Some(1)).unwrap();
    let (vocab_size, width, rows) = (49_152, 16, 4);
    let weight = {
        let values: Vec<f32> = (0..vocab_size * width).map(|i| (i % 97) as f32 / 50.0).collect();
        let mut weight = cpu.matrix_zeros(vocab_size, width).unwrap();
        cpu.matrix_write(&mut weight, &values).unwrap();
        weight
    };
    let mut x = cpu.zeros(rows * width).unwrap();
    cpu.write(&mut x, 0, &vec![0.1; rows * width]).unwrap();
    let spec = |top_p| SampleSpec { temperature: 1.0, top_p, uniform: 0.5 };
    for _ in 0..n_times {
        cpu.head_sample(&x, &weight, &[spec(1.0), spec(1.0), spec(1.0), spec(0.9)]).unwrap();
    }
}

/// Text of a prompt, with the built-in model's tokenizer.
fn tokenize(n_times: usize) {
    let folder = repository().join("models/azr-nano");
    let tokenizer = TextTokenizer::open(&folder, &OpenOptions::default()).unwrap();
    let text = "def f(xs, n):\n    ys = sorted(xs)\n    for y in ys:\n        n = n + y * 2\n    return n\n";
    for _ in 0..n_times {
        tokenizer.encode(&text.repeat(8), ControlTokens::AsText).unwrap();
    }
}

/// Answers that a solver gives.
fn literal(n_times: usize) {
    let text = "[1, -2, 'three', {'four': (5.0, None), 'six': [True, b'seven']}, {8, 9}]";
    for _ in 0..n_times * 50 {
        let value = parse_literal(text).unwrap();
        assert!(azr_executor::equality::answer(&value, &value));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Instructions that this program executes for `n_times` of a path.
fn count(name: &str, n_times: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args(["--path", name, &n_times.to_string()])
        .output()
        .expect("valgrind starts; it is in the package `valgrind`");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed under valgrind:\n{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")).unwrap().1;
    collected.trim().parse().unwrap()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|text| text != "--bench").collect();
    if let [flag, name, n_times] = &arguments[..]
        && flag == "--path"
    {
        let (_, path) = PATHS.iter().find(|(known, _)| known == name).unwrap();
        path(n_times.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let file = repository().join("benches/instructions.json");
    let committed = fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
    let committed: BTreeMap<String, u64> = serde_json::from_str(&committed).unwrap();
    let mut counts = BTreeMap::new();
    let mut is_off = false;
    for (name, _) in PATHS {
        let found = count(name, 2) - count(name, 1);
        counts.insert(name.to_owned(), found);
        let change = committed.get(name).map(|&old| found as f64 / old as f64 - 1.0);
        let change_text = change.map_or_else(
            || "no figure is committed".to_owned(),
            |change| format!("{:+.2} %", 100.0 * change),
        );
        println!("{name:<10} {found:>14} instructions, {change_text}");
        is_off |= change.is_none_or(|change| change.abs() > TOLERANCE);
    }
    if arguments.iter().any(|text| text == "--write") {
        fs::write(&file, serde_json::to_string_pretty(&counts).unwrap() + "\n").unwrap();
        return ExitCode::SUCCESS;
    }
    if is_off {
        println!(
            "a count is more than {:.0} % from the committed figure: find out why, or commit what `cargo xtask bench instructions --write` writes",
            100.0 * TOLERANCE
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
