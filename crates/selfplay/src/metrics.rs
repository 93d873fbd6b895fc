//! Metrics and timings of a step.

use std::collections::{BTreeMap, BTreeSet};

use crate::channel::Channel;
use crate::learn::Learned;
use crate::proposals::Proposed;
use crate::reward::learnability;
use crate::stage::{Rollout, Stage};
use crate::{Buffers, Finish, Phase, Result, RolloutRecord};

/// What the names of metrics and timings start with, beside those of held-out sets; `memory` is for who measures it.
pub(crate) const GROUPS: [&str; 13] = [
    "alarm",
    "baseline",
    "benchmark",
    "buffer",
    "estimate",
    "memory",
    "propose",
    "safety",
    "seed",
    "solve",
    "throughput",
    "time",
    "update",
];

/// Mean of the metrics whose names start with `prefix` and end with `suffix`; none when there are none.
pub fn mean_of(metrics: &BTreeMap<String, f64>, prefix: &str, suffix: &str) -> Option<f64> {
    let of_group =
        metrics.iter().filter(|(name, _)| name.starts_with(prefix) && name.ends_with(suffix));
    let (sum, n) = of_group.fold((0.0, 0.0), |(sum, n), (_, value)| (sum + value, n + 1.0));
    (n > 0.0).then(|| sum / n)
}

