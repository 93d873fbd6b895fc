//! What a suite's records come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ask::Finish;
use crate::statistics::{Estimate, bootstrap_mean, pass_at_k};
use crate::{Protocol, Record};

/// What a suite's records come to. Rates are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the suite.
    pub suite: String,
    /// Items that were asked.
    pub n_items: usize,
    /// Samples of each.
    pub n_samples: usize,
    /// pass@k by `k`, each the mean over items with its 95 % interval; pass@1 of one greedy sample is the accuracy.
    pub pass_at: BTreeMap<usize, Estimate>,
    /// Share of the responses out of which an answer was read.
    pub answered_rate: f64,
    /// Share of the responses that a limit on tokens cut off.
    pub truncated_rate: f64,
    /// Mean length of the responses whose tokens are known.
    pub tokens_mean: Option<f64>,
    /// Number of responses by what the grader said of them.
    pub reasons: BTreeMap<String, usize>,
}

impl Summary {
    /// Of all records of a suite, item by item; None without any.
    pub fn new(suite: &str, records: &[Record], protocol: &Protocol) -> Option<Self> {
        let items: Vec<&[Record]> = records.chunk_by(|a, b| a.id == b.id).collect();
        let estimate = |&k: &usize| {
            let of_item = |item: &&[Record]| pass_at_k(item.len(), n_right(item), k);
            Some((k, bootstrap_mean(&items.iter().map(of_item).collect::<Vec<f64>>())?))
        };
        let share = |is_counted: fn(&Record) -> bool| {
            let n = records.iter().filter(|record| is_counted(record)).count();
            n as f64 / records.len() as f64
        };
        let tokens: Vec<u64> = records.iter().filter_map(|record| record.n_tokens).collect();
        let mut reasons = BTreeMap::new();
        for record in records {
            *reasons.entry(record.reason.clone()).or_default() += 1;
        }
        Some(Self {
            suite: suite.to_owned(),
            n_items: items.len(),
            n_samples: protocol.samples,
            pass_at: protocol.pass_at.iter().map(estimate).collect::<Option<_>>()?,
            answered_rate: share(|record| record.answer.is_some()),
            truncated_rate: share(|record| record.finish == Finish::Length),
            tokens_mean: (!tokens.is_empty())
                .then(|| tokens.iter().sum::<u64>() as f64 / tokens.len() as f64),
            reasons,
        })
    }

    /// The same as metrics of a run: `benchmark/<suite>/pass_at_<k>`, `…/n_items` and the rates.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut metrics = BTreeMap::new();
        let mut set = |name: &str, value: f64| {
            metrics.insert(format!("benchmark/{}/{name}", self.suite), value);
        };
        for (k, estimate) in &self.pass_at {
            set(&format!("pass_at_{k}"), estimate.value);
        }
        set("n_items", self.n_items as f64);
        set("answered_rate", self.answered_rate);
        set("truncated_rate", self.truncated_rate);
        if let Some(mean) = self.tokens_mean {
            set("tokens_mean", mean);
        }
        metrics
    }
}

/// Right samples of an item.
pub(crate) fn n_right(item: &[Record]) -> usize {
    item.iter().filter(|record| record.is_right).count()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records of items named by their position, with these samples right.
    pub(crate) fn records(items: &[&[bool]]) -> Vec<Record> {
        let of_item = |(item, samples): (usize, &&[bool])| {
            let record = move |(sample, &is_right): (usize, &bool)| Record {
                id: item.to_string(),
                sample,
                seed: 0,
                prompt: None,
                response: "text".into(),
                answer: (item != 0).then(|| "4".to_owned()),
                is_right,
                reason: if is_right { "ok" } else { "wrong" }.into(),
                n_tokens: (item != 1).then_some(10),
                finish: if sample == 0 { Finish::Stop } else { Finish::Length },
            };
            samples.iter().enumerate().map(record).collect::<Vec<_>>()
        };
        items.iter().enumerate().flat_map(of_item).collect()
    }

    #[test]
    fn a_summary_averages_over_items() {
        let records = records(&[&[false, false], &[true, false], &[true, true]]);
        let protocol = Protocol { samples: 2, pass_at: vec![1, 2], ..Protocol::default() };
        let summary = Summary::new("sums", &records, &protocol).unwrap();
        assert_eq!((summary.n_items, summary.n_samples), (3, 2));
        assert!((summary.pass_at[&1].value - 0.5).abs() < 1e-12);
        assert!((summary.pass_at[&2].value - 2.0 / 3.0).abs() < 1e-12);
        assert!(summary.pass_at[&2].low <= 1.0 / 3.0 && summary.pass_at[&2].high == 1.0);
        assert!((summary.answered_rate - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((summary.truncated_rate, summary.tokens_mean), (0.5, Some(10.0)));
        assert_eq!(summary.reasons, BTreeMap::from([("ok".into(), 3), ("wrong".into(), 3)]));
        let metrics = summary.metrics();
        assert_eq!(metrics["benchmark/sums/n_items"], 3.0);
        assert_eq!(metrics["benchmark/sums/pass_at_2"], summary.pass_at[&2].value);
        assert_eq!(metrics.len(), 6);
        assert_eq!(Summary::new("sums", &[], &protocol), None);
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }
}
