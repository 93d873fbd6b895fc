//! What tasks hold, how proposals become tasks and how answers are checked.

use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{KnownAnswers, Result, Task};

use crate::pattern::{MAX_TEXT, Pattern, Reason};
use crate::{ABDUCTION, DEDUCTION, INDUCTION, unknown_kind};

/// Fewest and most texts of an induction task.
const N_TEXTS: std::ops::RangeInclusive<usize> = 4..=12;

/// A pattern and a text: a deduction or an abduction task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
pub(crate) struct Pair {
    pub(crate) pattern: String,
    pub(crate) text: String,
}

/// A task, or why there is none. The inner result is a defect of ours.
type Made = std::result::Result<Result<Task>, Reason>;

impl Pair {
    pub(crate) fn of(texts: Vec<String>) -> std::result::Result<Self, Reason> {
        match <[String; 2]>::try_from(texts) {
            Ok([_, text]) if text.len() > MAX_TEXT => Err("long_text"),
            Ok([pattern, text]) => Ok(Self { pattern, text }),
            Err(_) => Err("not_a_pair"),
        }
    }

    /// The pattern has to match a part of the text that is neither empty nor all of it.
    pub(crate) fn deduction(self) -> Made {
        match Pattern::new(&self.pattern)?.find(&self.text) {
            None => Err("no_match"),
            Some("") => Err("empty_match"),
            Some(found) if found == self.text => Err("whole_match"),
            Some(_) => Ok(self.task(DEDUCTION, &self.text)),
        }
    }

    /// The pattern has to match all of the text, and not be that text: then the answer would stand in the question.
    pub(crate) fn abduction(self) -> Made {
        match self.text.chars().last() {
            None => Err("empty_text"),
            _ if self.text == self.pattern => Err("literal_pattern"),
            _ if !Pattern::new(&self.pattern)?.matches(&self.text) => Err("no_match"),
            // Tasks that ask the same have the same key, whatever text showed that they can be solved.
            Some(end) => Ok(self.task(ABDUCTION, &format!("{}{end}", self.text.len()))),
        }
    }

    fn task(&self, kind: &str, asked: &str) -> Result<Task> {
        task(kind, &self.pattern, asked, self)
    }

    pub(crate) fn is_deduced(&self, answer: &str) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.find(&self.text) == Some(answer))
    }

    /// Any text of the length and with the end of the proposer's will do.
    pub(crate) fn is_abduced(&self, answer: &str) -> bool {
        answer.len() == self.text.len()
            && answer.chars().last() == self.text.chars().last()
            && Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(answer))
    }
}

/// A pattern with texts that it matches as a whole and texts that it does not: an induction task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
pub(crate) struct Examples {
    pub(crate) pattern: String,
    matched: Vec<String>,
    others: Vec<String>,
}

impl Examples {
    /// Sorts the texts by what the pattern says of them.
    pub(crate) fn of(pattern: String, texts: Vec<String>) -> std::result::Result<Self, Reason> {
        if !N_TEXTS.contains(&texts.len()) {
            return Err("number_of_texts");
        }
        if texts.iter().any(|text| text.len() > MAX_TEXT) {
            return Err("long_text");
        }
        if texts.iter().enumerate().any(|(at, text)| texts[..at].contains(text)) {
            return Err("repeated_text");
        }
        let compiled = Pattern::new(&pattern)?;
        let (matched, others) = texts.into_iter().partition(|text| compiled.matches(text));
        Ok(Self { pattern, matched, others })
    }

    /// There have to be two texts of each sort, one to show and one to hide.
    pub(crate) fn induction(self) -> Made {
        if self.matched.len().min(self.others.len()) < 2 {
            return Err("one_sided");
        }
        let asked = [&self.matched[..], &self.others].map(|texts| texts.join("\n")).join("\n\n");
        Ok(task(INDUCTION, &self.pattern, &asked, &self))
    }

    /// What the solver sees: the first half of each sort, rounded up.
    pub(crate) fn shown(&self) -> [&[String]; 2] {
        [&self.matched, &self.others].map(|texts| &texts[..texts.len().div_ceil(2)])
    }

    /// Whether `answer` tells all texts apart, those that were not shown among them.
    pub(crate) fn is_induced(&self, answer: &str) -> bool {
        Pattern::new(answer).is_ok_and(|pattern| {
            self.matched.iter().all(|text| pattern.matches(text))
                && !self.others.iter().any(|text| pattern.matches(text))
        })
    }
}

/// A task about `pattern` of which `asked` makes it one of its own.
fn task(kind: &str, pattern: &str, asked: &str, payload: &impl Serialize) -> Result<Task> {
    let task = Task::new(kind, format!("{pattern}\n{asked}"), payload)?;
    Ok(Task { subject: pattern.to_owned(), ..task })
}

