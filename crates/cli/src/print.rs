//! Text on the terminal. What comes from models, plugins and files is escaped before it gets here or by [`error`].

use std::fmt::Display;

use azr_weights::WeightsError;
use serde::Serialize;

/// Prints data on stdout. A closed pipe (`| head`) is not an error.
pub(crate) fn data(text: impl Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints data on stdout as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a message for the user on stderr.
pub(crate) fn note(text: impl Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an error: the chain of causes, then the hints that they end with.
pub(crate) fn error(error: &anyhow::Error) {
    let mut message = String::new();
    let mut hints = Vec::new();
    for cause in error.chain() {
        let text = escaped(&cause.to_string());
        let (text, hint) = match text.split_once("\nhint: ") {
            Some((text, hint)) => (text.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        };
        // An error that already ends with its cause's text is not repeated.
        if !message.contains(&text) {
            message = if message.is_empty() { text } else { format!("{message}: {text}") };
        }
        let hint = hint.or_else(|| cause.downcast_ref().and_then(WeightsError::hint));
        hints.extend(hint.filter(|h| !hints.contains(h)));
    }
    note(format!("error: {message}"));
    for hint in hints {
        note(format!("hint: {hint}"));
    }
}

/// `text` with every control character but the newline written out, so that it cannot steer a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n'
            && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_made_inert() {
        assert_eq!(escaped("a\u{1b}[2Jb\r\n\u{202e}c"), "a\\u{1b}[2Jb\\r\n\\u{202e}c");
        assert_eq!(escaped("naïve 日本"), "naïve 日本");
    }
}