/// Metrics by name; what is not finite is left out.
#[derive(Debug, Default)]
pub(crate) struct Metrics(pub(crate) BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.0.insert(name.into(), value);
        }
    }

    pub(crate) fn count(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1.0;
    }

    /// Sets the mean of `values`, if there are any.
    pub(crate) fn mean(&mut self, name: String, values: impl Iterator<Item = f64>) {
        let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
        if n > 0.0 {
            self.set(name, sum / n);
        }
    }

    /// `propose/<domain>/<kind>/…`
    pub(crate) fn proposals(
        &mut self,
        stage: &Stage<'_>,
        proposed: &[Proposed],
        n_overlong: &BTreeMap<usize, usize>,
    ) {
        for (number, channel) in active(stage) {
            let of_kind: Vec<&Proposed> =
                proposed.iter().filter(|p| p.rollout.channel == number).collect();
            let prefix = format!("propose/{}", channel.name());
            if let Some(&n) = n_overlong.get(&number) {
                self.set(format!("{prefix}/overlong"), n as f64);
            }
            self.responses(&prefix, of_kind.iter().map(|p| &p.rollout));
            self.mean(
                format!("{prefix}/valid_rate"),
                of_kind.iter().map(|p| share(p.task.is_some())),
            );
            let measured = of_kind.iter().flat_map(|p| &p.measures);
            let mut by_measure: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            measured.for_each(|(name, value)| by_measure.entry(name).or_default().push(*value));
            for (name, values) in by_measure {
                self.mean(format!("{prefix}/measure_{}", label(name)), values.into_iter());
            }
            let rates = || of_kind.iter().filter_map(|p| p.rollout.record.solve_rate);
            let function = stage.config.learnability;
            self.mean(
                format!("{prefix}/learnability_mean"),
                rates().map(|rate| learnability(rate, function)),
            );
            self.mean(format!("{prefix}/solve_rate_mean"), rates());
            self.mean(
                format!("{prefix}/informative_rate"),
                rates().map(|rate| share(0.0 < rate && rate < 1.0)),
            );
            let mut subjects = BTreeSet::new();
            self.mean(
                format!("{prefix}/subject_rate"),
                of_kind
                    .iter()
                    .filter_map(|p| p.task.as_ref().filter(|task| !task.subject.is_empty()))
                    .map(|task| share(subjects.insert(&task.subject))),
            );
            if !stage.held_out.is_empty() {
                let n_blocked = of_kind.iter().filter(|p| p.is_held_out).count();
                self.set(blocked(channel), n_blocked as f64);
            }
            for proposal in &of_kind {
                match (&proposal.task, proposal.is_askable) {
                    (None, _) => self.count(format!(
                        "{prefix}/reject/{}",
                        label(&proposal.rollout.record.reason)
                    )),
                    (Some(_), false) => self.count(format!("{prefix}/reject/overlong-task")),
                    (Some(_), true) => {}
                }
            }
        }
    }

    /// `estimate/…` and `propose/<domain>/<kind>/solve_rate_hist_<k>`: how often new tasks were solved.
    pub(crate) fn estimates(&mut self, stage: &Stage<'_>, proposed: &[Proposed]) {
        let rates = || {
            proposed
                .iter()
                .filter(|p| p.is_askable)
                .filter_map(|p| Some((p, p.rollout.record.solve_rate?)))
        };
        self.mean(
            "estimate/informative_rate".into(),
            rates().map(|(_, rate)| share(0.0 < rate && rate < 1.0)),
        );
        for (number, channel) in active(stage) {
            let of_kind = rates().filter(|(p, _)| p.rollout.channel == number);
            let rates: Vec<f64> = of_kind.map(|(_, rate)| rate).collect();
            if !rates.is_empty() {
                let name = channel.name();
                for (bin, n) in histogram(&rates, stage.config.learnability_samples).enumerate() {
                    self.set(format!("propose/{name}/solve_rate_hist_{bin}"), n as f64);
                }
            }
        }
    }

    /// `solve/<domain>/<kind>/…`
    pub(crate) fn solutions(&mut self, stage: &Stage<'_>, solved: &[&Rollout]) {
        for (number, channel) in active(stage) {
            let of_kind: Vec<&Rollout> =
                solved.iter().filter(|r| r.channel == number).copied().collect();
            let prefix = format!("solve/{}", channel.name());
            self.responses(&prefix, of_kind.iter().copied());
            let scores = of_kind.iter().filter_map(|rollout| rollout.record.score);
            self.mean(format!("{prefix}/accuracy"), scores.map(f64::from));
            for record in of_kind.iter().map(|rollout| &rollout.record) {
                if record.score < Some(1.0) {
                    self.count(format!("{prefix}/wrong/{}", label(&record.reason)));
                }
            }
        }
    }

    /// What both roles have.
    fn responses<'a>(&mut self, prefix: &str, rollouts: impl Iterator<Item = &'a Rollout> + Clone) {
        let records = || rollouts.clone().map(|rollout| &rollout.record);
        let is_cut =
            |record: &RolloutRecord| matches!(record.finish, Finish::Length | Finish::Context);
        self.mean(
            format!("{prefix}/format_rate"),
            records().map(|record| share(record.well_formed)),
        );
        self.mean(
            format!("{prefix}/reward_mean"),
            records().filter_map(|record| record.reward).map(f64::from),
        );
        self.mean(format!("{prefix}/tokens_mean"), records().map(|record| record.n_tokens as f64));
        self.mean(
            format!("{prefix}/truncated_rate"),
            records().map(|record| share(is_cut(record))),
        );
        // The mean of -ln p over sampled tokens is an unbiased estimate of the policy's mean token entropy.
        let n_tokens: usize = records().map(|record| record.n_tokens).sum();
        if n_tokens > 0 {
            let logprob: f64 = rollouts.clone().map(|rollout| rollout.logprob).sum();
            self.set(format!("{prefix}/entropy"), -logprob / n_tokens as f64);
        }
    }

    /// `update/…` and `baseline/<group>/…`
    pub(crate) fn update(&mut self, learned: Option<&Learned>) {
        self.set("update/skipped", share(learned.is_none()));
        let Some(Learned { report, plan, n_sequences }) = learned else { return };
        self.set("update/loss", report.loss);
        self.set("update/entropy", report.entropy);
        if plan.loss.kl_coef != 0.0 {
            self.set("update/kl", report.kl);
        }
        self.set("update/grad_norm", report.grad_norm);
        self.set("update/clip_fraction", report.clip_fraction);
        self.set("update/logprob_gap", report.logprob_gap_mean);
        self.set("update/logprob_gap_max", report.logprob_gap_max);
        self.set("update/lr", f64::from(plan.optimizer.learning_rate));
        self.set("update/applied", share(report.applied));
        self.set("update/n_tokens", report.n_tokens as f64);
        self.set("update/n_sequences", *n_sequences as f64);
        for group in &plan.groups {
            self.set(format!("baseline/{}/mean", group.group), group.mean);
            self.set(format!("baseline/{}/std", group.group), group.std);
        }
    }

    /// `buffer/<domain>/<kind>/…`
    pub(crate) fn buffers(
        &mut self,
        stage: &Stage<'_>,
        buffers: &Buffers,
        proposed: &[Proposed],
    ) -> Result<()> {
        for (number, channel) in stage.channels.iter().enumerate() {
            let (name, buffer) = (channel.name(), channel.buffer(buffers)?);
            self.set(format!("buffer/{name}/size"), buffer.len() as f64);
            if let Some(age) = buffer.age_mean(stage.step) {
                self.set(format!("buffer/{name}/age_mean"), age);
            }
            let valid = proposed.iter().filter(|p| p.rollout.channel == number && p.task.is_some());
            self.mean(
                format!("buffer/{name}/duplicate_rate"),
                valid.clone().map(|p| share(p.is_duplicate())),
            );
            self.mean(
                format!("buffer/{name}/duplicate_rate_stored"),
                valid.clone().map(|p| share(p.is_stored)),
            );
            self.mean(
                format!("buffer/{name}/duplicate_rate_repeated"),
                valid.map(|p| share(p.is_repeated)),
            );
        }
        Ok(())
    }
}

