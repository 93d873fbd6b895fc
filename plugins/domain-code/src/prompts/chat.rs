//! Prompts in chat style: the rules in a system message, worked examples as earlier turns, the task as the last one.
//!
//! With think tags one worked example shows how to reason; without, three show only the form,
//! which is what small instruct models do best with.

use std::fmt::Write as _;

use azr_plugin::Message;

use super::{Puzzle, example_puzzles};
use crate::examples::{EXAMPLES, Example};
use crate::task::Kind;

/// The example that is worked through with thoughts in solver prompts.
const SOLVED: usize = 2;
/// The example whose invention is worked through.
const INVENTED: usize = 3;
/// The example for which inputs are worked out.
const DESCRIBED: usize = 4;
/// Worked examples when thoughts are not asked for.
const N_BARE: usize = 3;

/// What a proposed program must be.
const PROGRAM_RULES: &str = "\
The program:
- defines a function `f` with at least one parameter; helper functions, nested functions and classes are allowed;
- starts with its imports and classes and ends with the return of `f`; it imports modules for computation only, such as \
math, itertools, functools, collections, re, string, heapq or bisect;
- returns a value made of numbers, strings, booleans, lists, tuples, dicts or sets;
- returns the same value for the same input every time: no random numbers, no dates or clocks, no files or network, \
no printing or reading, nothing remembered outside the call;
- ends within a few seconds;
- carries something through several steps that change it, so that one glance does not give the result away.

The input:
- is exactly one list of arguments, separated by commas as in a call, each a Python literal, strings in quotes.
";

/// How a proposed program and input are judged.
const PROGRAM_MERIT: &str = "\
A puzzle counts if it runs, if the other model solves it sometimes but not always, and if it differs from the puzzles \
that exist. Good material: recursion, state machines, stacks and queues, dynamic programming, number theory, \
simulations, sorting with unusual keys, grids, text processing, bit tricks, and new mixtures of these.
";

