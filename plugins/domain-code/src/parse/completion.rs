//! The continuation of a text: what a prompt in completion style left off is written here, up to its stop strings.
//!
//! The stop strings are cut here as well, because not every backend stops exactly at them.

use super::chat::one_line;
use super::scan::{End, call_arguments, expression_end, line_is_over};
use super::{ProposedCall, ProposedInputs};
use crate::reason::Reason;

/// End of a proposed program with its call.
pub(crate) const PROPOSAL_STOPS: &[&str] = &["\n# task", "\n\n\n\n"];
/// End of a message with its calls.
pub(crate) const INPUTS_STOPS: &[&str] = &["\n\n", "\n#", "\ndef "];
/// End of a value or of arguments.
pub(crate) const ANSWER_STOPS: &[&str] = &["\n"];
/// End of the comment lines of which the last one is the answer.
pub(crate) const SCRATCHPAD_STOPS: &[&str] = &["\n\n"];
/// End of an answered program.
pub(crate) const INDUCTION_STOPS: &[&str] = &["\n\n\n", "\n#", "\nassert", "\nprint", "\ndef "];

/// What every prompt that asks for a program ends with.
pub(crate) const PROGRAM_OPENING: &str = "def f(";

const CALL_OPENING: &str = "f(";
/// What a value is written behind when notes may come before it.
const VALUE_OPENING: &str = "==";

/// A program that goes on behind [`PROGRAM_OPENING`], then a line with its call.
pub(super) fn proposed_call(response: &str) -> Result<ProposedCall, Reason> {
    let text = format!("{PROGRAM_OPENING}{}", cut(response, PROPOSAL_STOPS));
    let call = text.match_indices("\nf(").map(|(at, _)| at + 1).next().ok_or(Reason::NoInput)?;
    let program = text[..call].trim_end();
    let (arguments, rest) =
        call_arguments(&text[call + CALL_OPENING.len()..]).ok_or(Reason::NoInput)?;
    if !line_is_over(rest) {
        return Err(Reason::NoInput);
    }
    Ok(ProposedCall { program: program.to_owned(), arguments: arguments.trim().to_owned() })
}

/// The rest of the message's line, then one call a line.
pub(super) fn proposed_inputs(response: &str) -> Result<ProposedInputs, Reason> {
    let text = cut(response, INPUTS_STOPS);
    let (message, mut rest) = text.split_once('\n').unwrap_or((text, ""));
    let message = one_line(message);
    if message.is_empty() {
        return Err(Reason::NoMessage);
    }
    let mut arguments = Vec::new();
    while let Some((found, behind)) = rest.strip_prefix(CALL_OPENING).and_then(call_arguments) {
        if !line_is_over(behind) {
            break;
        }
        arguments.push(found.trim().to_owned());
        rest = behind.split_once('\n').map_or("", |(_, next)| next);
    }
    if arguments.is_empty() {
        Err(Reason::NoInput)
    } else {
        Ok(ProposedInputs { message, arguments })
    }
}

/// The rest of the line: one expression, perhaps with a comment behind it.
pub(super) fn value(response: &str) -> Result<String, Reason> {
    let line = cut(response, ANSWER_STOPS).trim();
    let value = match expression_end(line) {
        Some((end, End::Line)) => line[..end].trim_end(),
        _ => return Err(Reason::AnswerNotLiteral),
    };
    if value.is_empty() { Err(Reason::NoAnswer) } else { Ok(value.to_owned()) }
}

/// The rest of the call, up to its closing parenthesis; nothing but a comment may follow that.
pub(super) fn arguments(response: &str) -> Result<String, Reason> {
    let line = cut(response, ANSWER_STOPS);
    if line.trim().is_empty() {
        return Err(Reason::NoAnswer);
    }
    match call_arguments(line) {
        Some((arguments, rest)) if line_is_over(rest) => Ok(arguments.trim().to_owned()),
        _ => Err(Reason::AnswerNotLiteral),
    }
}

/// The value behind `==` in the last of the comment lines.
pub(super) fn noted_value(response: &str) -> Result<String, Reason> {
    let text = last_note(response)?.strip_prefix(VALUE_OPENING).ok_or(Reason::NoAnswer)?;
    value(text)
}

/// The arguments of the call in the last of the comment lines.
pub(super) fn noted_arguments(response: &str) -> Result<String, Reason> {
    let text = last_note(response)?.strip_prefix(CALL_OPENING).ok_or(Reason::NoAnswer)?;
    arguments(text)
}

/// The last comment line, without its `#`. The first line goes on behind the prompt's `#`.
fn last_note(response: &str) -> Result<&str, Reason> {
    let mut lines = cut(response, SCRATCHPAD_STOPS).trim_end().split('\n');
    let mut last = lines.next().unwrap_or_default();
    for line in lines {
        last = line.strip_prefix('#').ok_or(Reason::NoAnswer)?;
    }
    Ok(last.trim())
}

