//! The same values go through every adapter: an engine answers alike when it is called directly,
//! when it is built in and when it is loaded.

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use azr_fixture_echo::{
    EchoBackend, EchoDomain, EchoExecutor, EchoOptimizer, EchoOptions, EchoTokenizer, Fault,
};
use azr_host::Host;
use azr_plugin::{
    Answer, Backend, CallContext, Completion, CompletionSink, ControlTokens, Domain, Engine,
    Executor, GenerateRequest, Job, Limits, LossSpec, Message, ModelSpec, OptimizerKind,
    OptimizerSpec, Proposal, ProposeRequest, Purpose, Quiet, Ratio, RlOptimizer, Role,
    RolloutSummary, Sampling, ScoreRequest, Services, Task, Tokenizer, TrainSequence, UpdateBounds,
    UpdateRequest,
};
use serde_json::json;

use crate::fixture::{builtin_host, loaded_host};

const MARKER: u32 = 71;

struct Engines {
    tokenizer: Arc<dyn Tokenizer>,
    backend: Arc<dyn Backend>,
    executor: Arc<dyn Executor>,
    domain: Arc<dyn Domain>,
    optimizer: Arc<dyn RlOptimizer>,
}

/// Writes progress down and cancels once it saw enough of it.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<(u64, u64)>>,
    cancel_after: Option<usize>,
}