/// A proposal of a program and one input.
pub(super) fn propose_call(kind: Kind, puzzles: &[Puzzle<'_>], thinks: bool) -> Vec<Message> {
    let (shown, sought) = match kind {
        Kind::Abduction => (
            "the program and the returned value",
            "an input for which the program returns that value",
        ),
        Kind::Deduction | Kind::Induction => {
            ("the program and the input", "the value that the program returns")
        }
    };
    let form = "one ```python block with the program and one ```input block with the arguments";
    let mut system = format!(
        "You invent demanding puzzles about Python programs. A puzzle is one program and one input. \
         Another model is shown {shown}, cannot run anything, and must find {sought}.\n\n{PROGRAM_RULES}\n{PROGRAM_MERIT}\n"
    );
    let mut messages = Vec::new();
    if thinks {
        let _ = write!(
            system,
            "First plan inside <think> </think>: what the input is, what the program does with it, and why that is hard. \
             Then write inside <answer> </answer> {form}."
        );
        let difficulty = match kind {
            Kind::Abduction => {
                "Who only sees the digits has to notice that any base above them would do and rebuild a number"
            }
            Kind::Deduction | Kind::Induction => {
                "Two variables change in every round, and the order is turned round at the end"
            }
        };
        let thought = format!(
            "The input is a number and a base. The program divides again and again and collects the remainders. \
             {difficulty}. 13 in base 2 takes four rounds: enough to need care, short enough to finish."
        );
        messages.push(user("Invent a new puzzle.".to_owned()));
        messages.push(thoughtful(
            &thought,
            &format!("\n{}\n", puzzle_blocks(&Puzzle::of(&EXAMPLES[INVENTED]))),
        ));
        let mut request = "Puzzles that exist:\n".to_owned();
        for (index, puzzle) in puzzles.iter().enumerate() {
            let (number, blocks) = (index + 1, puzzle_blocks(puzzle));
            let output = block("output", puzzle.output);
            let _ =
                write!(request, "\n<puzzle_{number}>\n{blocks}\n{output}\n</puzzle_{number}>\n");
        }
        request.push_str("\nInvent a new puzzle that differs from all of these.");
        messages.push(user(request));
    } else {
        let _ = write!(system, "Reply with {form}, inside <answer> </answer>.");
        for (index, puzzle) in puzzles.iter().enumerate() {
            messages.push(user(next_puzzle(index)));
            messages.push(bare(&format!("\n{}\n", puzzle_blocks(puzzle))));
        }
        messages.push(user(next_puzzle(puzzles.len())));
    }
    with_system(system, messages)
}

/// A proposal of inputs and a message for a given program.
pub(super) fn propose_inputs(program: &str, n_inputs: usize, thinks: bool) -> Vec<Message> {
    let form = format!(
        "one ```message block with the hint, and {n_inputs} ```input blocks with one input each"
    );
    let mut system = format!(
        "You make puzzles from Python programs. You are shown a program with a function `f` and choose {n_inputs} inputs \
         and write a hint. Another model is shown the hint and what `f` returns for some of the inputs, but neither the \
         program nor the other inputs, and must write a function that does the same for all of them.\n\n\
         The inputs:\n\
         - are {n_inputs} different lists of arguments, separated by commas as in a call, each a Python literal, strings in quotes;\n\
         - all run without an error;\n\
         - cover what the function does: ordinary cases, edge cases, different sizes and, where the function takes them, \
         different types, so that together they leave only one sensible function.\n\n\
         The hint:\n\
         - says in words on one line what the function is about, without code, names or formulas from the program;\n\
         - leaves the other model something to work out: the puzzle should be hard, but possible to solve.\n\n"
    );
    let shown = |example: &Example| described_blocks(example, n_inputs);
    let mut messages = Vec::new();
    if thinks {
        let _ = write!(
            system,
            "First plan inside <think> </think>: what the function does, which cases tell it apart from similar functions, \
             and what the hint may say. Then write inside <answer> </answer> {form}."
        );
        let example = &EXAMPLES[DESCRIBED];
        let thought = "The function measures the longest stretch of equal neighbors. A stretch inside the text, no text at \
                       all, a single letter, letters that alternate and one stretch that fills everything tell it apart from \
                       counting letters. The hint can speak of repeating without saying how it is measured.";
        messages.push(user(block("python", example.program)));
        messages.push(thoughtful(thought, &format!("\n{}\n", shown(example))));
    } else {
        let _ = write!(system, "Reply with {form}, inside <answer> </answer>.");
        for example in EXAMPLES.iter().rev().take(N_BARE - 1) {
            messages.push(user(block("python", example.program)));
            messages.push(bare(&format!("\n{}\n", shown(example))));
        }
    }
    messages.push(user(block("python", program)));
    with_system(system, messages)
}

/// Program and input are shown, the value is asked for.
pub(super) fn deduction(puzzle: &Puzzle<'_>, thinks: bool) -> Vec<Message> {
    let exercise = Exercise {
        rules: "You work out what Python programs return. You are shown a program and a call of its function `f`. \
                Give the returned value as a Python literal: strings in quotes, several returned values as a tuple.",
        method: "follow the program step by step",
        sought: "the value",
        thought: "n is 7 and r is 1. 7 is above 1: r becomes 7 and n becomes 5. r becomes 35 and n becomes 3. \
                  r becomes 105 and n becomes 1. 1 is not above 1, so the loop ends with r = 105.",
        question: |puzzle| format!("{}\nf({}) = ?", block("python", puzzle.program), puzzle.input),
        solution: |puzzle| puzzle.output,
    };
    exercise.ask(puzzle, thinks)
}

/// Program and value are shown, an input is asked for.
pub(super) fn abduction(puzzle: &Puzzle<'_>, thinks: bool) -> Vec<Message> {
    let exercise = Exercise {
        rules: "You find inputs of Python programs. You are shown a program and a value that its function `f` returned. \
                Give arguments for which `f` returns that value; any that do are right. Write them as in a call, separated \
                by commas, each a Python literal, strings in quotes, without `f` and its parentheses.",
        method: "go back from the value to what the input must have been, and check it",
        sought: "the arguments",
        thought: "The program multiplies n, n - 2, n - 4 and so on while they are above 1. \
                  105 is 7 * 5 * 3, so n starts at 7; the next n would be 1, where it stops.",
        question: |puzzle| format!("{}\nf(?) = {}", block("python", puzzle.program), puzzle.output),
        solution: |puzzle| puzzle.input,
    };
    exercise.ask(puzzle, thinks)
}

/// A hint and some pairs are shown, the program is asked for.
pub(super) fn induction<'a>(
    message: &str,
    visible: impl Iterator<Item = (&'a str, &'a str)>,
    thinks: bool,
) -> Vec<Message> {
    let visible: Vec<_> = visible.collect();
    let question = |message: &str, pairs: &[(&str, &str)]| {
        let mut text = format!("Hint: {message}\n");
        for (input, output) in pairs {
            let _ = write!(text, "\nf({input}) == {output}");
        }
        text
    };
    let worked = |example: &Example| {
        question(example.message, &example.calls[..visible.len().min(example.calls.len())])
    };
    let mut system = "You write Python functions from examples. You are shown a hint and what a function `f` returns for some \
                      inputs. Write a deterministic function `f` that does the same for these and for other inputs that are \
                      not shown; do not list single cases.\n\n"
        .to_owned();
    let mut messages = Vec::new();
    if thinks {
        system.push_str(
            "First reason inside <think> </think>: find the rule and check it on every example. \
             Then write the program in one ```python block inside <answer> </answer>.",
        );
        let example = &EXAMPLES[SOLVED];
        let thought = "105 is 7 * 5 * 3: from the input down in steps of two, everything above 1 is multiplied. \
                       With 1 there is nothing to multiply, and the result stays 1.";
        messages.push(user(worked(example)));
        messages.push(thoughtful(thought, &format!("\n{}\n", block("python", example.program))));
    } else {
        system.push_str("Reply with the program in one ```python block inside <answer> </answer>.");
        for example in EXAMPLES.iter().take(N_BARE) {
            messages.push(user(worked(example)));
            messages.push(bare(&format!("\n{}\n", block("python", example.program))));
        }
    }
    messages.push(user(question(message, &visible)));
    with_system(system, messages)
}

