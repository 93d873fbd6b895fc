//! Batches that come out short, engines that misbehave, settings that make no run.

use azr_rl_policy_gradient::Algorithm;
use azr_selfplay::{Observer, Phase, RolloutPhase, SelfPlayConfig, SelfPlayError, Silent};

use crate::toy::{Call, Toy};
use crate::{all_settings, run, small};

#[test]
fn metrics_are_finite_and_named_as_promised() {
    for config in all_settings() {
        let mut selfplay =
            Toy { domains: vec!["one", "two"], ..Toy::default() }.start(config).unwrap();
        let seeds = selfplay.seed(&Silent).unwrap();
        for output in [vec![seeds], run(&mut selfplay, 1..=3)].concat() {
            for (name, value) in output.metrics.iter().chain(&output.timings) {
                assert!(value.is_finite(), "{name} is {value}");
            }
            assert!(!output.metrics.contains_key("update/loss"), "the toy's loss is no number");
        }
    }
    let mut selfplay = Toy::default().start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let metrics = run(&mut selfplay, 1..=1).remove(0).metrics;
    for name in [
        "propose/toy/deduction/valid_rate",
        "propose/toy/deduction/learnability_mean",
        "propose/toy/deduction/reward_mean",
        "propose/toy/deduction/tokens_mean",
        "propose/toy/deduction/format_rate",
        "propose/toy/deduction/entropy",
        "propose/toy/deduction/measure_size",
        "solve/toy/induction/accuracy",
        "solve/toy/induction/format_rate",
        "solve/toy/induction/reward_mean",
        "solve/toy/induction/tokens_mean",
        "solve/toy/induction/entropy",
        "estimate/informative_rate",
        "update/entropy",
        "update/grad_norm",
        "update/clip_fraction",
        "update/logprob_gap",
        "update/lr",
        "update/skipped",
        "buffer/toy/abduction/size",
        "buffer/toy/abduction/duplicate_rate",
        "buffer/toy/abduction/duplicate_rate_stored",
        "buffer/toy/abduction/duplicate_rate_repeated",
        "propose/toy/deduction/solve_rate_hist_0",
        "propose/toy/deduction/solve_rate_hist_4",
        "buffer/toy/abduction/age_mean",
        "safety/flag_rate",
    ] {
        assert!(metrics.contains_key(name), "{name} is missing of {:?}", metrics.keys());
    }
    assert!(!metrics.contains_key("propose/toy/deduction/solve_rate_hist_5"), "four samples");
}

#[test]
fn without_a_valid_proposal_the_step_goes_on() {
    let toy = Toy { rejects_all: true, ..Toy::default() };
    let mut selfplay = toy.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert_eq!(output.metrics["propose/toy/abduction/valid_rate"], 0.0);
    assert_eq!(output.metrics["propose/toy/abduction/reject/multiple_of_5"], 6.0);
    assert!(!output.metrics.contains_key("estimate/informative_rate"));
    assert!(!output.metrics.contains_key("propose/toy/abduction/learnability_mean"));
    assert!(output.admitted.is_empty());
    assert_eq!(output.metrics["update/skipped"], 0.0, "seed tasks are solved meanwhile");
    for record in output.rollouts.iter().filter(|record| record.phase == RolloutPhase::Propose) {
        assert_eq!(
            (record.reward, record.advantage),
            (Some(-1.0), Some(0.0)),
            "equal rewards teach nothing"
        );
    }
    assert_eq!(output.metrics["baseline/toy/abduction/propose/std"], 0.0);
}

