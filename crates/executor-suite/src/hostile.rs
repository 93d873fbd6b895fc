//! Hostile programs and what a safe executor may make of them.
//!
//! The first line of each file in `hostile/` says it for people (`SAFE:`) and for machines (`ALLOW:`):
//!
//! ```text
//! # SAFE: what must hold || INPUT: call ;; call || GOLD: value || ALLOW: outcome | outcome ;; outcome
//! ```
//!
//! `GOLD` is the value that a task would hold against the program's, or `None`. What is allowed stands there once
//! for all calls or once for each. `SETTLES: no` says that runs differ: where gold values are established, no
//! value may come of the program. An outcome is one of
//!
//! * `gate`: under the strict gate the program must be refused; with an open gate something else of the list,
//! * `refused`: refused whatever the gate, for example because the arguments are no literals,
//! * `error`, `limit`, `crash`, `nonvalue`: an exception, a limit, a lost process, no plain value,
//! * `unsettled`: found to be nondeterministic (only where gold values are established),
//! * `= literal`: this value,
//! * `without words`: any value whose canonical text holds none of these words, separated by spaces.
//!
//! A program that an executor cannot express has done no harm: `Unsupported` is always allowed.

use azr_executor::equality::{answer, strict};
use azr_executor::{Value, parse_arguments, parse_literal};
use azr_plugin::Outcome;

mod check;
mod list;
mod watch;

pub use check::{Failure, Settings, check};

/// Whether programs are judged on their text before they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Programs that reach for the system must be refused.
    Strict,
    /// Every program runs: the process sandbox alone has to hold.
    Open,
}

/// A program that attacks.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Name of its file without the extension.
    pub name: &'static str,
    /// Its text, without the first line of its file.
    pub source: &'static str,
    /// What must hold, in words.
    pub demand: &'static str,
    /// Canonical text of the arguments of each call; other text where the arguments themselves attack.
    pub calls: Vec<String>,
    /// The value that a task would hold against the program's.
    pub gold: Option<Value>,
    /// What may come of each call, in call order.
    pub expected: Vec<Expected>,
    /// Whether runs agree, so that a value may become a gold value.
    pub settles: bool,
}

/// The outcomes that a safe executor may report for a program.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    gate: bool,
    kinds: Vec<Kind>,
    values: Vec<Value>,
    without: Option<Vec<&'static str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refused,
    Error,
    Limit,
    Crash,
    NonValue,
    Unsettled,
}

/// All hostile programs in the order of their names.
pub fn all() -> Vec<Hostile> {
    list::FILES.iter().filter_map(|(name, text)| Hostile::read(name, text)).collect()
}

impl Hostile {
    /// The program of a file, if its first line is well-formed. That line is no part of the program: it names
    /// the other calls and the gold value.
    fn read(name: &'static str, text: &'static str) -> Option<Self> {
        let (header, source) = text.split_once('\n')?;
        let header = header.strip_prefix("# ")?;
        let (demand, _) = header.split_once(" || ")?;
        let field = |key: &str| header.split(" || ").find_map(|field| field.strip_prefix(key));
        let calls: Vec<String> = field("INPUT: ")?.split(" ;; ").map(canonical).collect();
        let gold = match field("GOLD: ")? {
            "None" => None,
            text => Some(parse_literal(text).ok()?),
        };
        let lists: Vec<&str> = field("ALLOW: ")?.split(" ;; ").collect();
        let of_call = |call| lists.get(call).or(lists.first().filter(|_| lists.len() == 1));
        let expected =
            (0..calls.len()).map(|call| Expected::read(of_call(call)?)).collect::<Option<_>>()?;
        let settles = field("SETTLES: ").is_none();
        Some(Self { name, source, demand, calls, gold, expected, settles })
    }
}

/// The canonical text of arguments; text that is no argument list stays as it is.
fn canonical(text: &str) -> String {
    parse_arguments(text).map_or_else(|_| text.to_owned(), |arguments| arguments.to_canonical())
}

