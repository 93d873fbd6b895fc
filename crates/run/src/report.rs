//! What a run came to, for people: evaluations, how training went, alarms, and a plot.

use std::collections::BTreeSet;
use std::fmt::Write;

use azr_selfplay::Alarm;

use crate::plot::{Curve, Panel, svg};
use crate::{MetricsLine, Result, RunConfig};

/// Rows of the table of steps, at most.
const MAX_ROWS: usize = 20;
const SOLVE_RATE: &str = "/solve_rate_";

/// A held-out set at the first and the last evaluation. Rates are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSummary {
    /// Name of the set.
    pub name: String,
    /// Mean over kinds, before and after.
    pub mean: (f64, f64),
    /// Each kind's rate, before and after.
    pub kinds: Vec<(String, f64, f64)>,
}

/// Held-out sets of these lines, in the order of their names.
pub fn summaries(lines: &[MetricsLine]) -> Vec<SetSummary> {
    let summary = |name: String| {
        let key = |kind: &str| format!("{name}{SOLVE_RATE}{kind}");
        let mut of_set = lines.iter().filter(|line| line.metrics.contains_key(&key("mean")));
        let first = of_set.next()?;
        let last = of_set.next_back().unwrap_or(first);
        let both =
            |kind: &str| Some((*first.metrics.get(&key(kind))?, *last.metrics.get(&key(kind))?));
        let kinds = kinds(first, &name).into_iter().filter_map(|kind| {
            let (before, after) = both(&kind)?;
            Some((kind, before, after))
        });
        Some(SetSummary { mean: both("mean")?, kinds: kinds.collect(), name })
    };
    sets(lines).into_iter().filter_map(summary).collect()
}

/// Seconds that steps and evaluations took, without what lay between sessions.
pub fn seconds(lines: &[MetricsLine]) -> f64 {
    let parts = ["time/step_s", "time/evaluate_s", "time/grade_evaluation_s"];
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
        let percent = |kind: &str| {
            let key = format!("{set}{SOLVE_RATE}{kind}");
            curve(kind, &|line| Some(100.0 * line.metrics.get(&key)?))
        };
        let first = lines.iter().find(|line| !kinds(line, &set).is_empty());
        let mut curves = vec![percent("mean")];
        curves.extend(first.iter().flat_map(|line| kinds(line, &set)).map(|kind| percent(&kind)));
        let (title, y_label) = (format!("held-out set {set}"), "solve rate (%)".to_owned());
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

const COLUMNS: [Column; 8] = [
    Column { title: "valid", prefix: "propose/", suffix: "/valid_rate", is_rate: true },
    Column {
        title: "learnability",
        prefix: "propose/",
        suffix: "/learnability_mean",
        is_rate: true,
    },
    Column { title: "informative", prefix: "estimate/", suffix: "informative_rate", is_rate: true },
    Column { title: "duplicates", prefix: "buffer/", suffix: "/duplicate_rate", is_rate: true },
    Column { title: "solved", prefix: "solve/", suffix: "/accuracy", is_rate: true },
    Column { title: "entropy propose", prefix: "propose/", suffix: "/entropy", is_rate: false },
    Column { title: "entropy solve", prefix: "solve/", suffix: "/entropy", is_rate: false },
    Column { title: "grad norm", prefix: "update/", suffix: "grad_norm", is_rate: false },
];

impl Column {
    fn value(&self, line: &MetricsLine) -> Option<f64> {
        let of_column = line
            .metrics
            .iter()
            .filter(|(name, _)| name.starts_with(self.prefix) && name.ends_with(self.suffix));
        let (sum, n) = of_column.fold((0.0, 0.0), |(sum, n), (_, value)| (sum + value, n + 1.0));
        (n > 0.0).then(|| sum / n)
    }
}

fn training(out: &mut String, lines: &[MetricsLine]) {
    let steps: Vec<&MetricsLine> = lines.iter().filter(|line| line.step > 0).collect();
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
        let of_set = |line: &&MetricsLine| line.metrics.contains_key(&format!("{set}/n_tasks"));
        let Some(first) = lines.iter().find(of_set) else { continue };
        let kinds = kinds(first, &set);
        let _ = write!(out, "| {} after step | tasks | mean |", plain(&set));
        kinds.iter().for_each(|kind| out.extend([" ", &plain(kind), " |"]));
        let _ = writeln!(out, " well-formed |\n|{}", "---|".repeat(kinds.len() + 4));
        for line in lines.iter().filter(of_set) {
            let value = |name: String| line.metrics.get(&name).copied();
            let rate = |name: String| {
                value(name).map_or("–".to_owned(), |rate| format!("{:.1} %", 100.0 * rate))
            };
            let n_tasks = value(format!("{set}/n_tasks")).unwrap_or(0.0);
            let mean = rate(format!("{set}{SOLVE_RATE}mean"));
            let _ = write!(out, "| {} | {n_tasks} | {mean} |", line.step);
            for kind in &kinds {
                let _ = write!(out, " {} |", rate(format!("{set}{SOLVE_RATE}{kind}")));
            }
            let _ = writeln!(out, " {} |", rate(format!("{set}/format_rate")));
        }
        out.push('\n');
    }
}