#[test]
fn when_every_prompt_is_too_long_nothing_happens() {
    let toy = Toy::default();
    let mut selfplay = toy.start(SelfPlayConfig { max_prompt_tokens: 2, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert!(
        output.rollouts.is_empty() && output.admitted.is_empty() && toy.take_calls().is_empty()
    );
    assert_eq!(output.metrics["update/skipped"], 1.0);
    assert_eq!(output.metrics["propose/toy/deduction/overlong"], 6.0);
    assert!(!output.metrics.contains_key("safety/flag_rate"));
}

#[test]
fn long_proposal_prompts_are_drawn_again_with_fewer_references() {
    let toy = Toy { reference_chars: 100, ..Toy::default() };
    // One letter and two references of a hundred.
    let mut selfplay =
        toy.start(SelfPlayConfig { max_prompt_tokens: 201, seed_tasks: 8, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    toy.take_calls();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert!(!output.metrics.contains_key("propose/toy/deduction/overlong"));
    let Some(Call::Generate(requests)) = toy.take_calls().into_iter().next() else {
        panic!("no wave")
    };
    assert!(requests.iter().all(|request| request.prompt.len() <= 201));
    assert!(requests.iter().any(|request| request.prompt.len() == 201));
}

#[test]
fn tasks_that_cannot_be_asked_have_solve_rate_zero_and_are_not_stored() {
    let toy = Toy { solve_chars: 50, ..Toy::default() };
    let mut selfplay = toy.start(SelfPlayConfig { max_prompt_tokens: 40, ..small() }).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert!(output.admitted.is_empty());
    assert!(output.rollouts.iter().all(|record| record.phase == RolloutPhase::Propose));
    let valid: Vec<_> = output.rollouts.iter().filter(|record| record.task_key.is_some()).collect();
    assert!(!valid.is_empty());
    for record in valid {
        assert_eq!(record.solve_rate, Some(0.0));
        assert_eq!(record.reward, Some(if record.well_formed { -0.5 } else { -1.0 }));
    }
}

#[test]
fn scores_that_are_no_numbers_are_no_successes() {
    let mut selfplay = Toy { nan_scores: true, ..Toy::default() }.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert_eq!(output.metrics["solve/toy/deduction/accuracy"], 0.0);
    assert_eq!(output.metrics["estimate/informative_rate"], 0.0);
}

#[test]
fn flagged_responses_are_recorded() {
    let mut selfplay = Toy { suffix: " to outwit them", ..Toy::default() }.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let output = run(&mut selfplay, 1..=1).remove(0);
    assert_eq!(output.metrics["safety/flag_rate"], 1.0);
    assert_eq!(output.safety.len(), output.rollouts.len());
    assert_eq!(output.safety[3].text, output.rollouts[output.safety[3].rollout].response);
}

#[test]
fn seeding_that_gets_nowhere_gives_up() {
    let toy = Toy { rejects_all: true, ..Toy::default() };
    let mut selfplay =
        toy.start(SelfPlayConfig { seed_tasks: 9, max_seed_rounds: 3, ..small() }).unwrap();
    let output = selfplay.seed(&Silent).unwrap();
    assert_eq!((output.metrics["seed/rounds"], output.admitted.len()), (3.0, 3));
    assert_eq!(output.rollouts.len(), 3 * 18);
}

#[test]
fn an_empty_run_can_start_from_nothing() {
    let mut selfplay = Toy::default().start(small()).unwrap();
    let output = selfplay.step(1, &Silent).unwrap();
    assert!(!output.admitted.is_empty(), "proposals without references");
}

#[test]
fn a_reference_that_loses_scores_is_named() {
    let toy = Toy {
        algorithm: Algorithm::Grpo,
        has_reference: true,
        short_scores: true,
        ..Toy::default()
    };
    let config = SelfPlayConfig { answers_per_task: 2, ..small() };
    let error = toy.start(config).unwrap().step(1, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("reference broke its contract"), "{error}");
}

#[test]
fn an_optimizer_that_wants_a_reference_too_late_is_named() {
    let mut selfplay = Toy { late_kl: true, ..Toy::default() }.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    run(&mut selfplay, 1..=1);
    let error = selfplay.step(2, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("optimizer broke its contract"), "{error}");
}

#[test]
fn a_policy_that_loses_completions_is_named() {
    let mut selfplay = Toy { short_waves: true, ..Toy::default() }.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let error = selfplay.step(1, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "policy broke its contract: 0 completions for 1 seeds");
}

#[test]
fn cancelling_ends_the_step() {
    /// Cancels once a phase begins.
    struct Cancel(Phase, std::sync::atomic::AtomicBool);
    impl Observer for Cancel {
        fn phase_started(&self, phase: Phase, _total: u64) {
            if phase == self.0 {
                self.1.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        fn is_cancelled(&self) -> bool {
            self.1.load(std::sync::atomic::Ordering::Relaxed)
        }
    }
    for phase in [Phase::Propose, Phase::Validate, Phase::Grade] {
        let toy = Toy::default();
        let mut selfplay = toy.start(small()).unwrap();
        selfplay.seed(&Silent).unwrap();
        let cancelled = selfplay.step(1, &Cancel(phase, false.into()));
        assert_eq!(cancelled, Err(SelfPlayError::Cancelled));
        assert!(!toy.take_calls().iter().any(|call| matches!(call, Call::Update(_))));
    }
}

#[test]
fn impossible_runs_are_refused_at_once() {
    let refusal = |toy: Toy, config| toy.start(config).unwrap_err().to_string();
    let few = refusal(Toy::default(), SelfPlayConfig { learnability_samples: 1, ..small() });
    assert!(few.contains("learnability_samples is 1"), "{few}");
    let stranger =
        refusal(Toy::default(), SelfPlayConfig { kinds: vec!["deduktion".into()], ..small() });
    assert!(
        stranger.contains("deduktion") && stranger.contains("abduction, deduction, induction"),
        "{stranger}"
    );
    let unsolved_reward = [("inductoin".to_owned(), 0.5)].into();
    let strange = refusal(Toy::default(), SelfPlayConfig { unsolved_reward, ..small() });
    assert!(strange.contains("unsolved_reward names inductoin"), "{strange}");
    for (batch_sizes, message) in [
        ([("toys".to_owned(), 3)], "batch_sizes names toys, which is no domain of this run"),
        ([("toy/song".to_owned(), 3)], "toy/deduction, toy/abduction, toy/induction"),
        ([("toy".to_owned(), 0)], "nothing to propose"),
    ] {
        let config = SelfPlayConfig { batch_sizes: batch_sizes.into(), ..small() };
        let refused = refusal(Toy::default(), config);
        assert!(refused.contains(message), "{refused}");
    }
    let warm = refusal(Toy { temperature: 0.9, ..Toy::default() }, small());
    assert!(warm.contains("temperature is 0.9"), "{warm}");
    let empty = refusal(Toy { domains: Vec::new(), ..Toy::default() }, small());
    assert!(empty.contains("at least one domain"), "{empty}");
    let twice = refusal(Toy { domains: vec!["toy", "toy"], ..Toy::default() }, small());
    assert!(twice.contains("comes up twice"), "{twice}");
}
