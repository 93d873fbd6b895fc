//! Servers with the faults that servers have.

use std::time::Instant;

use azr_plugin::{Message, Prompt, PromptBody, Quiet};

use super::loopback::{Loopback, Respond, http};
use super::*;
use crate::ask::Finish;

fn asker(server: &Loopback) -> ServerAsker {
    ServerAsker::new(ServerOptions {
        model: "parrot".into(),
        key: Some("secret-key".into()),
        concurrency: 3,
        timeout: Duration::from_secs(2),
        retries: 2,
        backoff: Duration::from_millis(5),
        ..ServerOptions::new(&server.url)
    })
}

fn text(text: &str, finish: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "choices": [{"text": text, "finish_reason": finish}], "usage": {"completion_tokens": 7},
    });
    http("200 OK", &body.to_string())
}

fn question(id: &str, seeds: &[u64]) -> Question {
    let body = PromptBody::Text(format!("{id}="));
    let prompt = Prompt { body, stop: vec!["\n".into()], max_new_tokens: 9 };
    Question { id: id.into(), prompt, seeds: seeds.to_vec() }
}

const GREEDY: Sampling = Sampling { temperature: 0.0, top_p: 1.0 };

fn ask(server: &Loopback, questions: &[Question]) -> Result<Vec<Vec<Response>>> {
    asker(server).ask(questions, GREEDY, &Quiet)
}

/// The words of the error that a server with this one response leads to.
fn refused(respond: Box<Respond>) -> (String, usize) {
    let server = Loopback::new(respond);
    let error = ask(&server, &[question("item-1", &[1])]).unwrap_err().to_string();
    assert!(error.contains(&server.url) && error.contains("`item-1`"), "{error}");
    assert!(!error.contains("secret-key"), "{error}");
    (error, server.n_seen())
}

#[test]
fn every_sample_is_one_request_and_responses_keep_their_order() {
    let server = Loopback::new(Box::new(|_, body| {
        let said = format!("{}{}\nmore", body["prompt"].as_str().unwrap(), body["seed"]);
        text(&said, if body["seed"] == 3 { "length" } else { "stop" })
    }));
    let questions: Vec<Question> =
        (0..9).map(|n| question(&n.to_string(), &[2 * n, 2 * n + 1])).collect();
    let responses = ask(&server, &questions).unwrap();
    for (n, of_question) in responses.iter().enumerate() {
        let texts: Vec<&str> = of_question.iter().map(|response| response.text.as_str()).collect();
        assert_eq!(texts, [format!("{n}={}", 2 * n), format!("{n}={}", 2 * n + 1)]);
        assert!(of_question.iter().all(|response| response.n_tokens == Some(7)));
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 18);
    let (head, body) = &seen[0];
    assert!(head.starts_with("POST /v1/completions "), "{head}");
    assert!(head.to_lowercase().contains("authorization: bearer secret-key"), "{head}");
    assert_eq!((&body["max_tokens"], &body["temperature"]), (&9.into(), &0.0.into()));
    assert_eq!((&body["stop"][0], &body["model"]), (&"\n".into(), &"parrot".into()));
}

#[test]
fn a_conversation_goes_to_the_chat_and_a_cut_response_is_known() {
    let server = Loopback::new(Box::new(|_, body| {
        let content = format!("to {}", body["messages"][0]["content"].as_str().unwrap());
        let choice =
            serde_json::json!({"message": {"content": content}, "finish_reason": "length"});
        http("200 OK", &serde_json::json!({"choices": [choice]}).to_string())
    }));
    let message = Message { role: "user".into(), content: "hello".into() };
    let body = PromptBody::Chat(vec![message]);
    let prompt = Prompt { body, stop: Vec::new(), max_new_tokens: 5 };
    let question = Question { id: "a".into(), prompt, seeds: vec![0] };
    let found = ask(&server, &[question]).unwrap().concat();
    let expected = Response { text: "to hello".into(), n_tokens: None, finish: Finish::Length };
    assert_eq!(found, [expected]);
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].0.starts_with("POST /v1/chat/completions "), "{}", seen[0].0);
    assert!(seen[0].1.get("stop").is_none());
}

