//! What a run shows: a bar for each phase while it lasts, one line for each step.
//!
//! Everything goes to stderr. Where that is no terminal the bars stay hidden and the lines remain.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use azr_plugin::{CallContext, PolicyInfo};
use azr_run::{SetSummary, duration};
use azr_selfplay::{Observer, Phase, StepOutput, mean_of};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::interrupt;

/// Shows phases as bars.
#[derive(Debug, Default)]
pub(crate) struct Console {
    bar: Mutex<Option<ProgressBar>>,
    cancels: bool,
}

impl Console {
    /// One that ends what it watches at the first Ctrl-C; a step is finished instead.
    pub(crate) fn that_cancels() -> Self {
        Self { cancels: true, ..Self::default() }
    }

    /// Shows a bar with this name.
    pub(crate) fn started(&self, name: &str, unit: &'static str, total: u64) {
        let template = "{msg:>15} [{bar:30}] {pos}/{len} {prefix}, {rate}/s, ETA {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            // A bar that cannot be drawn is no reason to stop a run.
            let _ = write!(out, "{:.0}", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
        bar.set_prefix(unit);
        bar.set_message(name.replace('_', " "));
        self.with_bar(|slot| *slot = Some(bar));
    }

    /// Takes the bar away.
    pub(crate) fn finished(&self) {
        self.with_bar(|slot| {
            if let Some(bar) = slot.take() {
                bar.finish_and_clear();
            }
        });
    }

    fn with_bar(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        // A panic while a bar was drawn leaves nothing half-done that matters.
        act(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Observer for Console {
    fn phase_started(&self, phase: Phase, total: u64) {
        self.started(phase.as_str(), phase.unit(), total);
    }

    fn progress(&self, _phase: Phase, done: u64, total: u64, _unit: &'static str) {
        CallContext::progress(self, done, total);
    }

    fn phase_finished(&self, _phase: Phase) {
        self.finished();
    }

    fn is_cancelled(&self) -> bool {
        CallContext::is_cancelled(self)
    }
}

impl CallContext for Console {
    fn progress(&self, done: u64, _total: u64) {
        self.with_bar(|slot| {
            if let Some(bar) = slot {
                bar.set_position(done);
            }
        });
    }

    fn is_cancelled(&self) -> bool {
        self.cancels && interrupt::requested()
    }
}

/// What model it is and where it computes.
pub(crate) fn about(info: &PolicyInfo) -> String {
    let PolicyInfo { family, n_parameters, device, .. } = info;
    format!("{family} with {:.1} M parameters on {device}", *n_parameters as f64 / 1e6)
}

/// The line of one step.
pub(crate) fn summary(output: &StepOutput, steps: u64) -> String {
    let metrics = &output.metrics;
    let mut parts = vec![format!("step {}/{steps}", output.step)];
    if let Some(valid) = mean_of(metrics, "propose/", "/valid_rate") {
        let learnability = mean_of(metrics, "propose/", "/learnability_mean");
        parts.push(format!(
            "valid {} learnability {}",
            percent(valid),
            learnability.map_or("-".to_owned(), fixed)
        ));
    }
    let solved = solved(metrics);
    if !solved.is_empty() {
        parts.push(format!("solved {solved}"));
    }
    let rewards: Vec<f64> =
        ["propose/", "solve/"].iter().filter_map(|p| mean_of(metrics, p, "/reward_mean")).collect();
    if !rewards.is_empty() {
        parts.push(format!("reward {}", fixed(rewards.iter().sum::<f64>() / rewards.len() as f64)));
    }
    parts.push(match metrics.get("update/grad_norm") {
        Some(norm) => format!("grad {norm:.3}"),
        None => "no update".to_owned(),
    });
    parts.push(times(&output.timings));
    parts.join(" | ")
}

/// Accuracies by kind, and by domain where there are several.
fn solved(metrics: &BTreeMap<String, f64>) -> String {
    let mut domains: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, &value) in metrics {
        let channel = name.strip_prefix("solve/").and_then(|rest| rest.strip_suffix("/accuracy"));
        if let Some((domain, kind)) = channel.and_then(|channel| channel.split_once('/')) {
            let accuracy = format!("{} {}", kind.get(..3).unwrap_or(kind), percent(value));
            domains.entry(domain).or_default().push(accuracy);
        }
    }
    let is_one = domains.len() == 1;
    let of_domain = |(domain, kinds): (&str, Vec<String>)| {
        if is_one { kinds.join(" ") } else { format!("{domain} {}", kinds.join(" ")) }
    };
    domains.into_iter().map(of_domain).collect::<Vec<_>>().join(", ")
}

/// A held-out set's solve rate, or how it changed.
pub(crate) fn held_out(set: &SetSummary, is_change: bool) -> String {
    let (before, after) = set.mean;
    let name = if set.name == "heldout" { "held-out" } else { &set.name };
    let name = format!("{name}{}", if set.is_part { " part" } else { "" });
    if is_change {
        return format!("{name} {} → {}", rate(before), rate(after));
    }
    let kinds: Vec<String> =
        set.kinds.iter().map(|(kind, _, now)| format!("{kind} {}", rate(*now))).collect();
    format!("{name} {} ({})", rate(after), kinds.join(", "))
}

/// The score of each benchmark, where some were taken.
pub(crate) fn benchmarks(metrics: &BTreeMap<String, f64>) -> Option<String> {
    let score = |(name, &score): (&String, &f64)| {
        let suite = name.strip_prefix("benchmark/")?.strip_suffix("/pass_at_1")?;
        Some(format!("{suite} {}", rate(score)))
    };
    let scores: Vec<String> = metrics.iter().filter_map(score).collect();
    (!scores.is_empty()).then(|| scores.join(" "))
}

/// What the run was, what it is and how long it took.
pub(crate) fn ending(set: Option<&SetSummary>, steps: u64, seconds: f64) -> String {
    let time = format!("{steps} steps in {}", duration(seconds));
    let Some(set) = set else { return format!("done: {time}") };
    let kind = |(kind, before, after): &(String, f64, f64)| {
        format!("{kind} {} → {}", rate(*before), rate(*after))
    };
    let kinds: Vec<String> = set.kinds.iter().map(kind).collect();
    format!("done: {} ({}) after {time}", held_out(set, true), kinds.join(", "))
}

/// Seconds of each phase and of the whole step, and the two rates that matter.
fn times(timings: &BTreeMap<String, f64>) -> String {
    let seconds = |name: &str| timings.get(&format!("time/{name}_s")).copied();
    let phases: Vec<String> = [
        Phase::Propose,
        Phase::Validate,
        Phase::Estimate,
        Phase::GradeEstimate,
        Phase::Solve,
        Phase::Grade,
        Phase::Reference,
        Phase::Update,
    ]
    .iter()
    .filter_map(|phase| {
        let seconds = seconds(phase.as_str()).filter(|s| *s >= 0.05)?;
        Some(format!("{} {seconds:.1}", phase.as_str().replace('_', " ")))
    })
    .collect();
    let mut text = format!("{:.1} s", seconds("step").unwrap_or(0.0));
    if !phases.is_empty() {
        text.push_str(&format!(" ({})", phases.join(", ")));
    }
    for (name, label) in [("generate_tok_s", "generate"), ("update_tok_s", "update")] {
        if let Some(rate) = timings.get(&format!("throughput/{name}")) {
            text.push_str(&format!(" | {label} {rate:.0} tok/s"));
        }
    }
    text
}

fn percent(rate: f64) -> String {
    format!("{:.0} %", 100.0 * rate)
}

fn rate(rate: f64) -> String {
    format!("{:.1} %", 100.0 * rate)
}

fn fixed(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line() {
        let map = |pairs: &[(&str, f64)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect::<BTreeMap<_, _>>()
        };
        let output = StepOutput {
            step: 2,
            metrics: map(&[
                ("propose/code/abduction/valid_rate", 0.5),
                ("propose/code/deduction/valid_rate", 0.25),
                ("propose/code/deduction/learnability_mean", 0.125),
                ("propose/code/deduction/reward_mean", -0.75),
                ("solve/code/abduction/accuracy", 0.0),
                ("solve/code/deduction/accuracy", 0.25),
                ("solve/code/deduction/reward_mean", 0.25),
                ("update/grad_norm", 1.25),
            ]),
            timings: map(&[
                ("time/propose_s", 12.04),
                ("time/grade_s", 0.01),
                ("time/update_s", 30.0),
                ("time/step_s", 50.5),
                ("throughput/generate_tok_s", 311.7),
                ("throughput/update_tok_s", 150.2),
            ]),
            ..StepOutput::default()
        };
        assert_eq!(
            summary(&output, 10),
            "step 2/10 | valid 38 % learnability 0.12 | solved abd 0 % ded 25 % | reward -0.25 | grad 1.250 | \
             50.5 s (propose 12.0, update 30.0) | generate 312 tok/s | update 150 tok/s"
        );
    }

    #[test]
    fn several_domains_are_told_apart() {
        let metrics = [
            ("solve/code/abduction/accuracy", 0.5),
            ("solve/code/deduction/accuracy", 0.25),
            ("solve/math/deduction/accuracy", 0.0),
            ("solve/math/deduction/reward_mean", -0.5),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(solved(&metrics), "code abd 50 % ded 25 %, math ded 0 %");
    }

    #[test]
    fn a_run_ends_with_what_it_was_and_what_it_is() {
        let set = SetSummary {
            name: "heldout".into(),
            is_part: false,
            mean: (0.234, 0.31),
            kinds: vec![("abduction".into(), 0.2, 0.25), ("deduction".into(), 0.268, 0.37)],
        };
        assert_eq!(
            ending(Some(&set), 40, 492.0),
            "done: held-out 23.4 % → 31.0 % (abduction 20.0 % → 25.0 %, deduction 26.8 % → 37.0 %) after 40 steps \
             in 8 min 12 s"
        );
        assert_eq!(ending(None, 2, 12.0), "done: 2 steps in 12 s");
        assert_eq!(held_out(&set, false), "held-out 31.0 % (abduction 25.0 %, deduction 37.0 %)");
        let part = SetSummary { is_part: true, ..set };
        assert_eq!(held_out(&part, true), "held-out part 23.4 % → 31.0 %");
    }

    #[test]
    fn benchmarks_are_told_by_their_scores() {
        let metrics = [
            ("benchmark/gsm8k/pass_at_1", 0.125),
            ("benchmark/gsm8k/n_items", 8.0),
            ("benchmark/humaneval+/pass_at_1", 0.5),
            ("heldout/solve_rate_mean", 0.5),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value));
        let said = benchmarks(&BTreeMap::from(metrics.clone()));
        assert_eq!(said.as_deref(), Some("gsm8k 12.5 % humaneval+ 50.0 %"));
        assert_eq!(benchmarks(&BTreeMap::from_iter(metrics.into_iter().skip(3))), None);
    }

    #[test]
    fn an_empty_step_says_that_nothing_was_learned() {
        assert_eq!(
            summary(&StepOutput { step: 1, ..StepOutput::default() }, 1),
            "step 1/1 | no update | 0.0 s"
        );
    }
}
