//! What a backend and its policies promise.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::text::Random;
use super::{CANCELLATION, Cancelled, CheckFn, Flaw, Maker, Scratch, Verdict, ensure, errs};
use crate::{
    Backend, Completion, CompletionSink, ErrorCode, FinishReason, GenerateRequest, LossSpec,
    ModelSpec, OptimizerKind, OptimizerSpec, Policy, Quiet, Sampling, ScoreRequest, TrainSequence,
    UpdateBounds, UpdateReport, UpdateRequest,
};

pub(super) const CHECKS: &[(&str, CheckFn<Subject>)] = &[
    ("an open model", open),
    ("equal samples of equal seeds", same_samples),
    ("samples and the wave around them", wave),
    ("completions", completions),
    ("log-probabilities", logprobs),
    ("greedy sampling", greedy),
    ("told completions", told),
    ("updates", updates),
    ("updates out of bounds", out_of_bounds),
    ("checkpoints", checkpoints),
    ("wrong requests", wrong_requests),
    ("cancellation", cancellation),
];

/// How far the log-probability of a token may be off where rows of other sequences are computed beside it, or by
/// weights in fewer bytes; in nats.
const TOLERANCE: f32 = 0.05;
/// Tokens of a sample.
const N_TOKENS: u32 = 24;
/// Learning rate of the updates: large enough to be seen after one.
const LEARNING_RATE: f32 = 1e-3;

/// A backend and the model that it opens.
pub(super) struct Subject {
    pub(super) backend: std::sync::Arc<dyn Backend>,
    pub(super) model: ModelSpec,
}

type Opened = Box<dyn Policy>;

impl Subject {
    fn open(&self) -> std::result::Result<Opened, Flaw> {
        Ok(self.backend.open(&ModelSpec { learns: true, ..self.model.clone() })?)
    }
}

/// Prompts of ordinary ids, the same each time.
fn prompts(policy: &dyn Policy, n: usize) -> Vec<Vec<u32>> {
    let (mut random, n_ids) = (Random(3), policy.info().vocab_size as usize);
    (0..n).map(|at| (0..5 + 3 * at).map(|_| random.below(n_ids) as u32).collect()).collect()
}

fn sampling(temperature: f32) -> Sampling {
    Sampling { temperature, top_p: 1.0, max_new_tokens: N_TOKENS, stop: Vec::new() }
}

fn requests(policy: &dyn Policy) -> Vec<GenerateRequest> {
    let request = |(at, prompt): (usize, Vec<u32>)| GenerateRequest {
        prompt,
        seeds: (0..3).map(|seed| 100 * at as u64 + seed).collect(),
        sampling: sampling(1.0),
    };
    prompts(policy, 3).into_iter().enumerate().map(request).collect()
}

fn generate(
    policy: &mut dyn Policy,
    requests: &[GenerateRequest],
) -> std::result::Result<Vec<Vec<Completion>>, Flaw> {
    let groups = policy.generate(requests, &Quiet, &Quiet)?;
    ensure!(
        groups.len() == requests.len(),
        "{} groups for {} requests",
        groups.len(),
        requests.len()
    );
    for (group, request) in groups.iter().zip(requests) {
        let (got, expected) = (group.len(), request.seeds.len());
        ensure!(got == expected, "{got} completions for {expected} seeds");
    }
    Ok(groups)
}

/// The completions with their prompts, to be scored.
fn to_score(requests: &[GenerateRequest], groups: &[Vec<Completion>]) -> Vec<ScoreRequest> {
    let of_group = |(request, group): (&GenerateRequest, &Vec<Completion>)| {
        let score = |completion: &Completion| ScoreRequest {
            prompt: request.prompt.clone(),
            response: completion.tokens.clone(),
            temperature: 1.0,
        };
        group.iter().map(score).collect::<Vec<_>>()
    };
    requests.iter().zip(groups).flat_map(of_group).collect()
}

