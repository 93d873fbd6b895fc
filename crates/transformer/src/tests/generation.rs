//! Samples are functions of (weights, prompt, sampling, seed) alone, and what they say is true.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use azr_plugin::{
    CallContext, Completion, CompletionSink, FinishReason, GenerateRequest, Quiet, Sampling,
    ScoreRequest,
};
use azr_weights::Family;

use super::{tiny_model, vocabulary};
use crate::reference::Reference;
use crate::{CopyFormat, GenerateLimits, Model, TrainingOptions, TransformerError, Vocabulary};

fn sampling(max_new_tokens: u32) -> Sampling {
    Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens, stop: Vec::new() }
}

fn request(prompt: &[u32], seeds: std::ops::Range<u64>, sampling: Sampling) -> GenerateRequest {
    GenerateRequest { prompt: prompt.to_vec(), seeds: seeds.collect(), sampling }
}

/// Prompts of different lengths, two of them equal, with different sampling.
fn requests() -> Vec<GenerateRequest> {
    let nucleus = Sampling { temperature: 1.7, top_p: 0.6, ..sampling(9) };
    let stops = Sampling { stop: vec!["a".into(), "cb".into()], ..sampling(12) };
    vec![
        request(&[1, 2, 3, 4, 5, 6, 7], 0..4, sampling(6)),
        request(&[9], 5..8, nucleus),
        request(&[3, 3, 3], 0..3, stops),
        request(&[1, 2, 3, 4, 5, 6, 7], 4..6, sampling(3)),
        request(&[4, 4], 0..1, Sampling { temperature: 0.0, ..sampling(5) }),
    ]
}

fn generate(
    model: &mut Model<Reference>,
    requests: &[GenerateRequest],
    limits: GenerateLimits,
) -> Vec<Vec<Completion>> {
    model.generate(requests, &vocabulary(), &limits, &Quiet, &Quiet).unwrap()
}

