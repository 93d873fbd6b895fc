//! What is held out stays out, and evaluating changes nothing.

use std::collections::BTreeSet;

use azr_plugin::Task;
use azr_selfplay::{BufferEntry, HeldOutSet, RolloutPhase, SelfPlayConfig, SelfPlayError, Silent};

use crate::toy::{Call, Toy};
use crate::{lasting, run, small};

/// Numbers whose subject is held out, as tasks of one kind.
pub(crate) fn held_out(kind: &str, numbers: impl IntoIterator<Item = u64>) -> HeldOutSet {
    let task = |number: u64| {
        // The subject keeps the other kinds' tasks out too, the key does not matter.
        let (key, subject) = (format!("held {number}"), number.to_string());
        let payload = number.to_string();
        BufferEntry {
            domain: "toy".into(),
            kind: kind.into(),
            step: 0,
            task: Task { kind: kind.into(), key, subject, payload },
        }
    };
    HeldOutSet { name: "heldout".into(), tasks: numbers.into_iter().map(task).collect() }
}

#[test]
fn a_held_out_subject_enters_no_buffer_and_teaches_no_solver() {
    let config =
        SelfPlayConfig { reuse_estimates: true, seed_tasks: 4, max_seed_rounds: 2, ..small() };
    let toy = Toy { n_tasks: 10, ..Toy::default() };
    // Of ten numbers eight are valid; half of those are held out, and so is the domain's own seed.
    let set = held_out("deduction", [1, 2, 3, 4, 1_000_000]);
    let mut selfplay = toy.start(config.clone()).unwrap().with_held_out(vec![set]).unwrap();
    let seeds = selfplay.seed(&Silent).unwrap();
    assert!(seeds.metrics["heldout/toy/induction/blocked"] >= 1.0, "the seed at least");
    let outputs = [vec![seeds], run(&mut selfplay, 1..=3)].concat();
    let is_free = |subject: &str| ["6", "7", "8", "9"].contains(&subject);
    let mut n_blocked = 0.0;
    for output in &outputs {
        assert!(output.admitted.iter().all(|entry| is_free(&entry.task.subject)));
        for record in output.rollouts.iter().filter(|r| r.phase == RolloutPhase::Estimate) {
            let is_free = is_free(record.task_key.as_deref().unwrap());
            assert!(record.score.is_some(), "it is graded as usual");
            assert_eq!(record.advantage.is_some(), is_free, "{record:?}");
        }
        for record in output.rollouts.iter().filter(|r| r.phase == RolloutPhase::Propose) {
            let is_held_out = record.task_key.as_deref().is_some_and(|key| !is_free(key));
            let is_rewarded = output.step > 0 && !is_held_out;
            assert_eq!(record.reward.is_some(), is_rewarded, "{record:?}");
            assert_eq!(record.advantage.is_some(), is_rewarded, "{record:?}");
        }
        for record in output.rollouts.iter().filter(|r| r.phase == RolloutPhase::Solve) {
            assert!(is_free(record.task_key.as_deref().unwrap()));
        }
        n_blocked += output.metrics["heldout/toy/abduction/blocked"];
    }
    assert!(n_blocked > 0.0);
    for output in &outputs[1..] {
        // What nobody learns from fills no batch: answers to six tasks of each kind are trained.
        for kind in ["deduction", "abduction", "induction"] {
            let trained = |phase| {
                let of_phase = output.rollouts.iter().filter(move |r| r.phase == phase);
                of_phase.filter(|r| r.kind == kind && r.advantage.is_some())
            };
            let estimated: BTreeSet<_> =
                trained(RolloutPhase::Estimate).map(|r| r.task_key.clone()).collect();
            assert_eq!(estimated.len() + trained(RolloutPhase::Solve).count(), 6, "{kind}");
        }
    }
    for (_, kind, buffer) in selfplay.buffers().iter() {
        let subjects = (0..buffer.len()).map(|at| &buffer.task(at).unwrap().subject);
        assert!(subjects.clone().all(|subject| is_free(subject)), "{kind}");
        assert!(subjects.count() > 0);
    }
    // Without the sets the same run has them all.
    let mut selfplay = toy.start(config).unwrap();
    let seeds = selfplay.seed(&Silent).unwrap();
    assert!(seeds.admitted.iter().any(|entry| !is_free(&entry.task.subject)));
    assert!(!seeds.metrics.contains_key("heldout/toy/abduction/blocked"));
}

