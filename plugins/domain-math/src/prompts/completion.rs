//! Prompts in completion style: a text that the model continues. Worked examples carry the format, not instructions,
//! because small models follow examples and hardly any instruction.

use std::fmt::Write as _;

use super::{Puzzle, Riddle};
use crate::examples::EXAMPLES;
use crate::parse::OPENING;
use crate::task::Kind;

/// Most worked examples of a prompt for inputs.
const MAX_DESCRIBED: usize = 2;

/// What stands before a definition, so that a model which goes on behind it does not take it for a call.
const LET: &str = "let ";

/// Numbered definitions with their calls; the next one is the model's.
pub(super) fn propose_call(kind: Kind, puzzles: &[Puzzle<'_>]) -> String {
    let challenge = match kind {
        Kind::Abduction => {
            "whose arguments are hard to find when only the formula and the value are known"
        }
        Kind::Deduction | Kind::Induction => "whose value takes several steps to work out",
    };
    let mut text =
        format!("# Short exact formulas, each different, each with one call {challenge}.\n\n");
    for (index, Puzzle { definition, input, .. }) in puzzles.iter().enumerate() {
        let _ = write!(text, "# task {}\n{LET}{definition}\nf({input})\n\n", index + 1);
    }
    let _ = write!(text, "# task {}\n{LET}{OPENING}", puzzles.len() + 1);
    text
}

/// Numbered definitions, each with a hint and calls; the last one's are the model's.
pub(super) fn propose_inputs(definition: &str, n_inputs: usize, n_examples: usize) -> String {
    let n_examples = n_examples.min(MAX_DESCRIBED);
    let mut text = format!(
        "# Formulas, each with a hint in words, and {n_inputs} different calls that together show what it does.\n\n"
    );
    for (index, example) in EXAMPLES.iter().rev().take(n_examples).enumerate() {
        let (number, definition, message) = (index + 1, example.definition, example.message);
        let _ = writeln!(text, "# task {number}\n{LET}{definition}\n# hint: {message}");
        for (input, _) in example.points.iter().take(n_inputs) {
            let _ = writeln!(text, "f({input})");
        }
        text.push('\n');
    }
    let _ = write!(text, "# task {}\n{LET}{definition}\n# hint:", n_examples + 1);
    text
}

/// Definitions with a call and its value; the last value is the model's.
pub(super) fn deduction(puzzle: &Puzzle<'_>, n_examples: usize) -> String {
    let question =
        |Puzzle { definition, input, .. }: &Puzzle<'_>| format!("{LET}{definition}\nf({input}) =");
    let mut text = String::new();
    for example in EXAMPLES.iter().take(n_examples).map(Puzzle::of) {
        let _ = write!(text, "{} {}\n\n", question(&example), example.output);
    }
    text + &question(puzzle)
}

/// Definitions with a value and a call that has it; the last arguments are the model's.
pub(super) fn abduction(puzzle: &Puzzle<'_>, n_examples: usize) -> String {
    let question = |Puzzle { definition, output, .. }: &Puzzle<'_>| {
        format!("{LET}{definition}\n# find the arguments: {output} = f(...)\n{output} = {OPENING}")
    };
    let mut text = String::new();
    for example in EXAMPLES.iter().take(n_examples).map(Puzzle::of) {
        let _ = write!(text, "{}{})\n\n", question(&example), example.input);
    }
    text + &question(puzzle)
}

/// Hints and points, each followed by a definition; the last definition is the model's.
pub(super) fn induction(riddle: &Riddle<'_>, n_examples: usize) -> String {
    let question = |Riddle { message, points }: &Riddle<'_>| {
        let mut text = format!("# hint: {message}\n");
        for (input, output) in points {
            let _ = writeln!(text, "# f({input}) = {output}");
        }
        text
    };
    let mut text = String::new();
    for example in EXAMPLES.iter().take(n_examples) {
        let worked = Riddle::of(example, riddle.points.len());
        let _ = write!(text, "{}{LET}{}\n\n", question(&worked), example.definition);
    }
    text + &question(riddle) + LET + OPENING
}
