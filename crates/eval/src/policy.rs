//! A model in this process as one that answers.

use azr_plugin::{
    CallContext, Completion, GenerateRequest, Policy, Quiet, Sampling as PolicySampling, Tokenizer,
};
use azr_selfplay::encode_prompts;

use crate::ask::{Asker, Finish, Question, Response, Sampling};
use crate::{EvalError, Result};

/// Samples of a wave on a processor: two fills of the rows that it decodes together. An interrupted wave is lost.
const WAVE_ON_CPU: usize = 128;
/// The same on other devices, which need many rows to be busy.
const WAVE: usize = 512;

/// A model in this process, with its tokenizer.
pub struct PolicyAsker<'a> {
    /// The model.
    pub policy: &'a mut dyn Policy,
    /// Text to its tokens.
    pub tokenizer: &'a dyn Tokenizer,
}

impl std::fmt::Debug for PolicyAsker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyAsker").field("policy", &self.policy.info()).finish_non_exhaustive()
    }
}

impl Asker for PolicyAsker<'_> {
    fn wave(&self) -> usize {
        if self.policy.info().device.starts_with("cpu") { WAVE_ON_CPU } else { WAVE }
    }

    fn ask(
        &mut self,
        questions: &[Question],
        sampling: Sampling,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>> {
        let prompts: Vec<_> = questions.iter().map(|question| question.prompt.clone()).collect();
        let encoded = encode_prompts(self.tokenizer, &prompts)?;
        let context_length = self.policy.info().context_length as usize;
        let is_asked: Vec<bool> =
            encoded.iter().map(|tokens| (1..context_length).contains(&tokens.len())).collect();
        let requests: Vec<GenerateRequest> = questions
            .iter()
            .zip(encoded)
            .filter(|(_, tokens)| (1..context_length).contains(&tokens.len()))
            .map(|(question, prompt)| GenerateRequest {
                prompt,
                seeds: question.seeds.clone(),
                sampling: PolicySampling {
                    temperature: sampling.temperature,
                    top_p: sampling.top_p,
                    max_new_tokens: question.prompt.max_new_tokens,
                    stop: question.prompt.stop.clone(),
                },
            })
            .collect();
        let groups = match requests.is_empty() {
            true => Vec::new(),
            false => self.policy.generate(&requests, &Quiet, context)?,
        };
        let counts: Vec<usize> = groups.iter().map(Vec::len).collect();
        if !counts.iter().copied().eq(requests.iter().map(|request| request.seeds.len())) {
            let message = format!("the policy broke its contract: {counts:?} completions");
            return Err(EvalError::Contract(message));
        }
        let mut groups = groups.into_iter();
        let responses = |(question, is_asked): (&Question, bool)| match is_asked {
            true => groups.next().unwrap_or_default().into_iter().map(Response::from).collect(),
            false => vec![TOO_LONG; question.seeds.len()],
        };
        Ok(questions.iter().zip(is_asked).map(responses).collect())
    }
}

const TOO_LONG: Response =
    Response { text: String::new(), n_tokens: Some(0), finish: Finish::PromptTooLong };

impl From<Completion> for Response {
    fn from(completion: Completion) -> Self {
        Self {
            text: completion.text,
            n_tokens: Some(completion.tokens.len() as u64),
            finish: completion.finish.into(),
        }
    }
}
