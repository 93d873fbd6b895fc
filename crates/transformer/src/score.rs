//! Scoring: log-probabilities of given responses.

use azr_plugin::{CallContext, ScoreRequest};

use crate::device::{Device, KeySpan};
use crate::error::{Result, TransformerError};
use crate::forward::{Activations, Keep};
use crate::memory::{MemoryUse, activation_values};
use crate::model::Model;
use crate::rows::{MicroBatch, PackedRows, PromptAndResponse, pack};

/// Rows that go through the head together: enough for its speed, few enough to be cancelled soon.
pub(crate) const HEAD_ROWS: usize = 256;

impl<D: Device> Model<D> {
    /// Log-probability of each response token, in nats, in request order. At most `max_rows` rows are computed
    /// together; no result depends on it beyond rounding.
    ///
    /// # Errors
    /// Requests that do not fit the model; cancellation; the device.
    pub fn score(
        &self,
        requests: &[ScoreRequest],
        max_rows: usize,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>> {
        let mut sequences = Vec::with_capacity(requests.len());
        for request in requests {
            if !(request.temperature.is_finite() && request.temperature > 0.0) {
                return Err(TransformerError::invalid(format!(
                    "temperature {} is not above 0",
                    request.temperature
                )));
            }
            let sequence =
                PromptAndResponse { prompt: &request.prompt, response: &request.response };
            self.check_sequence(&sequence)?;
            sequences.push(sequence);
        }
        self.score_sequences(requests, &sequences, max_rows, context)
            .map_err(|error| error.of(MemoryUse::Scoring))
    }

    fn score_sequences(
        &self,
        requests: &[ScoreRequest],
        sequences: &[PromptAndResponse<'_>],
        max_rows: usize,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>> {
        let batches = pack(sequences, max_rows);
        let mut scores: Vec<Vec<f32>> = vec![Vec::new(); requests.len()];
        let total = sequences.iter().map(|sequence| sequence.response.len() as u64).sum();
        let mut done = 0;
        let n_rows = batches.iter().map(|batch| batch.rows.len()).max().unwrap_or(0);
        let n_values = activation_values(&self.config, Keep::Nothing);
        self.check_memory(MemoryUse::Scoring, self.activation_bytes(n_rows, n_values))?;
        let mut activations = Activations::new(self, n_rows, Keep::Nothing)?;
        let mut head_input =
            self.device.activations(HEAD_ROWS.min(n_rows) * self.config.hidden_size)?;
        for batch in &batches {
            self.forward(&batch.rows, &mut activations, None, context)?;
            let temperatures: Vec<f32> = member_rows(batch, sequences)
                .flat_map(|(member, rows)| rows.map(move |_| requests[member].temperature))
                .collect();
            let mut logprobs = Vec::with_capacity(batch.targets.len());
            for same in temperatures.chunk_by(|a, b| a == b) {
                let start = logprobs.len();
                for chunk in chunks(start..start + same.len(), HEAD_ROWS) {
                    if context.is_cancelled() {
                        return Err(TransformerError::Cancelled);
                    }
                    let row_ids: Vec<u32> = chunk.clone().map(|row| row as u32).collect();
                    let (width, norm) = (self.config.hidden_size, &activations.norm);
                    self.device.gather_rows(norm, &row_ids, width, &mut head_input)?;
                    let (head, targets) = (self.weights.head(), &batch.targets[chunk]);
                    let chunk_scores =
                        self.device.head_scores(&head_input, head, targets, same[0])?;
                    logprobs.extend(chunk_scores.logprobs);
                    done += targets.len() as u64;
                    context.progress(done, total);
                }
            }
            for (member, rows) in member_rows(batch, sequences) {
                scores[member] = logprobs[rows].to_vec();
            }
        }
        Ok(scores)
    }

    /// Logits of every position of one sequence, row-major `[tokens.len(), vocab_size]`. For inspection and tests.
    ///
    /// # Errors
    /// Tokens that do not fit the model; the device.
    pub fn logits(&self, tokens: &[u32], context: &dyn CallContext) -> Result<Vec<f32>> {
        self.check_sequence(&PromptAndResponse { prompt: tokens, response: &[] })?;
        let mut rows = PackedRows::default();
        rows.push(tokens, 0, KeySpan::default(), KeySpan { start: 0, len: tokens.len() });
        let mut activations = Activations::new(self, tokens.len(), Keep::Nothing)?;
        self.forward(&rows.all_final(), &mut activations, None, context)?;
        let mut logits = vec![0.0; tokens.len() * self.config.vocab_size];
        self.device.head_logits(
            &activations.norm,
            tokens.len(),
            self.weights.head(),
            &mut logits,
        )?;
        Ok(logits)
    }

    /// Fails unless the model can compute this sequence.
    pub(crate) fn check_sequence(&self, sequence: &PromptAndResponse<'_>) -> Result<()> {
        if sequence.prompt.is_empty() {
            return Err(TransformerError::invalid("a prompt has no tokens"));
        }
        let len = sequence.prompt.len() + sequence.response.len();
        if len > self.config.context_length {
            return Err(TransformerError::invalid(format!(
                "a sequence of {len} tokens is longer than the model's context of {}",
                self.config.context_length
            )));
        }
        self.check_tokens(sequence.prompt)?;
        self.check_tokens(sequence.response)
    }
}

/// The final rows of each sequence of a micro-batch.
pub(crate) fn member_rows<'a>(
    batch: &'a MicroBatch,
    sequences: &'a [PromptAndResponse<'_>],
) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + 'a {
    let mut start = 0;
    batch.members.iter().map(move |&member| {
        let rows = start..start + sequences[member].response.len();
        start = rows.end;
        (member, rows)
    })
}

/// `range` in pieces of at most `len`.
pub(crate) fn chunks(
    range: std::ops::Range<usize>,
    len: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    range.clone().step_by(len.max(1)).map(move |start| start..(start + len).min(range.end))
}
