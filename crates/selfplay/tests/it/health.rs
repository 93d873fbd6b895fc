//! Alarms, the guard on updates, what duplicates earn, and the controls of an experiment.

use std::collections::BTreeMap;

use azr_selfplay::{HealthConfig, Learnability, RolloutPhase, SelfPlayConfig, Silent, StepOutput};

use crate::toy::{Call, Toy};
use crate::{lasting, run, small};

/// Settings whose guard watches two updates.
fn guarded() -> SelfPlayConfig {
    let health = HealthConfig { guard_warmup_updates: 2, ..HealthConfig::default() };
    SelfPlayConfig { health, ..small() }
}

#[test]
fn an_update_unlike_all_before_is_left_out_and_said() {
    let toy = Toy { spike_at: Some(3), ..Toy::default() };
    let mut selfplay = toy.start(guarded()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let outputs = run(&mut selfplay, 1..=6);
    for output in &outputs {
        let is_spike = output.step == 4;
        assert_eq!(output.metrics["update/applied"], if is_spike { 0.0 } else { 1.0 });
        assert_eq!(output.metrics.contains_key("alarm/update-skipped"), is_spike);
        assert_eq!(output.alarms.len(), usize::from(is_spike), "{:?}", output.alarms);
    }
    assert!(outputs[3].alarms[0].message.contains("1000"), "{:?}", outputs[3].alarms);
}

#[test]
fn a_resumed_run_guards_as_one_that_was_not_interrupted() {
    let outputs = |resumes_at: Option<u64>, keeps_health: bool| {
        let toy = Toy { spike_at: Some(3), ..Toy::default() };
        let mut selfplay = toy.start(guarded()).unwrap();
        let mut admitted = selfplay.seed(&Silent).unwrap().admitted;
        let mut outputs = Vec::new();
        for step in 1..=6 {
            if resumes_at == Some(step) {
                let folder = tempfile::tempdir().unwrap();
                selfplay.save(folder.path()).unwrap();
                let health = selfplay.health().clone();
                selfplay = toy.start(guarded()).unwrap();
                selfplay.load(folder.path()).unwrap();
                selfplay.restore_buffers(admitted.clone()).unwrap();
                if keeps_health {
                    selfplay.restore_health(health);
                }
            }
            outputs.extend(run(&mut selfplay, [step]));
            admitted.extend(outputs.last().unwrap().admitted.clone());
        }
        lasting(outputs)
    };
    let whole = outputs(None, true);
    assert_eq!(outputs(Some(4), true), whole);
    assert_ne!(outputs(Some(4), false), whole, "without its state the guard lets the spike pass");
}

#[test]
fn steps_without_a_learnable_proposal_raise_an_alarm() {
    let toy = Toy { rejects_all: true, ..Toy::default() };
    let mut selfplay = toy.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let outputs = run(&mut selfplay, 1..=4);
    let names = |output: &StepOutput| -> Vec<String> {
        output.alarms.iter().map(|alarm| alarm.name.clone()).collect()
    };
    let counts: Vec<usize> = outputs.iter().map(|output| names(output).len()).collect();
    assert_eq!(counts, [0, 0, 3, 0], "one of each kind");
    assert!(names(&outputs[2]).iter().all(|name| name == "learnability"));
    assert_eq!(outputs[3].metrics["alarm/learnability"], 1.0, "it lasts");
}

#[test]
fn tasks_that_are_never_solved_are_not_learnable_whatever_they_earn() {
    let toy = Toy { nan_scores: true, ..Toy::default() };
    let config = SelfPlayConfig { learnability: Learnability::Inverse, ..small() };
    let mut selfplay = toy.start(config).unwrap();
    selfplay.seed(&Silent).unwrap();
    let outputs = run(&mut selfplay, 1..=3);
    assert!(outputs[2].metrics["propose/toy/deduction/learnability_mean"] == 1.0);
    assert_eq!(outputs[2].alarms.len(), 3, "{:?}", outputs[2].alarms);
}

#[test]
fn duplicates_earn_no_more_than_they_may() {
    // Of the numbers 0 and 1 only 1 is valid.
    let rewards = |duplicate_reward| {
        let toy = Toy { n_tasks: 2, ..Toy::default() };
        let mut selfplay = toy.start(SelfPlayConfig { duplicate_reward, ..small() }).unwrap();
        selfplay.seed(&Silent).unwrap();
        let outputs = run(&mut selfplay, 1..=2);
        let of = |output: &StepOutput| -> Vec<f32> {
            let valid = |r: &&azr_selfplay::RolloutRecord| {
                r.phase == RolloutPhase::Propose && r.well_formed && r.task_key.is_some()
            };
            output.rollouts.iter().filter(valid).filter_map(|record| record.reward).collect()
        };
        (of(&outputs[0]), of(&outputs[1]))
    };
    let (first, second) = rewards(-0.75);
    assert!(first.len() > 3 && second.len() > 3);
    assert!(first.iter().filter(|&&reward| reward > -0.75).count() <= 3, "one of each kind");
    assert!(first.iter().any(|&reward| reward > -0.75));
    assert!(second.iter().all(|&reward| reward == -0.75), "all are stored by then");
    assert!(rewards(1.0).1.iter().any(|&reward| reward != -0.75));
}

/// Rewards of proposals by kind, of answers by task.
fn groups(output: &StepOutput) -> BTreeMap<(String, Option<String>), Vec<f32>> {
    let mut groups: BTreeMap<_, Vec<f32>> = BTreeMap::new();
    for record in &output.rollouts {
        let task = record.task_key.clone().filter(|_| record.phase != RolloutPhase::Propose);
        groups.entry((record.kind.clone(), task)).or_default().extend(record.reward);
    }
    groups
}

#[test]
fn shuffled_rewards_are_the_same_ones_in_each_group_in_another_order() {
    let output = |shuffle_rewards| {
        let config = SelfPlayConfig { shuffle_rewards, answers_per_task: 3, ..small() };
        let mut selfplay = Toy::default().start(config).unwrap();
        selfplay.seed(&Silent).unwrap();
        run(&mut selfplay, 1..=1).remove(0)
    };
    let (dealt, shuffled) = (groups(&output(false)), groups(&output(true)));
    assert_ne!(dealt, shuffled);
    let sorted = |groups: BTreeMap<_, Vec<f32>>| -> Vec<Vec<f32>> {
        let sort = |mut rewards: Vec<f32>| {
            rewards.sort_by(f32::total_cmp);
            rewards
        };
        groups.into_values().map(sort).collect()
    };
    assert_eq!(sorted(dealt), sorted(shuffled));
}

#[test]
fn a_whole_run_of_the_solver_alone_learns_from_the_seeds() {
    let toy = Toy::default();
    let config = SelfPlayConfig {
        solver_only_steps: 100,
        seed_tasks: 8,
        reuse_estimates: true,
        answers_per_task: 3,
        ..small()
    };
    let mut selfplay = toy.start(config).unwrap();
    let seeds = selfplay.seed(&Silent).unwrap();
    assert_eq!(seeds.admitted.len(), 24);
    toy.take_calls();
    for output in run(&mut selfplay, 1..=3) {
        assert!(output.admitted.is_empty() && output.alarms.is_empty());
        assert_eq!(output.rollouts.len(), 3 * 6 * 3, "six tasks of each kind, three samples each");
        assert!(output.rollouts.iter().all(|r| r.phase == RolloutPhase::Solve));
    }
    let Some(Call::Generate(requests)) = toy.take_calls().into_iter().next() else {
        panic!("no wave")
    };
    assert!(requests.iter().all(|request| request.seeds.len() % 3 == 0), "a prompt is shared");
}
