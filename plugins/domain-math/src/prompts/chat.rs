//! Prompts in chat style: the rules in a system message, worked examples as earlier turns, the task as the last one.
//!
//! With think tags one worked example shows how to reason; without, three show only the form,
//! which is what small instruct models do best with.

use std::fmt::Write as _;

use azr_plugin::Message;

use super::{Puzzle, Riddle};
use crate::examples::{EXAMPLES, Example};
use crate::task::Kind;

/// The example that is worked through with thoughts in solver prompts.
const SOLVED: usize = 3;
/// The example whose invention is worked through.
const INVENTED: usize = 5;
/// The example for which inputs are worked out.
const DESCRIBED: usize = 4;
/// Worked examples when thoughts are not asked for.
const N_BARE: usize = 3;

/// The language in a few lines.
const GRAMMAR_CARD: &str = "\
A formula is a definition `f(x, y) = ...` with one to eight parameters. All arithmetic is exact.
- Numbers: 7, 0.25, 3/4. Operators: + - * / and ^ (integer exponents), // (quotient rounded down), mod; write every \
multiplication sign.
- Comparisons = != < <= > >=, and, or, not, and `if condition then value else value`, in parentheses inside of \
arithmetic.
- sum(k, 1, n, k^2) and prod(k, 1, n, k) run over the integers k from the first bound to the second.
- abs, min, max, floor, ceil, numerator, denominator, gcd, lcm, factorial, binomial(n, k), isqrt, fib, digit_sum, \
powmod(a, b, m), modinv(a, m), is_prime, next_prime, phi, num_divisors, sum_divisors, and poly([a, b, c], x), which is \
a*x^2 + b*x + c.
- There is nothing else: no other functions, no recursion, no assignments.
Arguments and values are literals: integers, fractions such as -3/4, true, false, and lists such as [1, 2].
";

/// How a proposed formula and input are judged.
const MERIT: &str = "\
A puzzle counts if it has a value, if the other model solves it sometimes but not always, and if it differs from the \
puzzles that exist. The formula must use its parameters. Good material: remainders and divisors, powers, fractions, \
sums over ranges, primes, cases, and new mixtures of these, with numbers that can be worked with by hand.
";

