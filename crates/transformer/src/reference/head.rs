//! The head of the reference device: logits, sampling, scores and the policy loss.

use azr_plugin::{LossSpec, Ratio};

use super::{Dense, Values, need, need_indices, need_lengths};
use crate::device::{DeviceResult, SampleSpec, TokenScores, TokenTargets};

fn logits(x: &Values, row: usize, weight: &Dense) -> Vec<f64> {
    let x = &x.0[row * weight.n_in..][..weight.n_in];
    (0..weight.n_out).map(|n| x.iter().zip(weight.row(n)).map(|(x, w)| x * w).sum()).collect()
}

/// Log-probabilities of a softmax over `logits / temperature`.
fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| ((logit - max) / temperature).exp()).sum();
    logits.iter().map(|logit| (logit - max) / temperature - sum.ln()).collect()
}

fn entropy(logprobs: &[f64]) -> f64 {
    -logprobs.iter().map(|logprob| logprob * logprob.exp()).sum::<f64>()
}

pub(super) fn logits_f32(
    x: &Values,
    rows: usize,
    weight: &Dense,
    out: &mut [f32],
) -> DeviceResult<()> {
    need_lengths(&[(x, rows * weight.n_in)])?;
    need(out.len() >= rows * weight.n_out, "the output is too short")?;
    for (row, out) in out.chunks_exact_mut(weight.n_out).take(rows).enumerate() {
        for (to, from) in out.iter_mut().zip(logits(x, row, weight)) {
            *to = from as f32;
        }
    }
    Ok(())
}

pub(super) fn sample(
    x: &Values,
    weight: &Dense,
    specs: &[SampleSpec],
) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
    need_lengths(&[(x, specs.len() * weight.n_in)])?;
    let rows = specs.iter().enumerate();
    Ok(rows.map(|(row, spec)| sample_row(&logits(x, row, weight), spec)).unzip())
}

/// The sampled id and its log-probability.
pub(super) fn sample_row(logits: &[f64], spec: &SampleSpec) -> (u32, f32) {
    let greedy = spec.temperature == 0.0;
    let logprobs = log_softmax(logits, if greedy { 1.0 } else { f64::from(spec.temperature) });
    let token = if greedy { most_likely_first(logits)[0] } else { draw(&logprobs, spec) };
    (token as u32, logprobs[token] as f32)
}

/// Ids by falling probability, the lower id first among equals.
fn most_likely_first(scores: &[f64]) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..scores.len()).collect();
    ids.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    ids
}

/// Inverse transform over the nucleus: the most likely ids whose mass reaches `top_p`, in ascending order of id.
fn draw(logprobs: &[f64], spec: &SampleSpec) -> usize {
    let mut mass = 0.0;
    let mut nucleus = Vec::new();
    for id in most_likely_first(logprobs) {
        nucleus.push(id);
        mass += logprobs[id].exp();
        if spec.top_p < 1.0 && mass >= f64::from(spec.top_p) {
            break;
        }
    }
    nucleus.sort_unstable();
    let mut left = f64::from(spec.uniform) * mass;
    for &id in &nucleus {
        left -= logprobs[id].exp();
        if left < 0.0 {
            return id;
        }
    }
    nucleus[nucleus.len() - 1]
}

pub(super) fn scores(
    x: &Values,
    weight: &Dense,
    targets: &[u32],
    temperature: f32,
) -> DeviceResult<TokenScores> {
    need_lengths(&[(x, targets.len() * weight.n_in)])?;
    need_indices(targets, weight.n_out)?;
    let mut scores = TokenScores::default();
    for (row, &target) in targets.iter().enumerate() {
        let logprobs = log_softmax(&logits(x, row, weight), f64::from(temperature));
        scores.logprobs.push(logprobs[target as usize] as f32);
        scores.entropies.push(entropy(&logprobs) as f32);
    }
    Ok(scores)
}

