//! Equivalence classes of the update: ten updates have one curve of loss and gradient norm, whichever way they are
//! computed.

use std::path::{Path, PathBuf};
use std::process::Command;

use azr_host::Host;
use azr_plugin::{
    GenerateRequest, LossSpec, ModelSpec, OptimizerKind, OptimizerSpec, Policy, Quiet, Ratio,
    Sampling, ScoreRequest, TrainSequence, UpdateBounds, UpdateRequest,
};
use serde_json::{Value, json};

use crate::fixtures::{Workspace, expect_code, stdout, tiny_vocabulary};
use crate::plugins::plugin_file;

const N_UPDATES: usize = 10;
/// Prompts, each with as many responses.
const GROUPS: usize = 4;

/// Options of the backend `cuda` for a child process that finds one.
const CUDA_OPTIONS: &str = "AZR_TEST_CUDA_OPTIONS";

/// Loss and gradient norm of each update.
pub(crate) type Curve = Vec<[f64; 2]>;

/// The curve that is demanded. It was printed by this test, whose gradients are proved elsewhere.
const PINNED: [[f64; 2]; N_UPDATES] = [
    [-0.0199433, 1.04142],
    [-0.052171, 0.432551],
    [-0.0732476, 0.385758],
    [-0.0753556, 0.478608],
    [-0.085274, 0.32482],
    [-0.0799234, 0.39171],
    [-0.102363, 0.161538],
    [-0.0927828, 0.292423],
    [-0.0914409, 0.220846],
    [-0.0888014, 0.251327],
];
/// Between machines, whose instructions round differently.
const BETWEEN_MACHINES: f64 = 1e-3;
/// Between orders of summation on one machine.
const BETWEEN_ORDERS: f64 = 1e-4;

/// A way to compute the updates.
struct Way {
    backend: &'static str,
    options: Value,
    /// Loaded from the library file instead of built in.
    is_loaded: bool,
    /// Saved and opened again after so many updates.
    interrupted_after: Option<usize>,
    /// Behaviour log-probs by one pass over whole sequences, not by the decoder with its KV cache.
    is_scored: bool,
}

impl Way {
    fn plain() -> Self {
        let options = json!({"threads": 2});
        let backend = "cpu";
        Self { backend, options, is_loaded: false, interrupted_after: None, is_scored: false }
    }

    fn with(options: Value) -> Self {
        Self { options, ..Self::plain() }
    }
}

#[test]
fn ten_updates_have_one_curve_whichever_way_they_are_computed() {
    let w = Workspace::new();
    let curve = |way: &Way| curve(&w, way);
    let whole = curve(&Way::plain());
    println!("{whole:?}");
    assert!(whole.iter().all(|[_, norm]| *norm > 1e-3), "there is nothing to learn: {whole:?}");
    assert_near(&whole, &PINNED, BETWEEN_MACHINES);

    // The same arithmetic in the same order: the same bits.
    assert_eq!(curve(&Way::with(json!({"threads": 1}))), whole);
    assert_eq!(curve(&Way { interrupted_after: Some(4), ..Way::plain() }), whole);
    assert_eq!(curve(&Way { is_loaded: true, ..Way::plain() }), whole);
    let recomputing = json!({"threads": 2, "gradient_checkpointing": true});
    assert_eq!(curve(&Way::with(recomputing)), whole);

    // The same sums in another order. One row computes every sequence alone, without the prompt that it shares; this is
    // what padding computes, less the rows that do not count.
    for rows in [1, 40, 90] {
        let split = curve(&Way::with(json!({"threads": 2, "micro_batch_rows": rows})));
        assert_ne!(split, whole, "{rows} rows split nothing");
        assert_near(&split, &whole, BETWEEN_ORDERS);
    }
    let scored = curve(&Way { is_scored: true, ..Way::plain() });
    assert_near(&scored, &whole, BETWEEN_ORDERS);
}

/// The curve of the processor.
pub(crate) fn curve_of_the_processor() -> Curve {
    curve(&Workspace::new(), &Way::plain())
}

/// The same updates on a GPU: `prepare` lets a process find one.
pub(crate) fn curve_of_a_gpu(options: &Value, prepare: impl FnOnce(&mut Command)) -> Curve {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "equivalence::curve_of_a_child", "--nocapture"]);
    prepare(child.env(CUDA_OPTIONS, options.to_string()));
    let text = stdout(&expect_code(&mut child, 0));
    let curve = text.lines().find_map(|line| line.split("curve ").nth(1)).unwrap();
    serde_json::from_str(curve).unwrap()
}

