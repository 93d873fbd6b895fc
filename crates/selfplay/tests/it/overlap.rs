//! Checks beside the wave: no result shows them, and trouble on either side ends both.

use std::error::Error as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use azr_selfplay::{
    Evaluation, Observer, Overlap, Phase, SelfPlayConfig, SelfPlayError, Silent, StepOutput,
};

use crate::heldout::held_out;
use crate::toy::{Call, Checks, Tells, Toy, Waits};
use crate::{all_settings, lasting, run, small};

/// Of a policy that is not on the processor.
fn elsewhere() -> Toy {
    Toy { domains: vec!["one", "two"], device: "elsewhere", ..Toy::default() }
}

/// Seeding, three steps and an evaluation.
fn results(toy: &Toy, config: SelfPlayConfig) -> (Vec<StepOutput>, Evaluation) {
    let set = held_out("deduction", 1..20);
    let mut selfplay = toy.start(config).unwrap().with_held_out(vec![set]).unwrap();
    let seeds = selfplay.seed(&Silent).unwrap();
    let outputs = lasting([vec![seeds], run(&mut selfplay, 1..=3)].concat());
    let evaluation = selfplay.evaluate(3, 0, true, &Silent).unwrap();
    (outputs, Evaluation { timings: Default::default(), ..evaluation })
}

#[test]
fn whatever_is_told_the_results_are_the_same() {
    for config in all_settings() {
        let never = SelfPlayConfig { overlap: Overlap::Never, ..config.clone() };
        let domains = vec!["toy", "other"];
        let expected = results(&Toy { domains: domains.clone(), ..elsewhere() }, never);
        assert!(!expected.1.rollouts.is_empty());
        for tells in [Tells::Nothing, Tells::Everything, Tells::Backwards, Tells::EveryThird] {
            for waits in [Waits::Not, Waits::ForOne, Waits::ForAll] {
                let toy = Toy { tells, waits, domains: domains.clone(), ..elsewhere() };
                let found = results(&toy, config.clone());
                assert!(found == expected, "{tells:?} {waits:?} {config:?}");
            }
        }
    }
}

#[test]
fn what_is_told_is_checked_before_the_wave_ends() {
    for (tells, n_left) in [(Tells::Backwards, [0, 0, 0]), (Tells::EveryThird, [24, 36, 24])] {
        let toy = Toy { tells, waits: Waits::ForAll, ..elsewhere() };
        let mut selfplay = toy.start(small()).unwrap();
        selfplay.seed(&Silent).unwrap();
        let output = selfplay.step(1, &Silent).unwrap();
        let calls = toy.take_calls();
        let (mut n_after, mut n_beside, mut is_wave) = (Vec::new(), 0, false);
        for call in &calls {
            match call {
                Call::Generate(_) => is_wave = true,
                Call::End => {
                    is_wave = false;
                    n_after.push(0);
                }
                Call::Validate(n) | Call::Grade(n) if is_wave => n_beside += n,
                Call::Validate(n) | Call::Grade(n) => *n_after.last_mut().unwrap() += n,
                Call::Update(_) => {}
            }
        }
        assert_eq!((n_after[0], n_after[2]), (n_left[0], n_left[2]), "{tells:?}");
        assert_eq!(n_after[1] > 0, n_left[1] > 0);
        assert_eq!(n_beside + n_after.iter().sum::<usize>(), output.rollouts.len());
    }
}

