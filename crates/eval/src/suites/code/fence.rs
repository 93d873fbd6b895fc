//! Fenced blocks of a response.

/// The contents of the blocks of `text` in order: what stands between a line that starts with at least three backticks
/// and the next one with as many and nothing else, or the end. Total, in linear time.
pub(super) fn blocks(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let bare = line.trim();
        let label = bare.trim_start_matches('`');
        let n_ticks = bare.len() - label.len();
        match open {
            None if n_ticks >= 3 && !label.contains('`') => open = Some((n_ticks, end)),
            Some((n_opening, content)) if n_ticks >= n_opening && label.is_empty() => {
                found.extend(text.get(content..start));
                open = None;
            }
            _ => {}
        }
        start = end;
    }
    // A response that ran into its limit, or one whose prompt ends a block itself.
    found.extend(open.and_then(|(_, content)| text.get(content..)));
    found
}

/// What a response says behind its thoughts, if it has such marks.
pub(super) fn behind_thoughts(response: &str) -> &str {
    response.rsplit_once("</think>").map_or(response, |(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_whatever_their_label_and_end() {
        for (text, expected) in [
            ("a\n```python\nx\n```\nb\n```\ny\n```", vec!["x\n", "y\n"]),
            ("````\n```\nx\n```\n````", vec!["```\nx\n```\n"]),
            ("```py\nx", vec!["x"]),
            ("  ```\n  x\n  ```", vec!["  x\n"]),
            ("```x```\n`y`", vec![]),
            ("```\n```", vec![""]),
            ("", vec![]),
        ] {
            assert_eq!(blocks(text), expected, "{text}");
        }
        assert_eq!(behind_thoughts("<think>```\nx\n```</think>y"), "y");
    }
}
