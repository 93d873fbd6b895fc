//! The proposer's half of a step: prompts with references, verification, solve rates, admission.

use std::collections::{BTreeMap, BTreeSet};

use azr_plugin::{Prompt, Proposal, ProposeRequest, Task};

use crate::buffer::draw_references;
use crate::channel::Channel;
use crate::stage::{Ask, Rollout, Stage};
use crate::wave::Check;
use crate::{Admission, BufferEntry, Buffers, Phase, Result, RolloutPhase, proposer_reward};

/// How often an over-long prompt is drawn again, each time with half as many references.
const MAX_DRAWS: usize = 4;

/// A proposal and what became of it.
#[derive(Debug)]
pub(crate) struct Proposed {
    pub(crate) rollout: Rollout,
    /// The verified task, if it is valid.
    pub(crate) task: Option<Task>,
    /// How hard the task looks.
    pub(crate) measures: BTreeMap<String, f64>,
    /// Whether its task was in its buffer already. References come from buffers, so a task that equals one it was
    /// shown is among them.
    pub(crate) is_stored: bool,
    /// Whether its task came up before in this step.
    pub(crate) is_repeated: bool,
    /// Whether its task can be shown to the solver within the prompt limit.
    pub(crate) is_askable: bool,
    /// Whether its task is about what a held-out one is about.
    pub(crate) is_held_out: bool,
}

impl Proposed {
    /// Whether its task is not a new one.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.is_stored || self.is_repeated
    }
}

/// What a proposal's prompt was made of.
struct Slot {
    channel: usize,
    index: usize,
    references: Vec<Task>,
}

/// Samples a batch of proposals for each of `channels` in one wave and verifies them.
/// Prompts that stay too long are left out; the second value counts them by channel.
pub(crate) fn propose(
    stage: &mut Stage<'_>,
    buffers: &Buffers,
    channels: &[usize],
) -> Result<(Vec<Proposed>, BTreeMap<usize, usize>)> {
    let of_channel = |&channel: &usize| {
        (0..stage.channels[channel].batch_size).map(move |index| (channel, index))
    };
    let mut missing: Vec<(usize, usize)> = channels.iter().flat_map(of_channel).collect();
    let mut found: BTreeMap<(usize, usize), (Slot, Prompt, Vec<u32>)> = BTreeMap::new();
    for attempt in 0..MAX_DRAWS {
        for (slot, prompt, tokens) in draw_prompts(stage, buffers, &missing, attempt)? {
            found.insert((slot.channel, slot.index), (slot, prompt, tokens));
        }
        missing.retain(|slot| !found.contains_key(slot));
    }
    let mut n_overlong = BTreeMap::new();
    for (channel, _) in missing {
        *n_overlong.entry(channel).or_default() += 1;
    }
    let (mut slots, mut asks) = (Vec::new(), Vec::new());
    for (slot, prompt, tokens) in found.into_values() {
        let seeds = vec![stage.place("propose", slot.channel, slot.index, 0).bits()];
        asks.push(Ask { channel: slot.channel, prompt, tokens, seeds });
        slots.push(slot);
    }
    Ok((sample(stage, buffers, asks, &slots)?, n_overlong))
}

/// The prompts of those slots whose prompt is short enough in this attempt.
fn draw_prompts(
    stage: &Stage<'_>,
    buffers: &Buffers,
    missing: &[(usize, usize)],
    attempt: usize,
) -> Result<Vec<(Slot, Prompt, Vec<u32>)>> {
    let (mut slots, mut requests) = (Vec::new(), Vec::new());
    for &(channel, index) in missing {
        let Channel { domain_name, kind, .. } = &stage.channels[channel];
        let sources: Vec<_> = kind
            .references
            .from
            .iter()
            .map(|from| buffers.get(domain_name, from))
            .collect::<Result<_>>()?;
        let count = kind.references.count as usize;
        let count = if count == 0 { 0 } else { (count >> attempt).max(1) };
        let mut generator = stage.place("references", channel, index, attempt).generator();
        let references = draw_references(&sources, stage.config.references, count, &mut generator);
        let seed = stage.place("prompt", channel, index, attempt).bits();
        requests.push((
            channel,
            ProposeRequest { kind: kind.name.clone(), references: references.clone(), seed },
        ));
        slots.push(Slot { channel, index, references });
    }
    let prompts = stage.by_domain("write proposal prompts", requests, |domain, requests, _| {
        domain.propose_prompts(requests)
    })?;
    let fitting = stage.fitting(&prompts)?;
    let keep =
        |((slot, prompt), tokens): (_, Option<_>)| tokens.map(|tokens| (slot, prompt, tokens));
    Ok(slots.into_iter().zip(prompts).zip(fitting).filter_map(keep).collect())
}

