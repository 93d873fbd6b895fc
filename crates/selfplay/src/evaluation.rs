//! How many of the held-out tasks the policy solves, asked once each, with the likeliest token always.

use std::collections::BTreeMap;

use azr_plugin::Task;

use crate::metrics::{Metrics, durations, share};
use crate::stage::{Ask, Rollout, Stage};
use crate::{Finish, Phase, Result, RolloutPhase, RolloutRecord};

/// What an evaluation found. It changes nothing about the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The step after which it was made; 0 before the first.
    pub step: u64,
    /// `<set>/part/solve_rate_mean` (over kinds), `<set>/part/solve_rate_<kind>`, `<set>/part/format_rate`,
    /// `<set>/part/tokens_mean`, `<set>/part/truncated_rate` and `<set>/part/n_tasks` of the same evenly spaced tasks
    /// whenever they are asked, and where all tasks were asked, the same of all of them without the `part/`. A function
    /// of the weights and the tasks alone.
    pub metrics: BTreeMap<String, f64>,
    /// Durations in seconds.
    pub timings: BTreeMap<String, f64>,
    /// Every answer, set by set.
    pub rollouts: Vec<RolloutRecord>,
}

/// A task of a set, and its answer where it could be asked.
struct Asked {
    set: usize,
    channel: usize,
    is_part: bool,
    answer: Option<Rollout>,
}

/// Solves the tasks of all sets in one wave: all of them, or the part alone that has at most `tasks_per_kind` of each
/// kind of a set, evenly spaced; 0 means all. A task whose prompt is too long counts as not solved.
pub(crate) fn evaluate(
    stage: &mut Stage<'_>,
    tasks_per_kind: usize,
    asks_all: bool,
) -> Result<Evaluation> {
    let (mut asked, mut tasks) = (Vec::new(), Vec::new());
    for (set, (_, of_set)) in stage.held_out.sets.iter().enumerate() {
        for ((channel, task), is_part) in of_set.iter().zip(parts(of_set, tasks_per_kind)) {
            if is_part || asks_all {
                asked.push(Asked { set, channel: *channel, is_part, answer: None });
                tasks.push((*channel, task.clone()));
            }
        }
    }
    let prompts = stage.solve_prompts(tasks.clone())?;
    let fitting = stage.fitting(&prompts)?;
    let (mut asks, mut positions, mut of_asks) = (Vec::new(), Vec::new(), Vec::new());
    for (position, (((channel, task), prompt), tokens)) in
        tasks.into_iter().zip(prompts).zip(fitting).enumerate()
    {
        if let Some(tokens) = tokens {
            // Greedy answers do not depend on the seed.
            asks.push(Ask { channel, prompt, tokens, seeds: vec![0] });
            positions.push(position);
            of_asks.push(task);
        }
    }
    let answers = stage.answers(RolloutPhase::Evaluate, Phase::GradeEvaluation, asks, &of_asks)?;
    for (position, answer) in positions.into_iter().zip(answers.into_iter().flatten()) {
        asked[position].answer = Some(answer);
    }
    let mut metrics = Metrics::default();
    for (number, (name, tasks)) in stage.held_out.sets.iter().enumerate() {
        let of_set: Vec<&Asked> = asked.iter().filter(|asked| asked.set == number).collect();
        let part: Vec<&Asked> = of_set.iter().copied().filter(|asked| asked.is_part).collect();
        set_metrics(stage, &format!("{name}/part"), &part, &mut metrics);
        if of_set.len() == tasks.len() {
            set_metrics(stage, name, &of_set, &mut metrics);
        }
    }
    Ok(Evaluation {
        step: stage.step,
        metrics: metrics.0,
        timings: durations(stage).0,
        rollouts: asked.into_iter().filter_map(|asked| Some(asked.answer?.record)).collect(),
    })
}

/// Whether each of the tasks is one of at most `n` of its channel, evenly spaced; all are when `n` is 0.
fn parts(tasks: &[(usize, Task)], n: usize) -> Vec<bool> {
    let mut by_channel: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (position, (channel, _)) in tasks.iter().enumerate() {
        by_channel.entry(*channel).or_default().push(position);
    }
    let mut is_part = vec![false; tasks.len()];
    for positions in by_channel.values() {
        let count = if n == 0 { positions.len() } else { n.min(positions.len()) };
        (0..count).for_each(|i| is_part[positions[i * positions.len() / count]] = true);
    }
    is_part
}

fn set_metrics(stage: &Stage<'_>, set: &str, asked: &[&Asked], metrics: &mut Metrics) {
    let mut by_kind: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for Asked { channel, answer, .. } in asked {
        let score = answer.as_ref().and_then(|answer| answer.record.score).unwrap_or(0.0);
        by_kind.entry(&stage.channels[*channel].kind.name).or_default().push(f64::from(score));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let rates: Vec<f64> = by_kind.values().map(|scores| mean(scores)).collect();
    for (kind, rate) in by_kind.keys().zip(&rates) {
        metrics.set(format!("{set}/solve_rate_{kind}"), *rate);
    }
    metrics.mean(format!("{set}/solve_rate_mean"), rates.into_iter());
    metrics.set(format!("{set}/n_tasks"), asked.len() as f64);
    let answers = || asked.iter().filter_map(|asked| asked.answer.as_ref());
    let records = || answers().map(|answer| &answer.record);
    metrics.mean(format!("{set}/format_rate"), records().map(|record| share(record.well_formed)));
    metrics.mean(format!("{set}/tokens_mean"), records().map(|record| record.n_tokens as f64));
    let is_cut = |record: &RolloutRecord| matches!(record.finish, Finish::Length | Finish::Context);
    metrics.mean(format!("{set}/truncated_rate"), records().map(|record| share(is_cut(record))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_evenly_spaced_and_per_kind() {
        let task = |number: usize| Task {
            kind: String::new(),
            key: number.to_string(),
            subject: String::new(),
            payload: String::new(),
        };
        let tasks: Vec<(usize, Task)> = (0..12).map(|number| (number % 2, task(number))).collect();
        let chosen = |n| -> Vec<usize> {
            let is_part = parts(&tasks, n).into_iter().enumerate();
            is_part.filter(|(_, is_part)| *is_part).map(|(position, _)| position).collect()
        };
        assert_eq!(chosen(3), [0, 1, 4, 5, 8, 9]);
        assert_eq!((chosen(0).len(), chosen(100).len()), (12, 12));
    }
}