/// The tasks that a run starts from.
pub(crate) fn seeds(kind: &str) -> Result<Vec<Task>> {
    let pairs = |pairs: [[&str; 2]; 3]| {
        pairs.map(|[pattern, text]| Pair { pattern: pattern.into(), text: text.into() }).into_iter()
    };
    let made: Vec<Made> = match kind {
        DEDUCTION => pairs([["[0-9]+", "ab12c3"], ["b.", "abcb"], ["a|b+", "xbba"]])
            .map(Pair::deduction)
            .collect(),
        ABDUCTION => pairs([["[0-9]+", "407"], ["a.*c", "abbc"], ["(ab|x)+", "xabx"]])
            .map(Pair::abduction)
            .collect(),
        INDUCTION => [
            ("[0-9]+", ["7", "42", "305", "a", "4b", ""]),
            ("a.*", ["a", "ab", "axx", "b", "ba", "xa"]),
        ]
        .map(|(pattern, texts)| {
            Examples::of(pattern.into(), texts.map(String::from).to_vec())
                .and_then(Examples::induction)
        })
        .into(),
        kind => return Err(unknown_kind(kind)),
    };
    made.into_iter().flatten().collect()
}

/// The answers that the proposer gave along with the task, and some that miss it.
pub(crate) fn known_answers(task: &Task) -> Result<KnownAnswers> {
    let quoted = |text: &str| format!("'{text}'");
    let (gold, wrong) = match task.kind.as_str() {
        DEDUCTION => {
            let pair: Pair = task.read()?;
            let pattern = Pattern::new(&pair.pattern);
            let found =
                pattern.ok().and_then(|pattern| pattern.find(&pair.text).map(str::to_owned));
            (found.unwrap_or_default(), pair.text)
        }
        ABDUCTION => {
            let pair: Pair = task.read()?;
            (pair.text.clone(), format!("{}{}", pair.text, pair.text))
        }
        INDUCTION => (task.read::<Examples>()?.pattern, ".*".to_owned()),
        kind => return Err(unknown_kind(kind)),
    };
    // The prompt has the first quote already.
    let right = vec![format!("{gold}'"), format!(" {}\n", quoted(&gold))];
    Ok(KnownAnswers { right, wrong: vec![quoted(&wrong), gold, "'".into()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(pattern: &str, text: &str) -> Pair {
        Pair { pattern: pattern.into(), text: text.into() }
    }

    #[test]
    fn only_puzzles_become_tasks() {
        let deduction = |pattern, text| pair(pattern, text).deduction().err();
        assert_eq!(deduction("b+", "abbc"), None);
        assert_eq!(deduction("x", "abc"), Some("no_match"));
        assert_eq!(deduction("x*", "abc"), Some("empty_match"));
        assert_eq!(deduction("a.*", "abc"), Some("whole_match"));
        let abduction = |pattern, text| pair(pattern, text).abduction().err();
        assert_eq!(abduction("a+", "aa"), None);
        assert_eq!(abduction("ab", "ab"), Some("literal_pattern"));
        assert_eq!(abduction("a+", "ab"), Some("no_match"));
        assert_eq!(abduction("a*", ""), Some("empty_text"));
        let induction = |texts: &[&str]| {
            let texts = texts.iter().map(|&text| text.to_owned()).collect();
            Examples::of("a+".into(), texts).and_then(Examples::induction).err()
        };
        assert_eq!(induction(&["a", "aa", "b", "c"]), None);
        assert_eq!(induction(&["a", "aa", "aaa", "c"]), Some("one_sided"));
        assert_eq!(induction(&["a", "b", "b", "c"]), Some("repeated_text"));
        assert_eq!(induction(&["a", "b"]), Some("number_of_texts"));
    }

    #[test]
    fn any_text_that_fits_is_an_abduction_answer() {
        let puzzle = pair("[a-c]+", "abc");
        for (answer, is_right) in [("abc", true), ("bac", true), ("ab", false), ("abx", false)] {
            assert_eq!(puzzle.is_abduced(answer), is_right, "{answer}");
        }
        assert!(!puzzle.is_abduced("aca"), "the end is given");
    }

    #[test]
    fn a_pattern_that_lists_what_was_shown_fails_on_what_was_not() {
        let texts = ["1", "22", "303", "4", "a", "b1", "", "x"].map(String::from).to_vec();
        let puzzle = Examples::of("[0-9]+".into(), texts).unwrap();
        assert_eq!(puzzle.shown(), [["1", "22"], ["a", "b1"]]);
        assert!(puzzle.is_induced(r"\d+") && !puzzle.is_induced("1|22") && !puzzle.is_induced("("));
    }
}
