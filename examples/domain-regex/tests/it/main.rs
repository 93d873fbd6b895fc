//! The domain as a run sees it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use azr_domain_regex::{RegexDomain, texts};
use azr_plugin::{
    Answer, Domain, Engine, NoOptions, PromptBody, Proposal, ProposeRequest, Quiet, Services, Task,
    conformance,
};
use proptest::prelude::*;

fn domain() -> RegexDomain {
    RegexDomain::create(NoOptions {}, Services::default()).unwrap()
}

fn proposal(kind: &str, response: &str) -> Proposal {
    let references = domain().seed_tasks("deduction").unwrap();
    Proposal { kind: kind.into(), references, response: response.into() }
}

/// The task of a proposal, or the reason why there is none.
fn proposed(kind: &str, response: &str) -> Result<Task, String> {
    let verdict = domain().validate(&[proposal(kind, response)], &Quiet).unwrap().remove(0);
    verdict.task.ok_or(verdict.reason)
}

fn score(task: &Task, response: &str) -> f32 {
    let answer = Answer { task: task.clone(), response: response.into() };
    domain().grade(&[answer], &Quiet).unwrap()[0].score
}

fn solver_prompt(task: &Task) -> String {
    match domain().solve_prompts(std::slice::from_ref(task)).unwrap().remove(0).body {
        PromptBody::Text(text) => text,
        PromptBody::Chat(_) => unreachable!("prompts are texts"),
    }
}

#[test]
fn it_passes_the_conformance_kit() {
    conformance::domain(|| Ok(Arc::new(domain()) as _)).assert_passed();
}

#[test]
fn every_kind_has_seeds() {
    let counts = domain()
        .kinds()
        .iter()
        .map(|kind| domain().seed_tasks(&kind.name).unwrap().len())
        .collect::<Vec<_>>();
    assert_eq!(counts, [3, 3, 2]);
}

#[test]
fn a_deduction_goes_from_proposal_to_grade() {
    let task = proposed("deduction", "'[x-z]+', 'abzzyc')\nand so on").unwrap();
    let prompt = solver_prompt(&task);
    assert!(prompt.ends_with("find('[x-z]+', 'abzzyc') == '"), "{prompt}");
    assert_eq!(
        (score(&task, " 'zzy'"), score(&task, "'zz'"), score(&task, "zzy")),
        (1.0, 0.0, 0.0)
    );
}

#[test]
fn an_abduction_asks_for_what_only_its_length_and_end_show() {
    let task = proposed("abduction", "'[x-z]+', 'xyyz')").unwrap();
    let prompt = solver_prompt(&task);
    assert!(prompt.ends_with("# 4 characters, the last one is 'z'\nfull('[x-z]+', '"), "{prompt}");
    assert_eq!((score(&task, "zzzz')"), score(&task, " 'zzz')")), (1.0, 0.0));
    let same = proposed("abduction", "'[x-z]+', 'zzzz')").unwrap();
    assert_eq!(task.key, same.key, "another text for the same question is the same task");
}

#[test]
fn an_induction_hides_half_of_its_texts() {
    // The reference's pattern is [0-9]+.
    let task = proposed("induction", " '1', '23', '456', '0', 'a', 'b2', '', '1x'").unwrap();
    let prompt = solver_prompt(&task);
    assert!(prompt.ends_with("yes: '1', '23'\nno: 'a', 'b2'\npattern: '"), "{prompt}");
    assert!(!prompt.contains("456") && !prompt.contains("[0-9]"), "{prompt}");
    assert_eq!((score(&task, " '[0-9]*'"), score(&task, r" '\d+'")), (0.0, 1.0));
    assert_eq!(proposed("induction", "'1', '2'"), Err("number_of_texts".into()));
}

#[test]
fn proposals_are_asked_for_with_what_was_drawn() {
    for kind in domain().kinds() {
        let references = domain().seed_tasks("deduction").unwrap();
        let request = ProposeRequest { kind: kind.name, references, seed: 1 };
        let prompt = domain().propose_prompts(&[request]).unwrap().remove(0);
        assert!(matches!(prompt.body, PromptBody::Text(text) if text.contains("'[0-9]+'")));
    }
}

proptest! {
    #[test]
    fn the_parser_is_total_and_reads_what_is_written(
        any in any::<String>(),
        pieces in prop::collection::vec(prop_oneof![
            Just("'"), Just(","), Just(")"), Just("("), Just(" "), Just("\n"), Just("\\"), Just("a"), Just("é"), Just("+"),
        ], 0..24),
        good in prop::collection::vec("[ -&(-~]{0,8}", 1..6),
    ) {
        for text in [any, pieces.concat()] {
            if let Some(found) = texts(&text) {
                prop_assert!(found.iter().all(|found| text.contains(found.as_str()) && !found.contains('\'')));
            }
        }
        let line = format!("'{}'", good.join("', '"));
        prop_assert_eq!(texts(&line), Some(good.clone()));
        prop_assert_eq!(texts(&format!(" {line})\nmore")), Some(good));
    }

    #[test]
    fn what_becomes_a_task_is_solved_by_its_proposer(pattern in "[a-c.+*|()?]{1,8}", text in "[a-c]{1,8}") {
        for kind in ["deduction", "abduction"] {
            if let Ok(task) = proposed(kind, &format!("'{pattern}', '{text}'")) {
                let known = domain().known_answers(std::slice::from_ref(&task)).unwrap().remove(0);
                prop_assert!(known.right.iter().all(|right| score(&task, right) == 1.0));
                prop_assert!(known.wrong.iter().all(|wrong| score(&task, wrong) == 0.0));
            }
        }
    }
}
