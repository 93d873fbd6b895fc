//! What the command line says, as snapshots.

use crate::fixtures::{Workspace, expect_code, stderr, stdout};

#[test]
fn help_of_train() {
    let w = Workspace::new();
    insta::assert_snapshot!(stdout(&expect_code(&mut w.azr(&["train", "--help"]), 0)));
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
    assert!(protections.iter().any(|p| p["name"] == "limits" && p["in_force"] == true), "{text}");
}
