//! The continuation of a text: what a prompt in completion style left off is written here, up to its stop strings.
//!
//! The stop strings are cut here as well, because not every backend stops exactly at them.

use super::{ProposedCall, ProposedInputs, call, one_line};
use crate::reason::Reason;

/// End of a proposal, which has several lines.
pub(crate) const BLOCK_STOPS: &[&str] = &["\n\n", "\n#"];
/// End of an answer.
pub(crate) const LINE_STOPS: &[&str] = &["\n"];

/// What every prompt that asks for a definition or for arguments ends with.
pub(crate) const OPENING: &str = "f(";

/// A definition that goes on behind [`OPENING`], then a line with its call.
pub(super) fn proposed_call(response: &str) -> Result<ProposedCall, Reason> {
    let text = cut(response, BLOCK_STOPS).trim_end();
    if text.trim().is_empty() {
        return Err(Reason::NoExpression);
    }
    let (definition, line) = text.split_once('\n').ok_or(Reason::NoInput)?;
    let arguments = call(without_comment(line)).ok_or(Reason::NoInput)?;
    Ok(ProposedCall {
        definition: format!("{OPENING}{}", without_comment(definition)),
        arguments: arguments.to_owned(),
    })
}

/// The rest of the message's line, then one call a line.
pub(super) fn proposed_inputs(response: &str) -> Result<ProposedInputs, Reason> {
    let mut lines = cut(response, BLOCK_STOPS).split('\n');
    let message = one_line(lines.next().unwrap_or_default());
    if message.is_empty() {
        return Err(Reason::NoMessage);
    }
    let arguments: Vec<_> =
        lines.map_while(|line| call(without_comment(line))).map(str::to_owned).collect();
    if arguments.is_empty() {
        Err(Reason::NoInput)
    } else {
        Ok(ProposedInputs { message, arguments })
    }
}

/// The rest of the line.
pub(super) fn value(response: &str) -> Result<String, Reason> {
    line(response)
}

/// The rest of the call, up to its closing parenthesis; nothing but a comment may follow that.
pub(super) fn arguments(response: &str) -> Result<String, Reason> {
    let arguments = line(response)?;
    let arguments = arguments.strip_suffix(')').ok_or(Reason::AnswerNotLiteral)?;
    Ok(arguments.to_owned())
}

/// A definition that goes on behind [`OPENING`].
pub(super) fn definition(response: &str) -> Result<String, Reason> {
    let rest = line(response).map_err(|_| Reason::NoExpression)?;
    Ok(format!("{OPENING}{rest}"))
}

fn line(response: &str) -> Result<String, Reason> {
    let line = without_comment(cut(response, LINE_STOPS));
    if line.is_empty() { Err(Reason::NoAnswer) } else { Ok(line.to_owned()) }
}

/// The language has no `#`, so everything from it on is a comment.
fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// `text` up to the first of `stops`.
fn cut<'a>(text: &'a str, stops: &[&str]) -> &'a str {
    let end = stops.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_a_definition_and_its_call() {
        let expected = ProposedCall {
            definition: "f(x, y) = x + y".to_owned(),
            arguments: "1, [2]".to_owned(),
        };
        let response = "x, y) = x + y  # sum\nf(1, [2])\n\n# task 5\nf(z) = z";
        assert_eq!(proposed_call(response), Ok(expected));
        assert_eq!(proposed_call("\n\nf(1)"), Err(Reason::NoExpression));
        for response in ["x) = x", "x) = x\n\nf(1)", "x) = x\nf(3", "x) = x\nf(3) = 3", "x) = x\n3"]
        {
            assert_eq!(proposed_call(response), Err(Reason::NoInput), "{response}");
        }
    }

    #[test]
    fn inputs_follow_the_message_one_a_line() {
        let found = proposed_inputs(" add  one\nf(1)\nf( x=2 )  # two\nf([])\n\nf(9)").unwrap();
        assert_eq!(found.message, "add one");
        assert_eq!(found.arguments, ["1", " x=2 ", "[]"]);
        assert_eq!(proposed_inputs("\nf(1)"), Err(Reason::NoMessage));
        assert_eq!(proposed_inputs(" add one\n1\n2"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs(" add one\nf(1) = 2"), Err(Reason::NoInput));
    }

    #[test]
    fn answers_are_the_rest_of_their_line() {
        assert_eq!(value(" -3/4  # less\n7").as_deref(), Ok("-3/4"));
        assert_eq!(value("   \n6"), Err(Reason::NoAnswer));
        assert_eq!(value(" # six"), Err(Reason::NoAnswer));
        assert_eq!(arguments("3, 4)\n").as_deref(), Ok("3, 4"));
        assert_eq!(arguments(""), Err(Reason::NoAnswer));
        for unfinished in ["3", "3, 4) = 7", "3; 4"] {
            assert_eq!(arguments(unfinished), Err(Reason::AnswerNotLiteral), "{unfinished}");
        }
        assert_eq!(definition("x) = x^2 # square\nf(").as_deref(), Ok("f(x) = x^2"));
        assert_eq!(definition("\n"), Err(Reason::NoExpression));
    }
}
