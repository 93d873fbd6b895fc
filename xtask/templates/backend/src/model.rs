//! The model: a table of logits, its gradient and its optimizer.

use std::fs;
use std::path::Path;

use azr_plugin::serde_json::{self, Value, json};
use azr_plugin::{
    ErrorCode, LossSpec, OptimizerKind, OptimizerSpec, PluginError, Ratio, Result, Sampling,
    TrainSequence, UpdateReport, UpdateRequest,
};

/// Most token ids: the table grows with their square.
const MAX_VOCABULARY: usize = 4096;

/// `logits[last * n + next]`, and AdamW's moments of the same shape.
pub(crate) struct Bigram {
    n: usize,
    logits: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// Updates so far, for the moments' bias.
    step: f32,
}

impl Bigram {
    pub(crate) fn new(n: usize) -> Result<Self> {
        if n == 0 || n > MAX_VOCABULARY {
            let message =
                format!("the vocabulary has {n} ids, a bigram model takes 1 to {MAX_VOCABULARY}");
            return Err(PluginError::new(ErrorCode::InvalidInput, message));
        }
        let zeros = vec![0.0; n * n];
        Ok(Self { n, logits: zeros.clone(), mean: zeros.clone(), square: zeros, step: 0.0 })
    }

    pub(crate) fn n_parameters(&self) -> u64 {
        self.logits.len() as u64
    }

    /// Log-probability of each next id after `last`, in nats.
    fn distribution(&self, last: u32, temperature: f32) -> Vec<f64> {
        let start = last as usize * self.n;
        let row = &self.logits[start..start + self.n];
        let scaled: Vec<f64> = row.iter().map(|x| f64::from(*x) / f64::from(temperature)).collect();
        let max = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + scaled.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        scaled.into_iter().map(|x| x - log_sum).collect()
    }

    /// Log-probability of each token of `response`.
    pub(crate) fn logprobs(&self, prompt: &[u32], response: &[u32], temperature: f32) -> Vec<f64> {
        let logprob =
            |(last, next): (u32, u32)| self.distribution(last, temperature)[next as usize];
        pairs(prompt, response).map(logprob).collect()
    }

    /// The token behind `last` at the place `uniform` of the distribution, and its log-probability.
    pub(crate) fn next(&self, last: u32, sampling: &Sampling, uniform: f64) -> (u32, f64) {
        let is_greedy = sampling.temperature == 0.0;
        let logprobs = self.distribution(last, if is_greedy { 1.0 } else { sampling.temperature });
        let mut ids: Vec<usize> = (0..self.n).collect();
        ids.sort_by(|&a, &b| logprobs[b].total_cmp(&logprobs[a]));
        let mut kept = 0.0;
        // The nucleus: the likeliest tokens until they weigh `top_p`.
        let nucleus = ids.iter().take_while(|&&id| {
            let goes_on = kept == 0.0 || (!is_greedy && kept < f64::from(sampling.top_p));
            kept += logprobs[id].exp();
            goes_on
        });
        let nucleus: Vec<usize> = nucleus.copied().collect();
        let mut left = uniform * nucleus.iter().map(|&id| logprobs[id].exp()).sum::<f64>();
        let chosen = nucleus.iter().find(|&&id| {
            left -= logprobs[id].exp();
            left < 0.0
        });
        let id = chosen.or(nucleus.last()).copied().unwrap_or_default();
        (id as u32, logprobs[id])
    }

