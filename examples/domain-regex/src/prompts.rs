//! Prompts: short texts that a model without instructions continues, one line at a time.

use azr_plugin::{Prompt, ProposeRequest, Result, Task};

use crate::puzzle::{Examples, Pair};
use crate::{ABDUCTION, DEDUCTION, INDUCTION, unknown_kind};

/// Longest response in tokens: a pattern and a text, or some texts.
const MAX_NEW_TOKENS: u32 = 96;

const DEFAULT_PATTERN: &str = "[0-9]+";

const FIND: &str =
    "# find(pattern, text): the first part of the text that the regular expression matches.";
const FULL: &str =
    "# full(pattern, text): texts that the regular expression matches from beginning to end.";
const SORT: &str = "# For each regular expression eight different texts: some it matches from beginning to end, some not.";
const NAME: &str = "# A regular expression that matches all texts behind `yes` from beginning to end and none behind `no`.";

/// What every prompt ends with, so that small models keep to the form.
const OPENING: &str = "'";

/// A response with the opening that the prompt has, unless the model has repeated it.
pub(crate) fn completed(response: &str) -> String {
    let opening = if response.trim_start().starts_with(OPENING) { "" } else { OPENING };
    format!("{opening}{response}")
}

pub(crate) fn propose(request: &ProposeRequest) -> Result<Prompt> {
    let text = match request.kind.as_str() {
        DEDUCTION => format!("{FIND}\n\n{}find({OPENING}", calls("find", &request.references)?),
        ABDUCTION => format!("{FULL}\n\n{}full({OPENING}", calls("full", &request.references)?),
        INDUCTION => {
            let pattern = shown_pattern(&request.references)?;
            format!(
                "{SORT}\n\n'b.*': 'b', 'ab', 'bbb', 'b2', '', 'x', 'bat', 'cb'\n'{pattern}': {OPENING}"
            )
        }
        kind => return Err(unknown_kind(kind)),
    };
    Ok(Prompt::completion(text, &["\n"], MAX_NEW_TOKENS))
}

pub(crate) fn solve(task: &Task) -> Result<Prompt> {
    let text = match task.kind.as_str() {
        DEDUCTION => {
            let Pair { pattern, text } = task.read()?;
            format!(
                "{FIND}\n\nfind('[a-c]+', 'xxabcx') == 'abc'\nfind('x.', 'abxyx') == 'xy'\n\
                 find('{pattern}', '{text}') == {OPENING}"
            )
        }
        ABDUCTION => {
            let Pair { pattern, text } = task.read()?;
            let end = text.chars().last().unwrap_or_default();
            format!(
                "{FULL}\n\n# 4 characters, the last one is 'c'\nfull('[a-c]+', 'aabc')\n\n\
                 # {} characters, the last one is '{end}'\nfull('{pattern}', {OPENING}",
                text.len()
            )
        }
        INDUCTION => {
            let examples: Examples = task.read()?;
            let [yes, no] = examples.shown().map(|texts| format!("'{}'", texts.join("', '")));
            format!(
                "{NAME}\n\nyes: 'b', 'bat'\nno: 'ab', ''\npattern: 'b.*'\n\n\
                 yes: {yes}\nno: {no}\npattern: {OPENING}"
            )
        }
        kind => return Err(unknown_kind(kind)),
    };
    Ok(Prompt::completion(text, &["\n"], MAX_NEW_TOKENS))
}

/// The pattern that an induction proposal is about: that of its reference, or of a seed where nothing was drawn.
pub(crate) fn shown_pattern(references: &[Task]) -> Result<String> {
    match references.first() {
        Some(reference) => Ok(reference.read::<Pair>()?.pattern),
        None => Ok(DEFAULT_PATTERN.to_owned()),
    }
}

fn calls(name: &str, references: &[Task]) -> Result<String> {
    let call = |task: &Task| {
        let Pair { pattern, text } = task.read()?;
        Ok(format!("{name}('{pattern}', '{text}')\n"))
    };
    references.iter().map(call).collect()
}