impl Expected {
    fn read(text: &'static str) -> Option<Self> {
        let mut expected = Self::default();
        for item in text.split(" | ") {
            match item {
                "gate" => expected.gate = true,
                "refused" => expected.kinds.push(Kind::Refused),
                "error" => expected.kinds.push(Kind::Error),
                "limit" => expected.kinds.push(Kind::Limit),
                "crash" => expected.kinds.push(Kind::Crash),
                "nonvalue" => expected.kinds.push(Kind::NonValue),
                "unsettled" => expected.kinds.push(Kind::Unsettled),
                _ => {
                    if let Some(literal) = item.strip_prefix("= ") {
                        expected.values.push(parse_literal(literal).ok()?);
                    } else {
                        let words = item.strip_prefix("without ")?;
                        expected.without = Some(words.split(' ').collect());
                    }
                }
            }
        }
        Some(expected)
    }

    /// Whether a safe executor may report this outcome.
    pub fn allows(&self, outcome: &Outcome, gate: Gate) -> bool {
        if self.gate && gate == Gate::Strict {
            return matches!(outcome, Outcome::Refused(_) | Outcome::Unsupported(_));
        }
        let kind = match outcome {
            Outcome::Value(text) => return self.allows_value(text),
            Outcome::Unsupported(_) => return true,
            Outcome::NonValue(_) => Kind::NonValue,
            Outcome::Exception(_) => Kind::Error,
            Outcome::Limit(_) => Kind::Limit,
            Outcome::Nondeterministic => Kind::Unsettled,
            Outcome::Refused(_) => Kind::Refused,
            Outcome::Crashed(_) => Kind::Crash,
        };
        self.kinds.contains(&kind)
    }

    fn allows_value(&self, text: &str) -> bool {
        let Ok(value) = Value::from_canonical(text) else { return false };
        let is_free = |words: &Vec<&str>| words.iter().all(|word| !text.contains(word));
        self.values.iter().any(|allowed| strict(allowed, &value))
            || self.without.as_ref().is_some_and(is_free)
    }

    /// Whether a value that counts as `gold` may be reported: only where it is named as an allowed value.
    fn allows_gold(&self, gold: &Value) -> bool {
        self.values.iter().any(|allowed| answer(allowed, gold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azr_plugin::LimitKind;

    #[test]
    fn every_file_is_well_formed_and_numbered_once() {
        let programs = all();
        for (name, text) in list::FILES {
            assert!(Hostile::read(name, text).is_some(), "{name}");
        }
        let on_disk = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/hostile")).unwrap();
        assert_eq!(on_disk.count(), list::FILES.len());
        let number =
            |program: &Hostile| -> u32 { program.name.split('_').next().unwrap().parse().unwrap() };
        let numbers: Vec<u32> = programs.iter().map(number).collect();
        assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
        for program in &programs {
            assert!(program.demand.starts_with("SAFE"), "{}", program.name);
            // A program that nothing may come of could not be told from one whose demands were forgotten.
            for expected in &program.expected {
                let has_open_outcome = !expected.kinds.is_empty()
                    || !expected.values.is_empty()
                    || expected.without.is_some();
                assert!(has_open_outcome, "{}", program.name);
            }
        }
    }

    #[test]
    fn demands_tell_outcomes_apart() {
        let expected = Expected::read("gate | error | = [1] | without owned made").unwrap();
        let value = |text: &str| Outcome::Value(text.to_owned());
        for (outcome, open, strict) in [
            (Outcome::Refused("import".into()), false, true),
            (Outcome::Exception("OSError".into()), true, false),
            (Outcome::Unsupported("import".into()), true, true),
            (Outcome::Limit(LimitKind::Wall), false, false),
            (value("[1]"), true, false),
            (value("'made 2'"), false, false),
            (value("'nothing'"), true, false),
            (value("no canonical text"), false, false),
        ] {
            assert_eq!(expected.allows(&outcome, Gate::Open), open, "{outcome:?}");
            assert_eq!(expected.allows(&outcome, Gate::Strict), strict, "{outcome:?}");
        }
        assert!(Expected::read("gate | nothing").is_none());
        assert!(!Expected::read("= 1").unwrap().allows(&value("True"), Gate::Open));
    }
}
