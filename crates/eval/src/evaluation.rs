//! A suite taken under a protocol: prompts out, responses graded, one record for each.

use azr_plugin::{CallContext, Executor, Prompt};
use azr_selfplay::PromptText;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ask::{Asker, Finish, Question, Response, Sampling};
use crate::data::hex;
use crate::{Answer, EvalError, Protocol, Result, Suite, Verdict};

/// A response and what it is worth: a line of a suite's results. All text is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Id of the item.
    pub id: String,
    /// Number of the sample, from 0.
    pub sample: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// What was shown; with an item's first sample only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptText>,
    /// What was written.
    pub response: String,
    /// What was read out of the response and graded, if anything was.
    pub answer: Option<String>,
    /// Whether it is right.
    pub is_right: bool,
    /// `ok`, or why it is not right.
    pub reason: String,
    /// Tokens of the response, where they are known.
    pub n_tokens: Option<u64>,
    /// Why the response ended.
    pub finish: Finish,
}

/// A suite taken under a protocol. It knows no model.
pub struct Evaluation<'a> {
    suite: &'a dyn Suite,
    protocol: &'a Protocol,
    ids: Vec<String>,
    /// The items that are asked, in the data's order.
    items: Vec<usize>,
}

impl std::fmt::Debug for Evaluation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluation").field("suite", &self.suite.name()).finish_non_exhaustive()
    }
}

impl<'a> Evaluation<'a> {
    /// `suite` under `protocol`.
    pub fn new(suite: &'a dyn Suite, protocol: &'a Protocol) -> Self {
        Self { suite, protocol, ids: suite.ids(), items: protocol.items(suite) }
    }

    /// Number of the items that are asked.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Number of the responses, that is of records.
    pub fn n_responses(&self) -> usize {
        self.items.len() * self.protocol.samples
    }

    /// Tokens that all responses have at most: what progress counts.
    pub fn most_tokens(&self) -> u64 {
        let of_item = |&item: &usize| u64::from(self.prompt(item).max_new_tokens);
        self.items.iter().map(of_item).sum::<u64>() * self.protocol.samples as u64
    }

    /// SHA-256 over the ids, everything that is shown and what bounds the responses, a JSON line for each item: equal
    /// sums mean equal questions, whatever was the cause of a difference: data, template or the choice of items.
    pub fn prompts_sha256(&self) -> String {
        let mut hash = Sha256::new();
        for &item in &self.items {
            let Prompt { body, stop, max_new_tokens } = self.prompt(item);
            let line = json!([self.ids[item], PromptText::from(&body), stop, max_new_tokens]);
            hash.update(format!("{line}\n"));
        }
        hex(&hash.finalize())
    }

    /// Number `position` of the records: its item and sample.
    fn place(&self, position: usize) -> (usize, usize) {
        let n = self.protocol.samples;
        (self.items[position / n], position % n)
    }

    fn prompt(&self, item: usize) -> Prompt {
        let mut prompt = self.suite.prompt(item, self.protocol.style);
        prompt.max_new_tokens = self.protocol.max_tokens.unwrap_or(prompt.max_new_tokens);
        prompt
    }

    fn seed(&self, (item, sample): (usize, usize)) -> u64 {
        self.protocol.sample_seed(self.suite.name(), &self.ids[item], sample)
    }

    /// What an evaluation left must be the beginning of this one; else the number of the first record that is not, and
    /// why.
    pub(crate) fn check(&self, done: &[Record]) -> std::result::Result<(), (usize, String)> {
        for (position, record) in done.iter().enumerate() {
            if position >= self.n_responses() {
                return Err((position, "there are more answers than were asked for".to_owned()));
            }
            let place = self.place(position);
            let expected = (self.ids[place.0].as_str(), place.1, self.seed(place));
            let found = (record.id.as_str(), record.sample, record.seed);
            if found != expected {
                let reason = format!("it is (item, sample, seed) {found:?} and not {expected:?}");
                return Err((position, reason));
            }
        }
        Ok(())
    }

