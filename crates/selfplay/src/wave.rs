//! One wave and the checks of its responses: sampled together, and checked after it or beside it. Nothing but the time
//! shows which.

use std::iter::{repeat, repeat_n};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use azr_plugin::{
    Answer, CallContext, Completion, CompletionSink, Domain, GenerateRequest, Grade, Quiet,
    Sampling, Task,
};

use crate::channel::Channel;
use crate::observe::PhaseContext;
use crate::overlap::overlapped;
use crate::stage::{Ask, Rollout, Stage};
use crate::{
    Phase, PromptText, Result, RolloutPhase, RolloutRecord, SelfPlayConfig, SelfPlayError,
};

/// What a wave is asked for, and what the domains are asked about each response.
pub(crate) struct Wave<'a, I, O> {
    pub(crate) purpose: RolloutPhase,
    pub(crate) asks: &'a [Ask],
    /// The ask of each sample; the samples of an ask stand together.
    ask_of: Vec<usize>,
    pub(crate) check: &'a Check<'a, I, O>,
}

/// A call of a domain: one verdict for each item.
type Call<I, O> = fn(&dyn Domain, &[I], &dyn CallContext) -> azr_plugin::Result<Vec<O>>;

/// What the domains are asked about a response.
pub(crate) struct Check<'a, I, O> {
    pub(crate) phase: Phase,
    pub(crate) action: &'static str,
    /// The question about a response to the ask at this position.
    pub(crate) item: &'a (dyn Fn(usize, &str) -> I + Sync),
    pub(crate) call: Call<I, O>,
}

impl<'a, I, O> Wave<'a, I, O> {
    fn new(purpose: RolloutPhase, asks: &'a [Ask], check: &'a Check<'a, I, O>) -> Self {
        let n_samples = asks.iter().map(|ask| ask.seeds.len());
        let ask_of = n_samples.enumerate().flat_map(|(ask, n)| repeat_n(ask, n)).collect();
        Self { purpose, asks, ask_of, check }
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.ask_of.len()
    }

    /// The number of sample `sample` of ask `ask`, where there is one.
    pub(crate) fn position(&self, ask: usize, sample: usize) -> Option<usize> {
        let is_asked = sample < self.asks.get(ask)?.seeds.len();
        is_asked.then(|| self.ask_of.partition_point(|&other| other < ask) + sample)
    }

    /// The question about a sample, with the sample's channel.
    pub(crate) fn item(&self, position: usize, response: &str) -> (usize, I) {
        let ask = self.ask_of[position];
        (self.asks[ask].channel, (self.check.item)(ask, response))
    }

    fn phase(&self) -> Phase {
        match self.purpose {
            RolloutPhase::Propose => Phase::Propose,
            RolloutPhase::Estimate => Phase::Estimate,
            RolloutPhase::Solve => Phase::Solve,
            RolloutPhase::Evaluate => Phase::Evaluate,
        }
    }
}

