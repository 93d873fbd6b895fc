//! What a step does, in what order, and that it does it again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use azr_rl_policy_gradient::Algorithm;
use azr_selfplay::{
    Clock, Observer, Phase, RolloutPhase, SelfPlayConfig, Silent, SolverBatch, StepOutput,
};

use crate::toy::{Call, Toy};
use crate::{all_settings, lasting, run, small, small_paper};

#[test]
fn the_same_run_twice_is_the_same() {
    for config in all_settings() {
        let outputs = || {
            let mut selfplay = Toy::default().start(config.clone()).unwrap();
            let seeds = selfplay.seed(&Silent).unwrap();
            lasting([vec![seeds], run(&mut selfplay, 1..=4)].concat())
        };
        let (first, second) = (outputs(), outputs());
        assert!(first == second, "{config:?}");
        assert!(first.iter().any(|output| !output.rollouts.is_empty()));
    }
}

#[test]
fn another_seed_is_another_run() {
    let responses = |seed| {
        let mut selfplay = Toy::default().start(SelfPlayConfig { seed, ..small() }).unwrap();
        selfplay.seed(&Silent).unwrap();
        run(&mut selfplay, 1..=1).remove(0).rollouts
    };
    assert_ne!(responses(1), responses(2));
}

#[test]
fn a_resumed_run_goes_on_as_if_it_had_never_stopped() {
    for config in all_settings() {
        let folder = tempfile::tempdir().unwrap();
        let mut selfplay = Toy::default().start(config.clone()).unwrap();
        let seeds = selfplay.seed(&Silent).unwrap();
        let before = run(&mut selfplay, 1..=3);
        selfplay.save(folder.path()).unwrap();
        let health = selfplay.health().clone();
        let uninterrupted = lasting(run(&mut selfplay, 4..=6));

        let admitted = [seeds].into_iter().chain(before).flat_map(|output| output.admitted);
        let health = serde_json::to_string(&health).unwrap();
        let log: Vec<String> =
            admitted.map(|entry| serde_json::to_string(&entry).unwrap()).collect();
        let mut resumed = Toy::default().start(config).unwrap();
        resumed.load(folder.path()).unwrap();
        resumed.restore_health(serde_json::from_str(&health).unwrap());
        resumed
            .restore_buffers(log.iter().map(|line| serde_json::from_str(line).unwrap()))
            .unwrap();
        assert_eq!(lasting(run(&mut resumed, 4..=6)), uninterrupted);
        assert_eq!(resumed.buffers(), selfplay.buffers());
    }
}

