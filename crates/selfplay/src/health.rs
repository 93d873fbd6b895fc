//! Signs that a run goes wrong: alarms with their reasons, and the guard that leaves out an update unlike all others.

use std::collections::{BTreeMap, BTreeSet};

use azr_plugin::UpdateBounds;
use serde::{Deserialize, Serialize};

use crate::{Result, SelfPlayError, mean_of};

/// Updates over which the guard's means and variances reach back.
const WINDOW: u64 = 50;
/// Steps whose mean is what later ones are compared to.
const N_START: u64 = 3;
/// Weight of the newest step in smoothed values.
const SMOOTHING: f64 = 0.3;
/// Validity has fallen when it is so many standard deviations below its best: shares of few proposals scatter.
const VALIDITY_Z: f64 = 3.0;
/// Standard deviations of a normal distribution per median absolute deviation.
const SCALE_OF_MEDIAN: f64 = 1.4826;
/// A loss is a mean of advantages, which are of order 1: deviations below this are never unusual.
const LEAST_LOSS_DEVIATION: f64 = 0.1;
/// Gradient norms scatter by at least this part of their mean.
const LEAST_NORM_DEVIATION: f64 = 0.25;

/// When alarms are raised and updates left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// An update whose loss or gradient norm is so many standard deviations from the mean of those before is left
    /// out; 0 applies every update that is finite.
    pub guard_z: f64,
    /// The guard watches so many updates before it leaves one out.
    pub guard_warmup_updates: u64,
    /// Steps in a row without a proposal of a kind that is solved sometimes and failed sometimes, which raise an alarm.
    pub unlearnable_steps: u64,
    /// An alarm is raised when the smoothed entropy of a role falls below this part of what it was at the start.
    pub entropy_floor: f64,
    /// An alarm is raised when the smoothed share of valid proposals falls below this part of its best.
    pub validity_floor: f64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            guard_z: 8.0,
            guard_warmup_updates: 10,
            unlearnable_steps: 3,
            entropy_floor: 0.2,
            validity_floor: 0.5,
        }
    }
}

impl HealthConfig {
    /// Refuses values that cannot be compared to.
    pub(crate) fn validate(&self) -> Result<()> {
        for (key, value, most) in [
            ("guard_z", self.guard_z, f64::MAX),
            ("entropy_floor", self.entropy_floor, 1.0),
            ("validity_floor", self.validity_floor, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                let range = if most == 1.0 { "in 0..=1" } else { "0 or more" };
                return Err(SelfPlayError::config(
                    format!("health.{key} is {value}, it must be {range}"),
                    "0 switches it off",
                ));
            }
        }
        if self.unlearnable_steps == 0 {
            return Err(SelfPlayError::config(
                "health.unlearnable_steps is 0, it must be at least 1",
                "a large number switches it off",
            ));
        }
        Ok(())
    }
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The step.
    pub step: u64,
    /// Its kind, as in the metric `alarm/<name>`.
    pub name: String,
    /// The reason in words; made of numbers only, never of what a model wrote.
    pub message: String,
}

/// What is remembered of the steps before. It belongs to a checkpoint: without it a resumed run would judge otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    loss: Running,
    grad_norm: Running,
    /// Loss and gradient norm of the updates that the guard watches before it begins.
    warmup: Vec<(f64, f64)>,
    /// Entropy of each role.
    entropy: BTreeMap<String, Trend>,
    valid: Trend,
    /// Steps in a row without a learnable proposal, by domain and kind.
    n_unlearnable: BTreeMap<String, u64>,
    /// Alarms that have not ceased, some with what they are about behind a slash; each is told once.
    raised: BTreeSet<String>,
}

/// A smoothed value and what it is compared to: the mean of the first steps, until something better is put there.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trend {
    n: u64,
    smooth: f64,
    reference: f64,
}

