//! The solver's half of a step: which tasks, their answers, their rewards.

use std::collections::BTreeMap;

use azr_plugin::{Role, Task};

use crate::mix::pick;
use crate::random::below;
use crate::stage::{Ask, Rollout, Stage};
use crate::{Buffers, Mix, Phase, Result, RolloutPhase, solver_reward};

/// Draws the solver's tasks of each active kind: `n_of` its channel many, by `mix`, where tasks admitted since step
/// `since` are new. Each comes up as often as it is to be answered.
pub(crate) fn choose(
    stage: &Stage<'_>,
    buffers: &Buffers,
    since: u64,
    mix: Mix,
    n_of: impl Fn(usize) -> usize,
) -> Result<Vec<(usize, Task)>> {
    let mut tasks = Vec::new();
    for (channel, of_kind) in
        stage.channels.iter().enumerate().filter(|(_, channel)| channel.is_active)
    {
        let buffer = of_kind.buffer(buffers)?;
        let mut generator = stage.place("solver tasks", channel, 0, 0).generator();
        let picks = pick(buffer, mix, n_of(channel), since, &mut generator);
        tasks.extend(
            picks
                .into_iter()
                .filter_map(|position| Some((channel, buffer.task(position)?.clone())))
                .flat_map(|task| std::iter::repeat_n(task, stage.config.answers_per_task as usize)),
        );
    }
    Ok(tasks)
}

/// Solves `tasks` in one wave and grades the answers.
///
/// Picks of one task share a prompt. Tasks whose prompt is too long are replaced by others of their kind,
/// drawn at random; where none is left the batch is shorter.
pub(crate) fn solve(stage: &mut Stage<'_>, tasks: Vec<(usize, Task)>) -> Result<Vec<Rollout>> {
    let (mut position_of, mut unique) = (BTreeMap::new(), Vec::<(usize, Task)>::new());
    let mut picks = Vec::new();
    for (channel, task) in tasks {
        let position = *position_of.entry((channel, task.key.clone())).or_insert(unique.len());
        if position == unique.len() {
            unique.push((channel, task));
        }
        picks.push(position);
    }
    let prompts = stage.solve_prompts(unique.clone())?;
    let fitting = stage.fitting(&prompts)?;
    let is_short: Vec<bool> = fitting.iter().map(Option::is_some).collect();
    let mut usable: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &pick in picks.iter().filter(|&&pick| is_short[pick]) {
        usable.entry(unique[pick].0).or_default().push(pick);
    }
    let mut seeds = vec![Vec::new(); unique.len()];
    for (index, pick) in picks.into_iter().enumerate() {
        let channel = unique[pick].0;
        let place = stage.place("solve", channel, index, 0);
        let target = match (is_short[pick], usable.get(&channel)) {
            (true, _) => pick,
            (false, Some(others)) => {
                let mut generator = stage.place("solver refill", channel, index, 0).generator();
                others[below(&mut generator, others.len() as u64) as usize]
            }
            (false, None) => continue,
        };
        seeds[target].push(place.bits());
    }
    let (mut asks, mut asked) = (Vec::new(), Vec::new());
    for ((((channel, task), prompt), tokens), seeds) in
        unique.into_iter().zip(prompts).zip(fitting).zip(seeds)
    {
        if let Some(tokens) = tokens {
            asked.push(task);
            asks.push(Ask { channel, prompt, tokens, seeds });
        }
    }
    let groups = stage.answers(RolloutPhase::Solve, Phase::Grade, asks, &asked)?;
    let mut rollouts: Vec<Rollout> = groups.into_iter().flatten().collect();
    reward(&mut rollouts);
    Ok(rollouts)
}

/// Deals the rewards out anew, at random among the answers to one task; what is the only one of its task, as proposals
/// are, takes part in one deal of its (domain, kind, role). Within a task the rewards stay as spread as they were, so
/// that an update is as large as that of a run that learns.
pub(crate) fn shuffle_rewards(stage: &Stage<'_>, rollouts: &mut [&mut Rollout]) {
    let mut groups: BTreeMap<(usize, Role, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (position, rollout) in rollouts.iter().enumerate() {
        let task = rollout.record.task_key.as_deref().filter(|_| rollout.role() == Role::Solve);
        if rollout.record.reward.is_some() {
            groups.entry((rollout.channel, rollout.role(), task)).or_default().push(position);
        }
    }
    let mut deals: Vec<(usize, Role, Vec<usize>)> = Vec::new();
    let mut alone: BTreeMap<(usize, Role), Vec<usize>> = BTreeMap::new();
    for ((channel, role, task), positions) in groups {
        match task {
            Some(_) if positions.len() > 1 => deals.push((channel, role, positions)),
            _ => alone.entry((channel, role)).or_default().extend(positions),
        }
    }
    deals.extend(alone.into_iter().map(|((channel, role), positions)| (channel, role, positions)));
    for (index, (channel, role, positions)) in deals.into_iter().enumerate() {
        let mut generator = stage.place("shuffle", channel, role as usize, index).generator();
        // Fisher and Yates, from the end.
        for last in (1..positions.len()).rev() {
            let other = below(&mut generator, last as u64 + 1) as usize;
            let (a, b) = (positions[last], positions[other]);
            let reward = rollouts[a].record.reward;
            rollouts[a].record.reward = rollouts[b].record.reward;
            rollouts[b].record.reward = reward;
        }
    }
}

/// Rewards graded answers, but not those to tasks that are held out: what has no reward is not trained.
pub(crate) fn reward(rollouts: &mut [Rollout]) {
    for rollout in rollouts.iter_mut().filter(|rollout| !rollout.is_held_out) {
        let record = &mut rollout.record;
        record.reward = record.score.map(|score| solver_reward(record.well_formed, score));
    }
}