/// An update on the policy's own samples, of which every second one was right.
fn update(requests: &[GenerateRequest], groups: &[Vec<Completion>]) -> UpdateRequest {
    let scored = to_score(requests, groups).into_iter().zip(groups.iter().flatten()).enumerate();
    let sequence = |(at, (scored, completion)): (usize, (ScoreRequest, &Completion))| {
        let n_tokens = scored.response.len();
        TrainSequence {
            prompt: scored.prompt,
            response: scored.response,
            behaviour_logprobs: completion.logprobs.clone(),
            reference_logprobs: Vec::new(),
            advantages: vec![if at % 2 == 0 { 1.0 } else { -1.0 }; n_tokens],
            weights: vec![1.0 / 100.0; n_tokens],
        }
    };
    UpdateRequest {
        sequences: scored.map(sequence).collect(),
        loss: LossSpec::default(),
        optimizer: OptimizerSpec {
            kind: OptimizerKind::Adamw,
            learning_rate: LEARNING_RATE,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        },
        bounds: UpdateBounds::default(),
    }
}

fn sound_report(report: &UpdateReport) -> Verdict {
    let numbers = [
        ("loss", report.loss),
        ("entropy", report.entropy),
        ("grad_norm", report.grad_norm),
        ("clip_fraction", report.clip_fraction),
        ("logprob_gap_mean", report.logprob_gap_mean),
        ("logprob_gap_max", report.logprob_gap_max),
    ];
    for (name, value) in numbers {
        ensure!(value.is_finite(), "{name} of an update is {value}");
    }
    ensure!(report.n_tokens > 0, "an update trained no token");
    Ok(())
}

fn open(make: Maker<'_, Subject>) -> Verdict {
    let subject = make()?;
    let info = subject.open()?.info();
    ensure!(info.vocab_size > 0 && info.context_length > 0, "an open model without ids or context");
    ensure!(info.n_parameters > 0, "an open model without parameters");
    ensure!(!info.device.is_empty(), "it does not say what it computes on");
    let missing = ModelSpec { path: "no/such/model".into(), ..subject.model.clone() };
    errs("a model that does not exist", subject.backend.open(&missing).map(|_| ()))
}

fn same_samples(make: Maker<'_, Subject>) -> Verdict {
    let subject = make()?;
    let (mut one, mut other) = (subject.open()?, make()?.open()?);
    let requests = requests(&*one);
    let samples = generate(&mut *one, &requests)?;
    for policy in [&mut one, &mut other] {
        ensure!(
            generate(&mut **policy, &requests)? == samples,
            "equal seeds gave different samples, or equal samples with other log-probabilities"
        );
    }
    let distinct = samples.iter().flatten().any(|sample| sample.tokens != samples[0][0].tokens);
    ensure!(distinct, "all seeds and prompts give the same sample");
    Ok(())
}

fn wave(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    for (request, group) in requests.iter().zip(&samples) {
        for (seed, sample) in request.seeds.iter().zip(group) {
            let alone = GenerateRequest { seeds: vec![*seed], ..request.clone() };
            let found = generate(&mut *policy, &[alone])?;
            let found = &found[0][0];
            ensure!(
                found.tokens == sample.tokens && near(&found.logprobs, &sample.logprobs),
                "the sample of seed {seed} depends on what else is in the wave"
            );
        }
    }
    Ok(())
}

fn near(one: &[f32], other: &[f32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a - b).abs() <= TOLERANCE)
}

