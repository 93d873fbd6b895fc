//! One wave: admission, prefill and decoding steps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use azr_plugin::{
    CallContext, Completion, CompletionSink, FinishReason, GenerateRequest, Sampling,
};

use super::{GenerateLimits, Vocabulary, empty_completion, sample_spec};
use crate::cache::{KvCache, RowAllocator, cache_bytes_per_row};
use crate::copies::WeightCopies;
use crate::device::{Device, KeySpan};
use crate::error::{Result, TransformerError};
use crate::forward::{Activations, Keep, Rollout};
use crate::memory::{MemoryUse, activation_values};
use crate::model::Model;
use crate::rows::PackedRows;
use crate::text::ResponseText;

/// Fewest tokens at the beginning of two prompts for which one takes the other's keys and values.
const MIN_HEADER: usize = 16;

/// The state of a running wave.
pub(super) struct Wave<'a, D: Device> {
    model: &'a Model<D>,
    copies: Option<&'a WeightCopies<D>>,
    vocabulary: &'a Vocabulary,
    limits: GenerateLimits,
    /// Distinct prompts.
    prompts: Vec<Prompt<'a>>,
    /// Samples that have not been admitted, those of one prompt together.
    waiting: VecDeque<Sample<'a>>,
    /// Samples that are being decoded; the ones without a token yet are last.
    live: Vec<Live<'a>>,
    cache: KvCache<D>,
    free_rows: RowAllocator,
    activations: Activations<D>,
    completions: Vec<Vec<Completion>>,
    n_sampled: u64,
}

struct Prompt<'a> {
    tokens: &'a [u32],
    /// Samples that are waiting or live.
    n_unfinished: usize,
    resident: Option<Resident>,
}

/// A prompt in the cache.
struct Resident {
    first_row: usize,
    /// Tokens whose keys and values are there.
    n_done: usize,
    /// Normalised final state of the last token, once it is there.
    state: Vec<f32>,
}

/// A sample that was asked for.
#[derive(Clone, Copy)]
struct Sample<'a> {
    request: usize,
    index: usize,
    prompt: usize,
    seed: u64,
    sampling: &'a Sampling,
    /// Most tokens of the response, at least 1, and what it means to reach that.
    max_tokens: usize,
    at_limit: FinishReason,
}

impl Sample<'_> {
    /// Cache rows for the response: its last token is never computed on.
    fn n_rows(&self) -> usize {
        self.max_tokens - 1
    }
}

/// A sample that is being decoded.
struct Live<'a> {
    sample: Sample<'a>,
    first_row: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    text: ResponseText,
    finish: Option<FinishReason>,
}

impl<'a, D: Device> Wave<'a, D> {
    pub(super) fn new(
        model: &'a Model<D>,
        requests: &'a [GenerateRequest],
        vocabulary: &'a Vocabulary,
        limits: &GenerateLimits,
    ) -> Result<Self> {
        let limits = GenerateLimits {
            max_live_rows: limits.max_live_rows.max(1),
            prefill_rows: limits.prefill_rows.max(1),
            ..*limits
        };
        let mut prompts: Vec<Prompt<'a>> = Vec::new();
        let mut samples = Vec::new();
        let mut completions = Vec::new();
        let mut prompt_indices: BTreeMap<&[u32], usize> = BTreeMap::new();
        for (request_index, request) in requests.iter().enumerate() {
            let room = model.config.context_length.saturating_sub(request.prompt.len());
            let wanted = request.sampling.max_new_tokens as usize;
            let at_limit =
                if wanted <= room { FinishReason::Length } else { FinishReason::Context };
            completions.push(vec![empty_completion(at_limit); request.seeds.len()]);
            let max_tokens = wanted.min(room);
            if max_tokens == 0 || request.seeds.is_empty() {
                continue;
            }
            let prompt = *prompt_indices.entry(&request.prompt).or_insert_with(|| {
                prompts.push(Prompt { tokens: &request.prompt, n_unfinished: 0, resident: None });
                prompts.len() - 1
            });
            prompts[prompt].n_unfinished += request.seeds.len();
            samples.extend(request.seeds.iter().enumerate().map(|(index, &seed)| Sample {
                request: request_index,
                index,
                prompt,
                seed,
                sampling: &request.sampling,
                max_tokens,
                at_limit,
            }));
        }
        samples.sort_by_key(|sample| sample.prompt);

        let n_rows = cache_rows(model, &prompts, &samples, &limits)?;
        let n_live = samples.len().min(limits.max_live_rows);
        let n_prompt_rows: usize = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        let n_activations = n_live.max(n_prompt_rows.min(limits.prefill_rows));
        let n_values = activation_values(&model.config, Keep::Nothing);
        let row_bytes = cache_bytes_per_row(&model.config, model.device.activation_precision());
        let cache_bytes = (n_rows as u64).saturating_mul(row_bytes);
        let bytes = cache_bytes.saturating_add(model.activation_bytes(n_activations, n_values));
        model.check_memory(MemoryUse::Generation, bytes)?;
        Ok(Self {
            cache: KvCache::new(model, n_rows)?,
            free_rows: RowAllocator::new(n_rows),
            activations: Activations::new(model, n_activations, Keep::Nothing)?,
            copies: model.weights.copies(),
            model,
            vocabulary,
            limits,
            prompts,
            waiting: samples.into(),
            live: Vec::new(),
            completions,
            n_sampled: 0,
        })
    }

