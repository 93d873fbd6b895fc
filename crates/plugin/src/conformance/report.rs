//! What came of the checks.

use std::fmt;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The engine kept the promise.
    Passed,
    /// It broke it; how.
    Failed(String),
    /// The check does not apply to this engine; why.
    Skipped(String),
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in a few words.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// The checks of one engine, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// For tests.
    ///
    /// # Panics
    /// When a check failed; the message is the table.
    #[expect(clippy::panic, reason = "a test fails by panicking")]
    pub fn assert_passed(&self) {
        if !self.passed() {
            panic!("the engine does not conform\n{self}");
        }
    }
}

/// A table with a line for each check. What engines say in it is untrusted text.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for (index, Check { name, outcome }) in self.checks.iter().enumerate() {
            let (word, why) = match outcome {
                Outcome::Passed => ("ok", ""),
                Outcome::Failed(why) => ("FAILED", why.as_str()),
                Outcome::Skipped(why) => ("skipped", why.as_str()),
            };
            let why = why.replace('\n', "\n    ");
            let row = format!("{word:<8} {name:<width$}  {why}");
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", row.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table() {
        let check = |name: &str, outcome| Check { name: name.into(), outcome };
        let mut report = Report {
            checks: vec![
                check("kinds", Outcome::Passed),
                check("seed tasks", Outcome::Skipped("it has none".into())),
            ],
        };
        assert!(report.passed());
        report.checks.push(check("grades", Outcome::Failed("NaN\nhint: do not".into())));
        assert!(!report.passed());
        let table = "ok       kinds\nskipped  seed tasks  it has none\nFAILED   grades      NaN\n    hint: do not";
        assert_eq!(report.to_string(), table);
    }
}
