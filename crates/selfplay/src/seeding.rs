//! The buffers before the first step.

use std::collections::BTreeMap;

use crate::channel::Channel;
use crate::metrics::{Metrics, blocked};
use crate::proposals::{Proposed, propose};
use crate::stage::{Rollout, Stage};
use crate::{BufferEntry, Buffers, Result, SelfPlayError};

/// Fills `buffers` with the domains' own seed tasks and then, round by round, with what the untrained policy
/// proposes, until every seeded kind has `seed_tasks` tasks or the rounds are used up.
///
/// Each kind fills its own buffer, whatever its reward would be, and every task once. (The reference
/// fills those of deduction and abduction with one and the same set.)
pub(crate) fn seed(
    stage: &mut Stage<'_>,
    buffers: &mut Buffers,
    metrics: &mut Metrics,
) -> Result<(Vec<BufferEntry>, Vec<Rollout>)> {
    let mut admitted = Vec::new();
    for channel in stage.channels {
        let Channel { domain, domain_name, kind, .. } = channel;
        let tasks = stage.engines.domains[*domain].1.seed_tasks(&kind.name);
        let fail = |source| {
            SelfPlayError::engine(&format!("domain {domain_name}"), "give its seed tasks", source)
        };
        for task in tasks.map_err(fail)? {
            if stage.held_out.blocks(*domain, &task) {
                metrics.count(blocked(channel));
                continue;
            }
            let (domain, kind) = (domain_name.clone(), kind.name.clone());
            admit_once(buffers, BufferEntry { domain, kind, step: 0, task }, &mut admitted)?;
        }
    }
    let (mut rollouts, mut n_rounds) = (Vec::new(), 0_u64);
    let target = stage.config.seed_tasks;
    // Kinds round by round, so that every round's references include the tasks of the rounds before.
    while n_rounds < stage.config.max_seed_rounds {
        let unfinished = unfinished(stage.channels, buffers, target)?;
        if unfinished.is_empty() {
            break;
        }
        let (proposed, _) = propose_round(stage, buffers, &unfinished, n_rounds)?;
        n_rounds += 1;
        for Proposed { rollout, task, is_held_out, .. } in proposed {
            let channel = &stage.channels[rollout.channel];
            if is_held_out {
                metrics.count(blocked(channel));
            } else if let Some(task) =
                task.filter(|_| channel.buffer(buffers).is_ok_and(|buffer| buffer.len() < target))
            {
                let (domain, kind) = (channel.domain_name.clone(), channel.kind.name.clone());
                admit_once(buffers, BufferEntry { domain, kind, step: 0, task }, &mut admitted)?;
            }
            rollouts.push(rollout);
        }
    }
    metrics.set("seed/rounds", n_rounds as f64);
    Ok((admitted, rollouts))
}

/// Positions of the seeded kinds with fewer than `target` tasks.
fn unfinished(channels: &[Channel], buffers: &Buffers, target: usize) -> Result<Vec<usize>> {
    let mut unfinished = Vec::new();
    for (number, channel) in channels.iter().enumerate() {
        if channel.is_seeded && channel.buffer(buffers)?.len() < target {
            unfinished.push(number);
        }
    }
    Ok(unfinished)
}

/// Proposals of one round; rounds differ in their random choices as steps do.
fn propose_round(
    stage: &mut Stage<'_>,
    buffers: &Buffers,
    channels: &[usize],
    round: u64,
) -> Result<(Vec<Proposed>, BTreeMap<usize, usize>)> {
    // Rounds count down from the largest step, where no step of a run ever gets.
    let step = std::mem::replace(&mut stage.step, u64::MAX - round);
    let proposed = propose(stage, buffers, channels);
    stage.step = step;
    proposed
}

fn admit_once(
    buffers: &mut Buffers,
    entry: BufferEntry,
    admitted: &mut Vec<BufferEntry>,
) -> Result<()> {
    let is_new = !buffers.get(&entry.domain, &entry.kind)?.contains(&entry.task.key);
    if is_new && buffers.admit(&entry)? {
        admitted.push(entry);
    }
    Ok(())
}