/// The process that has the GPU; does nothing unless a test started it as such.
#[test]
fn curve_of_a_child() {
    if let Ok(options) = std::env::var(CUDA_OPTIONS) {
        let options = serde_json::from_str(&options).unwrap();
        let way = Way { backend: "cuda", ..Way::with(options) };
        println!("curve {}", json!(curve(&Workspace::new(), &way)));
    }
}

#[track_caller]
pub(crate) fn assert_near(curve: &[[f64; 2]], expected: &[[f64; 2]], tolerance: f64) {
    assert_eq!(curve.len(), expected.len());
    for (step, (found, expected)) in curve.iter().zip(expected).enumerate() {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "update {step}: {a} for {b}");
        }
    }
}

fn curve(w: &Workspace, way: &Way) -> Curve {
    let mut policy = open(way, &w.path("model"));
    let sequences = match way.backend {
        "cpu" => sequences(&mut *policy, way.is_scored),
        // Every device learns from the same samples, those of the processor.
        _ => sequences(&mut *open(&Way::plain(), &w.path("model")), way.is_scored),
    };
    let mut curve = Curve::new();
    for number in 0..N_UPDATES {
        if way.interrupted_after == Some(number) {
            let saved = w.path("saved");
            policy.save(&saved, true).unwrap();
            policy = open(way, &w.path("model"));
            policy.load(&saved).unwrap();
        }
        let report = policy.update(&request(&sequences, number), &Quiet).unwrap();
        assert!(report.applied);
        curve.push([report.loss, report.grad_norm]);
    }
    curve
}

fn open(way: &Way, model: &Path) -> Box<dyn Policy> {
    let mut host = Host::new();
    if way.is_loaded {
        host.load_file(PathBuf::from(plugin_file("backend_cpu"))).unwrap();
    } else {
        host.register_builtin(azr_backend_cpu::plugin_module()).unwrap();
        host.register_builtin(azr_backend_cuda::plugin_module()).unwrap();
    }
    let backend = host.create_backend(way.backend, way.options.clone()).unwrap();
    let vocabulary = tiny_vocabulary();
    backend
        .open(&ModelSpec { path: model.to_owned(), vocabulary, eos: vec![0], learns: true })
        .unwrap()
}

/// Groups of responses of the first weights, with prompts of different lengths.
fn sequences(policy: &mut dyn Policy, is_scored: bool) -> Vec<TrainSequence> {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 12, stop: Vec::new() };
    let requests: Vec<GenerateRequest> = (0..GROUPS as u32)
        .map(|group| GenerateRequest {
            prompt: (0..5 + 7 * group).map(|place| 2 + (place * place + group) % 16).collect(),
            seeds: (0..GROUPS as u64).map(|sample| u64::from(group) << 8 | sample).collect(),
            sampling: sampling.clone(),
        })
        .collect();
    let completions = policy.generate(&requests, &Quiet, &Quiet).unwrap();
    let mut sequences = Vec::new();
    for (request, completions) in requests.iter().zip(completions) {
        for (sample, completion) in completions.into_iter().enumerate() {
            let n = completion.tokens.len();
            sequences.push(TrainSequence {
                prompt: request.prompt.clone(),
                response: completion.tokens,
                behaviour_logprobs: completion.logprobs,
                advantages: vec![[1.0, -0.5, 0.25, -0.75][sample]; n],
                weights: vec![1.0 / (GROUPS * GROUPS * n) as f32; n],
                ..TrainSequence::default()
            });
        }
    }
    if is_scored {
        let score = |TrainSequence { prompt, response, .. }: &TrainSequence| ScoreRequest {
            prompt: prompt.clone(),
            response: response.clone(),
            temperature: 1.0,
        };
        let requests: Vec<ScoreRequest> = sequences.iter().map(score).collect();
        let scores = policy.score(&requests, &Quiet).unwrap();
        for (sequence, scores) in sequences.iter_mut().zip(scores) {
            sequence.behaviour_logprobs = scores;
        }
    }
    sequences
}

/// Update `number`: three of the four groups, in turn, so that the ratio leaves 1 and clips.
fn request(sequences: &[TrainSequence], number: usize) -> UpdateRequest {
    let groups = sequences.chunks(GROUPS).enumerate();
    let sequences =
        groups.filter(|(group, _)| *group != number % GROUPS).flat_map(|(_, group)| group.to_vec());
    UpdateRequest {
        sequences: sequences.collect(),
        loss: LossSpec { ratio: Ratio::Token, entropy_coef: 0.01, ..LossSpec::default() },
        optimizer: OptimizerSpec {
            kind: OptimizerKind::Adamw,
            learning_rate: 3e-3,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-6,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
        },
        bounds: UpdateBounds::default(),
    }
}
