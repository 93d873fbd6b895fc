//! Whether a free-text answer to a math problem is the gold answer: pure functions, exact where that is possible.
//!
//! [`extract`] finds the final answer of a response, [`compare`] judges it. An answer is read as LaTeX, Unicode or
//! plain text into a tree, and two trees are compared as what they are: numbers, expressions, tuples, sets, lists,
//! intervals, matrices, equations, inequalities, words.
//!
//! What is taken for the same, beyond mathematics:
//! - Units, money signs and words after a number count for nothing, unless both answers have a unit that is known
//!   and they differ.
//! - `p\%` is `p` and `p / 100`. `30^\circ` is `30`; as the argument of sine and its like it is an angle.
//! - `x = 5`, `f(x) = 5` and `AB = 5` are `5`. Two equations may differ by a factor that is not zero.
//! - Lists and sets of solutions have no order, tuples have. `a \pm b` is the list of both.
//! - `x \ge 2` is `[2, \infty)`; a tuple of two numbers is also an open interval.
//! - `\log` without a base is natural or common, whichever the other answer has.
//! - `1,000` is a thousand, or a list where that fits; in brackets it is always two entries.
//! - A gold answer that is a decimal number of at least three significant digits stands for what rounds to it
//!   ([`Tolerance::Rounded`]). The other way round there is no tolerance: `\sqrt{2}` is never `1.41421356`.
//!
//! Answers are hostile: length, depth, size of numbers and work are bounded.

mod evaluate;
mod extract;
mod identity;
mod judge;
mod node;
mod number;
mod parse;
mod plural;
mod read;
mod real;
mod real_set;
mod relation;
mod token;
mod value;
mod words;

pub use extract::extract;

use identity::Comparer;
use judge::Judge;

/// What was found about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the gold answer.
    Ok,
    /// It is something else.
    Different,
    /// One of the two is not understood, or telling would take too much work.
    Unparsable,
}

impl Verdict {
    /// A stable word: `ok`, `different`, `unparsable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Different => "different",
            Self::Unparsable => "unparsable",
        }
    }
}

/// How far a number may be from the gold one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// Half of what the last digit of the gold answer counts, if that is a decimal number (with a point or a power of
    /// ten) of at least three significant digits; else not at all.
    Rounded,
    /// This part of the gold answer, if that is a rational number.
    Relative(f64),
    /// This much.
    Absolute(f64),
}

/// Whether two answers are the same mathematical object, as [`compare`] tells.
#[must_use]
pub fn equivalent(gold: &str, answer: &str) -> bool {
    compare(gold, answer) == Verdict::Ok
}

/// Judges an answer. Symmetric but for the tolerance, which is that of the gold answer, and the letter of a multiple
/// choice, which the answer may explain: `(C) 12` where the gold answer is `C`.
#[must_use]
pub fn compare(gold: &str, answer: &str) -> Verdict {
    compare_within(gold, answer, Tolerance::Rounded)
}

/// Judges an answer that has to name all of several gold answers, in any order: each may be a list itself.
#[must_use]
pub fn compare_all<S: AsRef<str>>(golds: &[S], answer: &str, tolerance: Tolerance) -> Verdict {
    let golds: Vec<&str> =
        golds.iter().map(|gold| gold.as_ref().trim().trim_end_matches('.')).collect();
    compare_within(&golds.join(" , "), answer, tolerance)
}

/// Judges an answer with a tolerance for numbers.
#[must_use]
pub fn compare_within(gold: &str, answer: &str, tolerance: Tolerance) -> Verdict {
    let (gold, answer) = (read::clean(gold), read::clean(answer));
    if gold.is_empty() || answer.is_empty() {
        return Verdict::Unparsable;
    }
    if read::squeeze(gold) == read::squeeze(answer) || read::is_choice(gold, answer) {
        return Verdict::Ok;
    }
    let judge = Judge { comparer: Comparer::new(), tolerance };
    let mut verdict = Verdict::Unparsable;
    let answers = read::readings(answer);
    for gold in read::readings(gold) {
        for answer in &answers {
            match judge.same(&gold, answer) {
                Some(true) => return Verdict::Ok,
                Some(false) => verdict = Verdict::Different,
                None => {}
            }
        }
    }
    verdict
}
