//! Reports and plots of made-up runs.

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
            ("heldout/part/solve_rate_deduction", 1.0),
            ("heldout/part/solve_rate_abduction", abd),
            ("heldout/part/solve_rate_mean", (1.0 + abd) / 2.0),
            ("heldout/part/n_tasks", 2.0),
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
fn a_summary_compares_the_same_tasks() {
    let mut evaluations = Evaluations::new("heldout", &lines());
    let summary = |is_part, mean, kinds: [(&str, f64, f64); 2]| {
        let kinds = kinds.map(|(kind, before, after)| (kind.to_owned(), before, after)).into();
        Some(SetSummary { name: "heldout".into(), is_part, mean, kinds })
    };
    let whole = [("abduction", 0.0, 0.25), ("deduction", 0.25, 0.5)];
    assert_eq!(evaluations.summary(), summary(false, (0.125, 0.375), whole));
    assert!(evaluations.is_whole_at(2) && !evaluations.is_whole_at(1));
    let mut part = lines().remove(2);
    part.metrics.retain(|name, _| name.contains("/part/"));
    evaluations.add(3, &part.metrics);
    let of_part = [("abduction", 0.0, 0.25), ("deduction", 1.0, 1.0)];
    assert_eq!(evaluations.summary(), summary(true, (0.5, 0.625), of_part));
    assert!(!evaluations.is_whole_at(2) && !evaluations.is_whole_at(3));
    assert_eq!(Evaluations::new("heldout", &lines()[1..2]).summary(), None);
    assert_eq!(Evaluations::new("cruxeval", &lines()).summary(), None);
    assert_eq!(seconds(&lines()), 126.0);
    assert_eq!(
        [12.4, 126.0, 7_320.0].map(duration),
        ["12 s", "2 min 6 s", "2 h 2 min"].map(str::to_owned)
    );
}

#[test]
fn benchmarks_have_a_table_and_a_curve_where_there_are_any() {
    let config = RunConfig::of_profile(Profile::Robust);
    let report = |lines: &[MetricsLine]| markdown("run", &config, lines, &[], "plot.svg").unwrap();
    assert!(!report(&lines()).contains("Benchmarks") && !plot(&lines()).contains("benchmarks"));
    let mut lines = lines();
    lines[0].metrics.insert("benchmark/gsm8k/pass_at_1".into(), 0.125);
    lines[2].metrics.insert("benchmark/gsm8k/pass_at_1".into(), 0.25);
    lines[2].metrics.insert("benchmark/humaneval+/pass_at_1".into(), 0.5);
    let table = "| pass@1 after step | gsm8k | humaneval+ |\n|---|---|---|\n\
                 | 0 | 12.5 % | – |\n| 2 | 25.0 % | 50.0 % |\n";
    assert!(report(&lines).contains(table), "{}", report(&lines));
    assert!(plot(&lines).contains("benchmarks"));
}

#[test]
fn a_report_has_the_evaluations_the_steps_and_the_alarms() {
    let config = RunConfig::of_profile(Profile::Robust);
    let alarm = Alarm { step: 2, name: "validity".into(), message: "only 3 % | are".into() };
    let text = markdown("run|<b>", &config, &lines(), &[alarm], "learning.svg").unwrap();
    for part in [
        "# Run run\\|\\<b\\>",
        &config.hash().unwrap(),
        "| all tasks of heldout after step | tasks | mean | abduction | deduction | well-formed |",
        "| 0 | 6 | 12.5 % | 0.0 % | 25.0 % | – |",
        "| 2 | 6 | 37.5 % | 25.0 % | 50.0 % | – |",
        "| the same part of heldout after step | tasks | mean | abduction |",
        "| 2 | 2 | 62.5 % | 25.0 % | 100.0 % | – |",
        "| 1 | – | – | – | – | – | – | – | – | 1.500 |",
        "| 2 | 25.0 % |",
        "- step 2, validity: only 3 % \\| are",
        "![learning curves](learning.svg)",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(!text.contains("| 0 | 25.0 %"), "step 0 trains nothing");
    let mut late = lines();
    late.push(line(2, &[("heldout/n_tasks", 6.0), ("time/evaluate_s", 1.0)]));
    let late = markdown("run", &config, &late, &[], "learning.svg").unwrap();
    assert_eq!(late.matches("| 2 | 25.0 %").count(), 1, "it is no step of its own");
    let empty = markdown("run", &config, &[], &[], "learning.svg").unwrap();
    assert!(empty.contains("None were evaluated") && empty.contains("None.\n"), "{empty}");
}

#[test]
fn the_plot_shows_every_kind_and_the_training() {
    let image = plot(&lines());
    assert!(image.contains(">100<"), "it shows the part: {image}");
    for part in [">held-out set heldout<", ">deduction<", ">mean<", ">valid<", ">training<"] {
        assert!(image.contains(part), "{part}");
    }
    assert!(!image.contains(">informative<"), "nothing to show");
}