/// A program that goes on behind [`PROGRAM_OPENING`].
pub(super) fn program(response: &str) -> Result<String, Reason> {
    let body = cut(response, INDUCTION_STOPS).trim_end();
    if body.trim().is_empty() {
        return Err(Reason::NoProgram);
    }
    Ok(format!("{PROGRAM_OPENING}{body}"))
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
    fn a_proposal_is_a_program_up_to_its_call() {
        let expected = ProposedCall {
            program: "def f(x):\n    return x + g()\n\n\ndef g():\n    return 1".to_owned(),
            arguments: "[1,\n 2]".to_owned(),
        };
        let response = "x):\n    return x + g()\n\n\ndef g():\n    return 1\n\nf([1,\n 2])  # 3\n\n\n# task 5\ndef f(y):";
        assert_eq!(proposed_call(response), Ok(expected));
    }

    #[test]
    fn a_proposal_without_a_whole_call_is_refused() {
        for response in [
            "",
            "x):\n    return x",
            "x):\n    return x\n\nf(3",
            "x):\n    return x\n\nf(3) or 4",
            "x):\n    return x\n\nf(3\n# task 5\nf(4)",
        ] {
            assert_eq!(proposed_call(response), Err(Reason::NoInput), "{response}");
        }
    }

    #[test]
    fn a_recursive_call_is_not_taken_for_the_input() {
        let response = "n):\n    return 0 if n < 1 else\\\n    f(n - 1)\n\nf(2)";
        assert_eq!(proposed_call(response).unwrap().arguments, "2");
    }

    #[test]
    fn inputs_follow_the_message_one_a_line() {
        let found = proposed_inputs(" add  one\nf(1)\nf(k=[2])  # two\nf(')')\n\nf(9)").unwrap();
        assert_eq!(found.message, "add one");
        assert_eq!(found.arguments, ["1", "k=[2]", "')'"]);
        assert_eq!(proposed_inputs("\nf(1)"), Err(Reason::NoMessage));
        assert_eq!(proposed_inputs(" add one\n1\n2"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs(" add one\nf(1) == 2"), Err(Reason::NoInput));
    }

    #[test]
    fn a_value_is_the_rest_of_the_line() {
        assert_eq!(value(" 'a # b'  # text\n7").as_deref(), Ok("'a # b'"));
        assert_eq!(value("   \n6"), Err(Reason::NoAnswer));
        assert_eq!(value(" # six"), Err(Reason::NoAnswer));
        assert_eq!(value(" [1, 2"), Err(Reason::AnswerNotLiteral));
        assert_eq!(value(" 6)"), Err(Reason::AnswerNotLiteral));
    }

    #[test]
    fn arguments_end_at_the_parenthesis_that_closes_the_call() {
        assert_eq!(arguments("3, k=')')").as_deref(), Ok("3, k=')'"));
        assert_eq!(arguments("(1, 2))  # pair\nassert").as_deref(), Ok("(1, 2)"));
        assert_eq!(arguments(")").as_deref(), Ok(""));
        assert_eq!(arguments(""), Err(Reason::NoAnswer));
        for injected in ["3) or (True", "3) or f(4)", "3", "3]", "3); import os"] {
            assert_eq!(arguments(injected), Err(Reason::AnswerNotLiteral), "{injected}");
        }
    }

    #[test]
    fn an_answer_is_the_last_of_the_notes() {
        assert_eq!(noted_value(" == 'a b'").as_deref(), Ok("'a b'"));
        assert_eq!(noted_value(" x = 3\n# y == 4\n# == [3, 4]\n\n# == 5").as_deref(), Ok("[3, 4]"));
        assert_eq!(noted_arguments(" f(1, ')')\n\n").as_deref(), Ok("1, ')'"));
        assert_eq!(noted_arguments(" x = 3\n# f(3)  # found\n").as_deref(), Ok("3"));
    }

    #[test]
    fn notes_without_an_answer_at_their_end_are_refused() {
        for response in ["", " x = 3", " == 3\n# x = 4", " x = 3\n== 3", " == 3\nimport os", " == "]
        {
            assert_eq!(noted_value(response), Err(Reason::NoAnswer), "{response}");
        }
        assert_eq!(noted_value(" == f(3) or ["), Err(Reason::AnswerNotLiteral));
        assert_eq!(noted_arguments(" f(3) or f(4)"), Err(Reason::AnswerNotLiteral));
        assert_eq!(noted_arguments(" == 3"), Err(Reason::NoAnswer));
    }

    #[test]
    fn an_answered_program_ends_where_the_next_example_would_begin() {
        let response = "x):\n    # double\n    return 2 * x\n\n\n# hint: add\ndef f(y):";
        assert_eq!(program(response).as_deref(), Ok("def f(x):\n    # double\n    return 2 * x"));
        assert_eq!(program("\n\n\n"), Err(Reason::NoProgram));
    }
}
