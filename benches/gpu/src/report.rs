//! Results, a JSON object a line: ours and, in the same form, those of `peers.py`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Who we are in results.
pub(crate) const OURS: &str = "azr";

/// One result, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Line {
    /// What was measured: `facts`, `limits`, `conformance`, `kernels`, `decode`, `train` or `selfplay`.
    pub(crate) part: String,
    pub(crate) model: String,
    pub(crate) case: String,
    /// Whose result it is.
    pub(crate) by: String,
    /// Median time of one operation, step or update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<f64>,
    /// Least time that the machine could take, by the limits that the same process measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_s: Option<f64>,
    /// Whether bytes are what the floor is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_memory_bound: Option<bool>,
    /// Tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Floating-point operations per second by 6 for each parameter that multiplies and token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_flops_per_s: Option<f64>,
    /// Most of the GPU's memory that allocations held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_bytes: Option<u64>,
    /// Bytes read and written by a copy within the GPU's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copy_bytes_per_s: Option<f64>,
    /// Of a large bfloat16 product of random numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gemm_flops_per_s: Option<f64>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// Floor of an operation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Floating-point operations by tensor cores; a multiply-add counts as two.
    pub(crate) flops: f64,
    /// Bytes from and to the GPU's memory.
    pub(crate) bytes: f64,
}

/// What the GPU can do at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) copy_bytes_per_s: f64,
    pub(crate) gemm_flops_per_s: f64,
}

impl Line {
    /// A result of ours that nothing is known of.
    pub(crate) fn ours(part: &str, model: &str, case: impl Into<String>) -> Self {
        Self {
            part: part.to_owned(),
            model: model.to_owned(),
            case: case.into(),
            by: OURS.to_owned(),
            ..Self::default()
        }
    }

    /// With the floor that `work` has.
    pub(crate) fn floor(self, work: Work, limits: Limits) -> Self {
        let arithmetic_s = work.flops / limits.gemm_flops_per_s;
        let memory_s = work.bytes / limits.copy_bytes_per_s;
        Self {
            floor_s: Some(arithmetic_s.max(memory_s)),
            is_memory_bound: Some(memory_s > arithmetic_s),
            ..self
        }
    }

    /// How much of the measured time the floor is.
    pub(crate) fn of_floor(&self) -> Option<f64> {
        Some(self.floor_s? / self.seconds?)
    }
}

/// Results of a file, and what could not be read in it.
pub(crate) fn read_lines(text: &str) -> (Vec<Line>, Vec<String>) {
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        match serde_json::from_str(text) {
            Ok(line) => lines.push(line),
            // A part that was ended in the middle of a line must not take the others with it.
            Err(error) => problems.push(format!("line {}: {error}", index + 1)),
        }
    }
    (lines, problems)
}

/// Where results go, and how much time is left for them.
pub(crate) struct Report {
    lines: Vec<Line>,
    file: Option<File>,
    deadline: Option<Instant>,
}

impl Report {
    /// Results also go to the end of `file`; after `budget` nothing more is begun.
    pub(crate) fn new(file: Option<&Path>, budget: Option<Duration>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("cannot write to `{}`", path.display()))
        };
        let deadline = budget.map(|budget| Instant::now() + budget);
        Ok(Self { lines: Vec::new(), file: file.map(open).transpose()?, deadline })
    }

    /// Adds a result and prints it at once: whatever ends the process leaves what it had.
    pub(crate) fn add(&mut self, line: Line) -> Result<()> {
        let text = serde_json::to_string(&line)? + "\n";
        // In one write, so that no other writer gets between.
        std::io::stdout().write_all(text.as_bytes())?;
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes())?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// Measures one case: what fails, or is not begun for want of time, is a result as well.
    pub(crate) fn measure(
        &mut self,
        unmeasured: Line,
        work: impl FnOnce(Line) -> Result<Line>,
    ) -> Result<()> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let problem = Some("skipped: no time left".to_owned());
            return self.add(Line { problem, ..unmeasured });
        }
        let line = work(unmeasured.clone())
            .unwrap_or_else(|error| Line { problem: Some(format!("{error:#}")), ..unmeasured });
        self.add(line)
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether something failed.
    pub(crate) fn has_problems(&self) -> bool {
        self.lines.iter().any(|line| line.problem.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_and_broken_ones_are_named() {
        let limits = Limits { copy_bytes_per_s: 4e12, gemm_flops_per_s: 8e14 };
        let line = Line { seconds: Some(2e-3), ..Line::ours("decode", "m", "batch 1") }
            .floor(Work { flops: 8e11, bytes: 2e9 }, limits);
        assert_eq!((line.floor_s, line.is_memory_bound), (Some(1e-3), Some(false)));
        assert_eq!(line.of_floor(), Some(0.5));
        let text = serde_json::to_string(&line).unwrap();
        let peer = r#"{"part": "decode", "by": "transformers", "rate": 12, "unknown": 1}"#;
        let (lines, problems) = read_lines(&format!("{text}\n\n{peer}\n{{\"part\": \"dec"));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], line);
        assert_eq!((lines[1].rate, lines[1].seconds), (Some(12.0), None));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("line 4: "), "{problems:?}");
    }

    #[test]
    fn what_fails_and_what_there_is_no_time_for_are_results() {
        let mut report = Report::new(None, None).unwrap();
        report.measure(Line::ours("a", "", ""), |_| anyhow::bail!("no memory")).unwrap();
        assert_eq!(report.lines()[0].problem.as_deref(), Some("no memory"));
        let mut late = Report::new(None, Some(Duration::ZERO)).unwrap();
        late.measure(Line::ours("a", "", ""), |_| panic!("begun")).unwrap();
        assert_eq!(late.lines()[0].problem.as_deref(), Some("skipped: no time left"));
        assert!(late.has_problems());
    }
}
