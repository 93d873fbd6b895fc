//! What the loss of an update asks of the head, micro-batch by micro-batch, and what an update reports of it.

use std::ops::Range;

use azr_plugin::{LossSpec, Ratio, TrainSequence, UpdateReport};
use azr_rl::{Response, TokenLoss, response_losses, token_loss};

use crate::device::{TokenScores, TokenTargets};
use crate::rows::MicroBatch;

/// Whether any token of the sequence has a gradient.
pub(crate) fn has_loss(sequence: &TrainSequence, loss: &LossSpec) -> bool {
    let is_regularized = loss.entropy_coef != 0.0 || loss.kl_coef != 0.0;
    let mut tokens = sequence.advantages.iter().zip(&sequence.weights);
    tokens.any(|(&advantage, &weight)| weight != 0.0 && (advantage != 0.0 || is_regularized))
}

/// The loss of a micro-batch as the head of a device computes it: token by token.
pub(crate) struct BatchLoss<'a> {
    batch: &'a MicroBatch,
    /// What the head is told.
    spec: LossSpec,
    behaviour_logprobs: Vec<f32>,
    advantages: Vec<f32>,
    weights: Vec<f32>,
    /// The loss of each row's token, where it depends on more than the head sees of it.
    known: Option<Vec<TokenLoss>>,
}

impl<'a> BatchLoss<'a> {
    pub(crate) fn new(
        batch: &'a MicroBatch,
        sequences: &[&TrainSequence],
        loss: &LossSpec,
    ) -> Self {
        let gather = |values: fn(&TrainSequence) -> &Vec<f32>| {
            batch.members.iter().flat_map(|&member| values(sequences[member])).copied().collect()
        };
        let mut behaviour_logprobs = Vec::new();
        for sequence in batch.members.iter().map(|&member| sequences[member]) {
            let n_unknown = sequence.response.len() - sequence.behaviour_logprobs.len();
            behaviour_logprobs.extend_from_slice(&sequence.behaviour_logprobs);
            behaviour_logprobs.extend(std::iter::repeat_n(f32::NAN, n_unknown));
        }
        Self {
            batch,
            spec: loss.clone(),
            behaviour_logprobs,
            advantages: gather(|sequence| &sequence.advantages),
            weights: gather(|sequence| &sequence.weights),
            known: None,
        }
    }

    /// Whether [`BatchLoss::resolve`] has to come before the head: a token's loss depends on its whole response or on
    /// the reference model.
    pub(crate) fn needs_logprobs(&self) -> bool {
        self.spec.ratio == Ratio::Sequence || self.spec.kl_coef != 0.0
    }

    /// Works out every token's loss from the log-probabilities of all rows. From then on each advantage is the one with
    /// which a loss without ratio and reference has the same gradient, so that devices need to know of neither.
    pub(crate) fn resolve(&mut self, sequences: &[&TrainSequence], logprobs: &[f32]) {
        let (mut losses, mut rest) = (Vec::with_capacity(logprobs.len()), logprobs);
        for sequence in self.batch.members.iter().map(|&member| sequences[member]) {
            let (logprobs, after) = rest.split_at(sequence.response.len());
            rest = after;
            let response = Response {
                logprobs,
                behaviour: &sequence.behaviour_logprobs,
                reference: &sequence.reference_logprobs,
                advantages: &sequence.advantages,
            };
            losses.extend(response_losses(&response, &self.spec));
        }
        for (advantage, token) in self.advantages.iter_mut().zip(&losses) {
            *advantage = -token.d_logprob as f32;
        }
        (self.spec.ratio, self.spec.kl_coef) = (Ratio::None, 0.0);
        self.known = Some(losses);
    }

    /// Number of final rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.batch.targets.len()
    }

    /// What the head is told.
    pub(crate) fn spec(&self) -> &LossSpec {
        &self.spec
    }

    /// Targets and loss terms of some of the final rows.
    pub(crate) fn targets(&self, rows: Range<usize>) -> TokenTargets<'_> {
        TokenTargets {
            targets: &self.batch.targets[rows.clone()],
            behaviour_logprobs: &self.behaviour_logprobs[rows.clone()],
            advantages: &self.advantages[rows.clone()],
            weights: &self.weights[rows],
        }
    }

    fn token_loss(&self, row: usize, logprob: f32) -> TokenLoss {
        match &self.known {
            Some(losses) => losses[row],
            None => {
                let (behaviour, advantage) = (self.behaviour_logprobs[row], self.advantages[row]);
                token_loss(logprob, behaviour, advantage, &self.spec)
            }
        }
    }
}

/// Sums over the tokens that carry a loss, in float64.
#[derive(Default)]
pub(crate) struct ReportSums {
    loss: f64,
    entropy: f64,
    kl: f64,
    weight: f64,
    weighted_gap: f64,
    largest_gap: f64,
    n_clipped: u64,
    n_tokens: u64,
}

impl ReportSums {
    /// Adds what the head found of some of the final rows.
    pub(crate) fn add(&mut self, loss: &BatchLoss<'_>, rows: Range<usize>, scores: &TokenScores) {
        for ((row, &logprob), &entropy) in rows.zip(&scores.logprobs).zip(&scores.entropies) {
            let weight = f64::from(loss.weights[row]);
            if weight == 0.0 {
                continue;
            }
            let token = loss.token_loss(row, logprob);
            let bonus = f64::from(loss.spec.entropy_coef) * f64::from(entropy);
            let behaviour = loss.behaviour_logprobs[row];
            // A text that nobody sampled has no gap.
            let gap = if behaviour.is_nan() {
                0.0
            } else {
                (f64::from(logprob) - f64::from(behaviour)).abs()
            };
            self.loss += weight * (token.loss - bonus);
            self.entropy += f64::from(entropy);
            self.kl += token.kl;
            self.weight += weight.abs();
            self.weighted_gap += weight.abs() * gap;
            // `max` would hide a gap that is not a number.
            let is_larger = gap > self.largest_gap || gap.is_nan();
            self.largest_gap = if is_larger { gap } else { self.largest_gap };
            self.n_clipped += u64::from(token.clipped);
            self.n_tokens += 1;
        }
    }

    /// The report but for what the step adds.
    pub(crate) fn into_report(self) -> UpdateReport {
        let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        let n_tokens = self.n_tokens as f64;
        UpdateReport {
            loss: self.loss,
            entropy: mean(self.entropy, n_tokens),
            kl: mean(self.kl, n_tokens),
            clip_fraction: mean(self.n_clipped as f64, n_tokens),
            logprob_gap_mean: mean(self.weighted_gap, self.weight),
            logprob_gap_max: self.largest_gap,
            n_tokens: self.n_tokens,
            ..UpdateReport::default()
        }
    }
}
