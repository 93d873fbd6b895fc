//! The one form in which models write texts: between single quotes, separated by commas.

/// Most texts of a response.
const MAX_TEXTS: usize = 16;

/// The texts of the first line of `response`, such as `'[0-9]+', 'ab12c')`; the bracket of a call may close it. None
/// when the line is anything else. A backslash is a backslash, and a quote always ends a text. Linear in the line.
pub fn texts(response: &str) -> Option<Vec<String>> {
    let line = response.trim().lines().next()?.trim();
    let mut rest = line.strip_suffix(')').unwrap_or(line);
    let mut found = Vec::new();
    loop {
        let (text, behind) = rest.trim_start().strip_prefix('\'')?.split_once('\'')?;
        if found.len() == MAX_TEXTS || !text.chars().all(|c| matches!(c, ' '..='~')) {
            return None;
        }
        found.push(text.to_owned());
        let behind = behind.trim();
        if behind.is_empty() {
            return Some(found);
        }
        rest = behind.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_are_read_and_nothing_else() {
        let read = |text: &str| texts(text).map(|texts| texts.join("|"));
        assert_eq!(read(" 'a+', 'b\\d' )\nmore").as_deref(), Some("a+|b\\d"));
        assert_eq!(read("''").as_deref(), Some(""));
        assert_eq!(read("'(a)'").as_deref(), Some("(a)"));
        for bad in
            ["", "a", "'a", "'a' 'b'", "'a',", "'a', b", "'a'; 'b'", "'ä'", "'a\tb'", "\"a\""]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(texts(&vec!["'a'"; MAX_TEXTS].join(",")).map(|texts| texts.len()), Some(16));
        assert_eq!(read(&vec!["'a'"; MAX_TEXTS + 1].join(",")), None);
    }
}