impl Trend {
    fn fold(&mut self, value: f64) {
        self.n += 1;
        let weight = if self.n <= N_START { 1.0 / self.n as f64 } else { SMOOTHING };
        self.smooth += weight * (value - self.smooth);
        if self.n <= N_START {
            self.reference = self.smooth;
        }
    }
}

/// Mean and variance over the last updates: of all at first, then forgetting exponentially.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    n: u64,
    mean: f64,
    variance: f64,
}

impl Running {
    /// Of the first values, by their median and the median distance from it, so that one spike among them tells nothing.
    fn start(values: &[f64]) -> Self {
        let mean = median(values.to_vec());
        let distance = median(values.iter().map(|value| (value - mean).abs()).collect());
        Self { n: values.len() as u64, mean, variance: (SCALE_OF_MEDIAN * distance).powi(2) }
    }

    fn fold(&mut self, value: f64) {
        self.n += 1;
        let weight = 1.0 / self.n.min(WINDOW) as f64;
        let distance = value - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
    }
}

impl Health {
    /// What the next update must look like to be applied.
    pub(crate) fn bounds(&self, config: &HealthConfig) -> UpdateBounds {
        if config.guard_z == 0.0 || self.grad_norm.n == 0 {
            return UpdateBounds::default();
        }
        let loss = config.guard_z * self.loss.variance.sqrt().max(LEAST_LOSS_DEVIATION);
        let least = LEAST_NORM_DEVIATION * self.grad_norm.mean;
        let norm = config.guard_z * self.grad_norm.variance.sqrt().max(least);
        UpdateBounds {
            loss_min: self.loss.mean - loss,
            loss_max: self.loss.mean + loss,
            grad_norm_max: self.grad_norm.mean + norm,
        }
    }

    /// Takes in the metrics of a step with so many proposals; returns the alarms it raises and the names of those that
    /// last. What a step says nothing about stays as it was.
    pub(crate) fn observe(
        &mut self,
        step: u64,
        metrics: &BTreeMap<String, f64>,
        n_proposals: usize,
        config: &HealthConfig,
    ) -> (Vec<Alarm>, BTreeSet<String>) {
        let mut alarms = Vec::new();
        let mut raise = |name: &str, message| {
            alarms.push(Alarm { step, name: name.to_owned(), message });
        };
        let skipped = self.observe_update(metrics, config);
        let lasting = skipped.iter().map(|_| "update-skipped".to_owned());
        let mut lasting: BTreeSet<String> = lasting.collect();
        skipped.into_iter().for_each(|message| raise("update-skipped", message));
        let mut verdicts = self.observe_learnability(metrics, config);
        verdicts.extend(self.observe_entropy("propose", metrics, config));
        verdicts.extend(self.observe_entropy("solve", metrics, config));
        verdicts.extend(self.observe_validity(metrics, n_proposals, config));
        for Verdict { alarm, message } in verdicts {
            match message {
                None => {
                    self.raised.remove(&alarm);
                }
                Some(message) => {
                    if self.raised.insert(alarm.clone()) {
                        raise(name_of(&alarm), message);
                    }
                }
            }
        }
        lasting.extend(self.raised.iter().map(|alarm| name_of(alarm).to_owned()));
        (alarms, lasting)
    }

