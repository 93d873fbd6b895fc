//! Signs that a run goes wrong: alarms with their reasons, and the guard that leaves out an update unlike all others.

use std::collections::{BTreeMap, BTreeSet};

use azr_plugin::UpdateBounds;
use serde::{Deserialize, Serialize};

use crate::{Result, SelfPlayError};

/// Updates over which the guard's means and variances reach back.
const WINDOW: u64 = 50;
/// Steps whose mean entropy is what later ones are compared to.
const N_START: u64 = 3;
/// Weight of the newest step in the smoothed validity.
const SMOOTHING: f64 = 0.3;
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
    /// Steps in a row without a learnable proposal that raise an alarm.
    pub unlearnable_steps: u64,
    /// An alarm is raised when the entropy of a role falls below this part of what it was at the start.
    pub entropy_floor: f64,
    /// An alarm is raised when the share of valid proposals falls below this part of its best.
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
    /// Entropy of each role at the start.
    entropy: BTreeMap<String, Running>,
    valid: Option<f64>,
    best_valid: f64,
    n_unlearnable: u64,
    /// Alarms that have not ceased; each is told once.
    raised: BTreeSet<String>,
}

/// Mean and variance over the last updates: exact at first, then forgetting exponentially.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    n: u64,
    mean: f64,
    variance: f64,
}