    /// Goes on after `done` until every sample is asked and graded, wave by wave; `keep` gets the records of each wave
    /// as soon as they are there. Returns all records, item by item. What a record holds does not depend on where an
    /// earlier call was interrupted.
    ///
    /// # Errors
    /// Whoever is asked, the executor or `keep` failed, or the context was cancelled: what was kept is kept.
    pub fn run(
        &self,
        mut done: Vec<Record>,
        asker: &mut dyn Asker,
        executor: &dyn Executor,
        keep: &mut dyn FnMut(&[Record]) -> Result<()>,
        context: &dyn CallContext,
    ) -> Result<Vec<Record>> {
        let total = self.most_tokens();
        let most_tokens = |position: usize| -> u64 {
            u64::from(self.prompt(self.place(position).0).max_new_tokens)
        };
        let mut before: u64 = (0..done.len()).map(most_tokens).sum();
        while done.len() < self.n_responses() {
            if context.is_cancelled() {
                return Err(EvalError::cancelled());
            }
            let end = (done.len() + asker.wave().max(1)).min(self.n_responses());
            let wave = WaveContext { context, before, total };
            let records = self.wave(done.len()..end, asker, executor, &wave)?;
            keep(&records)?;
            before += (done.len()..end).map(most_tokens).sum::<u64>();
            context.progress(before, total);
            done.extend(records);
        }
        Ok(done)
    }

    fn wave(
        &self,
        positions: std::ops::Range<usize>,
        asker: &mut dyn Asker,
        executor: &dyn Executor,
        context: &WaveContext<'_>,
    ) -> Result<Vec<Record>> {
        let places: Vec<(usize, usize)> = positions.map(|position| self.place(position)).collect();
        let questions: Vec<Question> = places
            .chunk_by(|a, b| a.0 == b.0)
            .map(|of_item| Question {
                id: self.ids[of_item[0].0].clone(),
                prompt: self.prompt(of_item[0].0),
                seeds: of_item.iter().map(|&place| self.seed(place)).collect(),
            })
            .collect();
        let Protocol { temperature, top_p, style, .. } = *self.protocol;
        let groups = asker.ask(&questions, Sampling { temperature, top_p }, context)?;
        let asked = questions.iter().map(|question| question.seeds.len());
        if !groups.iter().map(Vec::len).eq(asked) {
            return Err(EvalError::Contract("a question got too few or too many answers".into()));
        }
        let responses: Vec<Response> = groups.into_iter().flatten().collect();
        let is_asked = |response: &Response| response.finish != Finish::PromptTooLong;
        let answers: Vec<Answer<'_>> = places
            .iter()
            .zip(&responses)
            .filter(|(_, response)| is_asked(response))
            .map(|(&(item, _), response)| Answer { item, style, response: &response.text })
            .collect();
        let verdicts = self.suite.grade(&answers, executor, &Grading(context.context))?;
        if verdicts.len() != answers.len() {
            let (name, n) = (self.suite.name(), verdicts.len());
            let message = format!("suite {name}: {n} verdicts on {} answers", answers.len());
            return Err(EvalError::Contract(message));
        }
        let mut verdicts = verdicts.into_iter();
        let record = |(&place, response): (&(usize, usize), Response)| {
            let too_long =
                || Verdict { is_right: false, reason: "prompt_too_long".into(), answer: None };
            let verdict = if is_asked(&response) { verdicts.next() } else { None };
            let Verdict { is_right, reason, answer } = verdict.unwrap_or_else(too_long);
            let (item, sample) = place;
            Record {
                id: self.ids[item].clone(),
                sample,
                seed: self.seed(place),
                prompt: (sample == 0).then(|| PromptText::from(&self.prompt(item).body)),
                response: response.text,
                answer,
                is_right,
                reason,
                n_tokens: response.n_tokens,
                finish: response.finish,
            }
        };
        Ok(places.iter().zip(responses).map(record).collect())
    }
}

/// Hands the progress of a wave on as that of its evaluation.
struct WaveContext<'a> {
    context: &'a dyn CallContext,
    before: u64,
    total: u64,
}

impl CallContext for WaveContext<'_> {
    fn progress(&self, done: u64, _total: u64) {
        self.context.progress(self.before.saturating_add(done).min(self.total), self.total);
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

/// Passes cancellation on, but no progress: that counts tokens.
struct Grading<'a>(&'a dyn CallContext);