fn completions(make: Maker<'_, Subject>) -> Verdict {
    let subject = make()?;
    let mut policy = subject.open()?;
    let n_ids = policy.info().vocab_size;
    let requests = requests(&*policy);
    for completion in generate(&mut *policy, &requests)?.into_iter().flatten() {
        let Completion { tokens, logprobs, finish, text } = completion;
        ensure!(tokens.len() == logprobs.len(), "as many log-probabilities as tokens are promised");
        ensure!(!tokens.is_empty() && tokens.len() <= N_TOKENS as usize, "{} tokens", tokens.len());
        ensure!(tokens.iter().all(|&id| id < n_ids), "a sampled id is none of {n_ids}");
        let ends = tokens.last().is_some_and(|id| subject.model.eos.contains(id));
        ensure!(
            (finish == FinishReason::Eos) == ends,
            "finished by {finish:?}, but the tokens differ"
        );
        let said = if ends { &tokens[..tokens.len() - 1] } else { &tokens[..] };
        let spelled: Vec<u8> = said
            .iter()
            .filter_map(|&id| subject.model.vocabulary.get(id as usize))
            .flatten()
            .copied()
            .collect();
        ensure!(
            text == String::from_utf8_lossy(&spelled),
            "a completion's text is not its tokens'"
        );
    }
    Ok(())
}

fn logprobs(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    let scores = policy.score(&to_score(&requests, &samples), &Quiet)?;
    for (sample, score) in samples.iter().flatten().zip(&scores) {
        for &logprob in sample.logprobs.iter().chain(score) {
            ensure!(logprob <= 1e-4, "a log-probability is {logprob}");
        }
        ensure!(
            near(&sample.logprobs, score),
            "sampling and scoring give other log-probabilities: {:?} and {score:?}",
            sample.logprobs
        );
    }
    Ok(())
}

fn greedy(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let request = |prompt| GenerateRequest { prompt, seeds: vec![1, 2], sampling: sampling(0.0) };
    let requests: Vec<_> = prompts(&*policy, 2).into_iter().map(request).collect();
    for group in generate(&mut *policy, &requests)? {
        ensure!(group[0].tokens == group[1].tokens, "greedy samples depend on their seeds");
        ensure!(
            group[0].logprobs.iter().all(|l| l.is_finite()),
            "a greedy log-probability is not finite"
        );
    }
    Ok(())
}

/// What a sink is told.
#[derive(Default)]
struct Ear(Mutex<Vec<(usize, usize, Completion)>>);

impl CompletionSink for Ear {
    fn completed(&self, request: usize, sample: usize, completion: &Completion) {
        if let Ok(mut heard) = self.0.lock() {
            heard.push((request, sample, completion.clone()));
        }
    }
}

fn told(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let (requests, ear) = (requests(&*policy), Ear::default());
    let samples = policy.generate(&requests, &ear, &Quiet)?;
    let mut places = std::collections::BTreeSet::new();
    for (request, sample, completion) in ear.0.into_inner().unwrap_or_default() {
        let returned = samples.get(request).and_then(|group| group.get(sample));
        ensure!(
            returned == Some(&completion),
            "what it told of sample {sample} is not what it returned"
        );
        ensure!(places.insert((request, sample)), "it told twice of one sample");
    }
    Ok(())
}

fn updates(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    let scored = to_score(&requests, &samples);
    let before = policy.score(&scored, &Quiet)?;
    let report = policy.update(&update(&requests, &samples), &Quiet)?;
    sound_report(&report)?;
    ensure!(report.applied, "an update within its bounds was not applied");
    ensure!(report.grad_norm > 0.0, "an update of different advantages has no gradient");
    let after = policy.score(&scored, &Quiet)?;
    ensure!(
        after.iter().flatten().all(|l| l.is_finite()),
        "log-probabilities are not finite after an update"
    );
    ensure!(after != before, "an applied update changed nothing");
    // The direction, summed over what was learnt: right samples became likelier than wrong ones.
    let gain = before.iter().zip(&after).enumerate().map(|(at, (before, after))| {
        let sum = |row: &Vec<f32>| row.iter().map(|&l| f64::from(l)).sum::<f64>();
        (sum(after) - sum(before)) * if at % 2 == 0 { 1.0 } else { -1.0 }
    });
    let gain: f64 = gain.sum();
    ensure!(
        gain > 0.0,
        "an update made right samples unlikelier against wrong ones ({gain:.4} nats)"
    );
    Ok(())
}

