//! Requests and responses as they are sent. What a server sends is untrusted and bounded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azr_plugin::PromptBody;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::HeaderMap;

use super::ServerOptions;
use crate::ask::{Finish, Question, Response, Sampling};
use crate::{EvalError, Result};

/// The largest response that is read.
const MAX_BODY_BYTES: u64 = 16 << 20;
/// The longest wait between two attempts, whatever the server asks for.
const MAX_WAIT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of a refusal as a message shows.
const SHOWN_CHARS: usize = 300;

/// Sends requests, again where a failure may pass.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    options: ServerOptions,
    /// The address with its `/v1`.
    base: String,
}

/// A failed attempt.
struct Failure {
    reason: String,
    may_pass: bool,
    /// What the server asks for.
    wait: Option<Duration>,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    text: Option<String>,
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

impl Client {
    pub(super) fn new(options: ServerOptions) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(options.timeout))
            .max_redirects(0)
            .build();
        let base = options.url.trim_end_matches('/');
        let base = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
        Self { agent: config.into(), options, base }
    }

    pub(super) fn models(&self) -> Result<Vec<String>> {
        let url = format!("{}/models", self.base);
        let body = self.attempt(&url, None);
        let models = body.and_then(|body| parse::<Models>(&body));
        let models = models.map_err(|failure| self.error(&url, "its models", failure))?;
        Ok(models.data.into_iter().map(|model| model.id).collect())
    }

    /// The response to one sample of a question.
    pub(super) fn ask(
        &self,
        question: &Question,
        seed: u64,
        sampling: Sampling,
        is_given_up: &AtomicBool,
    ) -> Result<Response> {
        let (path, body) = self.request(question, seed, sampling);
        let url = format!("{}/{path}", self.base);
        let mut wait = self.options.backoff;
        for attempt in 0.. {
            let answer = match self.attempt(&url, Some(&body)) {
                Ok(answer) => {
                    parse::<Completion>(&answer).and_then(|answer| read(answer, question))
                }
                Err(failure) if is_context_length(&failure.reason) => {
                    let (text, finish) = (String::new(), Finish::PromptTooLong);
                    return Ok(Response { text, n_tokens: Some(0), finish });
                }
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(failure) if !failure.may_pass || attempt >= self.options.retries => {
                    return Err(self.error(&url, &question.id, failure));
                }
                Err(failure) => pause(wait.max(failure.wait.unwrap_or_default()), is_given_up)?,
            }
            wait = (2 * wait).min(MAX_WAIT);
        }
        Err(EvalError::cancelled())
    }

    /// Path and body of a request.
    fn request(&self, question: &Question, seed: u64, sampling: Sampling) -> (&'static str, Value) {
        let Sampling { temperature, top_p } = sampling;
        let prompt = &question.prompt;
        let mut body = json!({
            "model": self.options.model, "max_tokens": prompt.max_new_tokens, "temperature": temperature,
            "top_p": top_p, "seed": seed, "stream": false,
        });
        if !prompt.stop.is_empty() {
            body["stop"] = json!(prompt.stop);
        }
        match &prompt.body {
            PromptBody::Text(text) => {
                body["prompt"] = json!(text);
                ("completions", body)
            }
            PromptBody::Chat(messages) => {
                let message =
                    |m: &azr_plugin::Message| json!({"role": m.role, "content": m.content});
                body["messages"] = messages.iter().map(message).collect();
                ("chat/completions", body)
            }
        }
    }

    /// One request; the body of a response that is a success.
    fn attempt(&self, url: &str, body: Option<&Value>) -> std::result::Result<Vec<u8>, Failure> {
        let key = self.options.key.as_ref().map(|key| format!("Bearer {key}"));
        let response = match body {
            Some(body) => {
                let mut request = self.agent.post(url).header("content-type", "application/json");
                if let Some(key) = key {
                    request = request.header("authorization", key);
                }
                request.send(body.to_string())
            }
            None => {
                let mut request = self.agent.get(url);
                if let Some(key) = key {
                    request = request.header("authorization", key);
                }
                request.call()
            }
        };
        let mut response = response.map_err(Failure::of_transport)?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let bytes = response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec();
        if status.is_success() {
            return bytes.map_err(Failure::of_transport);
        }
        let said = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        let may_pass = matches!(status.as_u16(), 408 | 429 | 500..=599);
        let reason = format!("status {}: {}", status.as_u16(), said.trim());
        Err(Failure { reason, may_pass, wait })
    }

    /// The error of a failure. The key is in no message, not even where the server repeats it.
    fn error(&self, url: &str, item: &str, failure: Failure) -> EvalError {
        let hidden = |text: &str| match &self.options.key {
            Some(key) if !key.is_empty() => text.replace(key.as_str(), "…"),
            _ => text.to_owned(),
        };
        let mut reason: String = hidden(&failure.reason).chars().take(SHOWN_CHARS).collect();
        if failure.may_pass && self.options.retries > 0 {
            reason = format!("{reason} (asked {} times)", self.options.retries + 1);
        }
        EvalError::Server { url: hidden(url), item: item.to_owned(), reason }
    }
}

