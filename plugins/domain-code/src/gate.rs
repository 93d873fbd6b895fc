//! What a program, an input and a message must be before anything is run.

use std::collections::BTreeSet;

use azr_executor::{Arguments, ImportPolicy, Program, ProgramError, parse_arguments};

use crate::options::CodeOptions;
use crate::reason::Reason;
use crate::shown;

/// A program that may be run.
pub(crate) fn runnable(options: &CodeOptions, source: &str) -> Result<Program, Reason> {
    if source.len() > options.max_program_bytes as usize {
        return Err(Reason::ProgramTooLong);
    }
    Program::parse(source, &ImportPolicy::default()).map_err(|error| reason_of(&error))
}

/// A program that may be run and shown.
pub(crate) fn showable(options: &CodeOptions, source: &str) -> Result<Program, Reason> {
    let program = runnable(options, source)?;
    if shown::program_is_safe(source_of(&program)) {
        Ok(program)
    } else {
        Err(Reason::BreaksFormat)
    }
}

/// The source text of a program as tasks hold it and prompts show it.
pub(crate) fn source_of(program: &Program) -> &str {
    program.source.trim_end()
}

/// Arguments that may be passed and shown.
pub(crate) fn input(options: &CodeOptions, text: &str) -> Result<Arguments, Reason> {
    let arguments = parse_arguments(text).map_err(|_| Reason::InputNotLiteral)?;
    line_of_text(&arguments.repr(), options.max_input_chars, Reason::InputTooLong)?;
    Ok(arguments)
}

/// The first `options.induction_inputs` distinct argument lists of `texts`.
pub(crate) fn distinct_inputs(
    options: &CodeOptions,
    texts: &[String],
) -> Result<Vec<Arguments>, Reason> {
    let n_wanted = options.induction_inputs as usize;
    let mut seen = BTreeSet::new();
    let mut inputs = Vec::new();
    for text in texts {
        let arguments = input(options, text)?;
        if seen.insert(arguments.to_canonical()) {
            inputs.push(arguments);
        }
        if inputs.len() == n_wanted {
            return Ok(inputs);
        }
    }
    Err(Reason::TooFewInputs)
}

/// A message that may be shown.
pub(crate) fn message(options: &CodeOptions, text: &str) -> Result<(), Reason> {
    line_of_text(text, options.max_message_chars, Reason::MessageTooLong)
}

/// Checks one line of text that prompts show.
pub(crate) fn line_of_text(text: &str, max_chars: u32, too_long: Reason) -> Result<(), Reason> {
    if text.chars().count() > max_chars as usize {
        return Err(too_long);
    }
    if shown::line_of_text_is_safe(text) { Ok(()) } else { Err(Reason::BreaksFormat) }
}

fn reason_of(error: &ProgramError) -> Reason {
    match error {
        ProgramError::TooLarge => Reason::ProgramTooLong,
        ProgramError::Syntax(_) => Reason::Syntax,
        ProgramError::NoFunction | ProgramError::Rename(_) => Reason::NoFunction,
        ProgramError::NoParameter => Reason::NoParameter,
        ProgramError::Import(_) => Reason::ForbiddenImport,
        ProgramError::Name(_) | ProgramError::Dunder(_) => Reason::ForbiddenName,
    }
}
