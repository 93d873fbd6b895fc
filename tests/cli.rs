//! What the command line says, as snapshots.

use crate::fixtures::{Workspace, expect_code, stderr, stdout};

#[test]
fn help_of_train() {
    let w = Workspace::new();
    insta::assert_snapshot!(stdout(&expect_code(&mut w.azr(&["train", "--help"]), 0)));
}

#[test]
fn help_of_eval() {
    let w = Workspace::new();
    insta::assert_snapshot!(stdout(&expect_code(&mut w.azr(&["eval", "--help"]), 0)));
}

#[test]
fn wrong_usage_exits_2() {
    let w = Workspace::new();
    let text = stderr(&expect_code(&mut w.azr(&["train", "--stepz=3"]), 2));
    assert!(text.contains("--steps"), "{text}");
    let text = stderr(&expect_code(&mut w.azr(&["train", "--resume=a", "--model=b"]), 2));
    assert!(text.contains("--resume"), "{text}");
}

#[test]
fn inspect_shows_the_shape_of_a_model() {
    let w = Workspace::new();
    insta::assert_snapshot!(stdout(&expect_code(&mut w.azr(&["model", "inspect", "model"]), 0)));
}

#[test]
fn doctor_names_the_protections() {
    let w = Workspace::new();
    let text = stdout(&expect_code(&mut w.azr(&["doctor", "--format=json"]), 0));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let protections = report["protections"].as_array().unwrap();
    for name in ["monty/limits", "cpython/limits", "cpython/seccomp-program"] {
        assert!(protections.iter().any(|p| p["name"] == name && p["in_force"] == true), "{text}");
    }
    // What a strict sandbox says agrees with what is listed.
    let missing = protections.iter().find(|p| p["in_force"] == false);
    let strict = |arguments: &[&str]| {
        let code = if missing.is_some() { 1 } else { 0 };
        let said = stderr(&expect_code(&mut w.azr(arguments), code));
        if let Some(entry) = missing {
            let name = entry["name"].as_str().unwrap().rsplit('/').next().unwrap();
            assert!(said.contains(name), "{said}");
        }
    };
    strict(&["doctor", "--strict-sandbox"]);
    strict(&["train", "--strict-sandbox", "--steps=1", "--run-dir=run", "--model=model"]);
}

#[test]
fn a_strict_sandbox_is_refused_where_a_protection_is_missing() {
    let w = Workspace::new();
    let text = stderr(&expect_code(
        &mut w.azr(&[
            "train",
            "--model=model",
            "--strict-sandbox",
            "--set=executor.options.full.options.python=/nonexistent/python",
        ]),
        1,
    ));
    assert!(text.contains("/nonexistent/python") && text.contains("hint"), "{text}");
}
