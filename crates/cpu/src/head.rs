//! The head: logits a chunk of rows at a time, and what is made of them before the next chunk takes their place.

use azr_plugin::LossSpec;
use azr_rl::token_loss;
use azr_transformer::{DeviceResult, SampleSpec, TokenScores, TokenTargets};

use crate::Cpu;
use crate::matrix::Matrix;
use crate::sample;
use crate::simd::{Kernel, LANES, Simd};
use crate::vectors::{load, load_or, max, store};

/// Rows whose logits exist at one time: enough for the products' speed, 156 MB at a vocabulary of 151,936.
const CHUNK_ROWS: usize = 256;
/// Numbers that are summed in float32 before the sum is continued in float64.
pub(crate) const SUM_VALUES: usize = 1024;

/// What softmax over `z = (logit - max) / temperature` needs of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowSums {
    pub(crate) max: f32,
    /// Sum of `exp(z)`.
    pub(crate) sum: f64,
    /// Sum of `z exp(z)`.
    pub(crate) weighted_sum: f64,
}

impl RowSums {
    /// Log-probability of a logit, nats.
    pub(crate) fn logprob(self, logit: f32, inv_temperature: f32) -> f32 {
        (f64::from((logit - self.max) * inv_temperature) - self.sum.ln()) as f32
    }

    /// Entropy of the row, nats.
    fn entropy(self) -> f32 {
        (self.sum.ln() - self.weighted_sum / self.sum) as f32
    }
}

pub(crate) struct SumRow<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) inv_temperature: f32,
}

impl Kernel for SumRow<'_> {
    type Output = RowSums;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> RowSums {
        let max = max(s, self.logits);
        let (shift, scale) = (s.splat(max), s.splat(self.inv_temperature));
        let (mut total, mut weighted_total) = (0.0, 0.0);
        for part in self.logits.chunks(SUM_VALUES) {
            let (mut sum, mut weighted_sum) = (s.splat(0.0), s.splat(0.0));
            for i in (0..part.len()).step_by(LANES) {
                let z = s.mul(s.sub(load_or(s, part, i, f32::NEG_INFINITY), shift), scale);
                let e = s.exp(z);
                sum = s.add(sum, e);
                // The finite bound keeps 0 * infinity of the padding and of masked logits out of the sum.
                weighted_sum = s.mul_add(s.max(z, s.splat(f32::MIN)), e, weighted_sum);
            }
            total += f64::from(s.reduce_add(sum));
            weighted_total += f64::from(s.reduce_add(weighted_sum));
        }
        RowSums { max, sum: total, weighted_sum: weighted_total }
    }
}

/// Turns logits into `p (linear + entropic log p)`, with `p` their softmax.
struct Gradient<'a> {
    logits: &'a mut [f32],
    sums: RowSums,
    inv_temperature: f32,
    linear: f32,
    entropic: f32,
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shift, scale) = (s.splat(self.sums.max), s.splat(self.inv_temperature));
        let log_sum = s.splat(self.sums.sum.ln() as f32);
        let (linear, entropic) = (s.splat(self.linear), s.splat(self.entropic));
        for i in (0..self.logits.len()).step_by(LANES) {
            let z = s.mul(s.sub(load(s, self.logits, i), shift), scale);
            let logprob = s.max(s.sub(z, log_sum), s.splat(f32::MIN));
            let factor = s.mul_add(entropic, logprob, linear);
            store(s, s.mul(s.exp(logprob), factor), self.logits, i);
        }
    }
}

/// Operands of the policy loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossOperands<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a Matrix,
    pub(crate) tokens: TokenTargets<'a>,
    pub(crate) loss: &'a LossSpec,
}

/// A matrix that rows can be multiplied with.
pub(crate) trait Weights {
    /// Outputs and inputs.
    fn shape(&self) -> (usize, usize);
    /// `y = x Wᵀ + bias`; lengths are the caller's duty.
    fn product(
        &self,
        cpu: &Cpu,
        x: &[f32],
        n_rows: usize,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> DeviceResult<()>;
}

impl Weights for Matrix {
    fn shape(&self) -> (usize, usize) {
        (self.n_out, self.n_in)
    }

    fn product(
        &self,
        cpu: &Cpu,
        x: &[f32],
        n_rows: usize,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> DeviceResult<()> {
        cpu.product(x, n_rows, self.view(), bias, y)
    }
}

/// Logits that exist at a time.
pub(crate) const fn n_chunk_values(n_rows: usize, vocab_size: usize) -> usize {
    vocab_size * if n_rows < CHUNK_ROWS { n_rows } else { CHUNK_ROWS }
}

/// Lengths are the caller's duty.
impl Cpu {
    /// Calls `work(first row, logits)` for each chunk of rows.
    fn for_chunks(
        &self,
        x: &[f32],
        n_rows: usize,
        weight: &impl Weights,
        mut work: impl FnMut(usize, &mut [f32]) -> DeviceResult<()>,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = weight.shape();
        let mut logits = self.scratch.take(n_chunk_values(n_rows, n_out))?;
        for first in (0..n_rows).step_by(CHUNK_ROWS) {
            let n_chunk = CHUNK_ROWS.min(n_rows - first);
            let logits = &mut logits[..n_chunk * n_out];
            weight.product(self, &x[first * n_in..], n_chunk, None, logits)?;
            work(first, logits)?;
        }
        Ok(())
    }