/// A proposal of a definition and one input.
pub(super) fn propose_call(kind: Kind, puzzles: &[Puzzle<'_>], thinks: bool) -> Vec<Message> {
    let (shown, sought) = match kind {
        Kind::Abduction => ("the formula and the value", "arguments that give this value"),
        Kind::Deduction | Kind::Induction => ("the formula and the arguments", "the value"),
    };
    let form = "one ```expression block with the formula and one ```input block with the arguments";
    let mut system = format!(
        "You invent demanding puzzles about formulas. A puzzle is one formula and one list of arguments. \
         Another model is shown {shown}, has no calculator, and must find {sought}.\n\n{GRAMMAR_CARD}\n{MERIT}\n"
    );
    let mut messages = Vec::new();
    if thinks {
        let _ = write!(
            system,
            "First plan inside <think> </think>: what the formula does, which arguments it gets, and why that is hard. \
             Then write inside <answer> </answer> {form}."
        );
        let difficulty = match kind {
            Kind::Abduction => {
                "Who only sees the remainder has to notice that remainders of powers repeat, and find an exponent and a \
                 modulus that fit"
            }
            Kind::Deduction | Kind::Induction => {
                "Who sees that the remainders repeat, 2, 4, 1, need not work out 1024"
            }
        };
        let thought = format!(
            "Powers grow fast, but their remainders stay small. With 10 and 7, 2^10 is 1024, and 1024 mod 7 is 2. {difficulty}."
        );
        messages.push(user("Invent a new puzzle.".to_owned()));
        messages.push(thoughtful(&thought, &puzzle_blocks(&Puzzle::of(&EXAMPLES[INVENTED]))));
        let mut request = "Puzzles that exist:\n".to_owned();
        for (index, puzzle) in puzzles.iter().enumerate() {
            let (number, blocks) = (index + 1, puzzle_blocks(puzzle));
            let output = block("output", puzzle.output);
            let _ = write!(request, "\n<puzzle_{number}>{blocks}{output}\n</puzzle_{number}>\n");
        }
        request.push_str("\nInvent a new puzzle that differs from all of these.");
        messages.push(user(request));
    } else {
        let _ = write!(system, "Reply with {form}, inside <answer> </answer>.");
        for (index, puzzle) in puzzles.iter().enumerate() {
            messages.push(user(next_puzzle(index)));
            messages.push(bare(&puzzle_blocks(puzzle)));
        }
        messages.push(user(next_puzzle(puzzles.len())));
    }
    with_system(system, messages)
}

/// A proposal of inputs and a message for a given definition.
pub(super) fn propose_inputs(definition: &str, n_inputs: usize, thinks: bool) -> Vec<Message> {
    let form = format!(
        "one ```message block with the hint, and {n_inputs} ```input blocks with one list of arguments each"
    );
    let mut system = format!(
        "You make puzzles from formulas. You are shown a formula and choose {n_inputs} lists of arguments and write a hint. \
         Another model is shown the hint and the values for some of the arguments, but neither the formula nor the other \
         arguments, and must write a formula that gives the same values for all of them.\n\n{GRAMMAR_CARD}\n\
         The arguments are different from each other, give values without an error, and cover what the formula does: \
         ordinary cases, edge cases, small and large numbers, so that together they leave only one sensible formula. \
         The hint says in words on one line what the formula is about, without giving it away.\n\n"
    );
    let mut messages = Vec::new();
    if thinks {
        let _ = write!(
            system,
            "First plan inside <think> </think>: what the formula does, which cases tell it apart from similar ones, \
             and what the hint may say. Then write inside <answer> </answer> {form}."
        );
        let example = &EXAMPLES[DESCRIBED];
        let thought = "Even numbers are halved, odd ones are tripled and one is added. Both cases, 0, 1 and negative numbers \
                       of both kinds are needed. The hint can speak of halving without saying what odd numbers become.";
        messages.push(user(block("expression", example.definition)));
        messages.push(thoughtful(thought, &described_blocks(example, n_inputs)));
    } else {
        let _ = write!(system, "Reply with {form}, inside <answer> </answer>.");
        for example in EXAMPLES.iter().rev().take(N_BARE - 1) {
            messages.push(user(block("expression", example.definition)));
            messages.push(bare(&described_blocks(example, n_inputs)));
        }
    }
    messages.push(user(block("expression", definition)));
    with_system(system, messages)
}

/// Definition and arguments are shown, the value is asked for.
pub(super) fn deduction(puzzle: &Puzzle<'_>, thinks: bool) -> Vec<Message> {
    let exercise = Exercise {
        rules: "You evaluate formulas exactly. You are shown a formula and a call of it. Give the value as a literal: an \
                integer, a fraction such as -3/4, true, false or a list.",
        method: "work the formula out step by step",
        form: "Then write the value, and nothing else, inside <answer> </answer>.",
        bare_form: "Reply with the value, and nothing else, inside <answer> </answer>.",
        thought: "n is 4, so k runs over 1, 2, 3 and 4. The squares are 1, 4, 9 and 16. 1 + 4 + 9 + 16 = 30.",
        question: &|example| puzzle_question(&Puzzle::of(example)),
        solution: |example| example.points[0].1.to_owned(),
    };
    exercise.ask(puzzle_question(puzzle), thinks)
}

/// Definition and value are shown, arguments are asked for.
pub(super) fn abduction(puzzle: &Puzzle<'_>, thinks: bool) -> Vec<Message> {
    fn question(puzzle: &Puzzle<'_>) -> String {
        format!("{}\nf(?) = {}", block("expression", puzzle.definition), puzzle.output)
    }
    let exercise = Exercise {
        rules: "You find arguments of formulas. You are shown a formula and its value. Give arguments for which it has this \
                value; any that do are right. Write them as in a call, separated by commas, each a literal, without `f` and \
                its parentheses.",
        method: "go back from the value to what the arguments must have been, and check it",
        form: "Then write the arguments, and nothing else, inside <answer> </answer>.",
        bare_form: "Reply with the arguments, and nothing else, inside <answer> </answer>.",
        thought: "The sums of squares are 1, 1 + 4 = 5, 5 + 9 = 14 and 14 + 16 = 30. \
                  30 is reached with k up to 4, so n is 4.",
        question: &|example| question(&Puzzle::of(example)),
        solution: |example| example.points[0].0.to_owned(),
    };
    exercise.ask(question(puzzle), thinks)
}

/// A hint and some points are shown, the definition is asked for.
pub(super) fn induction(riddle: &Riddle<'_>, thinks: bool) -> Vec<Message> {
    fn question(Riddle { message, points }: &Riddle<'_>) -> String {
        let points: String =
            points.iter().map(|(input, output)| format!("\nf({input}) = {output}")).collect();
        format!("Hint: {message}\n{points}")
    }
    let rules = format!(
        "You find formulas. You are shown a hint and the values of a formula for some arguments. Write a formula that has \
         these values, and the right ones for other arguments that are not shown; do not list single cases.\n\n{GRAMMAR_CARD}"
    );
    let n_points = riddle.points.len();
    let exercise = Exercise {
        rules: rules.trim_end(),
        method: "find the rule and check it on every example",
        form: "Then write the formula in one ```expression block inside <answer> </answer>.",
        bare_form: "Reply with the formula in one ```expression block inside <answer> </answer>.",
        thought: "From 1 to 5 the value grows by 4, and from 5 to 30 by 9 + 16: the squares of 1, 2, 3, ... are added up. \
                  With 0 there is nothing to add.",
        question: &|example| question(&Riddle::of(example, n_points)),
        solution: |example| format!("\n{}\n", block("expression", example.definition)),
    };
    exercise.ask(question(riddle), thinks)
}

/// The texts in which the solver's prompts differ.
struct Exercise<'a> {
    rules: &'a str,
    method: &'static str,
    form: &'static str,
    bare_form: &'static str,
    thought: &'static str,
    question: &'a dyn Fn(&Example) -> String,
    solution: fn(&Example) -> String,
}

