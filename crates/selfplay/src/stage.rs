//! The engines of one step: phases with timing, and calls of the domains.

use std::collections::BTreeMap;
use std::sync::Arc;

use azr_plugin::{Domain, Prompt, Role, Task, UpdateBounds};

use crate::channel::Channel;
use crate::heldout::HeldOut;
use crate::prompts::{encode_prompts, fits};
use crate::random::Place;
use crate::{
    Clock, Engines, Observer, Phase, Result, RolloutPhase, RolloutRecord, SelfPlayConfig,
    SelfPlayError,
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
    /// Seconds spent in each phase; they add up to the step, but for what is outside of phases.
    pub(crate) seconds: BTreeMap<Phase, f64>,
    /// Seconds in which each phase's checks were made while their wave was still being sampled.
    pub(crate) overlapped: BTreeMap<Phase, f64>,
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
        let encoded = encode_prompts(self.engines.tokenizer.as_ref(), prompts)?;
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

    /// [`by_domain`] on this thread.
    pub(crate) fn by_domain<I, O>(
        &self,
        action: &'static str,
        items: Vec<(usize, I)>,
        call: impl Fn(&dyn Domain, &[I], u64) -> azr_plugin::Result<Vec<O>>,
    ) -> Result<Vec<O>> {
        by_domain(&self.engines.domains, self.channels, action, items, call)
    }

    /// A solver prompt for each task.
    pub(crate) fn solve_prompts(&self, tasks: Vec<(usize, Task)>) -> Result<Vec<Prompt>> {
        self.by_domain("write solver prompts", tasks, |domain, tasks, _| {
            domain.solve_prompts(tasks)
        })
    }
}

/// Calls each domain once with its items (tagged with their channel); the results stand in the items' order.
pub(crate) fn by_domain<I, O>(
    domains: &[(String, Arc<dyn Domain>)],
    channels: &[Channel],
    action: &'static str,
    items: Vec<(usize, I)>,
    call: impl Fn(&dyn Domain, &[I], u64) -> azr_plugin::Result<Vec<O>>,
) -> Result<Vec<O>> {
    let mut shares: BTreeMap<usize, (Vec<usize>, Vec<I>)> = BTreeMap::new();
    for (position, (channel, item)) in items.into_iter().enumerate() {
        let (positions, share) = shares.entry(channels[channel].domain).or_default();
        positions.push(position);
        share.push(item);
    }
    let (mut results, mut before) = (BTreeMap::new(), 0);
    for (domain, (positions, share)) in shares {
        let (name, domain) = &domains[domain];
        let engine = format!("domain {name}");
        let outputs = call(domain.as_ref(), &share, before)
            .map_err(|source| SelfPlayError::engine(&engine, action, source))?;
        if outputs.len() != share.len() {
            let message =
                format!("{} results for {} items, asked to {action}", outputs.len(), share.len());
            return Err(SelfPlayError::contract(&engine, message));
        }
        before += share.len() as u64;
        results.extend(positions.into_iter().zip(outputs));
    }
    Ok(results.into_values().collect())
}
