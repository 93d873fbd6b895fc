//! The domain as a run sees it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use azr_domain_sql::{Cell, SqlDomain, rows};
use azr_plugin::{
    Answer, Domain, Engine, NoOptions, PromptBody, Proposal, Quiet, Services, Task, conformance,
};
use proptest::prelude::*;

fn domain() -> SqlDomain {
    SqlDomain::create(NoOptions {}, Services::default()).unwrap()
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
    let n_seeds = |kind: &str| domain().seed_tasks(kind).unwrap().len();
    let counts: Vec<usize> = domain().kinds().iter().map(|kind| n_seeds(&kind.name)).collect();
    assert_eq!(counts, [2, 2, 1]);
}

const ROWS: &str = "('joe', 52, 'oslo'), ('amy', 19, 'bern'), ('sue', 33, 'oslo')";

#[test]
fn a_deduction_goes_from_proposal_to_grade() {
    let task = proposed(
        "deduction",
        &format!("{ROWS}\nSELECT name,  age FROM people WHERE city = 'oslo';\n\n"),
    )
    .unwrap();
    let prompt = solver_prompt(&task);
    assert!(
        prompt.ends_with(&format!("{ROWS}\nSELECT name, age FROM people WHERE city = 'oslo'\n=")),
        "{prompt}"
    );
    assert_eq!(score(&task, " ('sue', 33), ('joe', 52)\nand"), 1.0);
    assert_eq!((score(&task, " ('joe', 52)"), score(&task, "joe")), (0.0, 0.0));
}

#[test]
fn an_abduction_hides_the_last_row() {
    let task =
        proposed("abduction", &format!("{ROWS}\nSELECT avg(age) FROM people WHERE city = 'oslo'"))
            .unwrap();
    let prompt = solver_prompt(&task);
    assert!(!prompt.contains("sue") && prompt.ends_with("= (42.5)\nrow:"), "{prompt}");
    assert_eq!(
        (score(&task, " ('x', 33, 'oslo')"), score(&task, " ('x', 34, 'oslo')")),
        (1.0, 0.0)
    );
}

#[test]
fn an_induction_hides_half_of_its_tables() {
    // The reference's query is SELECT name FROM people WHERE age > 26.
    let tables = "('a', 30, 'x'), ('b', 2, 'x')\n('c', 27, 'x')\n('d', 90, 'x'), ('e', 26, 'y')\n('f', 28, 'z')";
    let task = proposed("induction", &tables[2..]).unwrap();
    let prompt = solver_prompt(&task);
    assert!(prompt.ends_with("('c', 27, 'x')\n= ('c')\nquery:"), "{prompt}");
    assert!(!prompt.contains("'f'") && !prompt.contains("> 26"), "{prompt}");
    assert_eq!(score(&task, " SELECT name FROM people WHERE age >= 27"), 1.0);
    assert_eq!(score(&task, " SELECT name FROM people WHERE age > 2"), 0.0);
    assert_eq!(score(&task, " SELECT name FROM people; DROP TABLE people"), 0.0);
    assert_eq!(proposed("induction", "('a', 30, 'x')"), Err("number_of_tables".into()));
}

#[test]
fn endless_work_ends_and_is_the_same_every_time() {
    let query = format!("SELECT count(*) FROM {}", ["people"; 20].join(","));
    for _ in 0..2 {
        let start = std::time::Instant::now();
        assert_eq!(proposed("deduction", &format!("{ROWS}\n{query}")), Err("too_much_work".into()));
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }
}

proptest! {
    #[test]
    fn the_parser_is_total_and_reads_what_is_written(
        any in any::<String>(),
        pieces in prop::collection::vec(prop_oneof![
            Just("'"), Just(","), Just(")"), Just("("), Just(" "), Just("NULL"), Just("-"), Just("1"), Just("."), Just("é"),
        ], 0..24),
        good in prop::collection::vec((any::<i64>(), "[ -&(-~]{0,8}", -1e6..1e6), 1..6),
    ) {
        let _ = (rows(&any), rows(&pieces.concat()));
        let texts: Vec<String> = good.iter().map(|(int, text, real)| format!("({int}, '{text}', NULL, {real:?})")).collect();
        let expected: Vec<Vec<Cell>> = good
            .iter()
            .map(|(int, text, real)| vec![Cell::Integer(*int), Cell::Text(text.clone()), Cell::Null, Cell::Real(*real)])
            .collect();
        prop_assert_eq!(rows(&texts.join(", ")), Some(expected));
    }

    #[test]
    fn any_query_gives_a_verdict(pieces in prop::collection::vec(prop_oneof![
        Just("SELECT"), Just("*"), Just("FROM"), Just("people"), Just("WHERE"), Just("age"), Just(">"), Just("1"),
        Just("ORDER BY"), Just("name"), Just("("), Just(")"), Just(","), Just("'a'"), Just("UNION"), Just("count(*)"),
        Just("||"), Just("LIKE"), Just("EXISTS"), Just("IN"), Just("JOIN"), Just("LIMIT"), Just("-"), Just("CAST"),
    ], 0..16)) {
        let text = format!("{ROWS}\nSELECT {}", pieces.join(" "));
        for kind in ["deduction", "abduction"] {
            if let Ok(task) = proposed(kind, &text) {
                let known = domain().known_answers(std::slice::from_ref(&task)).unwrap().remove(0);
                prop_assert!(known.right.iter().all(|right| score(&task, right) == 1.0), "{}", task.key);
                prop_assert!(known.wrong.iter().all(|wrong| score(&task, wrong) == 0.0), "{}", task.key);
            }
        }
    }
}
