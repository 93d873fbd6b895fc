//! Options are checked against the engine's schema before the engine sees them.

use azr_host::{Host, HostError};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fixture::builtin_host;

fn refusal(options: Value) -> HostError {
    builtin_host().create_optimizer("echo", options).err().unwrap()
}

#[test]
fn an_unknown_option() {
    assert_snapshot!(refusal(json!({"marke": 1})), @"wrong option for optimizer `echo` at `/marke`: no such option; did you mean `marker`?");
    assert_snapshot!(refusal(json!({"a/b": 1})), @r"
    wrong option for optimizer `echo` at `/a~1b`: no such option
    hint: the options are `fault`, `marker`
    ");
    assert!(refusal(json!({"marke": 1})).is_usage());
}

#[test]
fn an_option_of_the_wrong_type() {
    assert_snapshot!(refusal(json!({"marker": "x"})), @r#"wrong option for optimizer `echo` at `/marker`: "x" is not of type "integer""#);
    assert_snapshot!(refusal(json!({"marker": -1})), @"wrong option for optimizer `echo` at `/marker`: -1 is less than the minimum of 0");
    assert_snapshot!(refusal(json!([])), @r#"wrong option for optimizer `echo` at `/`: [] is not of type "object""#);
}

#[test]
fn an_option_outside_its_choices() {
    let text = refusal(json!({"fault": "panic"})).to_string();
    assert!(
        text.starts_with("wrong option for optimizer `echo` at `/fault`: \"panic\" is not"),
        "{text}"
    );
}

#[test]
fn an_unknown_engine() {
    let host = builtin_host();
    let error = host.create_backend("ecko", json!({})).err().unwrap();
    assert_snapshot!(error, @r"
    there is no backend `ecko`; did you mean `echo`?
    hint: there are `echo`
    ");
    let error = Host::new().create_backend("cpu", json!({})).err().unwrap();
    assert_snapshot!(error, @r"
    there is no backend `cpu`
    hint: there are none
    ");
}