    pub(super) fn run(
        mut self,
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>> {
        loop {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            self.admit();
            if self.live.is_empty() {
                return Ok(self.completions);
            }
            self.prefill(context)?;
            self.decode(context)?;
            self.retire(sink);
            context.progress(self.n_sampled, self.n_sampled + self.n_outstanding());
        }
    }

    /// Most tokens that are still to be sampled.
    fn n_outstanding(&self) -> u64 {
        let live = self.live.iter().map(|live| live.sample.max_tokens - live.tokens.len());
        live.chain(self.waiting.iter().map(|sample| sample.max_tokens)).map(|n| n as u64).sum()
    }

    fn admit(&mut self) {
        while self.live.len() < self.limits.max_live_rows
            && let Some(&sample) = self.waiting.front()
        {
            let mut first_row = self.place(&sample);
            if first_row.is_none() && self.live.is_empty() {
                // Only the waiting prompt itself can be in the way, in the middle of the cache: computing it again
                // at the front makes room, because every sample fits into an empty cache.
                self.evict(sample.prompt);
                first_row = self.place(&sample);
            }
            let Some(first_row) = first_row else { return };
            self.waiting.pop_front();
            self.live.push(Live {
                sample,
                first_row,
                tokens: Vec::new(),
                logprobs: Vec::new(),
                text: ResponseText::default(),
                finish: None,
            });
        }
    }

    /// Finds cache rows for a sample, and for its prompt if that has none. Returns the sample's first row.
    fn place(&mut self, sample: &Sample<'a>) -> Option<usize> {
        let prompt = &mut self.prompts[sample.prompt];
        if prompt.resident.is_none() {
            let first_row = self.free_rows.allocate(prompt.tokens.len())?;
            prompt.resident = Some(Resident { first_row, n_done: 0, state: Vec::new() });
        }
        self.free_rows.allocate(sample.n_rows())
    }

    fn evict(&mut self, prompt: usize) {
        let prompt = &mut self.prompts[prompt];
        if let Some(resident) = prompt.resident.take() {
            self.free_rows.release(resident.first_row, prompt.tokens.len());
        }
    }

    /// Copies what the cache already has of the beginnings of prompts: instructions and examples that prompts have in
    /// common are computed once. A key and a value are functions of the tokens up to theirs, whatever was computed
    /// beside them, so no bit is another.
    fn copy_headers(&mut self) -> Result<()> {
        for live in &self.live {
            let Prompt { tokens, resident: Some(resident), .. } = &self.prompts[live.sample.prompt]
            else {
                continue;
            };
            let (n_done, to) = (resident.n_done, resident.first_row);
            // Nothing to gain, above all where the prompt is complete; this is asked at every step.
            if tokens.len() <= n_done + MIN_HEADER {
                continue;
            }
            let held = self.prompts.iter().filter_map(|other| {
                let from = other.resident.as_ref()?;
                let n_done = &other.tokens[..from.n_done];
                Some((n_shared(tokens, n_done), from.first_row))
            });
            let Some((len, from)) = held.max_by_key(|&(len, from)| (len, Reverse(from))) else {
                continue;
            };
            if len < n_done + MIN_HEADER {
                continue;
            }
            self.cache.copy_rows(self.model, from + n_done, to + n_done, len - n_done)?;
            if let Some(resident) = &mut self.prompts[live.sample.prompt].resident {
                resident.n_done = len;
            }
        }
        Ok(())
    }

    /// Computes the prompts of admitted samples that are not complete, several in a pass. Returns how many rows were
    /// computed.
    fn prefill(&mut self, context: &dyn CallContext) -> Result<usize> {
        let hidden = self.model.config.hidden_size;
        let mut n_computed = 0;
        loop {
            self.copy_headers()?;
            // Prompts that this pass works on.
            let mut computed: Vec<&[u32]> = Vec::new();
            let mut rows = PackedRows::default();
            let mut cache_rows = Vec::new();
            // Prompts that this pass completes, with their last row.
            let mut complete = Vec::new();
            let mut previous = None;
            for prompt_index in self.live.iter().map(|live| live.sample.prompt) {
                if previous.replace(prompt_index) == Some(prompt_index) {
                    continue;
                }
                let prompt = &mut self.prompts[prompt_index];
                let Some(resident) = &mut prompt.resident else { continue };
                // What another one is about to have is worth waiting for.
                let enough = resident.n_done + MIN_HEADER;
                if computed.iter().any(|other| n_shared(prompt.tokens, other) >= enough) {
                    continue;
                }
                let rest = &prompt.tokens[resident.n_done..];
                let n_new = rest.len().min(self.limits.prefill_rows - rows.len());
                if n_new == 0 {
                    continue;
                }
                computed.push(prompt.tokens);
                let own = KeySpan { start: resident.first_row, len: resident.n_done + n_new };
                cache_rows.extend(
                    (own.start + resident.n_done..own.start + own.len).map(|row| row as u32),
                );
                rows.push(&rest[..n_new], resident.n_done, KeySpan::default(), own);
                resident.n_done += n_new;
                if resident.n_done == prompt.tokens.len() {
                    complete.push((prompt_index, rows.len() - 1));
                }
            }
            if rows.len() == 0 {
                return Ok(n_computed);
            }
            n_computed += rows.len();
            let rows = rows.all_final();
            let target = Rollout { cache: &mut self.cache, rows: &cache_rows, copies: self.copies };
            self.model.forward(&rows, &mut self.activations, Some(target), context)?;
            if complete.is_empty() {
                continue;
            }
            for (prompt, row) in complete {
                let mut state = vec![0.0; hidden];
                self.model.device.read(&self.activations.norm, row * hidden, &mut state)?;
                if let Some(resident) = &mut self.prompts[prompt].resident {
                    resident.state = state;
                }
            }
        }
    }

    /// Samples one token of every live sample.
    fn decode(&mut self, context: &dyn CallContext) -> Result<()> {
        let device = &self.model.device;
        let (tokens, logprobs) = device.repeatedly(|| self.step(context))?;
        for ((live, token), logprob) in self.live.iter_mut().zip(tokens).zip(logprobs) {
            if !logprob.is_finite() {
                return Err(TransformerError::NotFinite);
            }
            live.push(token, logprob, self.vocabulary);
            self.n_sampled += 1;
        }
        Ok(())
    }

    /// The next token of every live sample, and its log-prob.
    fn step(&mut self, context: &dyn CallContext) -> Result<(Vec<u32>, Vec<f32>)> {
        let device = &*self.model.device;
        let hidden = self.model.config.hidden_size;
        let n_running = self.live.iter().take_while(|live| !live.tokens.is_empty()).count();
        if n_running > 0 {
            let mut rows = PackedRows::default();
            let mut cache_rows = Vec::with_capacity(n_running);
            for live in &self.live[..n_running] {
                let Prompt { tokens, resident, .. } = &self.prompts[live.sample.prompt];
                let prefix = KeySpan {
                    start: resident.as_ref().map_or(0, |resident| resident.first_row),
                    len: tokens.len(),
                };
                let own = KeySpan { start: live.first_row, len: live.tokens.len() };
                let position = prefix.len + own.len - 1;
                cache_rows.push((own.start + own.len - 1) as u32);
                rows.push(&live.tokens[own.len - 1..], position, prefix, own);
            }
            let target = Rollout { cache: &mut self.cache, rows: &cache_rows, copies: self.copies };
            self.model.forward(&rows.all_final(), &mut self.activations, Some(target), context)?;
        }
        for (row, live) in self.live.iter().enumerate().skip(n_running) {
            if let Some(resident) = &self.prompts[live.sample.prompt].resident {
                device.write(&mut self.activations.norm, row * hidden, &resident.state)?;
            }
        }
        let specs: Vec<_> = self
            .live
            .iter()
            .map(|live| sample_spec(live.sample.sampling, live.sample.seed, live.tokens.len()))
            .collect();
        let states = &self.activations.norm;
        Ok(match self.copies {
            Some(copies) => device.copy_head_sample(states, copies.head(), &specs)?,
            None => device.head_sample(states, self.model.weights.head(), &specs)?,
        })
    }

    /// Takes finished samples out, tells of them and frees their rows.
    fn retire(&mut self, sink: &dyn CompletionSink) {
        for live in std::mem::take(&mut self.live) {
            let Some(finish) = live.finish else {
                self.live.push(live);
                continue;
            };
            let sample = live.sample;
            self.free_rows.release(live.first_row, sample.n_rows());
            self.prompts[sample.prompt].n_unfinished -= 1;
            if self.prompts[sample.prompt].n_unfinished == 0 {
                self.evict(sample.prompt);
            }
            let completion = &mut self.completions[sample.request][sample.index];
            *completion = Completion {
                tokens: live.tokens,
                logprobs: live.logprobs,
                finish,
                text: live.text.into_string(),
            };
            sink.completed(sample.request, sample.index, completion);
        }
    }
}

impl Live<'_> {
    fn push(&mut self, token: u32, logprob: f32, vocabulary: &Vocabulary) {
        self.tokens.push(token);
        self.logprobs.push(logprob);
        let bytes = vocabulary.bytes.get(token as usize).map_or(&[][..], Vec::as_slice);
        self.finish = if vocabulary.eos.contains(&token) {
            Some(FinishReason::Eos)
        } else if self.text.push(bytes, &self.sample.sampling.stop) {
            Some(FinishReason::Stop)
        } else if self.tokens.len() == self.sample.max_tokens {
            Some(self.sample.at_limit)
        } else {
            None
        };
    }
}