/// Names of the held-out sets: `<set>/solve_rate_mean`.
fn sets(lines: &[MetricsLine]) -> BTreeSet<String> {
    let names = lines.iter().flat_map(|line| line.metrics.keys());
    let set = |name: &String| {
        name.strip_suffix("mean")?
            .strip_suffix(SOLVE_RATE)
            .filter(|set| !set.contains('/'))
            .map(str::to_owned)
    };
    names.filter_map(set).collect()
}

/// Kinds of a set.
fn kinds(line: &MetricsLine, set: &str) -> Vec<String> {
    let kind = |name: &String| name.strip_prefix(set)?.strip_prefix(SOLVE_RATE).map(str::to_owned);
    line.metrics.keys().filter_map(kind).filter(|kind| kind != "mean").collect()
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
mod tests {
    use super::*;
    use crate::Profile;

    fn line(step: u64, pairs: &[(&str, f64)]) -> MetricsLine {
        let metrics = pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        MetricsLine { step, wall_time: 0.0, metrics }
    }

    fn lines() -> Vec<MetricsLine> {
        let evaluated = |step, ded: f64, abd: f64| {
            let pairs = [
                ("heldout/solve_rate_deduction", ded),
                ("heldout/solve_rate_abduction", abd),
                ("heldout/solve_rate_mean", (ded + abd) / 2.0),
                ("heldout/n_tasks", 6.0),
                ("heldout/code/deduction/blocked", 3.0),
                ("propose/code/deduction/solve_rate_mean", 0.5),
                ("propose/code/deduction/valid_rate", 0.25),
                ("time/step_s", 30.0),
                ("time/evaluate_s", 3.0),
            ];
            line(step, &pairs)
        };
        let between = line(1, &[("update/grad_norm", 1.5), ("time/step_s", 60.0)]);
        vec![evaluated(0, 0.25, 0.0), between, evaluated(2, 0.5, 0.25)]
    }

    #[test]
    fn a_summary_is_the_first_and_the_last_evaluation() {
        let summary = summaries(&lines());
        let kinds = vec![("abduction".into(), 0.0, 0.25), ("deduction".into(), 0.25, 0.5)];
        assert_eq!(summary, [SetSummary { name: "heldout".into(), mean: (0.125, 0.375), kinds }]);
        assert!(summaries(&lines()[1..2]).is_empty());
        assert_eq!(seconds(&lines()), 126.0);
        assert_eq!(
            [12.4, 126.0, 7_320.0].map(duration),
            ["12 s", "2 min 6 s", "2 h 2 min"].map(str::to_owned)
        );
    }

    #[test]
    fn a_report_has_the_evaluations_the_steps_and_the_alarms() {
        let config = RunConfig::of_profile(Profile::Robust);
        let alarm = Alarm { step: 2, name: "validity".into(), message: "only 3 % | are".into() };
        let text = markdown("run|<b>", &config, &lines(), &[alarm], "learning.svg").unwrap();
        for part in [
            "# Run run\\|\\<b\\>",
            &config.hash().unwrap(),
            "| heldout after step | tasks | mean | abduction | deduction | well-formed |",
            "| 0 | 6 | 12.5 % | 0.0 % | 25.0 % | – |",
            "| 2 | 6 | 37.5 % | 25.0 % | 50.0 % | – |",
            "| 1 | – | – | – | – | – | – | – | 1.500 |",
            "| 2 | 25.0 % |",
            "- step 2, validity: only 3 % \\| are",
            "![learning curves](learning.svg)",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        assert!(!text.contains("| 0 | 25.0 %"), "step 0 trains nothing");
        let empty = markdown("run", &config, &[], &[], "learning.svg").unwrap();
        assert!(empty.contains("None were evaluated") && empty.contains("None.\n"), "{empty}");
    }

    #[test]
    fn the_plot_shows_every_kind_and_the_training() {
        let image = plot(&lines());
        for part in [">held-out set heldout<", ">deduction<", ">mean<", ">valid<", ">training<"] {
            assert!(image.contains(part), "{part}");
        }
        assert!(!image.contains(">informative<"), "nothing to show");
    }
}
