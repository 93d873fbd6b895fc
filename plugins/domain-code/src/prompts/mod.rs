//! What the model is asked, in two styles. Prompts are pure functions of the options, the task or request, and the
//! request's seed, which chooses only which of our own examples fill up for missing references.

mod chat;
mod completion;

use azr_plugin::{Prompt, PromptBody, ProposeRequest, Result, Task};

use crate::examples::{EXAMPLES, Example};
use crate::options::{CodeOptions, PromptStyle};
use crate::parse::{ANSWER_STOPS, INDUCTION_STOPS, INPUTS_STOPS, PROPOSAL_STOPS, SCRATCHPAD_STOPS};
use crate::seeds::seed_task;
use crate::task::{CallTask, InductionTask, Kind};

/// Fewest programs that a proposal prompt shows where programs carry the format, unless fewer worked examples are
/// wanted.
const MIN_SHOWN: usize = 2;

/// A program with one call.
#[derive(Debug, Clone, Copy)]
struct Puzzle<'a> {
    program: &'a str,
    input: &'a str,
    output: &'a str,
}

impl<'a> Puzzle<'a> {
    fn of(example: &'a Example) -> Self {
        let (input, output) = example.calls[0];
        Self { program: example.program, input, output }
    }

    fn of_task(task: &'a CallTask) -> Self {
        Self { program: &task.program, input: &task.input.python, output: &task.output.python }
    }
}

/// A prompt for a proposal.
pub(crate) fn propose(options: &CodeOptions, request: &ProposeRequest) -> Result<Prompt> {
    let kind = Kind::parse(&request.kind)?;
    let budget = options.budgets().propose;
    if kind == Kind::Induction {
        let reference = reference(&request.references)?;
        let n_inputs = options.induction_inputs as usize;
        return Ok(match options.prompt_style {
            PromptStyle::Completion => {
                let n_examples = options.worked_examples as usize;
                let body = completion::propose_inputs(&reference.program, n_inputs, n_examples);
                Prompt::completion(body, INPUTS_STOPS, budget)
            }
            PromptStyle::Chat => {
                talk(chat::propose_inputs(&reference.program, n_inputs, options.thinks()), budget)
            }
        });
    }
    let references = request.references.iter().map(CallTask::read).collect::<Result<Vec<_>>>()?;
    let mut puzzles: Vec<_> = references.iter().map(Puzzle::of_task).collect();
    // With think tags a worked example carries the format, so that no programs need to be made up for it.
    if !options.thinks() {
        let n_least = MIN_SHOWN.min(options.worked_examples as usize);
        let n_wanted = n_least.max(options.references as usize);
        puzzles = with_fillers(&puzzles, n_wanted, request.seed);
    }
    Ok(match options.prompt_style {
        PromptStyle::Completion => {
            Prompt::completion(completion::propose_call(kind, &puzzles), PROPOSAL_STOPS, budget)
        }
        PromptStyle::Chat => talk(chat::propose_call(kind, &puzzles, options.thinks()), budget),
    })
}

