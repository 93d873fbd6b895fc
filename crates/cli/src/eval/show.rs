//! Results as tables.

use std::path::Path;

use anyhow::Result;
use azr_eval::statistics::Estimate;
use azr_eval::{Comparison, EvalDir, EvalError, Summary, compare};
use serde_json::json;

use crate::args::Format;
use crate::print;

/// What an evaluation came to.
pub(super) fn summaries(dir: &EvalDir, summaries: &[Summary], format: Format) -> Result<()> {
    if format == Format::Json {
        let (folder, setup) = (dir.path(), dir.setup());
        return print::json(&json!({
            "folder": folder, "model": setup.model, "protocol": setup.protocol, "suites": summaries,
        }));
    }
    let mut head = vec!["suite".to_owned(), "items".to_owned()];
    head.extend(dir.setup().protocol.pass_at.iter().map(|k| format!("pass@{k} (95 % interval)")));
    head.extend(["answered", "cut off", "tokens"].map(str::to_owned));
    let row = |summary: &Summary| {
        let mut row = vec![summary.suite.clone(), summary.n_items.to_string()];
        row.extend(summary.pass_at.values().map(interval));
        row.push(percent(summary.answered_rate));
        row.push(percent(summary.truncated_rate));
        row.push(summary.tokens_mean.map_or("-".to_owned(), |mean| format!("{mean:.0}")));
        row
    };
    table(std::iter::once(head).chain(summaries.iter().map(row)).collect());
    for suite in &dir.setup().suites {
        if let Some(variant) = &suite.data.variant {
            print::note(print::escaped(&format!("{}: {variant}", suite.name)));
        }
        if suite.n_asked < suite.n_items {
            let seed = dir.setup().protocol.seed;
            print::note(print::escaped(&format!(
                "{}: {} of {} items, drawn with seed {seed}",
                suite.name, suite.n_asked, suite.n_items
            )));
        }
    }
    Ok(())
}

/// How two evaluations differ.
pub(super) fn comparison(first: &Path, second: &Path, format: Format) -> Result<()> {
    let comparisons = compare(&EvalDir::open(first)?, &EvalDir::open(second)?)?;
    if comparisons.is_empty() {
        let message =
            format!("`{}` and `{}` have no item in common", first.display(), second.display());
        let hint = "evaluate both on the same suite".to_owned();
        return Err(EvalError::Usage { message, hint }.into());
    }
    if format == Format::Json {
        return print::json(&comparisons);
    }
    let head =
        ["suite", "items", "first", "second", "difference (95 % interval)", "better", "worse", "p"];
    let row = |found: &Comparison| {
        vec![
            found.suite.clone(),
            found.n_items.to_string(),
            percent(found.scores.0),
            percent(found.scores.1),
            difference(&found.difference),
            found.n_gained.to_string(),
            found.n_lost.to_string(),
            found.p_value.map_or("-".to_owned(), |p| format!("{p:.3}")),
        ]
    };
    let head = head.map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(comparisons.iter().map(row)).collect());
    for Comparison { suite, n_others, differs, .. } in &comparisons {
        if *n_others != (0, 0) {
            let (a, b) = n_others;
            print::note(print::escaped(&format!(
                "{suite}: {a} items of the first alone, {b} of the second"
            )));
        }
        if !differs.is_empty() {
            let differs = differs.join(", ");
            print::note(print::escaped(&format!("warning: {suite}: the two differ in {differs}")));
        }
    }
    Ok(())
}

/// Columns as wide as they need to be; the first to the left, numbers to the right.
fn table(rows: Vec<Vec<String>>) {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |c| c.chars().count());
    let width = |column| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
        }
        print::data(print::escaped(&line));
    }
}

fn percent(rate: f64) -> String {
    format!("{:.1} %", 100.0 * rate)
}

fn difference(estimate: &Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|rate| 100.0 * rate);
    format!("{value:+.1} % ({low:+.1} to {high:+.1})")
}

fn interval(estimate: &Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|rate| 100.0 * rate);
    format!("{value:.1} % ({low:.1} to {high:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_differences_are_told_in_percent() {
        let estimate = |value, low, high| Estimate { value, low, high };
        assert_eq!(interval(&estimate(0.125, 0.1, 0.15)), "12.5 % (10.0 to 15.0)");
        assert_eq!(difference(&estimate(0.125, -0.01, 0.26)), "+12.5 % (-1.0 to +26.0)");
    }
}
