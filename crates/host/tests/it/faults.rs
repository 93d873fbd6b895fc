//! Plugins that panic or answer nonsense: the host lives on and the error names the plugin.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use azr_host::{Host, HostError};
use azr_plugin::{
    CallContext, Completion, CompletionSink, ControlTokens, ErrorCode, GenerateRequest, ModelSpec,
    PluginError, Policy, Quiet, Sampling,
};
use insta::assert_snapshot;
use serde_json::json;

use crate::fixture::{builtin_host, echo_file, loaded_host, text};

/// Answers of a faulty plugin, which are the same for a built-in and a loaded one.
fn both(check: impl Fn(&Host)) {
    insta::allow_duplicates! {
        check(&loaded_host());
        check(&builtin_host());
    }
}

fn encode(host: &Host, fault: &str) -> impl Fn() -> PluginError {
    let tokenizer = host.create_tokenizer("echo", json!({"fault": fault, "marker": 5})).unwrap();
    move || tokenizer.encode(&["a".into()], ControlTokens::AsText).unwrap_err()
}

/// Without the place of the panic, which only the hook of a loaded plugin sees.
fn without_place(error: &PluginError) -> String {
    let text = error.to_string();
    match (text.find(" (at "), text.find(')')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &text[..start], &text[end + 1..])
        }
        _ => text,
    }
}

fn request() -> GenerateRequest {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 1, stop: Vec::new() };
    GenerateRequest { prompt: vec![1], seeds: vec![1], sampling }
}

fn open(host: &Host, fault: &str) -> Box<dyn Policy> {
    let backend = host.create_backend("echo", json!({"fault": fault})).unwrap();
    backend
        .open(&ModelSpec {
            path: "m".into(),
            vocabulary: Vec::new(),
            eos: Vec::new(),
            learns: true,
        })
        .unwrap()
}