/// Durations and rates of a step that took `step_s` seconds.
pub(crate) fn timings(
    stage: &Stage<'_>,
    step_s: f64,
    rollouts: &[RolloutRecord],
    n_trained: u64,
) -> Metrics {
    let mut timings = durations(stage);
    timings.set("time/step_s", step_s);
    // Checks beside a wave count as any others: a rate is about the time in which the work was done.
    let spent = |phases: &[Phase]| {
        let of_phase =
            |phase| stage.seconds.get(phase).into_iter().chain(stage.overlapped.get(phase));
        phases.iter().flat_map(of_phase).sum::<f64>()
    };
    let n_sampled: usize = rollouts.iter().map(|record| record.n_tokens).sum();
    for (name, amount, seconds) in [
        (
            "generate_tok_s",
            n_sampled as f64,
            spent(&[Phase::Propose, Phase::Estimate, Phase::Solve]),
        ),
        ("update_tok_s", n_trained as f64, spent(&[Phase::Update])),
        (
            "execute_s",
            stage.n_checks as f64,
            spent(&[Phase::Validate, Phase::GradeEstimate, Phase::Grade]),
        ),
    ] {
        if amount > 0.0 && seconds > 0.0 {
            timings.set(format!("throughput/{name}"), amount / seconds);
        }
    }
    timings
}

/// `time/<phase>_s`, and `time/<phase>_overlapped_s` where checks ran beside their wave.
pub(crate) fn durations(stage: &Stage<'_>) -> Metrics {
    let mut durations = Metrics::default();
    for (phase, seconds) in &stage.seconds {
        durations.set(format!("time/{}_s", phase.as_str()), *seconds);
    }
    for (phase, seconds) in &stage.overlapped {
        durations.set(format!("time/{}_overlapped_s", phase.as_str()), *seconds);
    }
    durations
}

/// Name of the number of valid proposals that were about what a held-out task is about.
pub(crate) fn blocked(channel: &Channel) -> String {
    format!("heldout/{}/blocked", channel.name())
}

fn active<'a>(stage: &'a Stage<'_>) -> impl Iterator<Item = (usize, &'a Channel)> {
    stage.channels.iter().enumerate().filter(|(_, channel)| channel.is_active)
}

/// How many solve rates lie nearest to `k / n` for `k` in `0..=n`, where `n` is the number of samples, but 16 at most.
fn histogram(rates: &[f64], n_samples: u32) -> impl Iterator<Item = usize> {
    let n = n_samples.min(16) as usize;
    let mut bins = vec![0; n + 1];
    for rate in rates {
        bins[((rate * n as f64).round() as usize).min(n)] += 1;
    }
    bins.into_iter()
}

pub(crate) fn share(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// A reason as part of a metric's name: a plugin wrote it, so its characters and length are bounded.
fn label(reason: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c.to_ascii_lowercase() } else { '_' }
    };
    let label: String = reason.chars().take(40).map(plain).collect();
    if label.is_empty() { "unknown".into() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_left_out() {
        let mut metrics = Metrics::default();
        metrics.set("a", f64::NAN);
        metrics.set("b", f64::INFINITY);
        metrics.mean("c".into(), std::iter::empty());
        metrics.mean("d".into(), [1.0, 2.0].into_iter());
        assert_eq!(metrics.0, BTreeMap::from([("d".to_owned(), 1.5)]));
    }

    #[test]
    fn means_are_of_the_metrics_between_prefix_and_suffix() {
        let metrics = [("a/x/r", 1.0), ("a/y/r", 2.0), ("a/x/s", 9.0), ("b/x/r", 9.0)];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(mean_of(&metrics, "a/", "/r"), Some(1.5));
        assert_eq!(mean_of(&metrics, "c/", "/r"), None);
    }

    #[test]
    fn solve_rates_fall_into_the_nearest_bin() {
        assert!(histogram(&[0.0, 0.25, 0.25, 1.0], 4).eq([1, 2, 0, 0, 1]));
        assert_eq!(histogram(&[1.0], 1_000).collect::<Vec<_>>()[16], 1);
    }

    #[test]
    fn reasons_cannot_forge_metric_names() {
        assert_eq!(label("Time/out\n"), "time_out_");
        assert_eq!(label(""), "unknown");
        assert_eq!(label(&"é".repeat(100)), "_".repeat(40));
    }
}
