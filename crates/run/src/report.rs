//! What a run came to, for people: evaluations, how training went, alarms, and a plot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use azr_selfplay::{Alarm, mean_of};

use crate::plot::{Curve, Panel, svg};
use crate::{MetricsLine, Result, RunConfig};

/// Rows of the table of steps, at most.
const MAX_ROWS: usize = 20;
const SOLVE_RATE: &str = "/solve_rate_";
/// Follows a set's name in metrics of the tasks that every evaluation asks.
const PART: &str = "/part";

const BENCHMARK: &str = "benchmark/";
const SCORE: &str = "/pass_at_1";

/// A held-out set at the first and the newest evaluation. Rates are 0 to 1, both of the same tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSummary {
    /// Name of the set.
    pub name: String,
    /// Whether the rates are those of the part that every evaluation asks, because the newest asked no more.
    pub is_part: bool,
    /// Mean over kinds, before and after.
    pub mean: (f64, f64),
    /// Each kind's rate, before and after.
    pub kinds: Vec<(String, f64, f64)>,
}

/// How a held-out set's evaluations went so far: the first and the newest.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluations {
    set: String,
    first: BTreeMap<String, f64>,
    newest: (u64, BTreeMap<String, f64>),
}

impl Evaluations {
    /// The evaluations of the set that these lines hold.
    pub fn new(set: &str, lines: &[MetricsLine]) -> Self {
        let (first, newest) = (BTreeMap::new(), (0, BTreeMap::new()));
        let mut evaluations = Self { set: set.to_owned(), first, newest };
        lines.iter().for_each(|line| evaluations.add(line.step, &line.metrics));
        evaluations
    }

    /// Takes in the metrics of a step; those without an evaluation of the set change nothing.
    pub fn add(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        if metrics.contains_key(&format!("{}{PART}{SOLVE_RATE}mean", self.set)) {
            if self.first.is_empty() {
                self.first = metrics.clone();
            }
            self.newest = (step, metrics.clone());
        }
    }

    /// Whether all tasks of the set were asked after `step`, and nothing was asked since.
    pub fn is_whole_at(&self, step: u64) -> bool {
        self.newest.0 == step
            && self.newest.1.contains_key(&format!("{}{SOLVE_RATE}mean", self.set))
    }

    /// First and newest: of all tasks where both asked them, else of the part that both asked.
    pub fn summary(&self) -> Option<SetSummary> {
        let of = |is_part: bool| {
            let prefix = format!("{}{}", self.set, if is_part { PART } else { "" });
            let both = |kind: &str| {
                let key = format!("{prefix}{SOLVE_RATE}{kind}");
                Some((*self.first.get(&key)?, *self.newest.1.get(&key)?))
            };
            let kinds = kinds(&self.first, &prefix).into_iter().filter_map(|kind| {
                let (before, after) = both(&kind)?;
                Some((kind, before, after))
            });
            let (name, kinds) = (self.set.clone(), kinds.collect());
            Some(SetSummary { name, is_part, mean: both("mean")?, kinds })
        };
        of(false).or_else(|| of(true))
    }
}

/// Seconds that seeding, steps and evaluations took, without what lay between sessions.
pub fn seconds(lines: &[MetricsLine]) -> f64 {
    let parts = ["time/step_s", "time/evaluate_s", "time/grade_evaluation_s", "time/benchmark_s"];
    lines.iter().flat_map(|line| parts.iter().filter_map(|part| line.metrics.get(*part))).sum()
}

/// The report as Markdown; the plot is expected beside it under the name `plot`.
pub(crate) fn markdown(
    name: &str,
    config: &RunConfig,
    lines: &[MetricsLine],
    alarms: &[Alarm],
    plot: &str,
) -> Result<String> {
    let mut out = String::new();
    let n_steps = lines.last().map_or(0, |line| line.step);
    let _ = writeln!(out, "# Run {}\n", plain(name));
    let _ = writeln!(out, "| | |\n|---|---|");
    for (key, value) in [
        ("model", config.model.clone()),
        ("profile", config.profile.to_string()),
        ("seed", config.selfplay.seed.to_string()),
        ("steps", format!("{n_steps} of {}", config.steps)),
        ("time", duration(seconds(lines))),
        ("configuration", config.hash()?),
    ] {
        let _ = writeln!(out, "| {key} | {} |", plain(&value));
    }
    out.push_str("\n## Held-out tasks\n\n");
    evaluations(&mut out, lines);
    benchmarks(&mut out, lines);
    let _ = writeln!(out, "\n![learning curves]({plot})\n\n## Training\n");
    training(&mut out, lines);
    out.push_str("\n## Alarms\n\n");
    for Alarm { step, name, message } in alarms {
        let _ = writeln!(out, "- step {step}, {}: {}", plain(name), plain(message));
    }
    if alarms.is_empty() {
        out.push_str("None.\n");
    }
    Ok(out)
}

