//! Every algorithm against figures that `tests/data/make_vectors.py` computed from the papers' formulas.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;

use azr_plugin::Ratio;
use azr_rl::{
    Aggregation, Algorithm, Estimator, Objective, Response, Rollout, advantages, response_losses,
    token_loss, token_weights,
};
use serde::Deserialize;

/// Sums are taken in another order there.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Vectors {
    rollouts: Vec<VectorRollout>,
    algorithms: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct VectorRollout {
    group: u32,
    prompt: u32,
    reward: f32,
    n_tokens: u32,
    logprobs: Vec<f32>,
    behaviour: Vec<f32>,
    reference: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    estimator: String,
    ratio: Ratio,
    clip: (f32, f32),
    dual_clip: Option<f32>,
    aggregation: Aggregation,
    divisor: f32,
    entropy_coef: f32,
    kl_coef: f32,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    rollouts: Vec<ExpectedRollout>,
    total: f64,
}

#[derive(Deserialize)]
struct ExpectedRollout {
    advantage: f64,
    weight: f64,
    losses: Vec<f64>,
    gradient: Vec<f64>,
    divergences: Vec<f64>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../data/vectors.json")).unwrap()
}

fn rollouts(vectors: &Vectors) -> Vec<Rollout> {
    let rollout = |r: &VectorRollout| Rollout {
        group: r.group,
        prompt: r.prompt,
        reward: r.reward,
        n_tokens: r.n_tokens,
    };
    vectors.rollouts.iter().map(rollout).collect()
}

/// The algorithm as its paper describes it.
fn published(case: &Case) -> Objective {
    Objective {
        estimator: match case.estimator.as_str() {
            "whiten_tokens_of_group" => Estimator::TokenWhitening,
            "whiten_tokens_of_all" => Estimator::Global,
            "z_score_of_prompt" => Estimator::PromptRelative,
            "mean_of_prompt" => Estimator::PromptMean,
            "leave_one_out" => Estimator::LeaveOneOut,
            unknown => panic!("unknown estimator {unknown}"),
        },
        ratio: case.ratio,
        clip_low: case.clip.0,
        clip_high: case.clip.1,
        dual_clip: case.dual_clip.unwrap_or(0.0),
        aggregation: case.aggregation,
        length_divisor: case.divisor,
        entropy_coef: case.entropy_coef,
        kl_coef: case.kl_coef,
    }
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!(
        (found - expected).abs() <= TOLERANCE * (1.0 + expected.abs()),
        "{what}: {found} is not {expected}"
    );
}

#[test]
fn presets_are_what_the_papers_chose() {
    let vectors = vectors();
    assert_eq!(vectors.algorithms.len(), Algorithm::ALL.len());
    for algorithm in Algorithm::ALL {
        let name = serde_json::to_value(algorithm).unwrap();
        let case = &vectors.algorithms[name.as_str().unwrap()];
        assert_eq!(algorithm.objective(), published(case), "{name}");
    }
}

#[test]
fn figures_are_those_of_the_formulas() {
    let vectors = vectors();
    let rollouts = rollouts(&vectors);
    for (name, case) in &vectors.algorithms {
        let objective = published(case);
        let loss = objective.loss(1.0);
        let advantages = advantages(objective.estimator, &rollouts).unwrap();
        let weights = token_weights(&objective, &rollouts, &BTreeMap::new());
        let mut total = 0.0;
        for (index, (rollout, expected)) in
            vectors.rollouts.iter().zip(&case.expected.rollouts).enumerate()
        {
            let what = format!("{name}, rollout {index}");
            assert_close(advantages[index].value, expected.advantage, &what);
            assert_close(weights[index], expected.weight, &what);
            let per_token = vec![advantages[index].value as f32; rollout.logprobs.len()];
            let response = Response {
                logprobs: &rollout.logprobs,
                behaviour: &rollout.behaviour,
                reference: &rollout.reference,
                advantages: &per_token,
            };
            let losses = response_losses(&response, &loss);
            assert_eq!(losses.len(), expected.losses.len());
            for (position, token) in losses.iter().enumerate() {
                assert_close(token.loss, expected.losses[position], &what);
                assert_close(token.kl, expected.divergences[position], &what);
                let slope = token.d_logprob * weights[index];
                assert_close(slope, expected.gradient[position], &what);
                total += weights[index] * token.loss;
                // What devices compute where a token's loss is its own.
                if objective.kl_coef == 0.0 && objective.ratio != Ratio::Sequence {
                    let (logprob, behaviour) =
                        (rollout.logprobs[position], rollout.behaviour[position]);
                    assert_eq!(
                        token_loss(logprob, behaviour, per_token[position], &loss),
                        *token,
                        "{what}"
                    );
                }
            }
        }
        assert_close(total, case.expected.total, name);
    }
}

#[test]
fn the_figures_meet_every_bound() {
    let vectors = vectors();
    let n_flat = |name: &str| {
        let rollouts = &vectors.algorithms[name].expected.rollouts;
        let of_loss = rollouts.iter().filter(|rollout| rollout.advantage != 0.0);
        let slopes: Vec<f64> = of_loss.flat_map(|rollout| rollout.gradient.clone()).collect();
        (slopes.iter().filter(|slope| **slope == 0.0).count(), slopes.len())
    };
    for name in ["trr++", "reinforce++", "dr_grpo", "dapo", "gspo"] {
        let (n_flat, n) = n_flat(name);
        assert!(n_flat > 0 && n_flat < n, "{name}: {n_flat} of {n} clipped");
    }
    assert_eq!(n_flat("rloo").0, 0, "without a ratio nothing is clipped");
    let is_dual_clipped = |rollout: &ExpectedRollout| {
        rollout.losses.iter().any(|loss| (loss + 3.0 * rollout.advantage).abs() < 1e-6)
    };
    let of_trr = &vectors.algorithms["trr++"].expected.rollouts;
    assert!(of_trr.iter().any(|rollout| rollout.advantage < 0.0 && is_dual_clipped(rollout)));
}