#[test]
fn domains_and_kinds_have_batches_of_their_own_size() {
    let sizes = [("two", 2), ("two/induction", 5), ("one/abduction", 0)];
    let batch_sizes = sizes.map(|(name, size)| (name.to_owned(), size)).into();
    let toy = Toy { domains: vec!["one", "two"], ..Toy::default() };
    let mut selfplay = toy.start(SelfPlayConfig { batch_sizes, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let rollouts = run(&mut selfplay, 1..=1).remove(0).rollouts;
    for phase in [RolloutPhase::Propose, RolloutPhase::Solve] {
        let n_of = |domain: &str, kind: &str| {
            let of = rollouts.iter().filter(|r| r.phase == phase && r.domain == domain);
            of.filter(|r| r.kind == kind).count()
        };
        let kinds = ["abduction", "deduction", "induction"];
        assert_eq!(kinds.map(|kind| n_of("one", kind)), [0, 6, 6], "{phase:?}");
        assert_eq!(kinds.map(|kind| n_of("two", kind)), [2, 2, 5], "{phase:?}");
    }
}

#[test]
fn every_phase_is_one_wave_or_one_batch_per_domain() {
    let toy = Toy { domains: vec!["one", "two"], ..Toy::default() };
    let mut selfplay = toy.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    assert!(toy.take_calls().is_empty(), "the domains' own seeds need no policy");
    selfplay.step(1, &Silent).unwrap();
    let calls = toy.take_calls();
    let n = |call: &Call| match call {
        Call::Generate(requests) => requests.iter().map(|request| request.seeds.len()).sum(),
        Call::End => 0,
        Call::Validate(n) | Call::Grade(n) => *n,
        Call::Update(request) => request.sequences.len(),
    };
    let kinds: String = calls
        .iter()
        .map(|call| match call {
            Call::Generate(_) => 'w',
            Call::End => 'e',
            Call::Validate(_) => 'v',
            Call::Grade(_) => 'g',
            Call::Update(_) => 'u',
        })
        .collect();
    assert_eq!(kinds, "wvvwggwggu");
    assert_eq!(n(&calls[0]), 2 * 3 * 6, "all kinds of all domains propose in one wave");
    assert_eq!((n(&calls[1]), n(&calls[2])), (18, 18));
    assert_eq!(n(&calls[3]), n(&calls[4]) + n(&calls[5]));
    assert_eq!(n(&calls[3]) % 4, 0, "four samples each");
    assert_eq!(n(&calls[6]), 36);
    assert_eq!(n(&calls[9]), 72, "both roles learn in one update");
}

fn keys(output: &StepOutput, phase: RolloutPhase) -> BTreeSet<(String, String)> {
    let of_phase = output.rollouts.iter().filter(|record| record.phase == phase);
    of_phase
        .map(|record| (record.kind.clone(), record.task_key.clone().unwrap_or_default()))
        .collect()
}

fn admitted(output: &StepOutput) -> BTreeSet<(String, String)> {
    output.admitted.iter().map(|entry| (entry.kind.clone(), entry.task.key.clone())).collect()
}

#[test]
fn the_solver_gets_this_or_the_previous_steps_tasks() {
    let outputs = |solver_batch| {
        let mut selfplay =
            Toy::default().start(SelfPlayConfig { solver_batch, ..small() }).unwrap();
        let seeds = selfplay.seed(&Silent).unwrap();
        [vec![seeds], run(&mut selfplay, 1..=5)].concat()
    };
    let same = outputs(SolverBatch::SameStep);
    let previous = outputs(SolverBatch::PreviousStep);
    // By then the buffers hold several times the batch, so that chance would not pick the new tasks.
    for step in 1..=5 {
        assert!(keys(&same[step], RolloutPhase::Solve).is_superset(&admitted(&same[step])));
        assert!(
            keys(&previous[step], RolloutPhase::Solve).is_superset(&admitted(&previous[step - 1]))
        );
    }
    assert_eq!(
        keys(&previous[1], RolloutPhase::Solve),
        admitted(&previous[0]),
        "nothing but seeds yet"
    );
}

#[test]
fn rewards_follow_form_validity_and_solve_rate() {
    let mut selfplay = Toy::default().start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    let mut n_learnable = 0;
    for record in &output.rollouts {
        match (record.phase, record.well_formed, record.solve_rate) {
            (RolloutPhase::Propose, true, Some(rate)) if 0.0 < rate && rate < 1.0 => {
                assert_eq!(record.reward, Some(1.0 - rate as f32));
                n_learnable += 1;
            }
            (RolloutPhase::Propose, true, Some(_)) => assert_eq!(record.reward, Some(-0.5)),
            (RolloutPhase::Propose, ..) => assert_eq!(record.reward, Some(-1.0)),
            (RolloutPhase::Estimate, ..) => {
                assert_eq!((record.reward, record.advantage), (None, None))
            }
            (RolloutPhase::Solve, true, _) if record.score == Some(1.0) => {
                assert_eq!(record.reward, Some(1.0))
            }
            (RolloutPhase::Solve, true, _) => assert_eq!(record.reward, Some(-0.5)),
            (RolloutPhase::Solve, false, _) => assert_eq!(record.reward, Some(-1.0)),
            (RolloutPhase::Evaluate, ..) => panic!("no step evaluates"),
        }
        assert_eq!(record.reward.is_some(), record.advantage.is_some());
    }
    assert!(n_learnable > 0);
    let informative = output.metrics["estimate/informative_rate"];
    assert!(informative > 0.0 && informative <= 1.0);
}

#[test]
fn malformed_but_valid_proposals_are_stored() {
    let mut selfplay = Toy::default().start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    let malformed =
        output.rollouts.iter().filter(|r| r.phase == RolloutPhase::Propose && !r.well_formed);
    let valid: Vec<_> =
        malformed.filter_map(|r| Some((r.kind.clone(), r.task_key.clone()?))).collect();
    assert!(!valid.is_empty() && valid.iter().all(|key| admitted(&output).contains(key)));
}

#[test]
fn solver_only_steps_propose_nothing() {
    let toy = Toy::default();
    let mut selfplay = toy.start(SelfPlayConfig { solver_only_steps: 1, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let outputs = run(&mut selfplay, 1..=2);
    assert!(outputs[0].rollouts.iter().all(|record| record.phase == RolloutPhase::Solve));
    assert!(outputs[0].metrics.keys().all(|name| !name.starts_with("propose/")));
    assert!(outputs[0].metrics.contains_key("solve/toy/deduction/accuracy"));
    assert_eq!(outputs[0].rollouts.len(), 18, "one seed task fills a batch of six");
    assert!(outputs[1].metrics.contains_key("propose/toy/deduction/valid_rate"));
}

#[test]
fn untrained_proposers_still_fill_the_buffers() {
    let toy = Toy::default();
    let mut selfplay = toy.start(SelfPlayConfig { train_proposer: false, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert!(!output.admitted.is_empty());
    let Some(Call::Update(update)) = toy.take_calls().pop() else { panic!("no update") };
    assert_eq!(update.sequences.len(), 18);
}

#[test]
fn estimates_can_be_reused_for_training() {
    let toy = Toy::default();
    let mut selfplay = toy.start(SelfPlayConfig { reuse_estimates: true, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    let of = |phase| output.rollouts.iter().filter(move |record| record.phase == phase);
    assert!(
        of(RolloutPhase::Estimate)
            .all(|record| record.reward.is_some() && record.advantage.is_some())
    );
    let n_tasks = of(RolloutPhase::Estimate).count() / 4;
    assert_eq!(
        of(RolloutPhase::Solve).count(),
        18 - n_tasks,
        "only the missing tasks are sampled afresh"
    );
}

#[test]
fn reused_estimates_are_groups_of_answers_to_one_prompt() {
    let toy = Toy { algorithm: Algorithm::DrGrpo, ..Toy::default() };
    let config = SelfPlayConfig { reuse_estimates: true, reuse_fills_batch: false, ..small() };
    let mut selfplay = toy.start(config).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    let of = |phase| -> Vec<_> { output.rollouts.iter().filter(|r| r.phase == phase).collect() };
    assert_eq!(of(RolloutPhase::Solve).len(), 18, "a whole batch besides");
    let mut n_learned_from = 0;
    // The samples of a task stand together.
    for group in of(RolloutPhase::Estimate).chunks(4) {
        assert!(group.iter().all(|record| record.task_key == group[0].task_key));
        let mean = group.iter().filter_map(|record| record.reward).sum::<f32>() / 4.0;
        for record in group {
            assert_eq!(record.advantage.unwrap(), record.reward.unwrap() - mean);
            n_learned_from += usize::from(record.advantage != Some(0.0));
        }
    }
    assert!(n_learned_from > 0);
    let proposals = of(RolloutPhase::Propose);
    assert!(proposals.iter().any(|record| record.advantage != Some(0.0)));
    let Some(Call::Update(update)) = toy.take_calls().pop() else { panic!("no update") };
    let n_trained = proposals.len() + of(RolloutPhase::Estimate).len() + 18;
    assert_eq!(update.sequences.len(), n_trained);
}

#[test]
fn tasks_can_be_answered_several_times() {
    let toy = Toy { algorithm: Algorithm::Grpo, has_reference: true, ..Toy::default() };
    let mut selfplay = toy.start(SelfPlayConfig { answers_per_task: 3, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    let answers: Vec<_> =
        output.rollouts.iter().filter(|record| record.phase == RolloutPhase::Solve).collect();
    assert_eq!(answers.len(), 3 * 18);
    assert!(answers.iter().any(|record| record.advantage != Some(0.0)));
    let solve = toy.take_calls().into_iter().rev().find_map(|call| match call {
        Call::Generate(requests) => Some(requests),
        _ => None,
    });
    assert!(solve.unwrap().iter().all(|request| request.seeds.len() % 3 == 0));
}

#[test]
fn the_reference_stays_what_the_policy_was() {
    let toy = Toy { algorithm: Algorithm::Grpo, ..Toy::default() };
    let config = SelfPlayConfig { answers_per_task: 2, ..small() };
    let message = toy.start(config.clone()).unwrap_err().to_string();
    assert!(message.contains("reference"), "{message}");
    let toy = Toy { has_reference: true, ..toy };
    let mut selfplay = toy.start(config.clone()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let outputs = run(&mut selfplay, 1..=3);
    assert!(outputs.iter().all(|output| output.metrics.contains_key("update/kl")));
    let calls = toy.take_calls();
    let updates = calls.iter().filter_map(|call| match call {
        Call::Update(update) => Some(update),
        _ => None,
    });
    assert_eq!(updates.clone().count(), 3);
    for sequence in updates.flat_map(|update| &update.sequences) {
        assert_eq!(sequence.reference_logprobs, vec![-1.0; sequence.response.len()]);
    }
    let plain = Toy { algorithm: Algorithm::Dapo, ..Toy::default() };
    let mut selfplay = plain.start(config).unwrap();
    selfplay.seed(&Silent).unwrap();
    assert!(!run(&mut selfplay, 1..=1)[0].metrics.contains_key("update/kl"));
}

#[test]
fn answers_that_are_compared_must_be_several() {
    let toy = Toy { algorithm: Algorithm::Rloo, ..Toy::default() };
    let message = toy.start(small()).unwrap_err().to_string();
    assert!(message.contains("selfplay.answers_per_task = 4"), "{message}");
    for config in [
        SelfPlayConfig { answers_per_task: 2, ..small() },
        SelfPlayConfig { reuse_estimates: true, ..small() },
    ] {
        toy.start(config).unwrap();
    }
}

#[test]
fn seeding_reaches_its_target_exactly() {
    let mut selfplay = Toy::default()
        .start(SelfPlayConfig { kinds: vec!["induction".into()], ..small_paper() })
        .unwrap();
    let output = selfplay.seed(&Silent).unwrap();
    for kind in ["deduction", "abduction", "induction"] {
        assert_eq!(
            selfplay.buffers().get("toy", kind).unwrap().len(),
            9,
            "induction refers to the other two"
        );
    }
    assert_eq!(output.admitted.len(), 27);
    assert!(output.admitted.iter().all(|entry| entry.step == 0));
    assert!(output.metrics["seed/rounds"] >= 2.0);
    assert_eq!(
        admitted(&output).len(),
        27,
        "seeds are distinct even where later tasks need not be"
    );
}

#[test]
fn equal_proposals_share_an_estimate_and_enter_once() {
    let toy = Toy { n_tasks: 2, ..Toy::default() };
    let steps = |config| {
        let mut selfplay = toy.start(config).unwrap();
        selfplay.seed(&Silent).unwrap();
        run(&mut selfplay, 1..=2)
    };
    // Of the numbers 0 and 1 only 1 is valid.
    let outputs = steps(small());
    let n_estimates = |output: &StepOutput| {
        output.rollouts.iter().filter(|r| r.phase == RolloutPhase::Estimate).count()
    };
    assert_eq!(n_estimates(&outputs[0]), 3 * 4);
    assert_eq!((outputs[0].admitted.len(), outputs[1].admitted.len()), (3, 0));
    assert_eq!(outputs[1].metrics["buffer/toy/deduction/duplicate_rate"], 1.0);
    assert_eq!(outputs[1].metrics["buffer/toy/deduction/size"], 2.0);
    let outputs = steps(SelfPlayConfig { dedupe: false, ..small() });
    assert!(n_estimates(&outputs[0]) > 12 && outputs[1].admitted.len() > 3);
}

#[test]
fn timings_come_from_the_clock_and_progress_reaches_the_observer() {
    struct Ticks(Mutex<u64>);
    impl Clock for Ticks {
        fn now(&self) -> Duration {
            let mut ticks = self.0.lock().unwrap();
            *ticks += 1;
            Duration::from_secs(*ticks)
        }
    }
    #[derive(Default)]
    struct Log(Mutex<Vec<(Phase, u64)>>, Mutex<Vec<(u64, u64, &'static str)>>);
    impl Observer for Log {
        fn phase_started(&self, phase: Phase, total: u64) {
            self.0.lock().unwrap().push((phase, total));
        }
        fn progress(&self, _phase: Phase, done: u64, total: u64, unit: &'static str) {
            self.1.lock().unwrap().push((done, total, unit));
        }
    }
    let toy = Toy { domains: vec!["one", "two"], ..Toy::default() };
    let mut selfplay = toy.start(small()).unwrap().with_clock(Box::new(Ticks(Mutex::new(0))));
    selfplay.seed(&Silent).unwrap();
    let log = Log::default();
    let output = selfplay.step(1, &log).unwrap();
    assert_eq!(output.timings["time/propose_s"], 1.0);
    assert_eq!(output.timings["time/update_s"], 1.0);
    assert_eq!(output.timings["time/step_s"], 15.0, "two readings per phase and two per step");
    assert!(
        output.timings["throughput/generate_tok_s"] > 0.0
            && output.timings["throughput/execute_s"] > 0.0
    );
    let phases: Vec<Phase> = log.0.lock().unwrap().iter().map(|(phase, _)| *phase).collect();
    use Phase::{Estimate, Grade, GradeEstimate, Propose, Solve, Update, Validate};
    assert_eq!(phases, [Propose, Validate, Estimate, GradeEstimate, Solve, Grade, Update]);
    assert_eq!(log.0.lock().unwrap()[0].1, 36 * 16);
    let validated: Vec<_> =
        log.1.lock().unwrap().iter().filter(|p| p.2 == "proposals").copied().collect();
    assert_eq!(validated, [(18, 36, "proposals"), (36, 36, "proposals")]);
}