#[test]
fn a_panic_in_a_call_is_an_error_and_ends_the_instance() {
    both(|host| {
        let call = encode(host, "panic-in-call");
        let error = call();
        assert_eq!(error.code, ErrorCode::Panicked);
        assert_snapshot!(without_place(&error), @r"
        tokenizer `echo` of plugin `azr-fixture-echo` panicked: marker 5 exploded
        hint: this is a defect of the plugin: report it to its author
        ");
        let again = call();
        assert_eq!(again.code, ErrorCode::Panicked);
        assert_snapshot!(without_place(&again), @"tokenizer `echo` of plugin `azr-fixture-echo` is not called again, because it panicked before: marker 5 exploded");
        let sound = host.create_tokenizer("echo", json!({})).unwrap();
        assert!(
            sound.encode(&["a".into()], ControlTokens::AsText).is_ok(),
            "other instances live on"
        );
    });
}

#[test]
fn a_loaded_plugin_says_where_it_panicked() {
    let error = encode(&loaded_host(), "panic-in-call")();
    assert!(error.message.contains("(at ") && error.message.contains("lib.rs:"), "{error}");
}

#[test]
fn every_kind_of_engine_is_guarded() {
    both(|host| {
        let options = || json!({"fault": "panic-in-call"});
        let executor = host.create_executor("echo", options()).unwrap();
        let domain = host.create_domain("echo", options(), Arc::clone(&executor)).unwrap();
        let optimizer = host.create_optimizer("echo", options()).unwrap();
        let mut policy = open(host, "panic-in-call");
        let errors = [
            executor.run(&[], &Quiet).unwrap_err(),
            domain.grade(&[], &Quiet).unwrap_err(),
            optimizer.plan(0, &[]).unwrap_err(),
            policy.generate(&[], &Quiet, &Quiet).unwrap_err(),
            policy.load("x".as_ref()).unwrap_err(),
        ];
        for (error, name) in errors.iter().zip([
            "executor",
            "domain",
            "optimizer",
            "policy of backend",
            "policy of backend",
        ]) {
            assert_eq!(error.code, ErrorCode::Panicked);
            assert!(
                error.message.starts_with(&format!("{name} `echo` of plugin `azr-fixture-echo`")),
                "{error}"
            );
        }
    });
}

/// A domain calls the executor that the host lent; the panic of one is an ordinary error for the other.
#[test]
fn a_panic_of_a_lent_executor_is_an_error_in_the_domain() {
    both(|host| {
        let executor = host.create_executor("echo", json!({"fault": "panic-in-call"})).unwrap();
        let domain = host.create_domain("echo", json!({}), executor).unwrap();
        for _ in 0..2 {
            let error = domain.grade(&[], &Quiet).unwrap_err();
            assert!(error.message.starts_with("executor `echo` of plugin"), "{error}");
        }
        assert!(domain.seed_tasks("hall").is_ok(), "the domain itself did not panic");
    });
}

#[test]
fn a_panic_whose_payload_panics_too() {
    both(|host| {
        assert_snapshot!(without_place(&encode(host, "panic-twice")()), @r"
        tokenizer `echo` of plugin `azr-fixture-echo` panicked: no message
        hint: this is a defect of the plugin: report it to its author
        ");
    });
}

#[test]
fn a_panic_in_drop_is_swallowed() {
    both(|host| {
        drop(host.create_tokenizer("echo", json!({"fault": "panic-in-drop"})).unwrap());
        drop(open(host, "panic-in-drop"));
    });
}

#[test]
fn a_failing_constructor() {
    let file = echo_file();
    let host = loaded_host();
    let create =
        |fault: &str| host.create_tokenizer("echo", json!({"fault": fault})).err().unwrap();
    let error = create("error-in-create");
    assert!(!error.is_usage());
    assert_snapshot!(text(&error, file.parent().unwrap()), @r"
    cannot create tokenizer `echo` of plugin `<dir>/libazr_fixture_echo.so`
    cause: there is no echo here
    hint: go to the mountains
    ");
    let error = create("panic-in-create");
    let source = error.source().unwrap().downcast_ref::<PluginError>().unwrap();
    assert_eq!(source.code, ErrorCode::Panicked);
    assert_snapshot!(without_place(source), @r"
    creation of tokenizer `echo` of plugin `azr-fixture-echo` panicked: no echo in create
    hint: this is a defect of the plugin: report it to its author
    ");
    assert!(matches!(error, HostError::Create { .. }));
}

#[test]
fn an_answer_of_the_wrong_shape() {
    both(|host| {
        assert_snapshot!(encode(host, "short-answer")(), @r"
        tokenizer `echo` of plugin `azr-fixture-echo` answered with 0 token sequences where 1 were asked for
        hint: this is a defect of the plugin: report it to its author
        ");
        let error = open(host, "short-answer").generate(&[request()], &Quiet, &Quiet).unwrap_err();
        assert!(error.message.contains("0 groups of completions where 1"), "{error}");
    });
}

struct Bad;

impl CallContext for Bad {
    fn progress(&self, _done: u64, _total: u64) {
        panic!("the host's own defect");
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

impl CompletionSink for Bad {
    fn completed(&self, _request: usize, _sample: usize, _completion: &Completion) {
        panic!("the host's own ear");
    }
}

/// Whoever listens decides what to make of it.
#[test]
fn a_policy_may_tell_of_completions_that_nobody_asked_for() {
    #[derive(Default)]
    struct Places(Mutex<Vec<(usize, usize)>>);
    impl CompletionSink for Places {
        fn completed(&self, request: usize, sample: usize, _completion: &Completion) {
            self.0.lock().unwrap().push((request, sample));
        }
    }
    both(|host| {
        let (mut policy, places) = (open(host, "babbles"), Places::default());
        let completions = policy.generate(&[request()], &places, &Quiet).unwrap();
        assert_eq!(completions.len(), 1);
        let places = places.0.into_inner().unwrap();
        assert_eq!(places, [(usize::MAX, 7), (usize::MAX, 7), (0, 0)]);
    });
}

/// The panic neither unwinds through the plugin nor is blamed on it.
#[test]
fn a_panic_of_the_hosts_callback_goes_on_in_the_host() {
    both(|host| {
        let mut policy = open(host, "none");
        let payload =
            catch_unwind(AssertUnwindSafe(|| policy.generate(&[request()], &Quiet, &Bad)))
                .unwrap_err();
        assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "the host's own defect");
        let call = || policy.generate(&[request()], &Bad, &Quiet);
        let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "the host's own ear");
        assert!(
            policy.generate(&[request()], &Quiet, &Quiet).is_ok(),
            "the policy is not to blame"
        );
    });
}
