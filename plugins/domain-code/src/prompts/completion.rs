//! Prompts in completion style: a file that the model continues. Worked examples carry the format, not instructions,
//! because small models follow examples and hardly any instruction.

use std::fmt::Write as _;

use super::{Puzzle, example_puzzles};
use crate::examples::EXAMPLES;
use crate::parse::PROGRAM_OPENING;
use crate::task::Kind;

/// Most worked examples of a prompt for inputs.
const MAX_DESCRIBED: usize = 2;

/// Numbered programs with their calls; the next one is the model's.
pub(super) fn propose_call(kind: Kind, puzzles: &[Puzzle<'_>]) -> String {
    let challenge = match kind {
        Kind::Abduction => {
            "whose arguments are hard to find when only the code and the result are known"
        }
        Kind::Deduction | Kind::Induction => "whose result takes several steps to work out",
    };
    let mut text = format!(
        "# Short deterministic Python functions, each different, each with one call {challenge}.\n\n"
    );
    for (index, Puzzle { program, input, .. }) in puzzles.iter().enumerate() {
        let _ = write!(text, "# task {}\n{program}\n\nf({input})\n\n\n", index + 1);
    }
    let _ = write!(text, "# task {}\n{PROGRAM_OPENING}", puzzles.len() + 1);
    text
}

/// Numbered programs, each with a hint and calls; the last one's are the model's.
pub(super) fn propose_inputs(program: &str, n_inputs: usize, n_examples: usize) -> String {
    let n_examples = n_examples.min(MAX_DESCRIBED);
    let mut text = format!(
        "# Python functions, each with a hint that describes it without code, \
         and {n_inputs} different calls that together show what it does.\n\n"
    );
    for (index, example) in EXAMPLES.iter().rev().take(n_examples).enumerate() {
        let _ = write!(
            text,
            "# task {}\n{}\n\n# hint: {}\n",
            index + 1,
            example.program,
            example.message
        );
        for (input, _) in &example.calls[..n_inputs.min(example.calls.len())] {
            let _ = writeln!(text, "f({input})");
        }
        text.push_str("\n\n");
    }
    let _ = write!(text, "# task {}\n{program}\n\n# hint:", n_examples + 1);
    text
}

/// Programs with a checked call; the value of the last one is the model's.
pub(super) fn deduction(puzzle: &Puzzle<'_>, n_examples: usize) -> String {
    let mut text = String::new();
    for Puzzle { program, input, output } in example_puzzles().take(n_examples) {
        let _ = write!(text, "{program}\n\nassert f({input}) == {output}\n\n\n");
    }
    let _ = write!(text, "{}\n\nassert f({}) ==", puzzle.program, puzzle.input);
    text
}

/// A program with a call; notes and then the value, as comments, are the model's.
pub(super) fn noted_deduction(puzzle: &Puzzle<'_>) -> String {
    format!("{}\n\n# f({})\n#", puzzle.program, puzzle.input)
}

/// A program with a value; notes and then a call that returns it, as comments, are the model's.
pub(super) fn noted_abduction(puzzle: &Puzzle<'_>) -> String {
    format!("{}\n\n# {} == f(...)\n#", puzzle.program, puzzle.output)
}

/// Programs with a checked call; the arguments of the last one are the model's.
pub(super) fn abduction(puzzle: &Puzzle<'_>, n_examples: usize) -> String {
    let question = |puzzle: &Puzzle<'_>| {
        let Puzzle { program, output, .. } = puzzle;
        format!("{program}\n\n# find the arguments: {output} == f(...)\nassert {output} == f(")
    };
    let mut text = String::new();
    for example in example_puzzles().take(n_examples) {
        let _ = write!(text, "{}{})\n\n\n", question(&example), example.input);
    }
    text.push_str(&question(puzzle));
    text
}

/// Hints and checked calls, each followed by a program; the last program is the model's.
pub(super) fn induction<'a>(
    message: &str,
    visible: impl Iterator<Item = (&'a str, &'a str)>,
    n_examples: usize,
) -> String {
    let visible: Vec<_> = visible.collect();
    let question = |message: &str, pairs: &[(&str, &str)]| {
        let mut text = format!("# hint: {message}\n");
        for (input, output) in pairs {
            let _ = writeln!(text, "# f({input}) == {output}");
        }
        text
    };
    let mut text = String::new();
    for example in EXAMPLES.iter().take(n_examples) {
        let pairs = &example.calls[..visible.len().min(example.calls.len())];
        let _ = write!(text, "{}{}\n\n\n", question(example.message, pairs), example.program);
    }
    let _ = write!(text, "{}{PROGRAM_OPENING}", question(message, &visible));
    text
}