#[test]
fn evaluating_is_greedy_and_changes_nothing() {
    let outputs = |evaluates: bool| {
        let toy = Toy { domains: vec!["toy", "other"], ..Toy::default() };
        let set = held_out("deduction", [2_000_001, 2_000_002]);
        let mut selfplay = toy.start(small()).unwrap().with_held_out(vec![set]).unwrap();
        let mut outputs = vec![selfplay.seed(&Silent).unwrap()];
        for step in 1..=3 {
            if evaluates {
                toy.take_calls();
                let first = selfplay.evaluate(step - 1, 0, true, &Silent).unwrap();
                let second = selfplay.evaluate(step - 1, 0, true, &Silent).unwrap();
                assert_eq!((&first.metrics, &first.rollouts), (&second.metrics, &second.rollouts));
                assert_eq!((first.rollouts.len(), first.step), (2, step - 1));
                let Call::Generate(requests) = &toy.take_calls()[0] else { panic!("no wave") };
                assert!(requests.iter().all(|r| r.sampling.temperature == 0.0));
            }
            outputs.extend(run(&mut selfplay, [step]));
        }
        lasting(outputs)
    };
    assert_eq!(outputs(true), outputs(false));
}

#[test]
fn solve_rates_are_means_of_kinds_and_long_tasks_count_as_not_solved() {
    let toy = Toy { n_answers: 1, ..Toy::default() };
    let sets = || {
        let [four, one] = [held_out("deduction", [4, 8, 12, 5]), held_out("abduction", [1])];
        vec![HeldOutSet { tasks: [four.tasks, one.tasks].concat(), ..held_out("deduction", []) }]
    };
    let rates = |max_prompt_tokens, tasks_per_kind, asks_all| {
        let config = SelfPlayConfig { max_prompt_tokens, ..small() };
        let mut selfplay = toy.start(config).unwrap().with_held_out(sets()).unwrap();
        selfplay.evaluate(0, tasks_per_kind, asks_all, &Silent).unwrap().metrics
    };
    // Every answer is 0, which solves the multiples of 4.
    let all = rates(100, 2, true);
    assert_eq!(all["heldout/solve_rate_deduction"], 0.75);
    assert_eq!(all["heldout/solve_rate_abduction"], 0.0);
    assert_eq!((all["heldout/solve_rate_mean"], all["heldout/n_tasks"]), (0.375, 5.0));
    for name in ["format_rate", "tokens_mean", "truncated_rate"] {
        assert!(all.contains_key(&format!("heldout/{name}")), "{name}");
    }
    // The part is asked of the same tasks whether or not the others are asked too.
    let part = rates(100, 2, false);
    let of_part = ("heldout/part/solve_rate_deduction", "heldout/part/n_tasks");
    assert_eq!((part[of_part.0], part[of_part.1]), (1.0, 3.0));
    assert!(part.iter().all(|(name, rate)| name.contains("/part/") && all[name] == *rate));
    let everything = rates(100, 0, false);
    assert_eq!(everything["heldout/part/solve_rate_deduction"], 0.75);
    assert_eq!(everything["heldout/n_tasks"], 5.0, "the part is all of it");
    assert_eq!(rates(3, 0, true)["heldout/solve_rate_mean"], 0.0);
}

#[test]
fn sets_that_cannot_be_evaluated_are_refused_in_words() {
    let refusal = |sets: Vec<HeldOutSet>| {
        let error = Toy::default().start(small()).unwrap().with_held_out(sets).unwrap_err();
        assert!(matches!(error, SelfPlayError::Config { .. }));
        error.to_string()
    };
    let set = || held_out("deduction", [1]);
    let slash = refusal(vec![HeldOutSet { name: "held/out".into(), ..set() }]);
    assert!(slash.contains("\"held/out\""), "{slash}");
    let toy = Toy { rejects_all: true, ..Toy::default() };
    let mut selfplay = toy.start(small()).unwrap();
    let outputs = [vec![selfplay.seed(&Silent).unwrap()], run(&mut selfplay, 1..=3)].concat();
    let names =
        outputs.iter().flat_map(|output| output.metrics.keys().chain(output.timings.keys()));
    for group in names.map(|name| name.split('/').next().unwrap()).collect::<BTreeSet<_>>() {
        let taken = refusal(vec![HeldOutSet { name: group.into(), ..set() }]);
        assert!(taken.contains(&format!("start with `{group}/`")), "{taken}");
    }
    let twice = refusal(vec![set(), set()]);
    assert!(twice.contains("two held-out sets"), "{twice}");
    let stranger = refusal(vec![held_out("riddle", [1])]);
    assert!(stranger.contains("riddle") && stranger.contains("eval.sets"), "{stranger}");
    let mut blank = set();
    blank.tasks[0].task.subject.clear();
    assert!(refusal(vec![blank]).contains("no subject"));
}
