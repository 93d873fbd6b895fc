//! Engines of plugins under the conformance kit: sound ones, and each fault with the check that finds it.

use std::sync::Arc;
use std::time::Duration;

use azr_host::{CheckSettings, Host};
use azr_plugin::conformance::{Outcome, Report};
use azr_plugin::{EngineKind, ModelSpec};
use serde_json::{Value, json};

use crate::fixture::{bad_file, loaded_host};

fn settings(host: &Host, options: Value, limit: u64) -> CheckSettings {
    CheckSettings {
        options,
        executor: host.create_executor("echo", json!({})).ok(),
        model: Some(ModelSpec { path: "m".into(), vocabulary: vec![], eos: vec![], learns: true }),
        limit: Duration::from_secs(limit),
    }
}

/// What becomes of the domain `bad` with a fault.
fn report(fault: &str) -> Report {
    let mut host = loaded_host();
    host.load_file(bad_file()).unwrap();
    // Long enough for the checks that end, also on a busy machine.
    let limit = if fault == "hang" { 20 } else { 120 };
    let settings = settings(&host, json!({"fault": fault}), limit);
    Arc::new(host).check(EngineKind::Domain, "bad", &settings).unwrap()
}

fn failed(report: &Report) -> Vec<(&str, &str)> {
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let failed = report.checks.iter().filter(|check| failed(&check.outcome));
    failed
        .map(|check| match &check.outcome {
            Outcome::Failed(why) => (check.name.as_str(), why.as_str()),
            _ => unreachable!(),
        })
        .collect()
}

#[test]
fn a_sound_domain_passes() {
    let report = report("");
    report.assert_passed();
    let passed = report.checks.iter().filter(|check| check.outcome == Outcome::Passed).count();
    assert_eq!(passed, report.checks.len(), "nothing is skipped\n{report}");
}

/// Nobody is left who could be told about a panic of a destructor; it ends nothing.
#[test]
fn a_panic_in_drop_changes_nothing() {
    report("panic-in-drop").assert_passed();
}

#[test]
fn each_fault_is_found() {
    for (fault, check, why) in [
        (
            "panic",
            "known answers",
            "domain `bad` of plugin `azr-fixture-bad` panicked: it will not grade",
        ),
        ("panic-in-create", "given options", "panicked: it will not be made"),
        ("invalid-utf8", "answers of any text", "is no UTF-8"),
        ("giant-output", "answers of any text", "is no short word group"),
        ("wrong-number", "known answers", "answered with 9 grades where 10 were asked for"),
        ("no-key", "seed tasks", "a task of `double` has no key"),
        ("nan-score", "answers of any text", "scores NaN, which is not between 0 and 1"),
        ("nondeterministic", "each verdict for itself", "depends on what else is in the call"),
        ("unsound", "known answers", "the wrong answer \"3\" to the `double` task 1 scores 1"),
        ("bad-kind", "task kinds", "\"double\\n\" is no name of a kind"),
    ] {
        let report = report(fault);
        let found = failed(&report);
        assert!(
            found.iter().any(|(name, text)| *name == check && text.contains(why)),
            "{fault}: {found:#?}"
        );
    }
}

#[test]
fn a_domain_that_hangs_is_asked_nothing_more() {
    let report = report("hang");
    let found = failed(&report);
    assert_eq!(found, [("answers of any text", "timed out: it did not end within 20 s")]);
    let skipped = Outcome::Skipped("`answers of any text` did not end".into());
    assert_eq!(report.checks.last().unwrap().outcome, skipped, "{report}");
}

/// The engines of the echo plugin answer, but not what they were asked.
#[test]
fn an_echo_conforms_to_nothing() {
    let host = Arc::new(loaded_host());
    for (kind, check) in [
        (EngineKind::Tokenizer, "text there and back"),
        (EngineKind::Backend, "equal samples of equal seeds"),
        (EngineKind::Executor, "values"),
        (EngineKind::Domain, "proposals of any text"),
        (EngineKind::Optimizer, "finite plans"),
    ] {
        let report = host.check(kind, "echo", &settings(&host, json!({}), 120)).unwrap();
        let found = failed(&report);
        assert!(found.iter().any(|(name, _)| *name == check), "{kind}: {found:#?}");
        let ours = ["description", "default options", "given options", "unknown options"];
        assert!(found.iter().all(|(name, _)| !ours.contains(name)), "{kind}: {found:#?}");
    }
}

#[test]
fn options_are_checked_first() {
    let host = Arc::new(loaded_host());
    let report = host
        .check(
            EngineKind::Optimizer,
            "echo",
            &settings(&host, json!({"fault": "error-in-create"}), 60),
        )
        .unwrap();
    let found: Vec<_> = report.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(found, ["description", "default options", "given options"]);
    assert_eq!(report.checks[2].outcome, Outcome::Skipped("there is no echo here".into()));
    let wrong = settings(&host, json!({"marke": 1}), 60);
    let report = host.check(EngineKind::Optimizer, "echo", &wrong).unwrap();
    assert!(failed(&report)[0].1.contains("did you mean `marker`?"), "{report}");
    let error = host.check(EngineKind::Domain, "ecko", &wrong).unwrap_err();
    assert!(error.to_string().starts_with("there is no domain `ecko`"), "{error}");
}