impl Exercise<'_> {
    fn ask(&self, question: String, thinks: bool) -> Vec<Message> {
        let Self { rules, method, form, bare_form, .. } = self;
        let mut messages = Vec::new();
        let form = if thinks {
            let example = &EXAMPLES[SOLVED];
            messages.push(user((self.question)(example)));
            messages.push(thoughtful(self.thought, &(self.solution)(example)));
            format!("First reason inside <think> </think>: {method}. {form}")
        } else {
            for example in EXAMPLES.iter().take(N_BARE) {
                messages.push(user((self.question)(example)));
                messages.push(bare(&(self.solution)(example)));
            }
            (*bare_form).to_owned()
        };
        messages.push(user(question));
        with_system(format!("{rules}\n\n{form}"), messages)
    }
}

fn puzzle_question(puzzle: &Puzzle<'_>) -> String {
    format!("{}\nf({}) = ?", block("expression", puzzle.definition), puzzle.input)
}

fn next_puzzle(n_earlier: usize) -> String {
    if n_earlier == 0 { "New puzzle." } else { "New puzzle, different from the earlier ones." }
        .to_owned()
}

fn puzzle_blocks(puzzle: &Puzzle<'_>) -> String {
    format!("\n{}\n{}\n", block("expression", puzzle.definition), block("input", puzzle.input))
}

fn described_blocks(example: &Example, n_inputs: usize) -> String {
    let inputs = example.points.iter().take(n_inputs).map(|(input, _)| block("input", input));
    let blocks: Vec<_> = [block("message", example.message)].into_iter().chain(inputs).collect();
    format!("\n{}\n", blocks.join("\n"))
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