    pub(crate) fn sample_rows(
        &self,
        x: &[f32],
        weight: &impl Weights,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        let (n_out, _) = weight.shape();
        let mut logprobs = vec![0.0; specs.len()];
        // Ids as bits, so that one split serves both results.
        let mut tokens = vec![0.0; specs.len()];
        self.for_chunks(x, specs.len(), weight, |first, logits| {
            let n_rows = logits.len() / n_out;
            let outputs = [
                (logits, n_out),
                (&mut tokens[first..first + n_rows], 1),
                (&mut logprobs[first..first + n_rows], 1),
            ];
            self.pool.split_rows(n_rows, 1, outputs, |rows, [logits, tokens, logprobs]| {
                let specs = &specs[first..][rows];
                let results = tokens.iter_mut().zip(logprobs);
                for ((logits, spec), (token, logprob)) in
                    logits.chunks_exact_mut(n_out).zip(specs).zip(results)
                {
                    let sampled = sample::sample(self.backend, logits, spec);
                    *token = f32::from_bits(sampled.0);
                    *logprob = sampled.1;
                }
            });
            Ok(())
        })?;
        Ok((tokens.into_iter().map(f32::to_bits).collect(), logprobs))
    }

    pub(crate) fn score_rows(
        &self,
        x: &[f32],
        weight: &Matrix,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores> {
        let inv_temperature = 1.0 / temperature;
        let mut scores = empty_scores(targets.len());
        self.for_chunks(x, targets.len(), weight, |first, logits| {
            let n_rows = logits.len() / weight.n_out;
            let rows = first..first + n_rows;
            let outputs =
                [(&mut scores.logprobs[rows.clone()], 1), (&mut scores.entropies[rows], 1)];
            self.pool.split_rows(n_rows, 1, outputs, |rows, [logprobs, entropies]| {
                for (index, row) in rows.enumerate() {
                    let logits = &logits[row * weight.n_out..][..weight.n_out];
                    let sums = self.backend.run(SumRow { logits, inv_temperature });
                    logprobs[index] =
                        sums.logprob(logits[targets[first + row] as usize], inv_temperature);
                    entropies[index] = sums.entropy();
                }
            });
            Ok(())
        })?;
        Ok(scores)
    }

    /// With `l` the logits over the temperature, `p` their softmax and `H` its entropy:
    /// `d logprob(target) / d l[j] = [j is target] - p[j]` and `dH / d l[j] = -p[j] (log p[j] + H)`.
    pub(crate) fn loss_rows(
        &self,
        operands: LossOperands<'_>,
        dx: &mut [f32],
        mut d_weight: Option<&mut Matrix>,
    ) -> DeviceResult<TokenScores> {
        let LossOperands { x, weight, tokens, loss } = operands;
        let inv_temperature = 1.0 / loss.temperature;
        let (n_out, n_in) = (weight.n_out, weight.n_in);
        let mut scores = empty_scores(tokens.targets.len());
        self.for_chunks(x, tokens.targets.len(), weight, |first, logits| {
            let n_rows = logits.len() / n_out;
            let rows = first..first + n_rows;
            let outputs = [
                (&mut *logits, n_out),
                (&mut scores.logprobs[rows.clone()], 1),
                (&mut scores.entropies[rows], 1),
            ];
            self.pool.split_rows(n_rows, 1, outputs, |rows, [logits, logprobs, entropies]| {
                for ((index, row), logits) in rows.enumerate().zip(logits.chunks_exact_mut(n_out)) {
                    let row = first + row;
                    let target = tokens.targets[row] as usize;
                    let sums = self.backend.run(SumRow { logits, inv_temperature });
                    let logprob = sums.logprob(logits[target], inv_temperature);
                    let entropy = sums.entropy();
                    let slope = token_loss(
                        logprob,
                        tokens.behaviour_logprobs[row],
                        tokens.advantages[row],
                        loss,
                    )
                    .d_logprob as f32;
                    let weight = tokens.weights[row] * inv_temperature;
                    // A token without weight has no gradient, even where its loss is not finite.
                    let (linear, entropic) = if weight == 0.0 {
                        (0.0, 0.0)
                    } else {
                        (weight * (loss.entropy_coef * entropy - slope), weight * loss.entropy_coef)
                    };
                    if linear == 0.0 && entropic == 0.0 {
                        logits.fill(0.0);
                    } else {
                        self.backend.run(Gradient {
                            logits,
                            sums,
                            inv_temperature,
                            linear,
                            entropic,
                        });
                        logits[target] += weight * slope;
                    }
                    logprobs[index] = logprob;
                    entropies[index] = entropy;
                }
            });
            self.product_backward_input(logits, n_rows, weight, &mut dx[first * n_in..], false)?;
            match &mut d_weight {
                Some(gradient) => {
                    self.product_backward_weight(logits, &x[first * n_in..], n_rows, gradient)
                }
                None => Ok(()),
            }
        })?;
        Ok(scores)
    }
}

fn empty_scores(n_rows: usize) -> TokenScores {
    TokenScores { logprobs: vec![0.0; n_rows], entropies: vec![0.0; n_rows] }
}
