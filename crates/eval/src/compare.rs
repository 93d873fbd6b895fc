//! Two evaluations side by side, on the items that both have.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::folder::EvalDir;
use crate::statistics::{Estimate, bootstrap_mean, mcnemar};
use crate::summary::n_right;
use crate::{Record, Result};

/// How a suite went in one evaluation and in another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the suite.
    pub suite: String,
    /// Items that both evaluations asked.
    pub n_items: usize,
    /// Items that only the first asked, and only the second.
    pub n_others: (usize, usize),
    /// Share of right samples, mean over the common items, in each.
    pub scores: (f64, f64),
    /// Second less first, with its 95 % interval: a bootstrap over the common items, in pairs.
    pub difference: Estimate,
    /// Items of which the second got more samples right.
    pub n_gained: usize,
    /// Items of which the first did.
    pub n_lost: usize,
    /// Chance of such flips if neither were better (exact test of McNemar), where both have one sample of each item.
    pub p_value: Option<f64>,
    /// What differs beside the model, in words: then the scores are not of the same questions.
    pub differs: Vec<String>,
}

/// Compares the suites that both evaluations have. Suites that only one has are left out.
///
/// # Errors
/// A folder is no evaluation, or one of its lines is broken.
pub fn compare(first: &EvalDir, second: &EvalDir) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for suite in &first.setup().suites {
        let Some(other) = second.setup().suites.iter().find(|other| other.name == suite.name)
        else {
            continue;
        };
        let (a, b) = (&first.setup().protocol, &second.setup().protocol);
        let differs = [
            ("data", suite.data != other.data),
            ("template", suite.template != other.template || a.style != b.style),
            ("samples", a.samples != b.samples),
            ("temperature", (a.temperature, a.top_p) != (b.temperature, b.top_p)),
            ("limit on tokens", a.max_tokens != b.max_tokens),
        ];
        let differs = differs.iter().filter(|(_, differs)| *differs);
        let differs = differs.map(|(what, _)| (*what).to_owned()).collect();
        let records = (first.records(&suite.name)?, second.records(&suite.name)?);
        comparisons.extend(compare_records(&suite.name, &records.0, &records.1, differs));
    }
    Ok(comparisons)
}

fn compare_records(
    suite: &str,
    first: &[Record],
    second: &[Record],
    differs: Vec<String>,
) -> Option<Comparison> {
    let (first, second) = (rates(first), rates(second));
    let pairs: Vec<(f64, f64)> =
        first.iter().filter_map(|(id, a)| Some((a.0, second.get(id)?.0))).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let difference = bootstrap_mean(&differences)?;
    let n_gained = differences.iter().filter(|&&d| d > 0.0).count();
    let n_lost = differences.iter().filter(|&&d| d < 0.0).count();
    let is_single = first.values().chain(second.values()).all(|(_, n)| *n == 1);
    Some(Comparison {
        suite: suite.to_owned(),
        n_items: pairs.len(),
        n_others: (first.len() - pairs.len(), second.len() - pairs.len()),
        scores: (mean(|pair| pair.0), mean(|pair| pair.1)),
        difference,
        n_gained,
        n_lost,
        p_value: is_single.then(|| mcnemar(n_gained, n_lost)),
        differs,
    })
}

/// Share of right samples and number of samples of each item.
fn rates(records: &[Record]) -> BTreeMap<&str, (f64, usize)> {
    let items = records.chunk_by(|a, b| a.id == b.id);
    items
        .map(|item| (item[0].id.as_str(), (n_right(item) as f64 / item.len() as f64, item.len())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::records;

    fn compared(first: &[&[bool]], second: &[&[bool]]) -> Option<Comparison> {
        compare_records("sums", &records(first), &records(second), Vec::new())
    }

    #[test]
    fn flips_of_single_answers_are_tested_exactly() {
        const RIGHT: &[bool] = &[true];
        const WRONG: &[bool] = &[false];
        let first = [&[RIGHT; 4][..], &[WRONG; 10]].concat();
        let second = [&[WRONG; 1][..], &[RIGHT; 12]].concat();
        let found = compared(&first, &second).unwrap();
        assert_eq!((found.n_items, found.n_others), (13, (1, 0)));
        assert_eq!((found.n_gained, found.n_lost), (9, 1));
        assert!((found.p_value.unwrap() - 22.0 / 1024.0).abs() < 1e-12);
        assert!((found.scores.1 - found.scores.0 - 8.0 / 13.0).abs() < 1e-12);
        assert!((found.difference.value - 8.0 / 13.0).abs() < 1e-12);
        assert!(found.difference.low > 0.0, "{:?}", found.difference);
    }

    #[test]
    fn several_samples_are_compared_by_their_means() {
        let first: [&[bool]; 3] = [&[true, false], &[false, false], &[true, true]];
        let second: [&[bool]; 3] = [&[true, true], &[false, false], &[true, false]];
        let found = compared(&first, &second).unwrap();
        assert_eq!((found.n_gained, found.n_lost, found.p_value), (1, 1, None));
        assert!(found.difference.value == 0.0 && found.difference.low < 0.0);
        assert_eq!(compared(&first, &[]), None, "nothing in common");
    }
}