/// A prompt for an answer.
pub(crate) fn solve(options: &CodeOptions, task: &Task) -> Result<Prompt> {
    let (style, thinks, budgets) = (options.prompt_style, options.thinks(), options.budgets());
    let n_examples = options.worked_examples as usize;
    let kind = Kind::parse(&task.kind)?;
    if kind == Kind::Induction {
        let task = InductionTask::read(task)?;
        return Ok(match style {
            PromptStyle::Completion => Prompt::completion(
                completion::induction(&task.message, task.visible(), n_examples),
                INDUCTION_STOPS,
                budgets.induction,
            ),
            PromptStyle::Chat => {
                talk(chat::induction(&task.message, task.visible(), thinks), budgets.induction)
            }
        });
    }
    let task = CallTask::read(task)?;
    let puzzle = Puzzle::of_task(&task);
    Ok(match (style, kind) {
        (PromptStyle::Completion, Kind::Abduction) if options.scratchpad => Prompt::completion(
            completion::noted_abduction(&puzzle),
            SCRATCHPAD_STOPS,
            budgets.abduction,
        ),
        (PromptStyle::Completion, _) if options.scratchpad => Prompt::completion(
            completion::noted_deduction(&puzzle),
            SCRATCHPAD_STOPS,
            budgets.deduction,
        ),
        (PromptStyle::Completion, Kind::Abduction) => Prompt::completion(
            completion::abduction(&puzzle, n_examples),
            ANSWER_STOPS,
            budgets.abduction,
        ),
        (PromptStyle::Completion, _) => Prompt::completion(
            completion::deduction(&puzzle, n_examples),
            ANSWER_STOPS,
            budgets.deduction,
        ),
        (PromptStyle::Chat, Kind::Abduction) => {
            talk(chat::abduction(&puzzle, thinks), budgets.abduction)
        }
        (PromptStyle::Chat, _) => talk(chat::deduction(&puzzle, thinks), budgets.deduction),
    })
}

/// The task whose program an induction proposal is about: the first of those given or, where there is none, because all
/// buffers are empty, the one that a run starts from.
pub(crate) fn reference(references: &[Task]) -> Result<CallTask> {
    match references.first() {
        Some(task) => CallTask::read(task),
        None => CallTask::read(&seed_task(Kind::Deduction)?),
    }
}

fn example_puzzles() -> impl Iterator<Item = Puzzle<'static>> + Clone {
    EXAMPLES.iter().map(Puzzle::of)
}

/// `puzzles` behind as many of our own examples as are missing; `seed` chooses the first of them.
fn with_fillers<'a>(puzzles: &[Puzzle<'a>], n_wanted: usize, seed: u64) -> Vec<Puzzle<'a>> {
    let n_missing = n_wanted.saturating_sub(puzzles.len()).min(EXAMPLES.len());
    let start = (seed % EXAMPLES.len() as u64) as usize;
    let fillers = example_puzzles().cycle().skip(start).take(n_missing);
    let mut shown: Vec<Puzzle<'a>> = fillers.collect();
    shown.extend(puzzles);
    shown
}

