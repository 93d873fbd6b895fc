//! Calls that a model predicted: own items in the formats of CRUXEval and LiveCodeBench.

use azr_eval::PromptStyle::{Chat, Completion};
use azr_eval::Suite;
use azr_eval::suites::code::{cruxeval, livecodebench};
use azr_plugin::PromptBody;

use super::{STYLES, executor, file, gold_is_right, reasons, verdicts};

const CRUXEVAL: &str = r#"{"id": "sample_0", "code": "def f(xs, k=1):\n    return [x * k for x in xs]", "input": "[1, 2], k=3", "output": "[3, 6]"}
{"id": "sample_1", "code": "def f(text):\n    return text.replace('a', '')", "input": "'banana'", "output": "'bnn'"}
{"id": "sample_3", "code": "def f(xs, key):\n    return sorted(xs, key=key)", "input": "[1, 2], lambda x: -x", "output": "[2, 1]"}
{"id": "sample_2", "code": "def f(n):\n    while n > 5: pass\n    return n", "input": "1.5", "output": "1.5"}
"#;

const EXECUTION: &str = r#"{"question_id": 2777, "id": "sample_7", "function_name": "count", "code": "def count(nums, k):\n    return sum(n > k for n in nums)", "input": "count(nums = [1, 2, 3], k = 1)", "output": "2", "numsteps": 9}
{"question_id": 2778, "code": "def say(s):\n    return s + ')'", "input": "say(')')", "output": "'))'"}
"#;

#[test]
fn gold_is_right_in_every_direction() {
    let Some(executor) = executor() else { return };
    let (_folder, path) = file(CRUXEVAL);
    gold_is_right(&cruxeval::open_output(&path).unwrap(), executor);
    gold_is_right(&cruxeval::open_input(&path).unwrap(), executor);
    let (_folder, path) = file(EXECUTION);
    let suite = livecodebench::open(&path).unwrap();
    assert_eq!(suite.ids(), ["sample_7", "2778"]);
    gold_is_right(&suite, executor);
}

#[test]
fn outputs_are_compared_by_value_and_never_run() {
    let Some(executor) = executor() else { return };
    let (_folder, path) = file(CRUXEVAL);
    let suite = cruxeval::open_output(&path).unwrap();
    for (item, response, reason) in [
        (0, " [3,6]", "ok"),
        (0, " [3.0, 6]", "ok"),
        (0, " (3, 6)", "wrong"),
        (0, " [1, 2] * 3", "not_literal"),
        (0, " f([1, 2], k=3)", "not_literal"),
        (1, " \"bnn\"  # without a", "ok"),
        (1, " __import__('os').system('true')", "not_literal"),
        (3, " 1.5000000000000002", "wrong"),
        (3, "", "no_answer"),
    ] {
        let verdicts = verdicts(&suite, executor, Completion, &[(item, response)]);
        assert_eq!(reasons(&verdicts), [reason], "{response}");
    }
    let (_folder, path) = file(EXECUTION);
    let suite = livecodebench::open(&path).unwrap();
    let chat = [(0, "It is\n```\ncount(nums = [1, 2, 3], k = 1) == 2\n```"), (0, "3"), (1, "'))'")];
    assert_eq!(reasons(&verdicts(&suite, executor, Chat, &chat)), ["ok", "wrong", "ok"]);
}

#[test]
fn any_input_that_gives_the_output_counts() {
    let Some(executor) = executor() else { return };
    let (_folder, path) = file(CRUXEVAL);
    let suite = cruxeval::open_input(&path).unwrap();
    let answers = [
        (0, "[3, 6])"),
        (0, "xs=(6, 12), k=0.5) == [3, 6]"),
        (0, "[3], 6)"),
        (0, "[1, 2], 3, 4)"),
        (1, "'bnn') or f('a')"),
        (1, "'abnn')"),
        (2, "[1, 2], lambda x: -x)"),
        (2, "[1, 2], lambda x: 0 - x)"),
        (2, "[2, 1], None)"),
        (3, "6)"),
        (3, "'b')"),
    ];
    let expected = [
        "ok",
        "ok",
        "wrong",
        "exception",
        "not_literal",
        "ok",
        "ok",
        "not_literal",
        "wrong",
        "time_limit",
        "exception",
    ];
    assert_eq!(reasons(&verdicts(&suite, executor, Completion, &answers)), expected);
    let chat = [(1, "```python\nf('bnana')\n```"), (1, "f('x')"), (1, "g('bnn')")];
    let expected = ["ok", "wrong", "not_literal"];
    assert_eq!(reasons(&verdicts(&suite, executor, Chat, &chat)), expected);
}

#[test]
fn worked_examples_are_true_and_the_answer_is_not_shown() {
    let Some(executor) = executor() else { return };
    let (_folder, path) = file(CRUXEVAL);
    let (output, input) =
        (cruxeval::open_output(&path).unwrap(), cruxeval::open_input(&path).unwrap());
    let text = |suite: &dyn Suite, style| match suite.prompt(1, style).body {
        PromptBody::Text(text) => text,
        PromptBody::Chat(mut messages) => messages.remove(0).content,
    };
    for style in STYLES {
        assert!(!text(&output, style).contains("bnn") && text(&output, style).contains("banana"));
        assert!(!text(&input, style).contains("banana") && text(&input, style).contains("bnn"));
    }
    assert!(text(&output, Completion).ends_with("\n\nassert f('banana') =="));
    assert!(text(&input, Completion).ends_with("\n\n# f(...) == 'bnn'\nassert f("));
    // Each example is a program and an assertion.
    let shown = text(&output, Completion);
    let examples: Vec<_> = shown.split("\n\n\n").filter(|part| !part.ends_with("==")).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (code, assertion) = example.split_once("\n\nassert f(").unwrap();
        let (arguments, value) = assertion.split_once(") == ").unwrap();
        let line =
            serde_json::json!({ "id": "a", "code": code, "input": arguments, "output": value });
        let (_folder, path) = file(&line.to_string());
        gold_is_right(&cruxeval::open_input(&path).unwrap(), executor);
    }
}

#[test]
fn broken_files_are_named_with_their_line() {
    for (text, reason) in [
        (CRUXEVAL.replace("\"output\": \"'bnn'\"", "\"out\": 1"), "line 2: missing field `output`"),
        (CRUXEVAL.replace("'bnn'", "f(1)"), "line 2: field `output`: expected"),
        (CRUXEVAL.replace("sample_1", "sample_0"), "line 2: item `sample_0` is in the file twice"),
        (CRUXEVAL[..40].to_owned(), "line 1: EOF while parsing a string"),
    ] {
        let (_folder, path) = file(&text);
        let error = cruxeval::open_output(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for (text, reason) in [
        (EXECUTION.replace("\"question_id\": 2778, ", ""), "line 2: missing field `id` or"),
        (EXECUTION.replace("say(')')", "say"), "line 2: field `input` is no call"),
    ] {
        let (_folder, path) = file(&text);
        let error = livecodebench::open(&path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