#[test]
fn the_phase_of_the_checks_is_what_the_wave_left_of_them() {
    #[derive(Default)]
    struct Log(Mutex<Vec<(&'static str, Phase, u64)>>);
    impl Log {
        fn note(&self, what: &'static str, phase: Phase, n: u64) {
            self.0.lock().unwrap().push((what, phase, n));
        }
    }
    impl Observer for Log {
        fn phase_started(&self, phase: Phase, total: u64) {
            self.note("start", phase, total);
        }
        fn progress(&self, phase: Phase, done: u64, total: u64, _unit: &'static str) {
            assert!(done <= total);
            self.note("progress", phase, done);
        }
        fn phase_finished(&self, phase: Phase) {
            self.note("end", phase, 0);
        }
    }
    let toy = Toy { tells: Tells::EveryThird, waits: Waits::ForAll, ..elsewhere() };
    let mut selfplay = toy.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let log = Log::default();
    let output = selfplay.step(1, &log).unwrap();
    let log = log.0.into_inner().unwrap();
    let mut phase_now = None;
    for &(what, phase, _) in &log {
        match what {
            "start" => assert_eq!(phase_now.replace(phase), None),
            "progress" => assert_eq!(phase_now, Some(phase), "one phase at a time is shown"),
            _ => assert_eq!(phase_now.take(), Some(phase)),
        }
    }
    let of = |what| {
        let found = log.iter().filter(move |(w, phase, _)| *w == what && *phase == Phase::Validate);
        found.map(|(_, _, n)| *n).collect::<Vec<_>>()
    };
    // A third is told; the call that it is in may still be under way when the wave ends.
    let (started, told) = (of("start"), of("progress"));
    assert!(started.len() == 1 && (24..=36).contains(&started[0]), "{started:?}");
    assert_eq!(told.last(), started.first());
    for name in ["time/validate_s", "time/validate_overlapped_s", "throughput/execute_s"] {
        assert!(output.timings[name] > 0.0, "{name}");
    }
    let parts = output.timings.iter().filter(|(name, _)| {
        name.ends_with("_s") && name.starts_with("time/") && !name.ends_with("overlapped_s")
    });
    let parts: f64 = parts.filter(|(name, _)| *name != "time/step_s").map(|(_, s)| s).sum();
    assert!(parts <= output.timings["time/step_s"], "{:?}", output.timings);
}

#[test]
fn a_policy_on_the_processor_has_it_for_itself() {
    let is_overlapped = |device, overlap| {
        let toy = Toy { device, tells: Tells::Everything, ..Toy::default() };
        let mut selfplay = toy.start(SelfPlayConfig { overlap, ..small() }).unwrap();
        selfplay.seed(&Silent).unwrap();
        let timings = run(&mut selfplay, 1..=1).remove(0).timings;
        timings.contains_key("time/grade_overlapped_s")
    };
    assert!(!is_overlapped("cpu (toy)", Overlap::Auto));
    assert!(is_overlapped("elsewhere", Overlap::Auto));
    assert!(is_overlapped("cpu (toy)", Overlap::Always));
    assert!(!is_overlapped("elsewhere", Overlap::Never));
}

#[test]
fn a_policy_that_tells_nonsense_is_named() {
    for (tells, message) in [
        (Tells::Twice, "policy broke its contract: it told a completion twice"),
        (Tells::Strangers, "policy broke its contract: it told a completion that nobody asked for"),
        (Tells::Lies, "policy broke its contract: it told another completion than it returned"),
    ] {
        for waits in [Waits::Not, Waits::ForOne, Waits::ForAll] {
            let toy = Toy { tells, waits, ..elsewhere() };
            let mut selfplay = toy.start(small()).unwrap();
            selfplay.seed(&Silent).unwrap();
            assert_eq!(selfplay.step(1, &Silent).unwrap_err().to_string(), message, "{waits:?}");
        }
    }
}

#[test]
fn a_check_that_fails_ends_its_wave() {
    let toy =
        Toy { tells: Tells::Everything, waits: Waits::ForAll, checks: Checks::Fail, ..elsewhere() };
    let mut selfplay = toy.start(small()).unwrap();
    selfplay.seed(&Silent).unwrap();
    let error = selfplay.step(1, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "domain one failed to validate proposals");
    assert_eq!(error.source().unwrap().to_string(), "out of order");
}

#[test]
fn a_wave_that_fails_ends_its_checks() {
    for (fails_waves, short_waves, message) in [
        (true, false, "policy failed to generate"),
        (false, true, "policy broke its contract: 0 completions for 1 seeds"),
    ] {
        let toy = Toy {
            tells: Tells::Everything,
            waits: Waits::ForOne,
            fails_waves,
            short_waves,
            checks: Checks::Last,
            ..elsewhere()
        };
        let mut selfplay = toy.start(small()).unwrap();
        selfplay.seed(&Silent).unwrap();
        assert_eq!(selfplay.step(1, &Silent).unwrap_err().to_string(), message);
    }
}

#[test]
fn cancelling_ends_both() {
    /// Cancels as soon as a check has begun.
    struct Cancel<'a>(&'a Toy, AtomicBool);
    impl Observer for Cancel<'_> {
        fn is_cancelled(&self) -> bool {
            let is_check = |call: &Call| matches!(call, Call::Validate(_));
            if self.0.calls.lock().unwrap().iter().any(is_check) {
                self.1.store(true, Ordering::Relaxed);
            }
            self.1.load(Ordering::Relaxed)
        }
    }
    for waits in [Waits::Not, Waits::ForOne, Waits::ForAll] {
        let toy = Toy { tells: Tells::Everything, waits, checks: Checks::Last, ..elsewhere() };
        let mut selfplay = toy.start(small()).unwrap();
        selfplay.seed(&Silent).unwrap();
        let cancelled = selfplay.step(1, &Cancel(&toy, false.into()));
        assert_eq!(cancelled, Err(SelfPlayError::Cancelled));
        assert!(!toy.take_calls().iter().any(|call| matches!(call, Call::Update(_))));
    }
}