    fn observe_update(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Option<String> {
        let bounds = self.bounds(config);
        let applied = *metrics.get("update/applied")? == 1.0;
        let both = metrics.get("update/loss").zip(metrics.get("update/grad_norm"));
        let Some((&loss, &norm)) = both else {
            let message = "the loss or the gradient is not a number; the update was left out";
            return (!applied).then(|| message.to_owned());
        };
        let message = (!applied).then(|| {
            let (what, value, was) = if norm > bounds.grad_norm_max {
                ("gradient norm", norm, self.grad_norm)
            } else {
                ("loss", loss, self.loss)
            };
            format!(
                "the {what} is {value:.4}, after {:.4} ± {:.4} so far; the update was left out",
                was.mean,
                was.variance.sqrt()
            )
        });
        // An update without a gradient says nothing about those that have one. One that was left out counts as the
        // largest that would not have been, so that the bounds follow a lasting change.
        if norm > 0.0 && self.grad_norm.n > 0 {
            self.loss.fold(loss.clamp(bounds.loss_min, bounds.loss_max));
            self.grad_norm.fold(norm.min(bounds.grad_norm_max));
        } else if norm > 0.0 {
            self.warmup.push((loss, norm));
            if self.warmup.len() as u64 >= config.guard_warmup_updates.max(2) {
                let (losses, norms): (Vec<f64>, Vec<f64>) = self.warmup.drain(..).unzip();
                (self.loss, self.grad_norm) = (Running::start(&losses), Running::start(&norms));
            }
        }
        message
    }

    fn observe_learnability(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        // Where nothing is proposed nothing can be learnable.
        let is_proposed = |name: &String| {
            Some(name.strip_prefix("propose/")?.strip_suffix("/valid_rate")?.to_owned())
        };
        for kind in metrics.keys().filter_map(is_proposed) {
            let rate = metrics.get(&format!("propose/{kind}/informative_rate"));
            let n_steps = self.n_unlearnable.entry(kind.clone()).or_default();
            *n_steps = if rate.is_some_and(|rate| *rate > 0.0) { 0 } else { *n_steps + 1 };
            let message = (*n_steps >= config.unlearnable_steps).then(|| {
                format!(
                    "no proposal of kind {kind} of the last {n_steps} steps was solved sometimes and failed sometimes: \
                     tasks are invalid, too hard or too easy, and the proposer has nothing to go by"
                )
            });
            verdicts.push(Verdict { alarm: format!("learnability/{kind}"), message });
        }
        verdicts
    }

    fn observe_entropy(
        &mut self,
        role: &str,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Option<Verdict> {
        let entropy = mean_of(metrics, &format!("{role}/"), "/entropy")?;
        let trend = self.entropy.entry(role.to_owned()).or_default();
        trend.fold(entropy);
        let Trend { smooth, reference, .. } = *trend;
        let message = (smooth < config.entropy_floor * reference).then(|| {
            format!(
                "the entropy of role {role} fell to {smooth:.3} from {reference:.3} at the start: the model repeats itself"
            )
        });
        Some(Verdict { alarm: format!("entropy-{role}"), message })
    }

    fn observe_validity(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        n_proposals: usize,
        config: &HealthConfig,
    ) -> Option<Verdict> {
        self.valid.fold(mean_of(metrics, "propose/", "/valid_rate")?);
        let Trend { smooth, reference: best, .. } = self.valid;
        self.valid.reference = best.max(smooth);
        // Both are shares of chance, each smoothed over some steps of so many proposals.
        let variance = best * (1.0 - best) / n_proposals.max(1) as f64;
        let noise = (2.0 * variance * SMOOTHING / (2.0 - SMOOTHING)).sqrt();
        let is_low = smooth < config.validity_floor * best && smooth < best - VALIDITY_Z * noise;
        let message = is_low.then(|| {
            format!(
                "only {:.0} % of the proposals are valid, after {:.0} % at best",
                100.0 * smooth,
                100.0 * best
            )
        });
        Some(Verdict { alarm: "validity".to_owned(), message })
    }
}

/// What a step says about an alarm.
struct Verdict {
    /// As in [`Health::raised`].
    alarm: String,
    /// Why it is raised; it ceases where there is none.
    message: Option<String>,
}

/// The name of an alarm without what it is about.
fn name_of(alarm: &str) -> &str {
    alarm.split('/').next().unwrap_or(alarm)
}

/// The middle value, or the mean of the two in the middle; 0 where there are none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match (values.get(upper.wrapping_sub((values.len() + 1) % 2)), values.get(upper)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
