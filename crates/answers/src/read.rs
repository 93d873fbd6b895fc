//! From the text of an answer to the trees it may stand for.

use crate::judge::key;
use crate::node::Node;
use crate::parse::parse;
use crate::token::{MAX_BYTES, Reading, tokens};

/// The text without what surrounds an answer: spaces, dollar signs and a full stop.
pub(crate) fn clean(text: &str) -> &str {
    let mut text = text;
    loop {
        let before = text.len();
        text = text.trim();
        let ends = ["\\,", "\\;", "\\:", "\\!", "\\ ", ".", ",", ";", ":"];
        text = ends.iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text);
        for (open, close) in
            [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**")]
        {
            if let Some(inner) = text.strip_prefix(open).and_then(|text| text.strip_suffix(close))
                && !inner.contains(close)
            {
                text = inner;
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// The text with single spaces: what is equal then needs no understanding.
pub(crate) fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every way to read a text, the most likely one first; none if it is no answer that is understood.
pub(crate) fn readings(text: &str) -> Vec<Node> {
    let mut seen = Vec::new();
    for (thousands, scientific) in [(true, true), (false, true), (true, false)] {
        if let Some(tokens) = tokens(text, Reading { thousands, scientific })
            && !seen.contains(&tokens)
        {
            seen.push(tokens);
        }
    }
    let mut nodes: Vec<Node> = seen.into_iter().filter_map(parse).collect();
    if nodes.is_empty() {
        nodes.extend(prose(text));
    }
    // `2a + b, where $a$ is …`: what is explained can be read without it.
    if nodes.is_empty()
        && let Some((before, _)) = text.split_once("where")
    {
        let before = before.trim_end().trim_end_matches("\\text{");
        return readings(clean(before));
    }
    nodes
}

/// A text of words, with numbers that have no sign and no point: `June 20`.
fn prose(text: &str) -> Option<Node> {
    let plain = without_commands(text);
    let counts = plain.contains(|c: char| c.is_ascii_digit());
    let marks = if counts { ",:" } else { ",.'’-!?:;" };
    let is_words =
        plain.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || marks.contains(c));
    let long = plain.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1);
    (text.len() <= MAX_BYTES && is_words && long).then_some(Node::Text(plain))
}

/// The text without the commands that set words, and without dollar signs and braces.
fn without_commands(text: &str) -> String {
    let mut plain = text.to_owned();
    for command in ["\\textbf", "\\textit", "\\textrm", "\\text", "\\mathrm", "\\mbox", "\\ "] {
        plain = plain.replace(command, " ");
    }
    plain.replace(['{', '}', '$', '~', '*'], " ").trim().to_owned()
}

/// Whether the gold answer is a letter of a multiple choice and the answer begins by naming it: `(C) 12`, `C. 12`.
pub(crate) fn is_choice(gold: &str, answer: &str) -> bool {
    let gold = key(&without_commands(gold)).to_uppercase();
    let mut letters = gold.chars();
    let (Some(letter @ 'A'..='J'), None) = (letters.next(), letters.next()) else { return false };
    let answer = without_commands(answer);
    let words = ["Option ", "option ", "Choice ", "choice "];
    let answer = words.iter().find_map(|word| answer.strip_prefix(word)).unwrap_or(&answer);
    let named = answer.strip_prefix('(').unwrap_or(answer).trim_start().strip_prefix(letter);
    named.is_some_and(|rest| rest.is_empty() || rest.starts_with([')', '.', ':']))
}