#[test]
fn what_may_pass_is_tried_again_after_the_time_the_server_asks_for() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let n_calls = AtomicUsize::new(0);
        let server = Loopback::new(Box::new(move |_, _| {
            if n_calls.fetch_add(1, Ordering::SeqCst) < 2 {
                let head = format!("HTTP/1.1 {status}\r\nretry-after: 0.2\r\n");
                return format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").into();
            }
            text("4", "stop")
        }));
        let start = Instant::now();
        assert_eq!(ask(&server, &[question("2+2", &[1])]).unwrap()[0][0].text, "4");
        assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
        assert_eq!(server.n_seen(), 3);
    }
}

#[test]
fn a_server_that_keeps_failing_is_given_up_and_named() {
    let (error, n) = refused(Box::new(|_, _| http("500 Internal", "out of secret-key memory")));
    assert!(error.contains("status 500: out of … memory") && error.contains("3 times"), "{error}");
    assert_eq!(n, 3);
    let (error, n) = refused(Box::new(|_, _| http("401 Unauthorized", "wrong key")));
    assert!(error.contains("status 401: wrong key") && !error.contains("times"), "{error}");
    assert_eq!(n, 1, "a refusal is final");
    // It closes the connection without a word, or in the middle.
    let (_, n) = refused(Box::new(|_, _| Vec::new()));
    assert_eq!(n, 3);
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\"".to_vec();
    let (_, n) = refused(Box::new(move |_, _| half.clone()));
    assert_eq!(n, 3);
}

#[test]
fn garbage_is_an_error_at_once() {
    for (body, word) in [
        ("<html>", "no completion"),
        ("{\"choices\": []}", "no choices"),
        ("{\"choices\": [{}]}", "neither text nor message"),
        ("{\"choices\": 3}", "no completion"),
        ("", "no completion"),
    ] {
        let (error, n) = refused(Box::new(move |_, _| http("200 OK", body)));
        assert!(error.contains(word) && n == 1, "{error}");
    }
    let (error, _) = refused(Box::new(|_, _| b"this is no HTTP\r\n\r\n".to_vec()));
    assert!(error.contains("did not answer"), "{error}");
}

#[test]
fn a_giant_body_is_not_read_to_its_end() {
    let giant = format!("{{\"choices\": [{{\"text\": \"{}\"}}]}}", "a".repeat(17 << 20));
    let (error, n) = refused(Box::new(move |_, _| http("200 OK", &giant)));
    assert!(error.contains("longer than 16 MiB") && n == 1, "{error}");
}

#[test]
fn a_server_that_stalls_is_waited_for_no_longer_than_the_limit() {
    let server = Loopback::new(Box::new(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        Vec::new()
    }));
    let options = ServerOptions {
        timeout: Duration::from_millis(200),
        retries: 1,
        backoff: Duration::from_millis(5),
        ..ServerOptions::new(&server.url)
    };
    let start = Instant::now();
    let error = ServerAsker::new(options).ask(&[question("slow", &[1])], GREEDY, &Quiet);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`slow`") && error.contains("2 times"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn cancelling_does_not_wait_for_the_server() {
    struct Impatient;
    impl CallContext for Impatient {
        fn progress(&self, _: u64, _: u64) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let server = Loopback::new(Box::new(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        Vec::new()
    }));
    let start = Instant::now();
    let error = asker(&server).ask(&[question("a", &[1])], GREEDY, &Impatient).unwrap_err();
    assert!(error.is_cancelled() && start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_prompt_beyond_the_models_context_is_no_failure() {
    let body = r#"{"error": {"code": "context_length_exceeded", "message": "too long"}}"#;
    let server = Loopback::new(Box::new(move |_, _| http("400 Bad Request", body)));
    let found = ask(&server, &[question("long", &[1])]).unwrap();
    assert_eq!(found[0][0].finish, Finish::PromptTooLong);
    let (error, _) = refused(Box::new(|_, _| http("400 Bad Request", "no such model")));
    assert!(error.contains("no such model"), "{error}");
}

#[test]
fn the_models_of_a_server_are_listed() {
    let server = Loopback::new(Box::new(|head, _| {
        assert!(head.starts_with("GET /v1/models "), "{head}");
        http("200 OK", r#"{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}"#)
    }));
    assert_eq!(asker(&server).models().unwrap(), ["a", "b"]);
}