/// The plot of the report as SVG.
pub(crate) fn plot(lines: &[MetricsLine]) -> String {
    let x_label = || "step".to_owned();
    let curve = |name: &str, value: &dyn Fn(&MetricsLine) -> Option<f64>| {
        let point = |line: &MetricsLine| Some((line.step as f64, value(line)?));
        Curve { name: name.to_owned(), points: lines.iter().filter_map(point).collect() }
    };
    let mut panels = Vec::new();
    for set in sets(lines) {
        // Points of one curve are comparable only where they are of the same tasks.
        let part = format!("{set}{PART}");
        let percent = |kind: &str| {
            let key = format!("{part}{SOLVE_RATE}{kind}");
            curve(kind, &|line| Some(100.0 * line.metrics.get(&key)?))
        };
        let mut of_lines = lines.iter().map(|line| kinds(&line.metrics, &part));
        let kinds = of_lines.find(|kinds| !kinds.is_empty()).unwrap_or_default();
        let mut curves = vec![percent("mean")];
        curves.extend(kinds.iter().map(|kind| percent(kind)));
        let (title, y_label) = (format!("held-out set {set}"), "solve rate (%)".to_owned());
        panels.push(Panel { title, x_label: x_label(), y_label, curves });
    }
    let score =
        |suite: &String| curve(suite, &|line| Some(100.0 * line.metrics.get(&score_name(suite))?));
    let curves: Vec<Curve> = suites(lines).iter().map(score).collect();
    if !curves.is_empty() {
        let (title, y_label) = ("benchmarks".to_owned(), "pass@1 (%)".to_owned());
        panels.push(Panel { title, x_label: x_label(), y_label, curves });
    }
    let mut curves: Vec<Curve> = COLUMNS
        .iter()
        .filter(|column| column.is_rate)
        .map(|column| curve(column.title, &|line| Some(100.0 * column.value(line)?)))
        .collect();
    curves.retain(|curve| !curve.points.is_empty());
    let (title, y_label) = ("training".to_owned(), "share (%)".to_owned());
    panels.push(Panel { title, x_label: x_label(), y_label, curves });
    svg(&panels)
}

/// A column of the table of steps: the mean of the metrics whose names start and end so.
struct Column {
    title: &'static str,
    prefix: &'static str,
    suffix: &'static str,
    is_rate: bool,
}

const COLUMNS: [Column; 9] = [
    Column { title: "valid", prefix: "propose/", suffix: "/valid_rate", is_rate: true },
    Column {
        title: "learnability",
        prefix: "propose/",
        suffix: "/learnability_mean",
        is_rate: true,
    },
    Column { title: "informative", prefix: "estimate/", suffix: "informative_rate", is_rate: true },
    Column { title: "subjects", prefix: "propose/", suffix: "/subject_rate", is_rate: true },
    Column { title: "duplicates", prefix: "buffer/", suffix: "/duplicate_rate", is_rate: true },
    Column { title: "solved", prefix: "solve/", suffix: "/accuracy", is_rate: true },
    Column { title: "entropy propose", prefix: "propose/", suffix: "/entropy", is_rate: false },
    Column { title: "entropy solve", prefix: "solve/", suffix: "/entropy", is_rate: false },
    Column { title: "grad norm", prefix: "update/", suffix: "grad_norm", is_rate: false },
];

impl Column {
    fn value(&self, line: &MetricsLine) -> Option<f64> {
        mean_of(&line.metrics, self.prefix, self.suffix)
    }
}

fn training(out: &mut String, lines: &[MetricsLine]) {
    // An evaluation after the last step has a line of its own.
    let is_step = |line: &&MetricsLine| {
        line.step > 0 && COLUMNS.iter().any(|column| column.value(line).is_some())
    };
    let steps: Vec<&MetricsLine> = lines.iter().filter(is_step).collect();
    out.push_str("| step |");
    COLUMNS.iter().for_each(|column| out.extend([" ", column.title, " |"]));
    let _ = writeln!(out, "\n|{}", "---|".repeat(COLUMNS.len() + 1));
    let n_rows = steps.len().min(MAX_ROWS);
    for row in 1..=n_rows {
        let line = steps[row * steps.len() / n_rows - 1];
        let _ = write!(out, "| {} |", line.step);
        for column in &COLUMNS {
            let cell = match column.value(line) {
                Some(value) if column.is_rate => format!("{:.1} %", 100.0 * value),
                Some(value) => format!("{value:.3}"),
                None => "–".to_owned(),
            };
            let _ = write!(out, " {cell} |");
        }
        out.push('\n');
    }
}