/// Tokens at the beginning of `prompt` that `other` begins with too, but for the last token of `prompt`, whose final
/// state is in no cache.
fn n_shared(prompt: &[u32], other: &[u32]) -> usize {
    let own = &prompt[..prompt.len().saturating_sub(1)];
    own.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Rows of cache: what the wave can use at once, within the limit.
fn cache_rows<D: Device>(
    model: &Model<D>,
    prompts: &[Prompt<'_>],
    samples: &[Sample<'_>],
    limits: &GenerateLimits,
) -> Result<usize> {
    let precision = model.device.activation_precision();
    let bytes_per_row = cache_bytes_per_row(&model.config, precision);
    let limit = usize::try_from(limits.kv_cache_bytes / bytes_per_row).unwrap_or(usize::MAX);
    for sample in samples {
        let prompt = prompts[sample.prompt].tokens.len();
        let needed = prompt + sample.n_rows();
        if needed > limit {
            return Err(TransformerError::CacheTooSmall {
                prompt,
                new: sample.max_tokens,
                needed_mib: (needed as u64 * bytes_per_row).div_ceil(1 << 20),
                limit_mib: limits.kv_cache_bytes >> 20,
            });
        }
    }
    let largest = |mut lengths: Vec<usize>| {
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.iter().take(limits.max_live_rows).fold(0_usize, |sum, &len| sum.saturating_add(len))
    };
    let wanted = largest(prompts.iter().map(|prompt| prompt.tokens.len()).collect())
        .saturating_add(largest(samples.iter().map(Sample::n_rows).collect()));
    Ok(wanted.min(limit))
}

#[cfg(test)]
mod tests {
    use azr_plugin::Quiet;
    use azr_weights::Family;

    use super::*;
    use crate::tests::{tiny_model, vocabulary};

    /// Prompts of which three begin with the same 20 tokens, one of them ending there.
    fn requests() -> Vec<GenerateRequest> {
        let header: Vec<u32> = (0..20).map(|i| (i * 5 + 3) % 17).collect();
        let sampling =
            Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 5, stop: Vec::new() };
        [&[1, 2, 3][..], &[4], &[], &[1, 2, 5]]
            .map(|rest| [&header[..], rest].concat())
            .into_iter()
            .chain([vec![9, 9]])
            .map(|prompt| GenerateRequest { prompt, seeds: vec![1, 2], sampling: sampling.clone() })
            .collect()
    }

    #[test]
    fn what_prompts_begin_with_is_computed_once() {
        let (model, requests) = (tiny_model(Family::Llama, true), requests());
        // All of the first prompt, and what the others add to what they share with it, the last token at least. In passes
        // of 21 rows the fourth finds 21 tokens there, not the 22 that it shares.
        for (prefill_rows, n_rows) in [(512, 23 + 1 + 1 + 1 + 2), (21, 23 + 1 + 1 + 2 + 2)] {
            let limits = GenerateLimits { prefill_rows, ..GenerateLimits::default() };
            let vocabulary = vocabulary();
            let mut wave = Wave::new(&model, &requests, &vocabulary, &limits).unwrap();
            wave.admit();
            assert_eq!(wave.prefill(&Quiet).unwrap(), n_rows);
            assert_eq!(wave.prefill(&Quiet).unwrap(), 0);
        }
    }

    #[test]
    fn nobody_can_tell_who_computed_a_header() {
        let (mut model, requests) = (tiny_model(Family::Qwen2, false), requests());
        let mut generate = |requests: &[GenerateRequest], limits: &GenerateLimits| {
            model.generate(requests, &vocabulary(), limits, &Quiet, &Quiet).unwrap()
        };
        let alone: Vec<Vec<Completion>> = requests
            .iter()
            .flat_map(|request| generate(std::slice::from_ref(request), &GenerateLimits::default()))
            .collect();
        for (max_live_rows, prefill_rows) in [(64, 512), (3, 17), (2, 512), (64, 5)] {
            let limits =
                GenerateLimits { max_live_rows, prefill_rows, ..GenerateLimits::default() };
            assert_eq!(generate(&requests, &limits), alone);
        }
    }
}