fn talk(messages: Vec<azr_plugin::Message>, max_new_tokens: u32) -> Prompt {
    Prompt { body: PromptBody::Chat(messages), stop: Vec::new(), max_new_tokens }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use azr_plugin::ErrorCode;
    use proptest::prelude::*;

    use super::*;
    use crate::options::TokenBudgets;
    use crate::shown as shown_safely;
    use crate::testing::{call_task, example_task, induction_task};

    fn options(style: &str) -> CodeOptions {
        let (prompt_style, require_think_tags) = match style {
            "completion" => (PromptStyle::Completion, true),
            "chat" => (PromptStyle::Chat, true),
            "scratchpad" => {
                return CodeOptions {
                    worked_examples: 0,
                    scratchpad: true,
                    references: 1,
                    ..CodeOptions::default()
                };
            }
            _ => (PromptStyle::Chat, false),
        };
        CodeOptions { prompt_style, require_think_tags, ..CodeOptions::default() }
    }

    fn request(kind: Kind, references: &[usize]) -> ProposeRequest {
        let from = if kind == Kind::Induction { Kind::Deduction } else { kind };
        let references = references.iter().map(|&example| example_task(from, example)).collect();
        ProposeRequest { kind: kind.as_str().to_owned(), references, seed: 5 }
    }

    fn solver_task(kind: Kind) -> Task {
        if kind == Kind::Induction { induction_task(6, 6) } else { example_task(kind, 6) }
    }

    /// A prompt as a reader would write it down.
    fn shown(prompt: &Prompt) -> String {
        let mut text = match &prompt.body {
            PromptBody::Text(text) => format!("{text}⏎\n"),
            PromptBody::Chat(messages) => messages
                .iter()
                .map(|message| format!("--- {} ---\n{}\n", message.role, message.content))
                .collect(),
        };
        let _ =
            write!(text, "=== at most {} tokens, stop at {:?}", prompt.max_new_tokens, prompt.stop);
        text
    }

    #[test]
    fn every_prompt_is_as_recorded() {
        for style in ["completion", "scratchpad", "chat", "chat_bare"] {
            let options = options(style);
            for kind in Kind::ALL {
                let references: &[usize] = if kind == Kind::Induction { &[3] } else { &[6, 7] };
                let proposal = propose(&options, &request(kind, references)).unwrap();
                insta::assert_snapshot!(
                    format!("{style}_propose_{}", kind.as_str()),
                    shown(&proposal)
                );
                let solution = solve(&options, &solver_task(kind)).unwrap();
                insta::assert_snapshot!(
                    format!("{style}_solve_{}", kind.as_str()),
                    shown(&solution)
                );
            }
        }
    }

    #[test]
    fn solver_prompts_never_show_what_is_sought() {
        let program = "def f(x):\n    return x * 1009 + 31";
        for style in ["completion", "scratchpad", "chat", "chat_bare"] {
            let options = options(style);
            let deduction = call_task(Kind::Deduction, program, "7777", "7847024");
            assert!(!shown(&solve(&options, &deduction).unwrap()).contains("7847024"));
            let abduction = call_task(Kind::Abduction, program, "7777", "7847024");
            assert!(!shown(&solve(&options, &abduction).unwrap()).contains("7777"));
            let induction = shown(&solve(&options, &induction_task(6, 6)).unwrap());
            assert!(!induction.contains(EXAMPLES[6].program));
            for (index, (input, output)) in EXAMPLES[6].calls[..6].iter().enumerate() {
                assert_eq!(
                    induction.contains(&format!("f({input}) == {output}")),
                    index < 3,
                    "{input}"
                );
            }
        }
    }

    #[test]
    fn the_seed_chooses_only_the_fillers() {
        let options = options("completion");
        let with_seed =
            |seed, references| ProposeRequest { seed, ..request(Kind::Deduction, references) };
        let prompt = |seed, references| propose(&options, &with_seed(seed, references)).unwrap();
        assert_eq!(prompt(1, &[6]), prompt(1, &[6]));
        assert_ne!(prompt(1, &[6]), prompt(2, &[6]));
        assert_eq!(prompt(1, &[6, 7, 0]), prompt(2, &[6, 7, 0]));
    }

    #[test]
    fn missing_references_are_filled_up_to_the_number_wanted() {
        let count = |references: u32, given: &[usize]| {
            let options = CodeOptions { references, ..options("completion") };
            shown(&propose(&options, &request(Kind::Deduction, given)).unwrap())
                .matches("\n# task")
                .count()
                - 1
        };
        assert_eq!(count(3, &[]), 3);
        assert_eq!(count(3, &[1, 2]), 3);
        assert_eq!(count(3, &[1, 2, 3, 4]), 4);
        assert_eq!(count(0, &[]), MIN_SHOWN);
        assert_eq!(count(32, &[]), EXAMPLES.len());
    }

    #[test]
    fn abduction_and_deduction_are_told_apart() {
        for style in ["completion", "chat", "chat_bare"] {
            let prompt =
                |kind| shown(&propose(&options(style), &request(kind, &[6, 7, 0])).unwrap());
            assert_ne!(prompt(Kind::Deduction), prompt(Kind::Abduction), "{style}");
        }
    }

    #[test]
    fn budgets_can_be_set_for_each_role_and_kind() {
        let budgets = TokenBudgets {
            propose: Some(1),
            deduction: Some(2),
            abduction: Some(3),
            induction: Some(4),
        };
        let options = CodeOptions { max_new_tokens: budgets, ..CodeOptions::default() };
        for (kind, budget) in Kind::ALL.into_iter().zip([2, 3, 4]) {
            assert_eq!(propose(&options, &request(kind, &[6])).unwrap().max_new_tokens, 1);
            assert_eq!(solve(&options, &solver_task(kind)).unwrap().max_new_tokens, budget);
        }
    }

    #[test]
    fn an_induction_proposal_without_a_reference_is_about_the_seed() {
        let options = options("completion");
        let references = vec![seed_task(Kind::Deduction).unwrap()];
        let from_seed = ProposeRequest { references, ..request(Kind::Induction, &[]) };
        let without = propose(&options, &request(Kind::Induction, &[])).unwrap();
        assert_eq!(without, propose(&options, &from_seed).unwrap());
    }

    #[test]
    fn what_no_prompt_can_be_made_of_is_an_error() {
        let options = CodeOptions::default();
        let unknown =
            ProposeRequest { kind: "guessing".to_owned(), references: Vec::new(), seed: 0 };
        let broken = Task { payload: "{}".to_owned(), ..example_task(Kind::Deduction, 0) };
        for error in
            [propose(&options, &unknown).unwrap_err(), solve(&options, &broken).unwrap_err()]
        {
            assert_eq!(error.code, ErrorCode::InvalidInput);
            assert!(error.hint.is_some());
        }
    }

    /// Programs and one-line texts made of the marks that prompts are made of.
    fn hostile() -> impl Strategy<Value = String> {
        let marks = "```|<answer>|</answer>|<think>|# task 9|#task|assert |f\\(|# hint: x|# f\\(1\\) == 2|<\\|im_end\\|>|</puzzle_1>";
        prop::string::string_regex(&format!("({marks}|\n|    |x|# |=){{0,6}}")).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn what_is_shown_never_looks_like_the_prompt(inner in hostile(), message in hostile()) {
            let program = format!("def f(x):\n    return x\n{inner}");
            let message = if shown_safely::line_of_text_is_safe(&message) { message } else { "m".to_owned() };
            if !shown_safely::program_is_safe(&program) {
                return Ok(());
            }
            let puzzle = Puzzle { program: &program, input: "1", output: "1" };
            let plain = Puzzle { program: "def f(x):\n    return x", ..puzzle };
            let marks = |text: &str| -> Vec<usize> {
                let starts = ["# task", "# hint", "# f(", "# find", "assert ", "f("];
                let lines = starts.iter().map(|start| text.lines().filter(|line| line.starts_with(start)).count());
                lines.chain(["```", "<answer>", "<think>", "<puzzle_", "<|"].iter().map(|mark| text.matches(mark).count())).collect()
            };
            let talked = |messages: Vec<azr_plugin::Message>| messages.iter().map(|message| format!("{}\n", message.content)).collect::<String>();
            let pairs = [("1", "1")];
            for (with, without) in [
                (completion::propose_call(Kind::Deduction, &[puzzle]), completion::propose_call(Kind::Deduction, &[plain])),
                (completion::propose_inputs(&program, 6, 2), completion::propose_inputs(plain.program, 6, 2)),
                (completion::deduction(&puzzle, 3), completion::deduction(&plain, 3)),
                (completion::abduction(&puzzle, 3), completion::abduction(&plain, 3)),
                (completion::noted_deduction(&puzzle), completion::noted_deduction(&plain)),
                (completion::noted_abduction(&puzzle), completion::noted_abduction(&plain)),
                (completion::induction(&message, pairs.into_iter(), 3), completion::induction("m", pairs.into_iter(), 3)),
                (talked(chat::propose_call(Kind::Deduction, &[puzzle], true)), talked(chat::propose_call(Kind::Deduction, &[plain], true))),
                (talked(chat::propose_inputs(&program, 6, true)), talked(chat::propose_inputs(plain.program, 6, true))),
                (talked(chat::deduction(&puzzle, false)), talked(chat::deduction(&plain, false))),
            ] {
                prop_assert_eq!(marks(&with), marks(&without));
            }
        }
    }
}
