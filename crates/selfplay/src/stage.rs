//! The engines of one step: waves and batches with progress, timing and checks of what engines return.

use std::collections::BTreeMap;
use std::sync::Arc;

use azr_plugin::{
    Answer, CallContext, Completion, Domain, GenerateRequest, Grade, Prompt, Quiet, Role, Sampling,
    Task, UpdateBounds,
};

use crate::channel::Channel;
use crate::heldout::HeldOut;
use crate::observe::PhaseContext;
use crate::prompts::{encode, fits};
use crate::random::Place;
use crate::{
    Clock, Engines, Observer, Phase, PromptText, Result, RolloutPhase, RolloutRecord,
    SelfPlayConfig, SelfPlayError,
};

/// A prompt and the seeds of the samples wanted from it.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) channel: usize,
    pub(crate) prompt: Prompt,
    pub(crate) tokens: Vec<u32>,
    pub(crate) seeds: Vec<u64>,
}

/// One sampled response.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) channel: usize,
    /// Shared by the samples of one prompt, different for all other rollouts of the step.
    pub(crate) prompt_index: u32,
    pub(crate) prompt_tokens: Arc<[u32]>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) logprobs: Vec<f32>,
    /// Sum of `logprobs`.
    pub(crate) logprob: f64,
    /// Whether it answers a task that nobody may learn from.
    pub(crate) is_held_out: bool,
    pub(crate) record: RolloutRecord,
}

impl Rollout {
    pub(crate) fn role(&self) -> Role {
        match self.record.phase {
            RolloutPhase::Propose => Role::Propose,
            RolloutPhase::Estimate | RolloutPhase::Solve | RolloutPhase::Evaluate => Role::Solve,
        }
    }
}

/// One step's view of the engines.
pub(crate) struct Stage<'a> {
    pub(crate) config: &'a SelfPlayConfig,
    pub(crate) engines: &'a mut Engines,
    pub(crate) channels: &'a [Channel],
    pub(crate) held_out: &'a HeldOut,
    /// What the step's update must look like to be applied.
    pub(crate) bounds: UpdateBounds,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) step: u64,
    /// Seconds spent in each phase.
    pub(crate) seconds: BTreeMap<Phase, f64>,
    pub(crate) n_prompts: u32,
    pub(crate) n_checks: usize,
}

