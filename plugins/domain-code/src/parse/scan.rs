//! Finds where a Python expression ends, without understanding it: strings, brackets and comments only.

/// Deepest nesting of brackets that is followed.
const MAX_DEPTH: usize = 128;

/// Why the scan stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At a closing bracket that the text itself did not open.
    Close,
    /// At a line feed, a comment or the end of the text, outside all brackets.
    Line,
}

/// The offset of the first byte behind the expression that `text` begins with, and what stands there.
/// `None` if a string or bracket stays open, brackets do not match, or nesting is too deep.
pub(super) fn expression_end(text: &str) -> Option<(usize, End)> {
    let bytes = text.as_bytes();
    let mut open = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at = string_end(bytes, at, quote)?,
            bracket @ (b'(' | b'[' | b'{') => {
                if open.len() == MAX_DEPTH {
                    return None;
                }
                open.push(bracket);
                at += 1;
            }
            bracket @ (b')' | b']' | b'}') => {
                let Some(opened) = open.pop() else { return Some((at, End::Close)) };
                if !matches!((opened, bracket), (b'(', b')') | (b'[', b']') | (b'{', b'}')) {
                    return None;
                }
                at += 1;
            }
            b'\n' | b'#' if open.is_empty() => return Some((at, End::Line)),
            b'#' => at = line_end(bytes, at),
            _ => at += 1,
        }
    }
    open.is_empty().then_some((at, End::Line))
}

/// The text between the parentheses of the call whose opening parenthesis stands before `text`,
/// and the rest of the text behind the closing one.
pub(super) fn call_arguments(text: &str) -> Option<(&str, &str)> {
    // Line feeds are allowed inside a call, so the scan starts inside a bracket of its own.
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let (offset, end) = expression_end(&text[at..])?;
        at += offset;
        match end {
            End::Close if bytes[at] == b')' => return Some((&text[..at], &text[at + 1..])),
            End::Close => return None,
            End::Line if at == bytes.len() => return None,
            End::Line if bytes[at] == b'#' => at = line_end(bytes, at),
            End::Line => at += 1,
        }
    }
}

/// Whether nothing but white space or a comment stands before the end of the first line.
pub(super) fn line_is_over(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim_start();
    line.is_empty() || line.starts_with('#')
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |offset| from + offset)
}

/// The offset behind the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let triple = [quote; 3];
    let is_triple = bytes[at..].starts_with(&triple);
    let mut at = at + if is_triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\n' if !is_triple => return None,
            byte if byte == quote && !is_triple => return Some(at + 1),
            byte if byte == quote && bytes[at..].starts_with(&triple) => return Some(at + 3),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_ends_at_its_line() {
        assert_eq!(expression_end("6"), Some((1, End::Line)));
        assert_eq!(expression_end("[1,\n 2]  # two\nx"), Some((9, End::Line)));
        assert_eq!(expression_end("'a # b' # c"), Some((8, End::Line)));
        assert_eq!(expression_end("''''a\n'b'''\n"), Some((11, End::Line)));
        assert_eq!(expression_end(r"'it\'s'"), Some((7, End::Line)));
    }

    #[test]
    fn a_close_that_was_not_opened_ends_it() {
        assert_eq!(expression_end("(1, ')'), 2) x"), Some((11, End::Close)));
    }

    #[test]
    fn what_stays_open_or_does_not_match_has_no_end() {
        for text in ["[1", "'a", "'a\n'", "(]", "\"\"\"a\"\"", "'\\", &"(".repeat(MAX_DEPTH + 1)] {
            assert_eq!(expression_end(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_may_span_lines() {
        assert_eq!(
            call_arguments("1,\n  # one\n  [2]\n) # x"),
            Some(("1,\n  # one\n  [2]\n", " # x"))
        );
        assert_eq!(call_arguments(") rest"), Some(("", " rest")));
        assert_eq!(call_arguments("')', \"(\")"), Some(("')', \"(\"", "")));
    }

    #[test]
    fn an_unfinished_call_is_none() {
        for text in ["1", "1]", "'a)", "(1)", "# )"] {
            assert_eq!(call_arguments(text), None, "{text}");
        }
    }

    #[test]
    fn only_space_and_comments_may_follow() {
        assert!(line_is_over(""));
        assert!(line_is_over("  # why\nx"));
        assert!(!line_is_over(" or (True)"));
    }
}