/// The texts in which deduction and abduction differ.
struct Exercise {
    rules: &'static str,
    method: &'static str,
    sought: &'static str,
    thought: &'static str,
    question: fn(&Puzzle<'_>) -> String,
    solution: for<'a> fn(&Puzzle<'a>) -> &'a str,
}

impl Exercise {
    fn ask(&self, puzzle: &Puzzle<'_>, thinks: bool) -> Vec<Message> {
        let Self { rules, method, sought, .. } = self;
        let mut messages = Vec::new();
        let form = if thinks {
            let example = Puzzle::of(&EXAMPLES[SOLVED]);
            messages.push(user((self.question)(&example)));
            messages.push(thoughtful(self.thought, (self.solution)(&example)));
            format!(
                "First reason inside <think> </think>: {method}. \
                 Then write {sought}, and nothing else, inside <answer> </answer>."
            )
        } else {
            for example in example_puzzles().take(N_BARE) {
                messages.push(user((self.question)(&example)));
                messages.push(bare((self.solution)(&example)));
            }
            format!("Reply with {sought}, and nothing else, inside <answer> </answer>.")
        };
        messages.push(user((self.question)(puzzle)));
        with_system(format!("{rules}\n\n{form}"), messages)
    }
}

fn next_puzzle(n_earlier: usize) -> String {
    if n_earlier == 0 { "New puzzle." } else { "New puzzle, different from the earlier ones." }
        .to_owned()
}

fn puzzle_blocks(puzzle: &Puzzle<'_>) -> String {
    format!("{}\n{}", block("python", puzzle.program), block("input", puzzle.input))
}

fn described_blocks(example: &Example, n_inputs: usize) -> String {
    let inputs = example.calls.iter().take(n_inputs).map(|(input, _)| block("input", input));
    [block("message", example.message)].into_iter().chain(inputs).collect::<Vec<_>>().join("\n")
}

fn block(label: &str, content: &str) -> String {
    format!("```{label}\n{content}\n```")
}

fn user(content: String) -> Message {
    Message { role: "user".to_owned(), content }
}

fn bare(answer: &str) -> Message {
    Message { role: "assistant".to_owned(), content: format!("<answer>{answer}</answer>") }
}

fn thoughtful(thought: &str, answer: &str) -> Message {
    Message {
        role: "assistant".to_owned(),
        content: format!("<think>{thought}</think>\n<answer>{answer}</answer>"),
    }
}

fn with_system(system: String, messages: Vec<Message>) -> Vec<Message> {
    [Message { role: "system".to_owned(), content: system }].into_iter().chain(messages).collect()
}