/// The loss of [`LossSpec`] without its entropy bonus, and its derivative by `logprob`.
pub(super) fn token_loss(
    logprob: f64,
    behaviour: f64,
    advantage: f64,
    loss: &LossSpec,
) -> (f64, f64) {
    if loss.ratio != Ratio::Token {
        return (-advantage * logprob, -advantage);
    }
    let ratio = (logprob - behaviour).exp();
    let clipped = ratio.clamp(1.0 - f64::from(loss.clip_low), 1.0 + f64::from(loss.clip_high));
    let (plain, flat) = (-ratio * advantage, -clipped * advantage);
    let (value, slope) = if plain >= flat { (plain, plain) } else { (flat, 0.0) };
    match loss.dual_clip {
        Some(bound) if advantage < 0.0 && value > -f64::from(bound) * advantage => {
            (-f64::from(bound) * advantage, 0.0)
        }
        _ => (value, slope),
    }
}

/// Log-probability of each row's target, as float64 has it.
#[cfg(test)]
pub(crate) fn target_logprobs(
    x: &Values,
    weight: &Dense,
    targets: &[u32],
    temperature: f32,
) -> Vec<f64> {
    let logprob = |(row, &target): (usize, &u32)| {
        log_softmax(&logits(x, row, weight), f64::from(temperature))[target as usize]
    };
    targets.iter().enumerate().map(logprob).collect()
}

/// The weighted sum over rows of the loss whose gradients [`crate::Device::head_loss`] takes.
pub fn policy_loss(x: &Values, weight: &Dense, tokens: TokenTargets<'_>, loss: &LossSpec) -> f64 {
    let mut sum = 0.0;
    for (row, &target) in tokens.targets.iter().enumerate() {
        let logprobs = log_softmax(&logits(x, row, weight), f64::from(loss.temperature));
        let behaviour = f64::from(tokens.behaviour_logprobs[row]);
        let (value, _) = token_loss(
            logprobs[target as usize],
            behaviour,
            f64::from(tokens.advantages[row]),
            loss,
        );
        sum += f64::from(tokens.weights[row])
            * (value - f64::from(loss.entropy_coef) * entropy(&logprobs));
    }
    sum
}

/// With `l` the logits over the temperature, `p` their softmax and `H` its entropy:
/// `d logprob(target) / d l[j] = [j is target] - p[j]` and `dH / d l[j] = -p[j] (log p[j] + H)`.
pub(super) fn loss(
    x: &Values,
    weight: &Dense,
    tokens: TokenTargets<'_>,
    loss: &LossSpec,
    dx: &mut Values,
    mut d_weight: Option<&mut Dense>,
) -> DeviceResult<TokenScores> {
    let rows = tokens.targets.len();
    let n_in = weight.n_in;
    need(
        [tokens.behaviour_logprobs.len(), tokens.advantages.len(), tokens.weights.len()]
            == [rows; 3],
        "the loss terms differ in length",
    )?;
    need_lengths(&[(x, rows * n_in), (dx, rows * n_in)])?;
    need_indices(tokens.targets, weight.n_out)?;
    need(
        d_weight.as_ref().is_none_or(|d| (d.n_out, d.n_in) == (weight.n_out, n_in)),
        "weight and gradient differ in shape",
    )?;
    let mut scores = TokenScores::default();
    for row in 0..rows {
        let target = tokens.targets[row] as usize;
        let logprobs = log_softmax(&logits(x, row, weight), f64::from(loss.temperature));
        let entropy = entropy(&logprobs);
        let behaviour = f64::from(tokens.behaviour_logprobs[row]);
        let (_, slope) =
            token_loss(logprobs[target], behaviour, f64::from(tokens.advantages[row]), loss);
        let row_weight = f64::from(tokens.weights[row]);
        dx.0[row * n_in..][..n_in].fill(0.0);
        for (j, logprob) in logprobs.iter().enumerate() {
            let p = logprob.exp();
            let d_logprob = if j == target { 1.0 - p } else { -p };
            let d_entropy = -p * (logprob + entropy);
            let d_scaled =
                row_weight * (slope * d_logprob - f64::from(loss.entropy_coef) * d_entropy);
            let d_logit = d_scaled / f64::from(loss.temperature);
            for k in 0..n_in {
                dx.0[row * n_in + k] += d_logit * weight.row(j)[k];
                if let Some(d_weight) = &mut d_weight {
                    d_weight.row_mut(j)[k] += d_logit * x.0[row * n_in + k];
                }
            }
        }
        scores.logprobs.push(logprobs[target] as f32);
        scores.entropies.push(entropy as f32);
    }
    Ok(scores)
}
