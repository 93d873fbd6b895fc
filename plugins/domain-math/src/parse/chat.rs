//! What stands inside the answer tags: fenced blocks for proposals and definitions, plain text or a block for values.

use azr_plugin::response::{Fence, fences};

use super::{ProposedCall, ProposedInputs, call, one_line};
use crate::reason::Reason;

/// The first definition and the first input block.
pub(super) fn proposed_call(text: &str) -> Result<ProposedCall, Reason> {
    let blocks = fences(text);
    let labelled = blocks.iter().find(|block| is_definition(block) && !block.label.is_empty());
    let definition = labelled
        .or_else(|| blocks.iter().find(|block| is_definition(block)))
        .ok_or(Reason::NoExpression)?;
    let input = blocks.iter().find(|block| block.label == "input").ok_or(Reason::NoInput)?;
    Ok(ProposedCall {
        definition: definition.content.to_owned(),
        arguments: without_call(input.content).to_owned(),
    })
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
        Err(Reason::NoMessage)
    } else {
        Ok(ProposedInputs { message, arguments })
    }
}

/// A value: the last block labelled `output` or unlabelled, else the whole text.
pub(super) fn value(text: &str) -> Result<String, Reason> {
    some(block_or_all(text, "output"), Reason::NoAnswer)
}

/// Arguments: the last block labelled `input` or unlabelled, else the whole text; a call of `f` around them is taken
/// off.
pub(super) fn arguments(text: &str) -> Result<String, Reason> {
    some(without_call(block_or_all(text, "input")), Reason::NoAnswer)
}

/// A definition: the last block labelled as one or unlabelled, else the whole text.
pub(super) fn definition(text: &str) -> Result<String, Reason> {
    some(block_or_all(text, "expression"), Reason::NoExpression)
}

fn is_definition(block: &Fence<'_>) -> bool {
    matches!(block.label.as_str(), "" | "expression" | "math")
}

fn block_or_all<'a>(text: &'a str, label: &str) -> &'a str {
    let block =
        fences(text).into_iter().rfind(|block| block.label == label || is_definition(block));
    let content = block.map_or(text, |block| block.content).trim();
    // Models also quote short values as code: `6`.
    match content.strip_prefix('`').and_then(|inner| inner.strip_suffix('`')) {
        Some(inner) if !inner.contains('`') => inner.trim(),
        _ => content,
    }
}

/// The arguments of `text` if it is one whole call of `f`, else `text`.
fn without_call(text: &str) -> &str {
    call(text).unwrap_or(text).trim()
}

fn some(text: &str, missing: Reason) -> Result<String, Reason> {
    if text.is_empty() { Err(missing) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_a_definition_and_an_input_in_any_order() {
        let expected =
            ProposedCall { definition: "f(x) = x^2".to_owned(), arguments: "3".to_owned() };
        for text in [
            "```expression\nf(x) = x^2\n```\n```input\n3\n```",
            "```input\nf(3)\n```\nthen\n```math\nf(x) = x^2\n```",
            "```input\n3\n```\n```\nf(x) = x^2\n```\n```input\n9\n```",
        ] {
            assert_eq!(proposed_call(text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn missing_blocks_are_named() {
        assert_eq!(proposed_call("```input\n1\n```"), Err(Reason::NoExpression));
        assert_eq!(proposed_call("```expression\nf(x) = x\n```"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs("```message\nadd\n```"), Err(Reason::NoInput));
        assert_eq!(proposed_inputs("```input\n1\n```"), Err(Reason::NoMessage));
        assert_eq!(definition("```expression\n```"), Err(Reason::NoExpression));
        assert_eq!(value("  "), Err(Reason::NoAnswer));
    }

    #[test]
    fn all_inputs_and_the_last_message_are_taken() {
        let text = "```message\nno\n```\n```input\n1\n```\n```input\nf(2)\n```\n```message\nadd\n  one\n```";
        let expected = ProposedInputs {
            message: "add one".to_owned(),
            arguments: ["1", "2"].map(str::to_owned).to_vec(),
        };
        assert_eq!(proposed_inputs(text), Ok(expected));
    }

    #[test]
    fn answers_may_be_bare_quoted_or_fenced() {
        for text in [" 3/4\n", "`3/4`", "so\n```output\n3/4\n```", "```math\n3/4\n```"] {
            assert_eq!(value(text).as_deref(), Ok("3/4"), "{text}");
        }
        assert_eq!(arguments("f(3, 4)").as_deref(), Ok("3, 4"));
        assert_eq!(arguments("x = 3, y = 4").as_deref(), Ok("x = 3, y = 4"));
        for text in [
            "f(x) = x^2",
            "```expression\nf(x) = x^2\n```",
            "```\nf(x) = 1\n```\n```\nf(x) = x^2\n```",
        ] {
            assert_eq!(definition(text).as_deref(), Ok("f(x) = x^2"), "{text}");
        }
    }
}