    /// One AdamW step on the weighted sum of token losses.
    pub(crate) fn update(&mut self, request: &UpdateRequest) -> Result<UpdateReport> {
        let UpdateRequest { sequences, loss, optimizer, bounds } = request;
        refuse_what_is_not_here(loss, optimizer)?;
        let mut report = UpdateReport::default();
        let mut gradient = vec![0.0; self.logits.len()];
        let mut total_weight = 0.0;
        for sequence in sequences {
            for (index, (last, next)) in pairs(&sequence.prompt, &sequence.response).enumerate() {
                let logprobs = self.distribution(last, loss.temperature);
                let token = token_loss(logprobs[next as usize], sequence, index, loss);
                let weight = f64::from(sequence.weights[index]);
                report.loss += weight * token.loss;
                report.clip_fraction += if token.clipped { weight } else { 0.0 };
                report.logprob_gap_mean += weight * token.gap;
                report.logprob_gap_max = report.logprob_gap_max.max(token.gap);
                report.entropy -= logprobs.iter().map(|l| l.exp() * l).sum::<f64>();
                report.n_tokens += 1;
                total_weight += weight;
                // d logprob / d logit = (1 if it is the token's else 0) - probability, over the temperature.
                let scale = weight * token.d_logprob / f64::from(loss.temperature);
                let row = last as usize * self.n;
                gradient[row + next as usize] += scale;
                for (slot, logprob) in gradient[row..row + self.n].iter_mut().zip(&logprobs) {
                    *slot -= scale * logprob.exp();
                }
            }
        }
        report.entropy /= (report.n_tokens as f64).max(1.0);
        if total_weight != 0.0 {
            report.clip_fraction /= total_weight;
            report.logprob_gap_mean /= total_weight;
        }
        report.grad_norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        report.applied = bounds.admits(report.loss, report.grad_norm);
        if report.applied {
            self.step(&gradient, report.grad_norm, optimizer);
        }
        Ok(report)
    }

    /// AdamW (arXiv 1711.05101) with the gradient clipped to its largest norm.
    fn step(&mut self, gradient: &[f64], norm: f64, spec: &OptimizerSpec) {
        let max_norm = f64::from(spec.max_grad_norm);
        let clip = if max_norm > 0.0 && norm > max_norm { max_norm / norm } else { 1.0 };
        self.step += 1.0;
        let (bias1, bias2) = (1.0 - spec.beta1.powf(self.step), 1.0 - spec.beta2.powf(self.step));
        for (index, gradient) in gradient.iter().enumerate() {
            let gradient = (gradient * clip) as f32;
            let (mean, square) = (&mut self.mean[index], &mut self.square[index]);
            *mean += (1.0 - spec.beta1) * (gradient - *mean);
            *square += (1.0 - spec.beta2) * (gradient * gradient - *square);
            let direction = (*mean / bias1) / ((*square / bias2).sqrt() + spec.epsilon);
            let logit = &mut self.logits[index];
            *logit -= spec.learning_rate * (direction + spec.weight_decay * *logit);
        }
    }

    /// Whether `folder` holds a model that [`Bigram::save`] wrote.
    pub(crate) fn is_saved_in(folder: &Path) -> bool {
        let config = fs::read_to_string(folder.join("config.json")).unwrap_or_default();
        serde_json::from_str::<Value>(&config).is_ok_and(|c| c["model_type"] == "bigram")
    }

    pub(crate) fn save(&self, folder: &Path, with_optimizer: bool) -> Result<()> {
        let config = json!({ "model_type": "bigram", "vocab_size": self.n });
        write(&folder.join("config.json"), config.to_string().as_bytes())?;
        write(&folder.join("model.safetensors"), &self.tensors(&[&self.logits]))?;
        if with_optimizer {
            let state = self.tensors(&[&self.mean, &self.square, &[self.step]]);
            write(&folder.join("optimizer.safetensors"), &state)?;
        }
        Ok(())
    }

    pub(crate) fn load(&mut self, folder: &Path) -> Result<()> {
        let mut fresh = Self::new(self.n)?;
        fresh.logits = self.read(&folder.join("model.safetensors"), fresh.logits.len())?;
        let optimizer = folder.join("optimizer.safetensors");
        if optimizer.exists() {
            let state = self.read(&optimizer, 2 * fresh.logits.len() + 1)?;
            let (mean, rest) = state.split_at(fresh.logits.len());
            let (square, step) = rest.split_at(fresh.logits.len());
            (fresh.mean, fresh.square, fresh.step) = (mean.to_vec(), square.to_vec(), step[0]);
        }
        *self = fresh;
        Ok(())
    }

