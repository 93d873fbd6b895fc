//! Prompts as they are recorded, and what they never show.

use std::fmt::Write as _;

use azr_plugin::ErrorCode;

use super::*;
use crate::options::TokenBudgets;
use crate::testing::{call_task, example_task, induction_task};

const STYLES: [&str; 3] = ["completion", "chat", "chat_bare"];

fn options(style: &str) -> MathOptions {
    let prompt_style =
        if style == "completion" { PromptStyle::Completion } else { PromptStyle::Chat };
    MathOptions { prompt_style, require_think_tags: style != "chat_bare", ..MathOptions::default() }
}

fn request(kind: Kind, references: &[usize]) -> ProposeRequest {
    let from = if kind == Kind::Induction { Kind::Deduction } else { kind };
    let references = references.iter().map(|&example| example_task(from, example)).collect();
    ProposeRequest { kind: kind.as_str().to_owned(), references, seed: 5 }
}

fn solver_task(kind: Kind) -> Task {
    match kind {
        Kind::Induction => {
            induction_task(EXAMPLES[7].definition, &EXAMPLES[7].points.map(|(input, _)| input))
        }
        _ => example_task(kind, 7),
    }
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
    let _ = write!(text, "=== at most {} tokens, stop at {:?}", prompt.max_new_tokens, prompt.stop);
    text
}

#[test]
fn every_prompt_is_as_recorded() {
    for style in STYLES {
        let options = options(style);
        for kind in Kind::ALL {
            let references: &[usize] = if kind == Kind::Induction { &[2] } else { &[6, 7] };
            let proposal = propose(&options, &request(kind, references)).unwrap();
            insta::assert_snapshot!(format!("{style}_propose_{}", kind.as_str()), shown(&proposal));
            let solution = solve(&options, &solver_task(kind)).unwrap();
            insta::assert_snapshot!(format!("{style}_solve_{}", kind.as_str()), shown(&solution));
        }
    }
}

#[test]
fn solver_prompts_never_show_what_is_sought() {
    let definition = "f(x) = x * 1009 + 31";
    for style in STYLES {
        let options = options(style);
        let deduction = call_task(Kind::Deduction, definition, "7777");
        assert!(!shown(&solve(&options, &deduction).unwrap()).contains("7847024"));
        let abduction = call_task(Kind::Abduction, definition, "7777");
        assert!(!shown(&solve(&options, &abduction).unwrap()).contains("7777"));
        let induction = shown(&solve(&options, &solver_task(Kind::Induction)).unwrap());
        assert!(!induction.contains(EXAMPLES[7].definition));
        for (index, (input, output)) in EXAMPLES[7].points.iter().enumerate() {
            let is_shown = induction.contains(&format!("f({input}) = {output}"));
            assert_eq!(is_shown, index < 5, "{input}");
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
        let options = MathOptions { references, ..options("completion") };
        let prompt = propose(&options, &request(Kind::Deduction, given)).unwrap();
        shown(&prompt).matches("\n# task").count() - 1
    };
    assert_eq!(count(3, &[]), 3);
    assert_eq!(count(3, &[1, 2]), 3);
    assert_eq!(count(3, &[1, 2, 3, 4]), 4);
    assert_eq!(count(0, &[]), MIN_SHOWN);
    assert_eq!(count(32, &[]), EXAMPLES.len());
}

#[test]
fn abduction_and_deduction_are_told_apart() {
    for style in STYLES {
        let prompt = |kind| shown(&propose(&options(style), &request(kind, &[6, 7, 0])).unwrap());
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
    let options = MathOptions { max_new_tokens: budgets, ..MathOptions::default() };
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
    let options = MathOptions::default();
    let unknown = ProposeRequest { kind: "guessing".to_owned(), references: Vec::new(), seed: 0 };
    let broken = Task { payload: "{}".to_owned(), ..example_task(Kind::Deduction, 0) };
    for error in [propose(&options, &unknown).unwrap_err(), solve(&options, &broken).unwrap_err()] {
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.hint.is_some());
    }
}