fn evaluations(out: &mut String, lines: &[MetricsLine]) {
    let sets = sets(lines);
    if sets.is_empty() {
        out.push_str("None were evaluated.\n");
    }
    for set in sets {
        let n_tasks = |prefix: &str| {
            let name = format!("{prefix}/n_tasks");
            lines.iter().filter_map(move |line| line.metrics.get(&name).copied()).next()
        };
        let part = format!("{set}{PART}");
        table_of_set(out, lines, &set, "all tasks of ", &set);
        if n_tasks(&part) != n_tasks(&set) {
            table_of_set(out, lines, &part, "the same part of ", &set);
        }
    }
}

/// Score of each benchmark after each evaluation; nothing where none was taken.
fn benchmarks(out: &mut String, lines: &[MetricsLine]) {
    let suites = suites(lines);
    if suites.is_empty() {
        return;
    }
    out.push_str("\n## Benchmarks\n\n| pass@1 after step |");
    suites.iter().for_each(|suite| out.extend([" ", &plain(suite), " |"]));
    let _ = writeln!(out, "\n|{}", "---|".repeat(suites.len() + 1));
    for line in lines {
        let score = |suite: &String| line.metrics.get(&score_name(suite));
        if suites.iter().any(|suite| score(suite).is_some()) {
            let _ = write!(out, "| {} |", line.step);
            for suite in &suites {
                let cell = score(suite).map_or("–".to_owned(), |s| format!("{:.1} %", 100.0 * s));
                let _ = write!(out, " {cell} |");
            }
            out.push('\n');
        }
    }
}

/// Names of the benchmarks: `benchmark/<suite>/pass_at_1`.
fn suites(lines: &[MetricsLine]) -> BTreeSet<String> {
    let names = lines.iter().flat_map(|line| line.metrics.keys());
    let suite = |name: &String| Some(name.strip_prefix(BENCHMARK)?.strip_suffix(SCORE)?.to_owned());
    names.filter_map(suite).collect()
}

fn score_name(suite: &str) -> String {
    format!("{BENCHMARK}{suite}{SCORE}")
}

/// The evaluations whose metrics start with `prefix`, if there are any.
fn table_of_set(out: &mut String, lines: &[MetricsLine], prefix: &str, what: &str, set: &str) {
    let is_of_set = |line: &&MetricsLine| line.metrics.contains_key(&format!("{prefix}/n_tasks"));
    let Some(first) = lines.iter().find(is_of_set) else { return };
    let kinds = kinds(&first.metrics, prefix);
    let _ = write!(out, "| {what}{} after step | tasks | mean |", plain(set));
    kinds.iter().for_each(|kind| out.extend([" ", &plain(kind), " |"]));
    let _ = writeln!(out, " well-formed |\n|{}", "---|".repeat(kinds.len() + 4));
    for line in lines.iter().filter(is_of_set) {
        let value = |name: String| line.metrics.get(&name).copied();
        let rate = |name: String| {
            value(name).map_or("–".to_owned(), |rate| format!("{:.1} %", 100.0 * rate))
        };
        let n_tasks = value(format!("{prefix}/n_tasks")).unwrap_or(0.0);
        let mean = rate(format!("{prefix}{SOLVE_RATE}mean"));
        let _ = write!(out, "| {} | {n_tasks} | {mean} |", line.step);
        for kind in &kinds {
            let _ = write!(out, " {} |", rate(format!("{prefix}{SOLVE_RATE}{kind}")));
        }
        let _ = writeln!(out, " {} |", rate(format!("{prefix}/format_rate")));
    }
    out.push('\n');
}

/// Names of the held-out sets: `<set>/part/solve_rate_mean`.
fn sets(lines: &[MetricsLine]) -> BTreeSet<String> {
    let names = lines.iter().flat_map(|line| line.metrics.keys());
    let set = |name: &String| {
        let set = name.strip_suffix("mean")?.strip_suffix(SOLVE_RATE)?.strip_suffix(PART)?;
        Some(set.to_owned())
    };
    names.filter_map(set).collect()
}

/// Kinds of a set, or of its part.
fn kinds(metrics: &BTreeMap<String, f64>, prefix: &str) -> Vec<String> {
    let kind =
        |name: &String| name.strip_prefix(prefix)?.strip_prefix(SOLVE_RATE).map(str::to_owned);
    metrics.keys().filter_map(kind).filter(|kind| kind != "mean").collect()
}

/// `8 min 12 s`, or seconds alone.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Text that cannot break out of a table's cell or start markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '!' | '#' | '&' => {
                out.extend(['\\', c]);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