    /// A safetensors file of tensors called `0`, `1`, …: header length, JSON header, numbers.
    fn tensors(&self, tensors: &[&[f32]]) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut data: Vec<u8> = Vec::new();
        for (number, values) in tensors.iter().enumerate() {
            let start = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let shape = if values.len() == 1 { json!([1]) } else { json!([self.n, self.n]) };
            let entry =
                json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
            header.insert(number.to_string(), entry);
        }
        let header = Value::Object(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        [&length, header.as_bytes(), &data].concat()
    }

    /// The `count` numbers of a file that [`Bigram::tensors`] made for a model of this size.
    fn read(&self, path: &Path, count: usize) -> Result<Vec<f32>> {
        let fail = |code, why: String| {
            PluginError::new(code, format!("cannot read {}: {why}", path.display()))
        };
        let bytes = fs::read(path).map_err(|error| fail(ErrorCode::Io, error.to_string()))?;
        let data = bytes.split_first_chunk::<8>().and_then(|(length, rest)| {
            rest.get(usize::try_from(u64::from_le_bytes(*length)).ok()?..)
        });
        match data {
            Some(data) if data.len() == 4 * count => {
                let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                Ok(data.chunks_exact(4).map(number).collect())
            }
            _ => Err(fail(
                ErrorCode::InvalidInput,
                format!("it is no bigram model of {} token ids", self.n),
            )),
        }
    }
}

/// Each token of a response with the one before it.
fn pairs(prompt: &[u32], response: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    let before = prompt.last().into_iter().chain(response).copied();
    before.zip(response.iter().copied()).collect::<Vec<_>>().into_iter()
}

struct TokenLoss {
    loss: f64,
    d_logprob: f64,
    clipped: bool,
    gap: f64,
}

/// The loss of one token and its derivative, as `LossSpec` documents it.
fn token_loss(logprob: f64, sequence: &TrainSequence, index: usize, spec: &LossSpec) -> TokenLoss {
    let advantage = f64::from(sequence.advantages[index]);
    let behaviour = sequence.behaviour_logprobs.get(index).map_or(logprob, |&b| f64::from(b));
    let gap = (logprob - behaviour).abs();
    if spec.ratio == Ratio::None {
        return TokenLoss {
            loss: -advantage * logprob,
            d_logprob: -advantage,
            clipped: false,
            gap,
        };
    }
    let ratio = (logprob - behaviour).exp();
    let held = ratio.clamp(1.0 - f64::from(spec.clip_low), 1.0 + f64::from(spec.clip_high));
    let bound = spec.dual_clip.filter(|_| advantage < 0.0).map(|c| -advantage * f64::from(c));
    let worse = (-advantage * ratio).max(-advantage * held);
    let loss = bound.map_or(worse, |bound| worse.min(bound));
    // Only the unclipped term depends on the weights.
    let clipped = loss != -advantage * ratio;
    TokenLoss { loss, d_logprob: if clipped { 0.0 } else { -advantage * ratio }, clipped, gap }
}

/// Refuses settings that would otherwise be ignored.
fn refuse_what_is_not_here(loss: &LossSpec, optimizer: &OptimizerSpec) -> Result<()> {
    let missing = match () {
        () if loss.ratio == Ratio::Sequence => "a ratio of whole sequences",
        () if loss.entropy_coef != 0.0 => "an entropy bonus",
        () if loss.kl_coef != 0.0 => "a reference model",
        () if optimizer.kind != OptimizerKind::Adamw => "Muon",
        () => return Ok(()),
    };
    Err(PluginError::new(ErrorCode::InvalidInput, format!("a bigram model has no {missing}"))
        .with_hint("choose another algorithm"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| {
        PluginError::new(ErrorCode::Io, format!("cannot write {}: {error}", path.display()))
    })
}
