//! A server with the completions API of OpenAI as one that answers.

mod wire;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use azr_plugin::CallContext;

use crate::ask::{Asker, Question, Response, Sampling};
use crate::{EvalError, Result};
use wire::Client;

/// How often the caller is asked whether it still wants an answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which server, and how patiently it is asked.
#[derive(Clone)]
pub struct ServerOptions {
    /// Its address, with or without the `/v1` at the end.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token; in no message and no file.
    pub key: Option<String>,
    /// Requests at the same time.
    pub concurrency: usize,
    /// Longest time from a request to the end of its response.
    pub timeout: Duration,
    /// Attempts after the first one, where a failure may pass: no connection, status 408, 429 or 5xx.
    pub retries: u32,
    /// Wait before the second attempt; doubled each time, and never less than the server's `Retry-After`.
    pub backoff: Duration,
}

impl ServerOptions {
    /// The server at `url`, asked with patience.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            model: String::new(),
            key: None,
            concurrency: 8,
            timeout: Duration::from_secs(600),
            retries: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("url", &self.url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Asks a server, one request for each sample. Conversations go to `/v1/chat/completions`, texts to `/v1/completions`.
#[derive(Debug)]
pub struct ServerAsker {
    client: Arc<Client>,
    concurrency: usize,
}

impl ServerAsker {
    /// Of the server that `options` name.
    pub fn new(options: ServerOptions) -> Self {
        let concurrency = options.concurrency.max(1);
        Self { client: Arc::new(Client::new(options)), concurrency }
    }

    /// Names of the models that the server has.
    ///
    /// # Errors
    /// It does not tell.
    pub fn models(&self) -> Result<Vec<String>> {
        self.client.models()
    }
}

/// The requests of one call, which threads share out among themselves.
struct Batch {
    client: Arc<Client>,
    questions: Vec<Question>,
    sampling: Sampling,
    /// Question and sample of each request.
    requests: Vec<(usize, usize)>,
    next: AtomicUsize,
    /// Nobody waits for the rest any more.
    is_given_up: AtomicBool,
}

impl Batch {
    fn work(&self, results: &mpsc::Sender<(usize, Result<Response>)>) {
        while !self.is_given_up.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&(question, sample)) = self.requests.get(number) else { return };
            let question = &self.questions[question];
            let seed = question.seeds[sample];
            let response = self.client.ask(question, seed, self.sampling, &self.is_given_up);
            // After a failure nobody waits for the rest.
            let is_last = response.is_err();
            if results.send((number, response)).is_err() || is_last {
                return;
            }
        }
    }
}

impl Asker for ServerAsker {
    fn wave(&self) -> usize {
        4 * self.concurrency
    }

    fn ask(
        &mut self,
        questions: &[Question],
        sampling: Sampling,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>> {
        let samples = |(number, question): (usize, &Question)| {
            (0..question.seeds.len()).map(move |sample| (number, sample))
        };
        let batch = Arc::new(Batch {
            client: Arc::clone(&self.client),
            questions: questions.to_vec(),
            sampling,
            requests: questions.iter().enumerate().flat_map(samples).collect(),
            next: AtomicUsize::new(0),
            is_given_up: AtomicBool::new(false),
        });
        // The threads are not waited for when the caller gives up: a request may take minutes.
        let (sender, results) = mpsc::channel();
        for _ in 0..self.concurrency.min(batch.requests.len()) {
            let (batch, sender) = (Arc::clone(&batch), sender.clone());
            std::thread::spawn(move || batch.work(&sender));
        }
        drop(sender);
        let collected = collect(&batch, &results, context);
        batch.is_given_up.store(true, Ordering::Relaxed);
        let mut responses = collected?.into_iter();
        let of_question =
            |question: &Question| responses.by_ref().take(question.seeds.len()).collect();
        Ok(questions.iter().map(of_question).collect())
    }
}

/// Waits for all responses of a batch, in the requests' order.
fn collect(
    batch: &Batch,
    results: &mpsc::Receiver<(usize, Result<Response>)>,
    context: &dyn CallContext,
) -> Result<Vec<Response>> {
    let most_tokens =
        |number: usize| u64::from(batch.questions[batch.requests[number].0].prompt.max_new_tokens);
    let total = (0..batch.requests.len()).map(most_tokens).sum();
    let mut responses: Vec<Option<Response>> = vec![None; batch.requests.len()];
    let (mut n_left, mut done) = (responses.len(), 0);
    while n_left > 0 {
        if context.is_cancelled() {
            return Err(EvalError::cancelled());
        }
        match results.recv_timeout(PATIENCE) {
            Ok((number, response)) => {
                responses[number] = Some(response?);
                n_left -= 1;
                done += most_tokens(number);
                context.progress(done, total);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(EvalError::Contract(
                    "a thread that asked the server ended early".into(),
                ));
            }
        }
    }
    Ok(responses.into_iter().flatten().collect())
}

#[cfg(test)]
mod loopback;
#[cfg(test)]
mod tests;