impl Stage<'_> {
    /// The place of a random choice in this step.
    pub(crate) fn place<'b>(
        &'b self,
        purpose: &'b str,
        channel: usize,
        index: usize,
        sample: usize,
    ) -> Place<'b> {
        let Channel { domain_name, kind, .. } = &self.channels[channel];
        let (seed, step) = (self.config.seed, self.step);
        Place { seed, step, purpose, domain: domain_name, kind: &kind.name, index, sample }
    }

    /// Whether a task of this channel is about what a held-out one is about.
    pub(crate) fn is_held_out(&self, channel: usize, task: &Task) -> bool {
        self.held_out.blocks(self.channels[channel].domain, task)
    }

    /// Tokens of each prompt, absent where it is too long.
    pub(crate) fn fitting(&self, prompts: &[Prompt]) -> Result<Vec<Option<Vec<u32>>>> {
        let policy = self.engines.policy.info();
        let encoded = encode(self.engines.tokenizer.as_ref(), prompts)?;
        let keep = |(tokens, prompt): (Vec<u32>, &Prompt)| {
            fits(tokens.len(), prompt.max_new_tokens, self.config, &policy).then_some(tokens)
        };
        Ok(encoded.into_iter().zip(prompts).map(keep).collect())
    }

    /// Runs `work` as a phase of `total` units; a phase without work does not happen.
    pub(crate) fn phase<T: Default>(
        &mut self,
        phase: Phase,
        total: u64,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.observer.is_cancelled() {
            return Err(SelfPlayError::Cancelled);
        }
        if total == 0 {
            return Ok(T::default());
        }
        self.observer.phase_started(phase, total);
        let start = self.clock.now();
        let result = work(self);
        let elapsed = self.clock.now().saturating_sub(start);
        *self.seconds.entry(phase).or_default() += elapsed.as_secs_f64();
        self.observer.phase_finished(phase);
        result
    }

    /// Samples every ask in one wave; the samples of each ask stand together, in the asks' order.
    pub(crate) fn generate(
        &mut self,
        purpose: RolloutPhase,
        asks: Vec<Ask>,
    ) -> Result<Vec<Vec<Rollout>>> {
        let SelfPlayConfig { temperature, top_p, .. } = *self.config;
        let (temperature, top_p) = match purpose {
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
        let requests: Vec<GenerateRequest> = asks.iter().map(request).collect();
        let n_new =
            |ask: &Ask| ask.seeds.len() as u64 * u64::from(ask.prompt.max_new_tokens.max(1));
        let phase = match purpose {
            RolloutPhase::Propose => Phase::Propose,
            RolloutPhase::Estimate => Phase::Estimate,
            RolloutPhase::Solve => Phase::Solve,
            RolloutPhase::Evaluate => Phase::Evaluate,
        };
        let total = asks.iter().map(n_new).sum();
        let waves = self.phase(phase, total, |stage| {
            let context = PhaseContext { observer: stage.observer, phase, before: 0, total };
            let sampled = stage.engines.policy.generate(&requests, &Quiet, &context);
            sampled.map_err(|source| SelfPlayError::engine("policy", "generate", source))
        })?;
        check_wave(&requests, &waves)?;
        let asks = asks.into_iter().zip(waves);
        Ok(asks.map(|(ask, completions)| self.rollouts(purpose, ask, completions)).collect())
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

    /// Grades the answers that `rollouts` gave to `tasks`, one call per domain.
    pub(crate) fn grade(
        &mut self,
        phase: Phase,
        rollouts: &mut [Rollout],
        tasks: Vec<Task>,
    ) -> Result<()> {
        let answer = |(rollout, task): (&Rollout, Task)| {
            (rollout.channel, Answer { task, response: rollout.record.response.clone() })
        };
        let answers: Vec<_> = rollouts.iter().zip(tasks).map(answer).collect();
        let keys: Vec<String> = answers.iter().map(|(_, answer)| answer.task.key.clone()).collect();
        let grades = self.check(phase, "grade answers", answers, |domain, answers, context| {
            domain.grade(answers, context)
        })?;
        for ((rollout, grade), key) in rollouts.iter_mut().zip(grades).zip(keys) {
            let Grade { score, well_formed, reason } = grade;
            let record = &mut rollout.record;
            // A domain may be anyone's plugin: a score that is no number is no success.
            record.score = Some(if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) });
            (record.well_formed, record.reason, record.task_key) = (well_formed, reason, Some(key));
        }
        Ok(())
    }

    /// [`Stage::by_domain`] as a phase.
    pub(crate) fn check<I, O>(
        &mut self,
        phase: Phase,
        action: &'static str,
        items: Vec<(usize, I)>,
        call: impl Fn(&dyn Domain, &[I], &dyn CallContext) -> azr_plugin::Result<Vec<O>>,
    ) -> Result<Vec<O>> {
        let total = items.len() as u64;
        self.n_checks += items.len();
        self.phase(phase, total, |stage| {
            let observer = stage.observer;
            stage.by_domain(action, items, |domain, items, before| {
                call(domain, items, &PhaseContext { observer, phase, before, total })
            })
        })
    }

    /// Calls each domain once with its items (tagged with their channel); the results stand in the items' order.
    pub(crate) fn by_domain<I, O>(
        &self,
        action: &'static str,
        items: Vec<(usize, I)>,
        call: impl Fn(&dyn Domain, &[I], u64) -> azr_plugin::Result<Vec<O>>,
    ) -> Result<Vec<O>> {
        let mut shares: BTreeMap<usize, (Vec<usize>, Vec<I>)> = BTreeMap::new();
        for (position, (channel, item)) in items.into_iter().enumerate() {
            let (positions, share) = shares.entry(self.channels[channel].domain).or_default();
            positions.push(position);
            share.push(item);
        }
        let (mut results, mut before) = (BTreeMap::new(), 0);
        for (domain, (positions, share)) in shares {
            let (name, domain) = &self.engines.domains[domain];
            let engine = format!("domain {name}");
            let outputs = call(domain.as_ref(), &share, before)
                .map_err(|source| SelfPlayError::engine(&engine, action, source))?;
            if outputs.len() != share.len() {
                let message = format!(
                    "{} results for {} items, asked to {action}",
                    outputs.len(),
                    share.len()
                );
                return Err(SelfPlayError::contract(&engine, message));
            }
            before += share.len() as u64;
            results.extend(positions.into_iter().zip(outputs));
        }
        Ok(results.into_values().collect())
    }

    /// A solver prompt for each task.
    pub(crate) fn solve_prompts(&self, tasks: Vec<(usize, Task)>) -> Result<Vec<Prompt>> {
        self.by_domain("write solver prompts", tasks, |domain, tasks, _| {
            domain.solve_prompts(tasks)
        })
    }
}

fn check_wave(requests: &[GenerateRequest], waves: &[Vec<Completion>]) -> Result<()> {
    let contract = |message: String| Err(SelfPlayError::contract("policy", message));
    if requests.len() != waves.len() {
        return contract(format!("{} results for {} requests", waves.len(), requests.len()));
    }
    for (request, completions) in requests.iter().zip(waves) {
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