impl Running {
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
        if config.guard_z == 0.0 || self.grad_norm.n < config.guard_warmup_updates.max(2) {
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

    /// Takes in a step's metrics; returns the alarms it raises and the names of those that last.
    pub(crate) fn observe(
        &mut self,
        step: u64,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> (Vec<Alarm>, Vec<String>) {
        let bounds = self.bounds(config);
        let mut alarms = Vec::new();
        let mut raise = |name: &str, message| {
            alarms.push(Alarm { step, name: name.to_owned(), message });
        };
        if let Some(message) = self.observe_update(metrics, &bounds) {
            raise("update-skipped", message);
        }
        let mut lasting = Vec::new();
        for (name, message) in [
            ("learnability", self.observe_learnability(metrics, config)),
            ("entropy-propose", self.observe_entropy("propose", metrics, config)),
            ("entropy-solve", self.observe_entropy("solve", metrics, config)),
            ("validity", self.observe_validity(metrics, config)),
        ] {
            match message {
                Some(message) => {
                    lasting.push(name.to_owned());
                    if self.raised.insert(name.to_owned()) {
                        raise(name, message);
                    }
                }
                None => {
                    self.raised.remove(name);
                }
            }
        }
        lasting.extend(alarms.iter().map(|alarm| alarm.name.clone()));
        (alarms, lasting)
    }

    fn observe_update(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        bounds: &UpdateBounds,
    ) -> Option<String> {
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
        if norm > 0.0 {
            self.loss.fold(loss.clamp(bounds.loss_min, bounds.loss_max));
            self.grad_norm.fold(norm.min(bounds.grad_norm_max));
        }
        message
    }

    fn observe_learnability(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Option<String> {
        // Where nothing is proposed nothing can be learnable.
        mean_of(metrics, "propose/", "/valid_rate")?;
        let learnability = mean_of(metrics, "propose/", "/learnability_mean").unwrap_or(0.0);
        self.n_unlearnable = if learnability > 0.0 { 0 } else { self.n_unlearnable + 1 };
        (self.n_unlearnable >= config.unlearnable_steps).then(|| {
            format!(
                "no proposal of the last {} steps was solved sometimes and failed sometimes: tasks are invalid, too \
                 hard or too easy, and the proposer has nothing to go by",
                self.n_unlearnable
            )
        })
    }

    fn observe_entropy(
        &mut self,
        role: &str,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Option<String> {
        let entropy = mean_of(metrics, &format!("{role}/"), "/entropy")?;
        let start = self.entropy.entry(role.to_owned()).or_default();
        if start.n < N_START {
            start.fold(entropy);
        }
        (entropy < config.entropy_floor * start.mean).then(|| {
            format!(
                "the entropy of role {role} fell to {entropy:.3} from {:.3} at the start: the model repeats itself",
                start.mean
            )
        })
    }

    fn observe_validity(
        &mut self,
        metrics: &BTreeMap<String, f64>,
        config: &HealthConfig,
    ) -> Option<String> {
        let valid = mean_of(metrics, "propose/", "/valid_rate")?;
        let smooth = self.valid.map_or(valid, |before| before + SMOOTHING * (valid - before));
        self.valid = Some(smooth);
        self.best_valid = self.best_valid.max(smooth);
        (smooth < config.validity_floor * self.best_valid).then(|| {
            format!(
                "only {:.0} % of the proposals are valid, after {:.0} % at best",
                100.0 * smooth,
                100.0 * self.best_valid
            )
        })
    }
}

/// Mean of the metrics between `prefix` and `suffix`; none when there are none.
fn mean_of(metrics: &BTreeMap<String, f64>, prefix: &str, suffix: &str) -> Option<f64> {
    let values = metrics
        .iter()
        .filter(|(name, _)| name.starts_with(prefix) && name.ends_with(suffix))
        .map(|(_, value)| *value);
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    (n > 0.0).then(|| sum / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn update(loss: f64, norm: f64, applied: f64) -> BTreeMap<String, f64> {
        metrics(&[("update/loss", loss), ("update/grad_norm", norm), ("update/applied", applied)])
    }

    /// The names of the alarms of each step's metrics.
    fn alarms(health: &mut Health, steps: &[BTreeMap<String, f64>]) -> Vec<Vec<String>> {
        let config = HealthConfig::default();
        let names = |metrics| {
            let (alarms, _) = health.observe(0, metrics, &config);
            alarms.into_iter().map(|alarm| alarm.name).collect()
        };
        steps.iter().map(names).collect()
    }

    #[test]
    fn running_moments_are_exact_at_first() {
        let mut running = Running::default();
        [1.0, 3.0].into_iter().for_each(|value| running.fold(value));
        assert_eq!((running.mean, running.variance), (2.0, 1.0));
    }

    #[test]
    fn the_guard_bounds_what_differs_from_all_before_and_follows_a_lasting_change() {
        let (mut health, config) = (Health::default(), HealthConfig::default());
        for n in 0..10 {
            assert_eq!(health.bounds(&config), UpdateBounds::default());
            let quiet = health.observe(n, &update(0.01, 1.0 + 0.1 * (n % 2) as f64, 1.0), &config);
            assert!(quiet.0.is_empty());
        }
        let bounds = health.bounds(&config);
        assert!(bounds.admits(0.3, 2.0) && !bounds.admits(0.0, 4.0) && !bounds.admits(-2.0, 1.0));
        let (raised, lasting) = health.observe(11, &update(0.0, 40.0, 0.0), &config);
        assert_eq!(lasting, ["update-skipped"]);
        assert!(raised[0].message.contains("gradient norm is 40.0000"), "{raised:?}");
        let loss = health.observe(12, &update(9.0, 1.0, 0.0), &config).0;
        assert!(loss[0].message.contains("the loss is 9.0000"), "{loss:?}");
        let n_left_out = (0..).take_while(|_| {
            let is_left_out = !health.bounds(&config).admits(0.0, 40.0);
            health.observe(13, &update(0.0, 40.0, if is_left_out { 0.0 } else { 1.0 }), &config);
            is_left_out
        });
        assert!((1..20).contains(&n_left_out.count()));
        let off = HealthConfig { guard_z: 0.0, ..config };
        assert_eq!(health.bounds(&off), UpdateBounds::default());
    }

    #[test]
    fn updates_without_a_gradient_do_not_narrow_the_bounds() {
        let mut health = Health::default();
        alarms(&mut health, &vec![update(0.0, 0.0, 1.0); 30]);
        assert_eq!(health.bounds(&HealthConfig::default()), UpdateBounds::default());
    }

    #[test]
    fn an_alarm_is_told_once_until_it_ceases() {
        let proposals = |learnability: f64| {
            metrics(&[
                ("propose/code/deduction/valid_rate", 0.5),
                ("propose/code/deduction/learnability_mean", learnability),
            ])
        };
        let (dead, alive) = (proposals(0.0), proposals(0.1));
        let steps = [&dead, &dead, &dead, &dead, &alive, &dead, &dead, &dead].map(Clone::clone);
        let counts: Vec<usize> =
            alarms(&mut Health::default(), &steps).iter().map(Vec::len).collect();
        assert_eq!(counts, [0, 0, 1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn steps_that_propose_nothing_raise_nothing() {
        let solver_only = metrics(&[("solve/code/deduction/entropy", 1.0)]);
        assert!(alarms(&mut Health::default(), &vec![solver_only; 9]).iter().all(Vec::is_empty));
    }

    #[test]
    fn collapse_is_relative_to_the_start_and_validity_to_its_best() {
        let step = |entropy: f64, valid: f64| {
            metrics(&[
                ("solve/code/deduction/entropy", entropy),
                ("propose/code/deduction/entropy", 1.0),
                ("propose/code/deduction/valid_rate", valid),
                ("propose/code/deduction/learnability_mean", 0.5),
            ])
        };
        let mut health = Health::default();
        let quiet = alarms(&mut health, &vec![step(1.0, 0.8); 4]);
        assert!(quiet.iter().all(Vec::is_empty));
        assert_eq!(alarms(&mut health, &[step(0.1, 0.8)]), [["entropy-solve"]]);
        let fallen = alarms(&mut health, &vec![step(1.0, 0.1); 4]).concat();
        assert_eq!(fallen, ["validity"]);
    }

    #[test]
    fn what_is_remembered_reads_back_to_the_bit() {
        let mut health = Health::default();
        alarms(&mut health, &[update(0.1 / 3.0, 1.0 / 7.0, 1.0), update(0.2 / 3.0, 0.3, 1.0)]);
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health);
    }

    #[test]
    fn impossible_settings_are_named() {
        for config in [
            HealthConfig { guard_z: -1.0, ..HealthConfig::default() },
            HealthConfig { entropy_floor: f64::NAN, ..HealthConfig::default() },
            HealthConfig { validity_floor: 1.5, ..HealthConfig::default() },
            HealthConfig { unlearnable_steps: 0, ..HealthConfig::default() },
        ] {
            assert!(config.validate().unwrap_err().to_string().contains("health."));
        }
        HealthConfig::default().validate().unwrap();
    }
}