fn out_of_bounds(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    let scored = to_score(&requests, &samples);
    let before = policy.score(&scored, &Quiet)?;
    let mut refused = update(&requests, &samples);
    refused.bounds.grad_norm_max = 0.0;
    let report = policy.update(&refused, &Quiet)?;
    ensure!(!report.applied, "an update whose gradient is out of bounds was applied");
    ensure!(
        policy.score(&scored, &Quiet)? == before,
        "an update that was not applied changed the weights"
    );
    Ok(())
}

fn checkpoints(make: Maker<'_, Subject>) -> Verdict {
    let subject = make()?;
    let (mut policy, scratch) = (subject.open()?, Scratch::new()?);
    let requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    let (request, scored) = (update(&requests, &samples), to_score(&requests, &samples));
    policy.update(&request, &Quiet)?;
    policy.save(scratch.path(), true)?;
    let weights = |policy: &mut Opened| policy.score(&scored, &Quiet);
    let saved = weights(&mut policy)?;
    let report = policy.update(&request, &Quiet)?;
    let next = weights(&mut policy)?;
    let mut resumed = make()?.open()?;
    for policy in [&mut policy, &mut resumed] {
        policy.load(scratch.path())?;
        ensure!(
            weights(policy)? == saved,
            "a loaded checkpoint has other weights than the saved one"
        );
        let again = policy.update(&request, &Quiet)?;
        ensure!(
            again == report && weights(policy)? == next,
            "an update after loading differs from the one after saving"
        );
    }
    errs("a checkpoint that does not exist", policy.load(&scratch.path().join("none")))
}

fn wrong_requests(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let info = policy.info();
    let sampling = sampling(1.0);
    let mut ask = |what: &str, prompt: Vec<u32>| {
        let request =
            GenerateRequest { prompt: prompt.clone(), seeds: vec![1], sampling: sampling.clone() };
        errs(&format!("to continue {what}"), policy.generate(&[request], &Quiet, &Quiet))?;
        let request = ScoreRequest { prompt, response: vec![1], temperature: 1.0 };
        errs(&format!("to score {what}"), policy.score(&[request], &Quiet))
    };
    ask("an empty prompt", Vec::new())?;
    ask("an id that the model does not have", vec![info.vocab_size])?;
    ask("a prompt that is longer than the context", vec![1; info.context_length as usize + 1])?;
    ensure!(generate(&mut *policy, &[])?.is_empty(), "there are completions of no request");
    Ok(())
}

fn cancellation(make: Maker<'_, Subject>) -> Verdict {
    let mut policy = make()?.open()?;
    let mut requests = requests(&*policy);
    let samples = generate(&mut *policy, &requests)?;
    let (request, cancelled) = (update(&requests, &samples), Cancelled::at_once());
    let start = Instant::now();
    let updated = policy.update(&request, &cancelled).map(|_| ());
    let scored = policy.score(&to_score(&requests, &samples), &cancelled).map(|_| ());
    ended("update and score", start, updated.and(scored))?;
    // A long wave that is cancelled while it is sampled.
    for request in &mut requests {
        request.sampling.max_new_tokens = policy.info().context_length / 2;
        request.seeds = (0..64).collect();
    }
    let context = Cancelled::default();
    let (generated, at) = thread::scope(|scope| {
        let cancel = scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            context.cancel();
            Instant::now()
        });
        let generated = policy.generate(&requests, &Quiet, &context).map(|_| ());
        (generated, cancel.join().unwrap_or_else(|_| Instant::now()))
    });
    ended("generate", at, generated)?;
    generate(&mut *policy, &requests[..0])?;
    Ok(())
}

fn ended(what: &str, cancelled: Instant, answer: crate::Result<()>) -> Verdict {
    let took = cancelled.elapsed();
    ensure!(
        took <= CANCELLATION,
        "{what} went on for {:.1} s after cancellation",
        took.as_secs_f64()
    );
    match answer {
        Err(error) if error.code != ErrorCode::Cancelled => Err(error.into()),
        _ => Ok(()),
    }
}
