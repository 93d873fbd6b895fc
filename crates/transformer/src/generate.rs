//! Generation: a wave of prompts and samples, decoded together and continuously.
//!
//! A prompt is computed once and its keys and values are shared by its samples. Finished samples leave at once and
//! waiting ones enter as soon as there is room, so a step costs what its live rows cost. Nothing of this shows in
//! the results: a sample is a function of (weights, prompt, sampling, seed) alone.

mod wave;

use azr_plugin::{
    CallContext, Completion, CompletionSink, FinishReason, GenerateRequest, Sampling,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::device::{Device, SampleSpec};
use crate::error::{Result, TransformerError};
use crate::memory::MemoryUse;
use crate::model::Model;
use wave::Wave;

/// How much is generated together. No result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateLimits {
    /// Most samples that are decoded in one step.
    pub max_live_rows: usize,
    /// Most bytes of key-value cache.
    pub kv_cache_bytes: u64,
    /// Most prompt rows of one forward pass.
    pub prefill_rows: usize,
}

impl Default for GenerateLimits {
    fn default() -> Self {
        Self { max_live_rows: 64, kv_cache_bytes: 2 << 30, prefill_rows: 512 }
    }
}

/// What tokens mean: their bytes and which of them end a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Bytes of each id; empty for control tokens. Ids beyond the end have no bytes.
    pub bytes: Vec<Vec<u8>>,
    /// Ids that end a response.
    pub eos: Vec<u32>,
}

impl<D: Device> Model<D> {
    /// Completions of each request, in request order, one per seed, of the model's own weights or of copies of them
    /// (`TrainingOptions::rollout_weights`), from the prompts on. Copies are made here, once after each change of the
    /// weights, which is all that is changed. `sink` is told of each sample when it leaves the wave.
    ///
    /// # Errors
    /// An empty prompt, foreign tokens or wrong sampling; a sample that needs more cache than the limit;
    /// cancellation; the memory for copies; the device.
    pub fn generate(
        &mut self,
        requests: &[GenerateRequest],
        vocabulary: &Vocabulary,
        limits: &GenerateLimits,
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>> {
        for request in requests {
            self.check_request(request)?;
        }
        self.refresh_copies()?;
        Wave::new(self, requests, vocabulary, limits)
            .and_then(|wave| wave.run(sink, context))
            .map_err(|error| error.of(MemoryUse::Generation))
    }

    fn check_request(&self, request: &GenerateRequest) -> Result<()> {
        let Sampling { temperature, top_p, stop, .. } = &request.sampling;
        if request.prompt.is_empty() {
            return Err(TransformerError::invalid("a prompt has no tokens"));
        }
        if !temperature.is_finite() || *temperature < 0.0 {
            return Err(TransformerError::invalid(format!(
                "temperature {temperature} is not 0 or more"
            )));
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return Err(TransformerError::invalid(format!(
                "top_p {top_p} is not above 0 and at most 1"
            )));
        }
        if stop.iter().any(String::is_empty) {
            return Err(TransformerError::invalid("a stop string is empty"));
        }
        self.check_tokens(&request.prompt)
    }
}

/// How to sample token `index` of a response.
fn sample_spec(sampling: &Sampling, seed: u64, index: usize) -> SampleSpec {
    SampleSpec {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        uniform: uniform(seed, index as u64),
    }
}

/// The uniform number in [0, 1) that samples token `index` of the response with this seed: the first word of
/// ChaCha8 under the seed as key and the index as stream.
fn uniform(seed: u64, index: u64) -> f32 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    // 24 bits are what a float32 below 1 can hold.
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// A response of no tokens.
fn empty_completion(finish: FinishReason) -> Completion {
    Completion { tokens: Vec::new(), logprobs: Vec::new(), finish, text: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_are_fixed_and_spread() {
        // A change of these numbers changes every run.
        assert_eq!(
            [uniform(0, 0), uniform(0, 1), uniform(1, 0)].map(f32::to_bits),
            [1_044_364_288, 1_060_326_287, 1_059_121_502]
        );
        let numbers: Vec<f32> =
            (0..64).flat_map(|seed| (0..64).map(move |index| uniform(seed, index))).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
