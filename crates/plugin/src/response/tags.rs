//! `<think> … </think> <answer> … </answer>`.

/// The tags that a response must consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagRule {
    /// A chain of thought comes before the answer.
    pub think: bool,
    /// The prompt already opened the think tag.
    pub think_is_open: bool,
}

const THINK_OPEN: &str = "<think>";
const THINK_CLOSE: &str = "</think>";
const ANSWER_OPEN: &str = "<answer>";
const ANSWER_CLOSE: &str = "</answer>";

impl TagRule {
    /// Whether `text` is, from its very beginning, a chain of thought (if demanded), optional white space and an answer.
    /// What follows the answer does not matter.
    pub fn is_well_formed(self, text: &str) -> bool {
        let text = text.trim_start();
        if !self.think {
            return opens_closed_answer(text);
        }
        let thought = match text.strip_prefix(THINK_OPEN) {
            Some(thought) => thought,
            // A template that opens the tag leaves the model to write the thought itself.
            None if self.think_is_open => text,
            None => return false,
        };
        let Some(last_close) = thought.rfind(ANSWER_CLOSE) else { return false };
        let thought = &thought[..last_close + ANSWER_CLOSE.len()];
        thought
            .match_indices(THINK_CLOSE)
            .any(|(at, tag)| opens_closed_answer(thought[at + tag.len()..].trim_start()))
    }
}

/// What stands in the last `<answer>`, if it is closed.
pub fn answer(text: &str) -> Option<&str> {
    let inner = &text[text.rfind(ANSWER_OPEN)? + ANSWER_OPEN.len()..];
    Some(&inner[..inner.find(ANSWER_CLOSE)?])
}

/// What stands in the last `<answer>`, or the whole text: a proposal without tags can still be a task.
pub fn answer_or_all(text: &str) -> &str {
    answer(text).unwrap_or(text)
}

fn opens_closed_answer(text: &str) -> bool {
    text.strip_prefix(ANSWER_OPEN).is_some_and(|inner| inner.contains(ANSWER_CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THINK: TagRule = TagRule { think: true, think_is_open: false };
    const OPENED: TagRule = TagRule { think: true, think_is_open: true };
    const BARE: TagRule = TagRule { think: false, think_is_open: false };

    #[test]
    fn both_tags_are_demanded_from_the_very_beginning() {
        for good in [
            "<think>a</think>\n<answer>b</answer>",
            "\n<think></think><answer></answer>",
            "<think>a</think> <answer>b</answer> trailing text",
            "<think>a</think> b </think><answer>c</answer>",
            "<think>a <answer>b</answer></think><answer>c</answer>",
        ] {
            assert!(THINK.is_well_formed(good), "{good}");
        }
        for bad in [
            "",
            "x<think>a</think><answer>b</answer>",
            "<think>a<answer>b</answer>",
            "<think>a</think><answer>b",
            "<think>a</think> so <answer>b</answer>",
            "<answer>b</answer>",
            "<answer>b</answer><think>a</think>",
            "<think>a</think></answer><answer>",
            "<THINK>a</THINK><answer>b</answer>",
        ] {
            assert!(!THINK.is_well_formed(bad), "{bad}");
        }
    }

    #[test]
    fn a_prompt_that_opened_the_thought_needs_only_its_end() {
        assert!(OPENED.is_well_formed("a</think><answer>b</answer>"));
        assert!(OPENED.is_well_formed("<think>a</think><answer>b</answer>"));
        assert!(!OPENED.is_well_formed("<answer>b</answer>"));
        assert!(!THINK.is_well_formed("a</think><answer>b</answer>"));
    }

    #[test]
    fn without_think_tags_the_answer_comes_first() {
        assert!(BARE.is_well_formed(" <answer>b</answer>."));
        assert!(!BARE.is_well_formed("The answer: <answer>b</answer>"));
        assert!(!BARE.is_well_formed("<answer>b"));
    }

    #[test]
    fn the_last_answer_counts() {
        assert_eq!(answer("<answer>1</answer> no, <answer>2</answer>"), Some("2"));
        assert_eq!(answer("<answer>1</answer> or <answer>2"), None);
        assert_eq!(answer("1"), None);
        assert_eq!(answer_or_all("1"), "1");
    }
}
