//! Results as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::Machine;

/// One measured operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Median of the time of one operation.
    pub(crate) median_s: f64,
    /// Least time that the machine could take for it.
    pub(crate) floor_s: f64,
    /// What the floor counts: floating-point operations or bytes.
    pub(crate) limit: Limit,
    /// Tokens or whatever else is made per second, with its unit.
    pub(crate) rate: Option<(f64, String)>,
    /// Largest resident size that the process had until then, where the system tells it.
    pub(crate) peak_bytes: Option<u64>,
}

/// What an operation cannot be faster than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Limit {
    Arithmetic,
    Memory,
}

/// What a suite measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) suite: String,
    pub(crate) machine: Machine,
    pub(crate) lines: Vec<Line>,
}

impl Table {
    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let Machine { name, n_threads, flops_per_s, bytes_per_s, load } = &self.machine;
        let (gflops, gbytes) = (flops_per_s / 1e9, bytes_per_s / 1e9);
        let mut text = format!(
            "## {}\n\n{name}, {n_threads} threads; measured limits {gflops:.0} GFLOP/s and {gbytes:.1} GB/s; load before the run {load:.1}.\n\n",
            self.suite
        );
        text.push_str(
            "| operation | median | floor | floor / median | rate |\n|---|---|---|---|---|\n",
        );
        for line in &self.lines {
            let limit = match line.limit {
                Limit::Arithmetic => "",
                Limit::Memory => " (memory)",
            };
            let rate = line.rate.as_ref().map(|(rate, unit)| format!("{rate:.0} {unit}/s"));
            let (median, floor) = (duration(line.median_s), duration(line.floor_s));
            let ratio = line.floor_s / line.median_s;
            let rate = rate.unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {median} | {floor}{limit} | {ratio:.2} | {rate} |",
                line.name
            );
        }
        text
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_near_it_comes_to_its_floor() {
        let machine = Machine {
            name: "abacus".to_owned(),
            n_threads: 2,
            flops_per_s: 2e11,
            bytes_per_s: 3e10,
            load: 0.5,
        };
        let line = Line {
            name: "decode".to_owned(),
            median_s: 0.02,
            floor_s: 0.015,
            limit: Limit::Memory,
            rate: Some((50.0, "tokens".to_owned())),
            peak_bytes: None,
        };
        let table = Table { suite: "decode".to_owned(), machine, lines: vec![line] };
        let text = table.markdown();
        let last = text.lines().last();
        assert_eq!(last, Some("| decode | 20.00 ms | 15.00 ms (memory) | 0.75 | 50 tokens/s |"));
        assert!(text.contains("abacus, 2 threads; measured limits 200 GFLOP/s and 30.0 GB/s"));
    }
}
