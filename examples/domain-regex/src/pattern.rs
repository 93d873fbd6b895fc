//! Patterns that a model wrote: short, and compiled under limits.

use regex::{Regex, RegexBuilder};

/// Longest pattern in bytes.
const MAX_PATTERN: usize = 48;
/// Longest text in bytes.
pub(crate) const MAX_TEXT: usize = 48;
/// Largest compiled pattern in bytes: `\w{9}` fits, a repetition of repetitions does not.
const MAX_COMPILED: usize = 1 << 18;
/// Most groups and repetitions within one another.
const MAX_NESTING: u32 = 8;

/// Why a text is no pattern here; a reason as metrics count it.
pub(crate) type Reason = &'static str;

/// A compiled pattern.
pub(crate) struct Pattern {
    part: Regex,
    whole: Regex,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Reason> {
        if text.len() > MAX_PATTERN {
            return Err("long_pattern");
        }
        let part = compiled(text)?;
        // The group of its own keeps `a|b` together.
        Ok(Self { part, whole: compiled(&format!("^(?:{text})$"))? })
    }

    /// The first part of `text` that it matches, the leftmost one as Perl would find it.
    pub(crate) fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.part.find(text).map(|found| found.as_str())
    }

    /// Whether it matches all of `text`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

fn compiled(text: &str) -> Result<Regex, Reason> {
    RegexBuilder::new(text)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING + 2)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "large_pattern",
            _ => "no_pattern",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_parts_and_wholes() {
        let pattern = Pattern::new("ab|b+").unwrap();
        assert_eq!(pattern.find("xbbab"), Some("bb"));
        assert_eq!(pattern.find("x"), None);
        assert!(pattern.matches("ab") && pattern.matches("bbb") && !pattern.matches("abb"));
    }

    #[test]
    fn what_would_cost_much_is_refused() {
        let reason = |text: &str| Pattern::new(text).err();
        assert_eq!(reason("(a{99}){99}"), Some("large_pattern"));
        assert_eq!(reason(r"\w{999}"), Some("large_pattern"));
        assert_eq!(reason(&"a".repeat(MAX_PATTERN + 1)), Some("long_pattern"));
        assert_eq!(reason(&format!("{}{}", "(".repeat(24), ")".repeat(24))), Some("no_pattern"));
        assert_eq!(reason("(?P<"), Some("no_pattern"));
        // What only backtracking engines can do, and how one breaks out of the group.
        assert_eq!(reason(r"(a)\1"), Some("no_pattern"));
        assert_eq!(reason("a)|(b"), Some("no_pattern"));
    }
}