fn assert_same(a: &[Vec<Completion>], b: &[Vec<Completion>]) {
    assert_eq!(a, b);
    let bits = |c: &[Vec<Completion>]| {
        c.iter().flatten().flat_map(|c| &c.logprobs).map(|l| l.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(a), bits(b));
}

#[test]
fn a_sample_does_not_depend_on_its_company() {
    for (family, rollout_weights) in [
        (Family::Llama, None),
        (Family::Qwen2, None),
        (Family::Qwen2, Some(CopyFormat::Bf16)),
        (Family::Llama, Some(CopyFormat::Int8)),
        (Family::Qwen2, Some(CopyFormat::Int8)),
    ] {
        let mut model = tiny_model(family, true);
        let options = TrainingOptions { rollout_weights, ..TrainingOptions::default() };
        model.set_training_options(options).unwrap();
        let requests = requests();
        let together = generate(&mut model, &requests, GenerateLimits::default());
        for (max_live_rows, prefill_rows, cache_rows) in
            [(1, 512, 1000), (3, 2, 1000), (5, 4, 24), (64, 3, 14)]
        {
            let limits =
                GenerateLimits { max_live_rows, prefill_rows, kv_cache_bytes: cache_rows * 128 };
            assert_same(&together, &generate(&mut model, &requests, limits));
        }
        for (request, expected) in requests.iter().zip(&together) {
            for (&seed, expected) in request.seeds.iter().zip(expected) {
                let alone = GenerateRequest { seeds: vec![seed], ..request.clone() };
                let found = generate(&mut model, &[alone], GenerateLimits::default());
                assert_same(&found, &[vec![expected.clone()]]);
            }
        }
        assert_ne!(together[0][0].tokens, together[0][1].tokens);
    }
}

#[test]
fn a_prompt_in_the_middle_of_a_full_cache_is_computed_again() {
    // 16 rows: the first prompt takes 0..4 and its sample 4..6, the second prompt 6..14. When the first is gone,
    // the second one's sample of 8 rows fits on neither side.
    let mut model = tiny_model(Family::Llama, true);
    let requests = [
        request(&[1, 2, 3, 4], 0..1, sampling(3)),
        request(&[1, 2, 3, 4, 5, 6, 7, 8], 0..2, sampling(9)),
    ];
    let limits = GenerateLimits { kv_cache_bytes: 16 * 128, ..GenerateLimits::default() };
    assert_same(
        &generate(&mut model, &requests, GenerateLimits::default()),
        &generate(&mut model, &requests, limits),
    );
}

#[test]
fn log_probs_are_those_of_scoring() {
    let mut model = tiny_model(Family::Qwen2, false);
    let requests = requests();
    let completions = generate(&mut model, &requests, GenerateLimits::default());
    let scores: Vec<ScoreRequest> = requests
        .iter()
        .zip(&completions)
        .flat_map(|(request, completions)| {
            completions.iter().map(|completion| ScoreRequest {
                prompt: request.prompt.clone(),
                response: completion.tokens.clone(),
                temperature: if request.sampling.temperature == 0.0 {
                    1.0
                } else {
                    request.sampling.temperature
                },
            })
        })
        .collect();
    for max_rows in [1, 20, 1000] {
        let scored = model.score(&scores, max_rows, &Quiet).unwrap();
        assert_eq!(scored.len(), 13);
        for (completion, scored) in completions.iter().flatten().zip(&scored) {
            assert_eq!(completion.logprobs.len(), scored.len());
            for (a, b) in completion.logprobs.iter().zip(scored) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }
}

#[test]
fn greedy_follows_the_logits() {
    let mut model = tiny_model(Family::Llama, false);
    let completion =
        generate(&mut model, &requests()[4..], GenerateLimits::default())[0][0].clone();
    let mut tokens = vec![4, 4];
    for &token in &completion.tokens {
        let logits = model.logits(&tokens, &Quiet).unwrap();
        let last = &logits[logits.len() - 17..];
        let best = (0..17).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
        assert_eq!(token as usize, best);
        tokens.push(token);
    }
    assert_eq!(
        completion.finish,
        if tokens.last() == Some(&16) { FinishReason::Eos } else { FinishReason::Length }
    );
}

#[test]
fn responses_end_for_the_reason_they_give() {
    let mut model = tiny_model(Family::Llama, true);
    let long =
        request(&[1, 2], 0..40, Sampling { stop: vec!["cd".into(), "e".into()], ..sampling(100) });
    let completions = generate(&mut model, &[long], GenerateLimits::default()).remove(0);
    let mut seen = [false; 3];
    for completion in completions {
        let letters: String = completion
            .tokens
            .iter()
            .filter(|&&t| t < 16)
            .map(|&t| char::from(b'a' + t as u8))
            .collect();
        let (kind, text) = match completion.finish {
            FinishReason::Eos => {
                assert_eq!(completion.tokens.last(), Some(&16));
                (0, letters.as_str())
            }
            FinishReason::Stop => {
                (1, letters.strip_suffix("cd").or(letters.strip_suffix('e')).unwrap())
            }
            FinishReason::Context => {
                assert_eq!(completion.tokens.len(), 38);
                (2, letters.as_str())
            }
            FinishReason::Length => unreachable!("100 tokens do not fit"),
        };
        seen[kind] = true;
        assert_eq!(completion.text, text);
        assert!(!text.contains("cd") && !text.contains('e'));
    }
    assert!(seen[0] && seen[1], "{seen:?}");

    let no_end = Vocabulary::default();
    let cases = [
        (vec![1; 30], 100, 10, FinishReason::Context),
        (vec![1; 30], 10, 10, FinishReason::Length),
        (vec![1; 40], 10, 0, FinishReason::Context),
        (vec![1; 50], 10, 0, FinishReason::Context),
        (vec![1; 3], 0, 0, FinishReason::Length),
        (vec![1; 3], 1, 1, FinishReason::Length),
    ];
    for (prompt, max_new_tokens, len, finish) in cases {
        let request = request(&prompt, 3..4, sampling(max_new_tokens));
        let completion = model
            .generate(&[request], &no_end, &GenerateLimits::default(), &Quiet, &Quiet)
            .unwrap()
            .remove(0)
            .remove(0);
        assert_eq!(
            (completion.tokens.len(), completion.finish, completion.text.as_str()),
            (len, finish, "")
        );
    }
}

type Spoil = fn(&mut GenerateRequest);

#[test]
fn bad_requests_and_small_caches_are_refused() {
    let mut model = tiny_model(Family::Llama, true);
    let good = request(&[1], 0..1, sampling(4));
    let cases: [(Spoil, &str); 6] = [
        (|r| r.prompt.clear(), "no tokens"),
        (|r| r.prompt.push(17), "vocabulary"),
        (|r| r.sampling.temperature = f32::NAN, "temperature"),
        (|r| r.sampling.top_p = 0.0, "top_p"),
        (|r| r.sampling.stop.push(String::new()), "stop string"),
        (|r| r.sampling.max_new_tokens = 15, "key-value cache"),
    ];
    let limits = GenerateLimits { kv_cache_bytes: 14 * 128, ..GenerateLimits::default() };
    for (spoil, expected) in cases {
        let mut request = good.clone();
        spoil(&mut request);
        let result = model.generate(&[request], &vocabulary(), &limits, &Quiet, &Quiet);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(generate(&mut model, &[], limits), Vec::<Vec<Completion>>::new());
}

/// Cancels once `after` tokens were reported.
struct CancelAfter {
    after: u64,
    done: AtomicU64,
}

impl CallContext for CancelAfter {
    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total && done >= self.done.load(Ordering::Relaxed));
        self.done.store(done, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.after
    }
}

/// What was told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<(usize, usize, Completion)>>);

impl CompletionSink for Told {
    fn completed(&self, request: usize, sample: usize, completion: &Completion) {
        self.0.lock().unwrap().push((request, sample, completion.clone()));
    }
}

#[test]
fn every_sample_is_told_of_once_as_it_is_returned() {
    let mut model = tiny_model(Family::Qwen2, true);
    let nothing = request(&[5, 5], 0..2, sampling(0));
    let requests = [requests(), vec![nothing]].concat();
    for max_live_rows in [1, 3, 64] {
        let limits = GenerateLimits { max_live_rows, ..GenerateLimits::default() };
        let told = Told::default();
        let expected = model.generate(&requests, &vocabulary(), &limits, &told, &Quiet).unwrap();
        let mut told = told.0.into_inner().unwrap();
        let is_order_of_ends =
            |pair: &[(usize, usize, Completion)]| pair[0].2.tokens.len() <= pair[1].2.tokens.len();
        assert!(max_live_rows < 64 || told.windows(2).all(is_order_of_ends), "{told:?}");
        told.sort_by_key(|(request, sample, _)| (*request, *sample));
        let sampled = expected.iter().enumerate().flat_map(|(request, group)| {
            group.iter().enumerate().map(move |(sample, one)| (request, sample, one.clone()))
        });
        // Nobody waits for a response of no tokens.
        let sampled: Vec<_> = sampled.filter(|(_, _, one)| !one.tokens.is_empty()).collect();
        assert_eq!(told, sampled);
    }
}

#[test]
fn progress_counts_tokens_and_cancellation_ends_the_wave() {
    let mut model = tiny_model(Family::Llama, true);
    let requests = requests();
    let mut run = |after| {
        let context = CancelAfter { after, done: AtomicU64::new(0) };
        let result =
            model.generate(&requests, &vocabulary(), &GenerateLimits::default(), &Quiet, &context);
        (result, context.done.into_inner())
    };
    let (result, done) = run(u64::MAX);
    let n_tokens: usize =
        result.unwrap().iter().flatten().map(|completion| completion.tokens.len()).sum();
    assert_eq!(done, n_tokens as u64);
    let (result, done) = run(14);
    assert!(matches!(result, Err(TransformerError::Cancelled)));
    assert!((14..14 + 13).contains(&done));
}
