//! What stands inside the answer tags: fenced blocks for proposals and programs, plain text or a block for values.

use azr_plugin::response::{Fence, fences};

use super::scan::{call_arguments, line_is_over};
use super::{ProposedCall, ProposedInputs};
use crate::reason::Reason;

/// The first program and the first input block.
pub(super) fn proposed_call(text: &str) -> Result<ProposedCall, Reason> {
    let blocks = fences(text);
    let program = first_program(&blocks).ok_or(Reason::NoProgram)?.to_owned();
    let input = blocks.iter().find(|block| block.label == "input").ok_or(Reason::NoInput)?;
    Ok(ProposedCall { program, arguments: without_call(input.content).to_owned() })
}

/// The last message block and every input block.
pub(super) fn proposed_inputs(text: &str) -> Result<ProposedInputs, Reason> {
    let blocks = fences(text);
    let labelled = |label: &'static str| blocks.iter().filter(move |block| block.label == label);
    let arguments: Vec<_> =
        labelled("input").map(|block| without_call(block.content).to_owned()).collect();
    if arguments.is_empty() {
        return Err(Reason::NoInput);
    }
    let message =
        labelled("message").next_back().map(|block| one_line(block.content)).unwrap_or_default();
    if message.is_empty() {
        return Err(Reason::NoMessage);
    }
    Ok(ProposedInputs { message, arguments })
}

/// A value: the last block labelled `output` or unlabelled, else the whole text.
pub(super) fn value(text: &str) -> Result<String, Reason> {
    some(block_or_all(text, "output"))
}

/// Arguments: the last block labelled `input` or unlabelled, else the whole text; a call of `f` around them is taken off.
pub(super) fn arguments(text: &str) -> Result<String, Reason> {
    // A function without arguments is called with nothing, but nothing is also what a lazy answer says.
    some(without_call(block_or_all(text, "input")))
}

/// The last block labelled as Python or unlabelled.
pub(super) fn program(text: &str) -> Result<String, Reason> {
    let blocks = fences(text);
    let program = blocks.iter().rfind(|block| is_python(block)).ok_or(Reason::NoProgram)?;
    some(program.content).map_err(|_| Reason::NoProgram)
}

fn first_program<'a>(blocks: &[Fence<'a>]) -> Option<&'a str> {
    let labelled = blocks.iter().find(|block| is_python(block) && !block.label.is_empty());
    labelled.or_else(|| blocks.iter().find(|block| is_python(block))).map(|block| block.content)
}

fn is_python(block: &Fence<'_>) -> bool {
    matches!(block.label.as_str(), "" | "python" | "python3" | "py")
}

fn block_or_all<'a>(text: &'a str, label: &str) -> &'a str {
    let block = fences(text).into_iter().rfind(|block| block.label == label || is_python(block));
    let content = block.map_or(text, |block| block.content).trim();
    // Models also quote short values as code: `6`.
    match content.strip_prefix('`').and_then(|inner| inner.strip_suffix('`')) {
        Some(inner) if !inner.contains('`') => inner.trim(),
        _ => content,
    }
}

/// The arguments of `text` if it is one whole call of `f`, else `text`.
fn without_call(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix("f(").and_then(call_arguments) {
        Some((inner, rest)) if line_is_over(rest) && rest.trim_end().lines().count() <= 1 => {
            inner.trim()
        }
        _ => text,
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn some(text: &str) -> Result<String, Reason> {
    if text.is_empty() { Err(Reason::NoAnswer) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_a_program_and_an_input_in_any_order() {
        let expected = ProposedCall {
            program: "def f(x):\n    return x".to_owned(),
            arguments: "[1], k=2".to_owned(),
        };
        for text in [
            "```python\ndef f(x):\n    return x\n```\n```input\n[1], k=2\n```",
            "```input\nf([1], k=2)\n```\nthen\n```py\ndef f(x):\n    return x\n```",
            "```input\n[1], k=2\n```\n```\ndef f(x):\n    return x\n```\n```input\n9\n```",
        ] {
            assert_eq!(proposed_call(text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn missing_blocks_are_named() {
        assert_eq!(proposed_call("```input\n1\n```"), Err(Reason::NoProgram));
        assert_eq!(proposed_call("```python\ndef f(x): return x\n```"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs("```message\nadd\n```"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs("```input\n1\n```"), Err(Reason::NoMessage));
        assert_eq!(program("no code"), Err(Reason::NoProgram));
        assert_eq!(program("```python\n```"), Err(Reason::NoProgram));
        assert_eq!(value("  "), Err(Reason::NoAnswer));
    }

    #[test]
    fn all_inputs_and_the_last_message_are_taken() {
        let text = "```message\nno\n```\n```input\n1\n```\n```input\n'a'\n```\n```message\nadd\n  one\n```";
        let expected = ProposedInputs {
            message: "add one".to_owned(),
            arguments: vec!["1".to_owned(), "'a'".to_owned()],
        };
        assert_eq!(proposed_inputs(text), Ok(expected));
    }

    #[test]
    fn values_may_be_bare_quoted_or_fenced() {
        for text in
            [" [1, 2]\n", "`[1, 2]`", "so\n```output\n[1, 2]\n```", "```python\n[1, 2]\n```"]
        {
            assert_eq!(value(text).as_deref(), Ok("[1, 2]"), "{text}");
        }
    }

    #[test]
    fn only_a_whole_call_is_unwrapped() {
        assert_eq!(arguments("f(3, 'a')").as_deref(), Ok("3, 'a'"));
        assert_eq!(arguments("f(3) or f(4)").as_deref(), Ok("f(3) or f(4)"));
        assert_eq!(arguments("3) or (True").as_deref(), Ok("3) or (True"));
        assert_eq!(arguments("f(3)\nf(4)").as_deref(), Ok("f(3)\nf(4)"));
    }

    #[test]
    fn the_last_program_is_taken() {
        let text = "```python\ndef f(x): return 1\n```\n```python\ndef f(x): return 2\n```\n```output\n3\n```";
        assert_eq!(program(text).as_deref(), Ok("def f(x): return 2"));
    }
}