impl CallContext for Grading<'_> {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use azr_plugin::Quiet;

    use super::*;
    use crate::testing::{NoExecutor, Parrot, Sums};

    fn protocol() -> Protocol {
        Protocol { samples: 3, temperature: 0.5, pass_at: vec![1], ..Protocol::default() }
    }

    fn records(protocol: &Protocol, wave: usize, done: Vec<Record>) -> Vec<Record> {
        let suite = Sums(7);
        let evaluation = Evaluation::new(&suite, protocol);
        let mut asker = Parrot { wave, fails_after: usize::MAX };
        evaluation.run(done, &mut asker, &NoExecutor, &mut |_| Ok(()), &Quiet).unwrap()
    }

    #[test]
    fn records_depend_neither_on_waves_nor_on_where_it_was_interrupted() {
        let protocol = protocol();
        let whole = records(&protocol, 100, Vec::new());
        assert_eq!(whole.len(), 21);
        let right = whole.iter().filter(|record| record.is_right).count();
        assert!(0 < right && right < 21, "the parrot is right now and then: {right}");
        for wave in [1, 2, 3, 5] {
            assert_eq!(records(&protocol, wave, Vec::new()), whole, "waves of {wave}");
        }
        for n_done in [1, 4, 20, 21] {
            assert_eq!(records(&protocol, 4, whole[..n_done].to_vec()), whole, "after {n_done}");
        }
        assert!(whole[0].prompt.is_some() && whole[1].prompt.is_none());
    }

    #[test]
    fn a_failure_loses_only_its_wave() {
        let (suite, protocol) = (Sums(7), protocol());
        let evaluation = Evaluation::new(&suite, &protocol);
        let mut kept = Vec::new();
        let mut keep = |records: &[Record]| {
            kept.extend_from_slice(records);
            Ok(())
        };
        let mut asker = Parrot { wave: 4, fails_after: 2 };
        evaluation.run(Vec::new(), &mut asker, &NoExecutor, &mut keep, &Quiet).unwrap_err();
        assert_eq!(kept, records(&protocol, 4, Vec::new())[..8]);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_not_right_and_not_graded() {
        let protocol = Protocol { max_tokens: Some(9), ..Protocol::default() };
        let suite = Sums(3);
        let evaluation = Evaluation::new(&suite, &protocol);
        struct Short;
        impl Asker for Short {
            fn wave(&self) -> usize {
                2
            }
            fn ask(
                &mut self,
                questions: &[Question],
                _: Sampling,
                _: &dyn CallContext,
            ) -> Result<Vec<Vec<Response>>> {
                assert!(questions.iter().all(|question| question.prompt.max_new_tokens == 9));
                let response = |question: &Question| Response {
                    text: "2".into(),
                    n_tokens: None,
                    finish: if question.id == "1+1" { Finish::PromptTooLong } else { Finish::Stop },
                };
                Ok(questions.iter().map(|question| vec![response(question)]).collect())
            }
        }
        let all =
            evaluation.run(Vec::new(), &mut Short, &NoExecutor, &mut |_| Ok(()), &Quiet).unwrap();
        let reasons: Vec<&str> = all.iter().map(|record| record.reason.as_str()).collect();
        assert_eq!(reasons, ["wrong", "prompt_too_long", "wrong"]);
    }

    #[test]
    fn progress_counts_tokens_up_to_the_most_there_can_be() {
        #[derive(Default)]
        struct Watch(AtomicU64);
        impl CallContext for Watch {
            fn progress(&self, done: u64, total: u64) {
                assert!(self.0.swap(done, Ordering::Relaxed) <= done && done <= total);
            }
            fn is_cancelled(&self) -> bool {
                false
            }
        }
        let (suite, protocol, watch) = (Sums(7), protocol(), Watch::default());
        let evaluation = Evaluation::new(&suite, &protocol);
        let mut asker = Parrot { wave: 4, fails_after: usize::MAX };
        evaluation.run(Vec::new(), &mut asker, &NoExecutor, &mut |_| Ok(()), &watch).unwrap();
        assert_eq!(watch.0.into_inner(), evaluation.most_tokens());
    }

    #[test]
    fn another_protocol_is_noticed() {
        let suite = Sums(7);
        let protocol = protocol();
        let done = records(&protocol, 4, Vec::new());
        let check = |protocol: &Protocol, done: &[Record]| {
            Evaluation::new(&suite, protocol).check(done).map_err(|(number, _)| number)
        };
        assert_eq!(check(&protocol, &done), Ok(()));
        assert_eq!(check(&Protocol { seed: 1, ..protocol.clone() }, &done), Err(0));
        assert_eq!(check(&Protocol { samples: 2, ..protocol.clone() }, &done), Err(2));
        assert!(check(&Protocol { limit: 6, ..protocol.clone() }, &done).is_err());
        let more = [&done[..], &done[..1]].concat();
        assert_eq!(check(&protocol, &more), Err(21));
        let sum = |protocol: &Protocol| Evaluation::new(&suite, protocol).prompts_sha256();
        assert_eq!(sum(&protocol), sum(&Protocol { seed: 1, ..protocol.clone() }));
        assert_ne!(sum(&protocol), sum(&Protocol { max_tokens: Some(1), ..protocol.clone() }));
        assert_ne!(sum(&protocol), sum(&Protocol { limit: 6, ..protocol.clone() }));
    }
}
