//! The backend `my-plugin`: a bigram model. The next token depends on the last one alone, through a table of logits.
//!
//! It starts from equal chances, whatever model it is pointed at, unless that is a folder it saved itself. It can do
//! what a run asks of a backend: sample, score, learn by policy gradients, save and load.

mod model;

use std::path::Path;

use azr_plugin::{
    Backend, CallContext, Completion, CompletionSink, Engine, ErrorCode, FinishReason,
    GenerateRequest, ModelSpec, NoOptions, PluginError, Policy, PolicyInfo, Result, Sampling,
    ScoreRequest, Services, UpdateReport, UpdateRequest,
};

use model::Bigram;

azr_plugin::export! { entry: my_plugin, backends: [Bigrams] }

/// Longest prompt and response together, in tokens.
const CONTEXT_LENGTH: usize = 1 << 16;

/// Opens bigram models.
#[derive(Debug)]
pub struct Bigrams;

impl Engine for Bigrams {
    const NAME: &'static str = "my-plugin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "a table of logits for each pair of tokens";
    type Options = NoOptions;

    fn create(_: NoOptions, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl Backend for Bigrams {
    fn open(&self, spec: &ModelSpec) -> Result<Box<dyn Policy>> {
        if !spec.path.exists() {
            let message = format!("there is no {}", spec.path.display());
            return Err(PluginError::new(ErrorCode::NotFound, message));
        }
        let mut bigram = Bigram::new(spec.vocabulary.len())?;
        if Bigram::is_saved_in(&spec.path) {
            bigram.load(&spec.path)?;
        }
        Ok(Box::new(Open { bigram, spec: spec.clone() }))
    }
}

/// An open model.
struct Open {
    bigram: Bigram,
    spec: ModelSpec,
}

impl Policy for Open {
    fn info(&self) -> PolicyInfo {
        PolicyInfo {
            family: "bigram".into(),
            device: "cpu (1 thread)".into(),
            n_parameters: self.bigram.n_parameters(),
            vocab_size: self.spec.vocabulary.len() as u32,
            context_length: CONTEXT_LENGTH as u32,
        }
    }

    fn generate(
        &mut self,
        requests: &[GenerateRequest],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>> {
        let limit =
            |r: &GenerateRequest| r.seeds.len() as u64 * u64::from(r.sampling.max_new_tokens);
        let (mut done, total) = (0, requests.iter().map(limit).sum());
        let mut completions = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            self.check(&request.prompt, &[])?;
            let mut samples = Vec::new();
            for &seed in &request.seeds {
                let completion = self.sample(&request.prompt, &request.sampling, seed, context)?;
                sink.completed(number, samples.len(), &completion);
                done += completion.tokens.len() as u64;
                context.progress(done, total);
                samples.push(completion);
            }
            completions.push(samples);
        }
        Ok(completions)
    }

    fn score(
        &mut self,
        requests: &[ScoreRequest],
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>> {
        let score = |request: &ScoreRequest| {
            refuse_if_cancelled(context)?;
            self.check(&request.prompt, &request.response)?;
            let logprobs =
                self.bigram.logprobs(&request.prompt, &request.response, request.temperature);
            Ok(logprobs.into_iter().map(|logprob| logprob as f32).collect())
        };
        requests.iter().map(score).collect()
    }

    fn update(
        &mut self,
        request: &UpdateRequest,
        context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        for sequence in &request.sequences {
            refuse_if_cancelled(context)?;
            self.check(&sequence.prompt, &sequence.response)?;
        }
        self.bigram.update(request)
    }

    fn save(&self, directory: &Path, with_optimizer: bool) -> Result<()> {
        self.bigram.save(directory, with_optimizer)
    }

    fn load(&mut self, directory: &Path) -> Result<()> {
        self.bigram.load(directory)
    }
}

impl Open {
    /// Refuses what the model cannot take.
    fn check(&self, prompt: &[u32], response: &[u32]) -> Result<()> {
        let n_ids = self.spec.vocabulary.len();
        let unknown = prompt.iter().chain(response).find(|id| **id as usize >= n_ids);
        let message = match unknown {
            Some(id) => format!("token id {id} is not below {n_ids}"),
            None if prompt.is_empty() => "a prompt is empty".into(),
            None if prompt.len() + response.len() > CONTEXT_LENGTH => {
                format!("a sequence is longer than {CONTEXT_LENGTH} tokens")
            }
            None => return Ok(()),
        };
        Err(PluginError::new(ErrorCode::InvalidInput, message))
    }

    /// One sample: a function of weights, prompt, sampling and seed alone.
    fn sample(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        seed: u64,
        context: &dyn CallContext,
    ) -> Result<Completion> {
        let (mut tokens, mut logprobs, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = prompt.last().copied().unwrap_or_default();
        let finish = loop {
            if tokens.len() >= sampling.max_new_tokens as usize {
                break FinishReason::Length;
            }
            if prompt.len() + tokens.len() >= CONTEXT_LENGTH {
                break FinishReason::Context;
            }
            refuse_if_cancelled(context)?;
            let uniform = uniform(seed, tokens.len() as u64);
            let (token, logprob) = self.bigram.next(last, sampling, uniform);
            tokens.push(token);
            logprobs.push(logprob as f32);
            if self.spec.eos.contains(&token) {
                break FinishReason::Eos;
            }
            bytes.extend(&self.spec.vocabulary[token as usize]);
            if let Some(start) = first_stop(&bytes, &sampling.stop) {
                bytes.truncate(start);
                break FinishReason::Stop;
            }
            last = token;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Completion { tokens, logprobs, finish, text })
    }
}

/// Where the first of `stops` begins in `bytes`.
fn first_stop(bytes: &[u8], stops: &[String]) -> Option<usize> {
    let find = |stop: &String| {
        (!stop.is_empty()).then(|| bytes.windows(stop.len()).position(|w| w == stop.as_bytes()))?
    };
    stops.iter().filter_map(find).min()
}

/// A number in [0, 1) for place `index` of the sample with `seed` (SplitMix64).
fn uniform(seed: u64, index: u64) -> f64 {
    let mut x = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn refuse_if_cancelled(context: &dyn CallContext) -> Result<()> {
    if context.is_cancelled() {
        return Err(PluginError::new(ErrorCode::Cancelled, "cancelled"));
    }
    Ok(())
}