impl Stage<'_> {
    /// Samples every ask in one wave and has each response checked. The samples of each ask stand together, in the asks'
    /// order; so do the verdicts.
    pub(crate) fn sample<I: Send, O: Send>(
        &mut self,
        purpose: RolloutPhase,
        asks: Vec<Ask>,
        check: &Check<'_, I, O>,
    ) -> Result<(Vec<Vec<Rollout>>, Vec<O>)> {
        let wave = Wave::new(purpose, &asks, check);
        let device = self.engines.policy.info().device;
        let is_overlapped = wave.n_samples() > 0 && self.config.overlap.applies(&device);
        let (completions, verdicts) = if is_overlapped {
            overlapped(self, &wave)?
        } else {
            let completions = self.generate(&wave, &Quiet, None)?;
            let texts = completions.iter().flatten().map(|completion| completion.text.as_str());
            let items = texts.enumerate().map(|(position, text)| wave.item(position, text));
            let (items, total) = (items.collect(), wave.n_samples() as u64);
            let verdicts =
                self.phase(check.phase, total, |stage| stage.call(check, items, 0, total))?;
            (completions, verdicts)
        };
        self.n_checks += verdicts.len();
        let asks = asks.into_iter().zip(completions);
        let rollouts = asks.map(|(ask, completions)| self.rollouts(purpose, ask, completions));
        Ok((rollouts.collect(), verdicts))
    }

    /// Samples answers to the asks' tasks in one wave and has them graded.
    pub(crate) fn answers(
        &mut self,
        purpose: RolloutPhase,
        phase: Phase,
        asks: Vec<Ask>,
        tasks: &[Task],
    ) -> Result<Vec<Vec<Rollout>>> {
        let item = |ask: usize, response: &str| Answer {
            task: tasks[ask].clone(),
            response: response.to_owned(),
        };
        let check = Check {
            phase,
            action: "grade answers",
            item: &item,
            call: |domain, answers, context| domain.grade(answers, context),
        };
        let (mut rollouts, grades) = self.sample(purpose, asks, &check)?;
        let answers = rollouts.iter_mut().zip(tasks);
        let answers = answers.flat_map(|(of_task, task)| of_task.iter_mut().zip(repeat(task)));
        for ((rollout, task), Grade { score, well_formed, reason }) in answers.zip(grades) {
            let record = &mut rollout.record;
            // A domain may be anyone's plugin: a score that is no number is no success.
            record.score = Some(if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) });
            (record.well_formed, record.reason) = (well_formed, reason);
            record.task_key = Some(task.key.clone());
        }
        Ok(rollouts)
    }

    /// The completions of a wave. `sink` is told of them early; it ends with an error once `is_given_up` says so.
    pub(crate) fn generate<I, O>(
        &mut self,
        wave: &Wave<'_, I, O>,
        sink: &dyn CompletionSink,
        is_given_up: Option<&AtomicBool>,
    ) -> Result<Vec<Vec<Completion>>> {
        let SelfPlayConfig { temperature, top_p, .. } = *self.config;
        let (temperature, top_p) = match wave.purpose {
            RolloutPhase::Evaluate => (0.0, 1.0),
            _ => (temperature, top_p),
        };
        let request = |ask: &Ask| GenerateRequest {
            prompt: ask.tokens.clone(),
            seeds: ask.seeds.clone(),
            sampling: Sampling {
                temperature,
                top_p,
                max_new_tokens: ask.prompt.max_new_tokens,
                stop: ask.prompt.stop.clone(),
            },
        };
        let requests: Vec<GenerateRequest> = wave.asks.iter().map(request).collect();
        let n_new =
            |ask: &Ask| ask.seeds.len() as u64 * u64::from(ask.prompt.max_new_tokens.max(1));
        let (phase, total) = (wave.phase(), wave.asks.iter().map(n_new).sum());
        let completions = self.phase(phase, total, |stage| {
            let observer = stage.observer;
            let context = PhaseContext { observer, phase, before: 0, total, is_given_up };
            let sampled = stage.engines.policy.generate(&requests, sink, &context);
            sampled.map_err(|source| SelfPlayError::engine("policy", "generate", source))
        })?;
        check_completions(&requests, &completions)?;
        Ok(completions)
    }

    /// Asks the domains about `items`, which come after `before` others of the `total` of the phase.
    pub(crate) fn call<I, O>(
        &self,
        check: &Check<'_, I, O>,
        items: Vec<(usize, I)>,
        before: u64,
        total: u64,
    ) -> Result<Vec<O>> {
        self.by_domain(check.action, items, |domain, items, n_done| {
            let (observer, phase, before) = (self.observer, check.phase, before + n_done);
            let context = PhaseContext { observer, phase, before, total, is_given_up: None };
            (check.call)(domain, items, &context)
        })
    }

    fn rollouts(
        &mut self,
        phase: RolloutPhase,
        ask: Ask,
        completions: Vec<Completion>,
    ) -> Vec<Rollout> {
        let prompt_index = self.n_prompts;
        self.n_prompts += 1;
        let prompt_tokens: Arc<[u32]> = ask.tokens.into();
        let mut prompt = Some(PromptText::from(&ask.prompt.body));
        let Channel { domain_name, kind, .. } = &self.channels[ask.channel];
        let rollout = |(completion, seed): (Completion, u64)| Rollout {
            channel: ask.channel,
            prompt_index,
            prompt_tokens: prompt_tokens.clone(),
            logprob: completion.logprobs.iter().map(|&logprob| f64::from(logprob)).sum(),
            is_held_out: false,
            record: RolloutRecord {
                domain: domain_name.clone(),
                kind: kind.name.clone(),
                phase,
                prompt: prompt.take(),
                response: completion.text,
                finish: completion.finish.into(),
                n_tokens: completion.tokens.len(),
                seed,
                well_formed: false,
                reason: String::new(),
                task_key: None,
                score: None,
                solve_rate: None,
                reward: None,
                advantage: None,
            },
            tokens: completion.tokens,
            logprobs: completion.logprobs,
        };
        completions.into_iter().zip(ask.seeds).map(rollout).collect()
    }
}

/// Whether every request got what it asked for.
fn check_completions(requests: &[GenerateRequest], groups: &[Vec<Completion>]) -> Result<()> {
    let contract = |message: String| Err(SelfPlayError::contract("policy", message));
    if requests.len() != groups.len() {
        return contract(format!("{} results for {} requests", groups.len(), requests.len()));
    }
    for (request, completions) in requests.iter().zip(groups) {
        if request.seeds.len() != completions.len() {
            return contract(format!(
                "{} completions for {} seeds",
                completions.len(),
                request.seeds.len()
            ));
        }
        if completions.iter().any(|completion| completion.tokens.len() != completion.logprobs.len())
        {
            return contract("a completion has not one log-probability per token".into());
        }
    }
    Ok(())
}
