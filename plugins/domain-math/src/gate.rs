//! What a definition, an input, a value and a message must be to become part of a task.
//!
//! Definitions, inputs and values are shown as they are printed from their trees, so only a message could be taken
//! for a part of the prompt around it.

use std::collections::BTreeSet;

use crate::expression::{Definition, Value, Work, list, parse_arguments};
use crate::options::MathOptions;
use crate::reason::Reason;

/// What no shown message may hold: fences, tags, and the opening of most chat templates' control tokens.
const FORBIDDEN: [&str; 6] = ["```", "<think>", "</think>", "<answer>", "</answer>", "<|"];

/// A definition that may be evaluated.
pub(crate) fn definition(options: &MathOptions, text: &str) -> Result<Definition, Reason> {
    let definition = Definition::parse(text)?;
    if definition.size().depth > options.max_depth as usize {
        return Err(Reason::ExpressionTooDeep);
    }
    is_short(&definition.text(), options.max_expression_chars, Reason::ExpressionTooLong)?;
    Ok(definition)
}

/// A definition that a task may be about: its value depends on an argument.
pub(crate) fn subject(options: &MathOptions, text: &str) -> Result<Definition, Reason> {
    let definition = definition(options, text)?;
    if definition.is_constant() { Err(Reason::Constant) } else { Ok(definition) }
}

/// Arguments that may be passed and shown.
pub(crate) fn input(
    options: &MathOptions,
    definition: &Definition,
    text: &str,
) -> Result<Vec<Value>, Reason> {
    let arguments = parse_arguments(text, &definition.parameters).ok_or(Reason::InputNotLiteral)?;
    is_short(&list(&arguments), options.max_input_chars, Reason::InputTooLong)?;
    Ok(arguments)
}

/// The first `options.induction_inputs` distinct lists of arguments of `texts`.
pub(crate) fn distinct_inputs(
    options: &MathOptions,
    definition: &Definition,
    texts: &[String],
) -> Result<Vec<Vec<Value>>, Reason> {
    let n_wanted = options.induction_inputs as usize;
    let mut seen = BTreeSet::new();
    let mut inputs = Vec::new();
    for text in texts {
        let arguments = input(options, definition, text)?;
        if seen.insert(list(&arguments)) {
            inputs.push(arguments);
        }
        if inputs.len() == n_wanted {
            return Ok(inputs);
        }
    }
    Err(Reason::TooFewInputs)
}

/// The value for `arguments`, if it may be shown.
pub(crate) fn output(
    options: &MathOptions,
    definition: &Definition,
    arguments: &[Value],
) -> Result<(Value, Work), Reason> {
    let (value, work) = definition.evaluate(arguments, options.limits.to_limits())?;
    is_short(&value.to_string(), options.max_output_chars, Reason::OutputTooLong)?;
    Ok((value, work))
}

/// A message that may be shown.
pub(crate) fn message(options: &MathOptions, text: &str) -> Result<(), Reason> {
    is_short(text, options.max_message_chars, Reason::MessageTooLong)?;
    let is_unsafe =
        text.chars().any(char::is_control) || FORBIDDEN.iter().any(|mark| text.contains(mark));
    if is_unsafe { Err(Reason::BreaksFormat) } else { Ok(()) }
}

fn is_short(text: &str, max_chars: u32, too_long: Reason) -> Result<(), Reason> {
    if text.chars().count() > max_chars as usize { Err(too_long) } else { Ok(()) }
}