impl CallContext for Recorder {
    fn progress(&self, done: u64, total: u64) {
        self.seen.lock().unwrap().push((done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.cancel_after.is_some_and(|limit| self.seen.lock().unwrap().len() >= limit)
    }
}

/// Writes down what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<(usize, usize, Completion)>>);

impl CompletionSink for Told {
    fn completed(&self, request: usize, sample: usize, completion: &Completion) {
        self.0.lock().unwrap().push((request, sample, completion.clone()));
    }
}

fn direct() -> Engines {
    let options = || EchoOptions { fault: Fault::None, marker: MARKER };
    let none = Services::default;
    let executor: Arc<dyn Executor> = Arc::new(EchoExecutor::create(options(), none()).unwrap());
    let services = Services { executor: Some(Arc::clone(&executor)), ..Services::default() };
    Engines {
        tokenizer: Arc::new(EchoTokenizer::create(options(), none()).unwrap()),
        backend: Arc::new(EchoBackend::create(options(), none()).unwrap()),
        domain: Arc::new(EchoDomain::create(options(), services).unwrap()),
        optimizer: Arc::new(EchoOptimizer::create(options(), none()).unwrap()),
        executor,
    }
}

fn of(host: &Host) -> Engines {
    let options = || json!({"marker": MARKER});
    let executor = host.create_executor("echo", options()).unwrap();
    Engines {
        tokenizer: host.create_tokenizer("echo", options()).unwrap(),
        backend: host.create_backend("echo", options()).unwrap(),
        domain: host.create_domain("echo", options(), Arc::clone(&executor)).unwrap(),
        optimizer: host.create_optimizer("echo", options()).unwrap(),
        executor,
    }
}

#[test]
fn every_value_arrives_unchanged() {
    let expected = transcript(&direct());
    for trace in [
        "Some(3.0)",
        "Depth",
        "Nondeterministic",
        "[(1, 2), (2, 2), (1, 1), (2, 3)]",
        "cancelled",
        "[(0, 3, Completion {",
        "Context",
        "ä\\0",
        "71",
    ] {
        assert!(expected.contains(trace), "the transcript says nothing of {trace}: {expected}");
    }
    assert_eq!(transcript(&of(&builtin_host())), expected);
    assert_eq!(transcript(&of(&loaded_host())), expected);
}

/// An executor may be made of another one of the host; both directions of the boundary are crossed twice.
#[test]
fn an_executor_is_made_of_another() {
    for host in [builtin_host(), loaded_host()] {
        let relay = |through: &str, options| {
            host.create_executor("relay", json!({"through": through, "options": options}))
        };
        let mut expected = String::new();
        executor(&mut expected, &*of(&host).executor);
        let mut relayed = String::new();
        executor(&mut relayed, &*relay("echo", json!({"marker": MARKER})).unwrap());
        assert_eq!(relayed, expected);
        for (through, options, message) in [
            ("ehco", json!({}), "there is no executor `ehco`"),
            ("echo", json!({"marker": "x"}), "marker"),
            ("echo", json!({"fault": "error-in-create"}), "there is no echo here"),
        ] {
            let error = relay(through, options).map(|_| ()).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(message), "{cause}");
        }
    }
}

/// Everything the engines answer; floats are written so that they read back to the same bits.
fn transcript(engines: &Engines) -> String {
    let mut out = String::new();
    tokenizer(&mut out, &*engines.tokenizer);
    backend(&mut out, &*engines.backend);
    executor(&mut out, &*engines.executor);
    domain(&mut out, &*engines.domain);
    optimizer(&mut out, &*engines.optimizer);
    out
}

fn note(out: &mut String, value: impl Debug) {
    writeln!(out, "{value:?}").unwrap();
}

fn tokenizer(out: &mut String, tokenizer: &dyn Tokenizer) {
    note(out, tokenizer.info());
    let texts = [String::new(), "aé\0\u{10ffff}".into()];
    note(out, tokenizer.encode(&texts, ControlTokens::Parse));
    note(out, tokenizer.encode(&texts, ControlTokens::AsText));
    note(out, tokenizer.encode(&[], ControlTokens::AsText));
    note(out, tokenizer.decode(&[vec![], vec![1, u32::MAX]], true));
    note(
        out,
        tokenizer
            .encode_chats(&[vec![Message { role: "user".into(), content: "hi\0".into() }], vec![]]),
    );
    note(out, tokenizer.vocabulary());
    note(out, tokenizer.save(Path::new("/no/such/\u{fe0f}place")));
}

fn backend(out: &mut String, backend: &dyn Backend) {
    let model = ModelSpec {
        path: "a/b.gguf".into(),
        vocabulary: vec![vec![], vec![0, 255]],
        eos: vec![1],
        learns: true,
    };
    let mut policy = backend.open(&model).unwrap();
    note(out, policy.info());
    let sampling = Sampling {
        temperature: 0.7,
        top_p: 0.95,
        max_new_tokens: 9,
        stop: vec!["</answer>".into()],
    };
    let request = |seeds: &[u64]| GenerateRequest {
        prompt: vec![3, 1, 4],
        seeds: seeds.into(),
        sampling: sampling.clone(),
    };
    let requests = [request(&[0, 1, 2, u64::MAX]), request(&[])];
    let context = Recorder::default();
    let told = Told::default();
    note(out, policy.generate(&requests, &told, &context));
    note(out, told.0.into_inner().unwrap());
    note(
        out,
        policy.generate(
            &requests,
            &Quiet,
            &Recorder { cancel_after: Some(1), ..Recorder::default() },
        ),
    );
    let score = ScoreRequest { prompt: vec![1], response: vec![5, 6], temperature: 0.1 };
    note(out, policy.score(&[score], &context));
    let sequence = TrainSequence {
        prompt: vec![1, 2],
        response: vec![3],
        behaviour_logprobs: vec![-0.1],
        reference_logprobs: vec![-0.2],
        advantages: vec![f32::MIN_POSITIVE],
        weights: vec![0.125],
    };
    let update = UpdateRequest {
        sequences: vec![sequence.clone(), sequence],
        loss: LossSpec {
            ratio: Ratio::Sequence,
            clip_low: 0.2,
            clip_high: 0.3,
            dual_clip: None,
            entropy_coef: 0.01,
            kl_coef: 0.05,
            temperature: 1.0,
        },
        optimizer: OptimizerSpec {
            kind: OptimizerKind::Muon,
            learning_rate: 1e-6,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: 0.5,
        },
        bounds: UpdateBounds { loss_min: -0.5, loss_max: f64::INFINITY, grad_norm_max: 3.25 },
    };
    note(out, policy.update(&update, &context));
    note(out, policy.save(Path::new("out"), true));
    note(out, policy.load(Path::new("in")));
    note(out, context.seen.lock().unwrap());
}

fn executor(out: &mut String, executor: &dyn Executor) {
    let job = |n_calls: usize, purpose, pinned: Option<&str>| Job {
        program: "def f(x): return x".into(),
        calls: (0..n_calls).map(|call| call.to_string()).collect(),
        purpose,
        limits: Limits { wall_ms: 1, cpu_ms: 2, memory_bytes: u64::MAX, output_bytes: 4 },
        pinned: pinned.map(Into::into),
    };
    let jobs = [job(12, Purpose::Gold, Some("cpython")), job(0, Purpose::Check, None)];
    note(out, executor.run(&jobs, &Recorder::default()));
    note(out, executor.protections());
}

fn domain(out: &mut String, domain: &dyn Domain) {
    let task = Task {
        kind: "hall".into(),
        key: "k".into(),
        subject: "s".into(),
        payload: "{\"a\":1}".into(),
    };
    let context = Recorder::default();
    note(out, domain.kinds());
    note(out, domain.seed_tasks("hall"));
    let request =
        ProposeRequest { kind: "hall".into(), references: vec![task.clone(); 2], seed: u64::MAX };
    note(out, domain.propose_prompts(&[request]));
    let proposal =
        |references: Vec<Task>| Proposal { kind: "hall".into(), references, response: "r".into() };
    note(out, domain.validate(&[proposal(vec![task.clone()]), proposal(vec![])], &context));
    note(out, domain.solve_prompts(std::slice::from_ref(&task)));
    note(out, domain.grade(&[Answer { task, response: "42".into() }], &context));
    note(out, context.seen.lock().unwrap());
}

fn optimizer(out: &mut String, optimizer: &dyn RlOptimizer) {
    let rollout = |role, reward| RolloutSummary {
        domain: "code".into(),
        kind: "deduction".into(),
        role,
        prompt_index: 7,
        reward,
        n_tokens: 3,
    };
    note(out, optimizer.needs());
    let rollouts = [rollout(Role::Propose, -0.5), rollout(Role::Solve, 1.0)];
    note(out, optimizer.plan(0, &rollouts));
    note(out, optimizer.plan(u64::MAX, &rollouts));
    note(out, optimizer.plan(1, &[]));
}
