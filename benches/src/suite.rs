//! A suite of benches: criterion measures, the suite adds floors and writes the table.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench talks to its user and ends where it cannot go on"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use serde_json::Value;

use crate::Machine;
use crate::table::{Limit, Line, Table};

/// What an operation takes at least.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Floating-point operations; a multiply-add counts as two.
    pub flops: f64,
    /// Bytes that must come from memory.
    pub bytes: f64,
    /// What is made, and its unit, where a rate says more than a time.
    pub makes: Option<(f64, &'static str)>,
}

/// Benches that are measured in one run and shown in one table.
pub struct Suite {
    criterion: Criterion,
    /// Where criterion and the suite write.
    folder: PathBuf,
    table: Table,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Suite {
    /// A suite with the arguments of the command line: criterion's own, above all a filter by name.
    pub fn from_args(name: &str) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
        let folder = target.join("bench");
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(2))
            .output_directory(&folder.join("criterion"))
            .configure_from_args();
        let machine = Machine::measure();
        let table = Table { suite: name.to_owned(), machine, lines: Vec::new() };
        Self { criterion, folder, table }
    }

    /// Measures `operation`.
    pub fn bench(&mut self, name: &str, work: Work, mut operation: impl FnMut()) {
        self.bench_custom(name, work, |n_times| {
            let start = Instant::now();
            for _ in 0..n_times {
                operation();
            }
            start.elapsed()
        });
    }

    /// Measures an operation of which `run` does a number and returns the time they took.
    pub fn bench_custom(&mut self, name: &str, work: Work, mut run: impl FnMut(u64) -> Duration) {
        // Names are folders: criterion replaces some characters and cuts what is long.
        assert!(name.len() < 64 && !name.contains(['/', '?', '*', ':']), "{name}");
        let estimates = self.folder.join("criterion").join(name).join("new/estimates.json");
        // What an earlier run left is not a result of this one; there may be none.
        let _ = fs::remove_file(&estimates);
        self.criterion.bench_function(name, |bencher| bencher.iter_custom(&mut run));
        let Some(median_s) = median_s(&estimates) else { return };
        let Machine { flops_per_s, bytes_per_s, .. } = self.table.machine;
        let (arithmetic_s, memory_s) = (work.flops / flops_per_s, work.bytes / bytes_per_s);
        let line = Line {
            name: name.to_owned(),
            median_s,
            floor_s: arithmetic_s.max(memory_s),
            limit: if memory_s > arithmetic_s { Limit::Memory } else { Limit::Arithmetic },
            rate: work.makes.map(|(amount, unit)| (amount / median_s, unit.to_owned())),
            peak_bytes: peak_bytes(),
        };
        self.table.lines.push(line);
    }

    /// Prints the table and writes it beside criterion's results.
    pub fn finish(self) {
        self.criterion.final_summary();
        if self.table.lines.is_empty() {
            return;
        }
        let text = self.table.markdown();
        println!("{text}");
        let json = serde_json::to_string_pretty(&self.table).expect("a table is plain data");
        for (extension, text) in [("md", text), ("json", json + "\n")] {
            let file = self.folder.join(&self.table.suite).with_extension(extension);
            fs::write(&file, text).expect("the table can be written");
        }
    }
}

/// Largest resident size of this process so far.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The median in a file of criterion's; nothing where it measured nothing.
fn median_s(estimates: &Path) -> Option<f64> {
    let estimates: Value = serde_json::from_str(&fs::read_to_string(estimates).ok()?).ok()?;
    Some(estimates["median"]["point_estimate"].as_f64()? / 1e9)
}
