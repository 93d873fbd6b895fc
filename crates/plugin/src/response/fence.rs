//! Fenced blocks: a line of backticks with a label, lines of content, a line of as many backticks.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence<'a> {
    /// What follows the opening backticks, in lower case.
    pub label: String,
    /// The content without the fences and without blank lines around it.
    pub content: &'a str,
}

/// Most blocks that are looked at; more were never asked for.
const MAX_FENCES: usize = 256;

/// The closed blocks of `text` in order. A block that is never closed is none.
pub fn fences(text: &str) -> Vec<Fence<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let bare = line.trim();
        match &open {
            None => {
                let n_ticks = leading_ticks(bare);
                let label = &bare[n_ticks..];
                if n_ticks >= 3 && !label.contains('`') {
                    open = Some((n_ticks, label.trim().to_lowercase(), end));
                }
            }
            // Models often close a fence at the end of the last content line; that is taken, too.
            Some((n_ticks, label, content_start)) if trailing_ticks(bare) >= *n_ticks => {
                let close = start + line.trim_end().len() - trailing_ticks(bare);
                found.push(Fence {
                    label: label.clone(),
                    content: text[*content_start..close]
                        .trim_end()
                        .trim_start_matches(['\n', '\r']),
                });
                open = None;
                if found.len() == MAX_FENCES {
                    break;
                }
            }
            Some(_) => {}
        }
        start = end;
    }
    found
}

fn leading_ticks(text: &str) -> usize {
    text.len() - text.trim_start_matches('`').len()
}

fn trailing_ticks(text: &str) -> usize {
    text.len() - text.trim_end_matches('`').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, &str)> {
        fences(text).into_iter().map(|fence| (fence.label, fence.content)).collect()
    }

    fn block<'a>(label: &str, content: &'a str) -> (String, &'a str) {
        (label.to_owned(), content)
    }

    #[test]
    fn blocks_come_in_order_with_their_labels() {
        let text = "plan\n```Python\ndef f(x):\n    return x\n```\nand\n  ```input\n5\n  ```\n``` \nbare\n```";
        assert_eq!(
            found(text),
            [block("python", "def f(x):\n    return x"), block("input", "5"), block("", "bare")]
        );
    }

    #[test]
    fn indentation_of_the_content_survives() {
        assert_eq!(found("```\n    return x\n```"), [block("", "    return x")]);
    }

    #[test]
    fn a_longer_fence_holds_shorter_ones() {
        assert_eq!(found("````md\n```\nx\n```\n````"), [block("md", "```\nx\n```")]);
    }

    #[test]
    fn a_fence_may_close_behind_its_last_line() {
        assert_eq!(found("```input\n5```\nrest"), [block("input", "5")]);
    }

    #[test]
    fn what_is_never_closed_is_no_block() {
        assert_eq!(found("```python\ndef f(x):\n    return x\n"), []);
        assert_eq!(found("``\n1\n``"), []);
        assert_eq!(found("```1```"), []);
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        assert_eq!(fences(&"```\n1\n```\n".repeat(1000)).len(), MAX_FENCES);
    }
}