/// Samples a proposal for each slot's prompt and verifies it.
fn sample(
    stage: &mut Stage<'_>,
    buffers: &Buffers,
    asks: Vec<Ask>,
    slots: &[Slot],
) -> Result<Vec<Proposed>> {
    let channels = stage.channels;
    let item = |ask: usize, response: &str| {
        let Slot { channel, references, .. } = &slots[ask];
        let kind = channels[*channel].kind.name.clone();
        Proposal { kind, references: references.clone(), response: response.to_owned() }
    };
    let check = Check {
        phase: Phase::Validate,
        action: "validate proposals",
        item: &item,
        call: |domain, proposals, context| domain.validate(proposals, context),
    };
    let (rollouts, validations) = stage.sample(RolloutPhase::Propose, asks, &check)?;
    let (mut proposed, mut seen) = (Vec::new(), BTreeSet::new());
    for (mut rollout, validation) in rollouts.into_iter().flatten().zip(validations) {
        let record = &mut rollout.record;
        (record.well_formed, record.reason) = (validation.well_formed, validation.reason);
        let (mut is_stored, mut is_repeated, mut is_held_out) = (false, false, false);
        if let Some(task) = &validation.task {
            record.task_key = Some(task.key.clone());
            is_stored = stage.channels[rollout.channel].buffer(buffers)?.contains(&task.key);
            is_repeated = !seen.insert((rollout.channel, task.key.clone()));
            is_held_out = stage.is_held_out(rollout.channel, task);
        }
        proposed.push(Proposed {
            rollout,
            task: validation.task,
            measures: validation.measures,
            is_stored,
            is_repeated,
            is_askable: true,
            is_held_out,
        });
    }
    Ok(proposed)
}

/// Estimates the solve rate of every valid proposal's task in one wave; returns the samples.
///
/// A task that cannot be shown to the solver within the prompt limit has solve rate 0.
pub(crate) fn estimate(stage: &mut Stage<'_>, proposed: &mut [Proposed]) -> Result<Vec<Rollout>> {
    // Proposals that share an estimate, by what they share: the task if equal ones are merged, else nothing.
    let mut shared: BTreeMap<(usize, &str, usize), Vec<usize>> = BTreeMap::new();
    for (position, proposal) in proposed.iter().enumerate() {
        if let Some(task) = &proposal.task {
            let alone = if stage.config.dedupe { 0 } else { position };
            shared.entry((proposal.rollout.channel, &task.key, alone)).or_default().push(position);
        }
    }
    let mut members: Vec<Vec<usize>> = shared.into_values().collect();
    members.sort_unstable();
    let tasks: Vec<(usize, Task)> = members
        .iter()
        .filter_map(|positions| {
            let proposal = &proposed[*positions.first()?];
            Some((proposal.rollout.channel, proposal.task.clone()?))
        })
        .collect();
    let prompts = stage.solve_prompts(tasks.clone())?;
    let fitting = stage.fitting(&prompts)?;
    let (mut asks, mut asked) = (Vec::new(), Vec::new());
    for (((prompt, tokens), (channel, task)), positions) in
        prompts.into_iter().zip(fitting).zip(tasks).zip(members)
    {
        let Some(tokens) = tokens else {
            for position in positions {
                proposed[position].is_askable = false;
                proposed[position].rollout.record.solve_rate = Some(0.0);
            }
            continue;
        };
        let sample = |sample| stage.place("estimate", channel, positions[0], sample).bits();
        let seeds = (0..stage.config.learnability_samples as usize).map(sample).collect();
        asks.push(Ask { channel, prompt, tokens, seeds });
        asked.push((positions, task));
    }
    let tasks: Vec<Task> = asked.iter().map(|(_, task)| task.clone()).collect();
    let mut groups = stage.answers(RolloutPhase::Estimate, Phase::GradeEstimate, asks, &tasks)?;
    for (samples, (positions, task)) in groups.iter_mut().zip(asked) {
        for sample in samples.iter_mut() {
            sample.is_held_out = stage.is_held_out(sample.channel, &task);
        }
        let scores = samples.iter().filter_map(|sample| sample.record.score);
        let rate = scores.map(f64::from).sum::<f64>() / samples.len() as f64;
        for position in positions {
            proposed[position].rollout.record.solve_rate = Some(rate);
        }
    }
    Ok(groups.into_iter().flatten().collect())
}

/// Rewards the proposals, but not those of tasks that are held out: what has no reward is not trained.
pub(crate) fn reward(stage: &Stage<'_>, proposed: &mut [Proposed]) {
    for proposal in proposed {
        let is_duplicate = proposal.is_duplicate();
        let record = &mut proposal.rollout.record;
        let reward =
            proposer_reward(&record.kind, record.well_formed, record.solve_rate, stage.config);
        let most = if is_duplicate { stage.config.duplicate_reward } else { f32::INFINITY };
        record.reward = (!proposal.is_held_out).then_some(reward.min(most));
    }
}

/// Puts the valid proposals' tasks into the buffers; returns those that entered.
///
/// A valid task is stored whatever its proposal's form or reward was, unless it cannot be asked or is held out.
pub(crate) fn admit(
    stage: &Stage<'_>,
    buffers: &mut Buffers,
    proposed: &[Proposed],
) -> Result<Vec<BufferEntry>> {
    let mut admitted = Vec::new();
    for Proposed { rollout, task, is_askable, is_held_out, .. } in proposed {
        let rate = rollout.record.solve_rate;
        let is_wanted = match stage.config.admission {
            Admission::All => true,
            Admission::NotAlwaysSolved => rate.is_none_or(|rate| rate < 1.0),
            Admission::Informative => rate.is_none_or(|rate| 0.0 < rate && rate < 1.0),
        };
        let is_wanted = is_wanted && *is_askable && !is_held_out;
        let Some(task) = task.as_ref().filter(|_| is_wanted) else { continue };
        let Channel { domain_name, kind, .. } = &stage.channels[rollout.channel];
        let (domain, kind) = (domain_name.clone(), kind.name.clone());
        let entry = BufferEntry { domain, kind, step: stage.step, task: task.clone() };
        if buffers.admit(&entry)? {
            admitted.push(entry);
        }
    }
    Ok(admitted)
}