impl Failure {
    /// A response that makes no sense; another attempt would bring the same.
    fn garbage(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_pass: false, wait: None }
    }

    fn of_transport(error: ureq::Error) -> Self {
        match error {
            ureq::Error::BodyExceedsLimit(_) => {
                Self::garbage(format!("its response is longer than {} MiB", MAX_BODY_BYTES >> 20))
            }
            ureq::Error::BadUri(_) | ureq::Error::Tls(_) => Self::garbage(error.to_string()),
            error => Self { reason: error.to_string(), may_pass: true, wait: None },
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> std::result::Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let shown: String = String::from_utf8_lossy(body).chars().take(SHOWN_CHARS / 2).collect();
        Failure::garbage(format!("its response is no completion ({error}): {shown}"))
    })
}

/// The first choice. A server that knows nothing of stop strings gets its text cut here.
fn read(completion: Completion, question: &Question) -> std::result::Result<Response, Failure> {
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err(Failure::garbage("its response has no choices"));
    };
    let text = match (choice.text, choice.message) {
        (Some(text), _) => text,
        // A message without content is an empty answer.
        (None, Some(message)) => message.content.unwrap_or_default(),
        (None, None) => return Err(Failure::garbage("its choice has neither text nor message")),
    };
    let end = question.prompt.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
    let is_cut = choice.finish_reason.as_deref() == Some("length");
    Ok(Response {
        text: end.map_or(text.as_str(), |end| &text[..end]).to_owned(),
        n_tokens: completion.usage.and_then(|usage| usage.completion_tokens),
        finish: if is_cut && end.is_none() { Finish::Length } else { Finish::Stop },
    })
}

/// Whether a refusal says that the prompt does not fit the model's context.
fn is_context_length(reason: &str) -> bool {
    reason.starts_with("status 400")
        && ["context_length_exceeded", "maximum context length", "exceed_context_size"]
            .iter()
            .any(|sign| reason.contains(sign))
}

/// Seconds that the server asks to wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(MAX_WAIT))
}

/// Waits, unless nobody waits any more.
fn pause(wait: Duration, is_given_up: &AtomicBool) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < wait {
        if is_given_up.load(Ordering::Relaxed) {
            return Err(EvalError::cancelled());
        }
        std::thread::sleep(Duration::from_millis(20).min(wait.saturating_sub(start.elapsed())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use azr_plugin::Prompt;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_a_response_or_a_failure(body in r#"(\{|\}|\[|\]|"choices":|"text":|"message":|"content":|"a"|null|,|7){0,20}"#) {
            let body_of = PromptBody::Text(String::new());
            let prompt = Prompt { body: body_of, stop: vec!["a".into()], max_new_tokens: 1 };
            let question = Question { id: String::new(), prompt, seeds: vec![0] };
            let response = parse::<Completion>(body.as_bytes()).and_then(|c| read(c, &question));
            if let Ok(Response { text, .. }) = response {
                prop_assert!(!text.contains('a'));
            }
        }
    }
}
