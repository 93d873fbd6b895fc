//! Functions that a model wrote: own problems in the format of EvalPlus, honest answers, wrong ones and hostile ones.

use azr_eval::PromptStyle::{Chat, Completion};
use azr_eval::Suite;
use azr_eval::suites::code::{Synthesis, humaneval, mbpp};
use azr_plugin::PromptBody;

use super::{executor, file, gold_is_right, reasons, verdicts};

/// Item 0 needs its prompt's helper and import, item 1 is called `f` and calls itself, item 2 has floats, item 3 a value
/// that no process can hand out, item 4 needs modules and names that training refuses, item 5 has a root to find.
const HEADERS: &str = r#"{"task_id": "HumanEval/900", "prompt": "from typing import List\n\ndef twice(x):\n    return 2 * x\n\ndef doubled(xs: List[int]) -> List[int]:\n    \"\"\" Double each number.\n    >>> doubled([1])\n    [2]\n    \"\"\"\n", "entry_point": "doubled", "canonical_solution": "    return [twice(x) for x in xs]\n", "base_input": [[[1, 2]], [[]]], "plus_input": [[[123456789012345678901234567890]], [[true]]], "atol": 0, "contract": ""}

{"task_id": "HumanEval/901", "prompt": "def f(n):\n    \"\"\" Factorial.\"\"\"\n", "entry_point": "f", "canonical_solution": "    return 1 if n < 2 else n * f(n - 1)\n", "base_input": [[3], [0]], "plus_input": [[20]], "atol": 0}
{"task_id": "HumanEval/902", "prompt": "def halves(xs):\n    \"\"\" Half of each number.\"\"\"\n", "entry_point": "halves", "canonical_solution": "    return [x / 2 for x in xs]\n", "base_input": [[[1, 2.5]], [[-Infinity]]], "plus_input": [], "atol": 0}
{"task_id": "HumanEval/903", "prompt": "def shout(word, n):\n    \"\"\" Say the word n times.\"\"\"\n", "entry_point": "shout", "canonical_solution": "    return word.upper() * n\n", "base_input": [["a", 3], ["b", 2], ["c", 1], ["d", 4]], "plus_input": [["e", 2000000], ["\ud83d\ude00", 1]], "atol": 0}
{"task_id": "HumanEval/904", "prompt": "def digest(text):\n    \"\"\" The MD5 of a text that is an expression's value.\"\"\"\n", "entry_point": "digest", "canonical_solution": "    import hashlib, sys\n    return hashlib.md5(str(eval(text)).encode()).hexdigest()\n", "base_input": [["1 + 1"]], "plus_input": [], "atol": 0}
{"task_id": "HumanEval/905", "prompt": "def find_zero(xs):\n    \"\"\" A root of the polynomial.\"\"\"\n", "entry_point": "find_zero", "canonical_solution": "    return -xs[0] / xs[1]\n", "base_input": [[[-1, 2]], [[3, 1]]], "plus_input": [], "atol": 0.0001}
"#;

const TEXTS: &str = r#"{"task_id": "Mbpp/2", "prompt": "\"\"\"\nWrite a function to find what two tuples share.\nassert set(similar_elements((1, 2), (2, 3))) == {2}\n\"\"\"\n", "entry_point": "similar_elements", "canonical_solution": "\ndef similar_elements(a, b):\n  return tuple(set(a) & set(b))\n", "base_input": [[["x", "y", "z"], ["z", "y"]]], "plus_input": [[[], []]], "atol": 0, "assertion": ""}
{"task_id": "Mbpp/737", "prompt": "\"\"\"\nWrite a function to check whether a text starts with a vowel.\nassert check_str(\"annie\")\n\"\"\"\n", "entry_point": "check_str", "canonical_solution": "\nimport re\ndef check_str(text):\n  return re.match('[aeiou]', text)\n", "base_input": [["annie"], ["dawood"]], "plus_input": {}, "atol": 0}
{"task_id": "Mbpp/252", "prompt": "\"\"\"\nWrite a function to convert a complex number to polar coordinates.\nassert convert(1) == (1.0, 0.0)\n\"\"\"\n", "entry_point": "convert", "canonical_solution": "\nimport cmath\ndef convert(z):\n  return cmath.polar(z)\n", "base_input": [[1]], "plus_input": [["(1+2j)"]], "atol": 0}
"#;

fn headers() -> Synthesis {
    let (_folder, path) = file(HEADERS);
    humaneval::open(&path).unwrap()
}

fn texts() -> Synthesis {
    let (_folder, path) = file(TEXTS);
    mbpp::open(&path).unwrap()
}

#[test]
fn own_solutions_are_right_and_the_rest_is_told() {
    let Some(executor) = executor() else { return };
    let suite = headers();
    gold_is_right(&suite, executor);
    assert_eq!((suite.inputs(0), suite.inputs(3)), ((4, Some(0)), (6, Some(1))));
    gold_is_right(&texts(), executor);
}

#[test]
fn bodies_programs_and_blocks_are_understood() {
    let Some(executor) = executor() else { return };
    let suite = headers();
    let whole = "def doubled(xs):\n    return [x + x for x in xs]\n";
    let right = [
        "    return [x + x for x in xs]\n".to_owned(),
        "    ys = []\n    for x in xs:\n        ys.append(twice(x))\n    return ys\n\nprint(doubled(input()))\nassert doubled([1]) == 3\n".to_owned(),
        "    return [x + x for x in xs]\n```\nThat doubles them.".to_owned(),
        whole.to_owned(),
        format!("Here it is:\n```python\n{whole}```\nIt doubles."),
        format!("```python\nprint(doubled([1]))\n```\n{whole}"),
        format!("```python\n{whole}\n\nif __name__ == '__main__':\n    raise SystemExit\n```"),
        format!("```python\ndef doubled(xs):\n    return 0\n```\nNo:\n```python\n{whole}"),
        "```\nK = 2\ndef times(x): return K * x\ndoubled = lambda xs: list(map(times, xs))\n```".to_owned(),
        "<think>```python\ndef doubled(xs): return 1\n```</think>```python\ndef f(x): return x + x\ndef doubled(xs): return [f(x) for x in xs]\n```".to_owned(),
    ]
    .map(|text| (0, text));
    assert_eq!(reasons(&verdicts(&suite, executor, Completion, &right)), ["ok"; 10]);
    assert_eq!(reasons(&verdicts(&suite, executor, Chat, &right[3..])), ["ok"; 7]);
    let fenced_body = [(0, "```python\n    return [x + x for x in xs]\n```")];
    assert_eq!(reasons(&verdicts(&suite, executor, Chat, &fenced_body)), ["ok"]);
}

#[test]
fn wrong_answers_are_told_apart() {
    let Some(executor) = executor() else { return };
    let suite = headers();
    for (item, response, reason) in [
        (0, "    return xs\n", "wrong"),
        (0, "    return [x * 2 for x in xs][:1]\n", "wrong"),
        (0, "    return tuple(x * 2 for x in xs)\n", "wrong"),
        (0, "    return (x * 2 for x in xs)\n", "no_plain_value"),
        (0, "    return xs[0] * missing\n", "exception"),
        (0, "    import numpy\n    return xs\n", "exception"),
        (0, "", "no_answer"),
        (0, "\n\n# later\n", "no_answer"),
        (0, "I cannot do this.", "no_answer"),
        (0, "    pass\n", "no_answer"),
        (0, "```python\ndef doubled(xs:\n    return\n```", "syntax"),
        (1, "    return n * f(n - 1)\n", "depth_limit"),
        (1, "    return 1 if n < 2 else n * f(n - 2)\n", "wrong"),
        (2, "    return [x / 2 + 1e-7 for x in xs]\n", "ok"),
        (2, "    return [x / 2 + 1e-4 for x in xs]\n", "wrong"),
        (5, "    return -xs[0] / xs[1] + 1e-6\n", "ok"),
        (5, "    return xs[0] / xs[1]\n", "wrong"),
    ] {
        let verdicts = verdicts(&suite, executor, Completion, &[(item, response)]);
        assert_eq!(reasons(&verdicts), [reason], "{item} {response}");
    }
    let (suite, style) = (texts(), Completion);
    let answers = [
        (0, "def similar_elements(a, b):\n    return [x for x in reversed(b) if x in a]"),
        (0, "def similar_elements(a, b):\n    return a"),
        (1, "def check_str(text):\n    return text[0] in 'aeiou'"),
        (1, "def check_str(text):\n    return text if text[0] in 'aeiou' else None"),
        (1, "def check_str(text):\n    return 'no'"),
        (2, "def convert(z):\n    return abs(z), __import__('cmath').phase(z)"),
        (2, "def convert(z):\n    return z.real, z.imag"),
    ];
    let expected = ["ok", "wrong", "ok", "ok", "wrong", "ok", "wrong"];
    assert_eq!(reasons(&verdicts(&suite, executor, style, &answers)), expected);
}

#[test]
fn hostile_answers_gain_nothing_and_harm_nobody() {
    let Some(executor) = executor() else { return };
    let suite = headers();
    let hostile = [
        ("    while True: pass\n", "time_limit"),
        ("    return 'a' * 10**7\n", "output_limit"),
        ("    return [0] * 10**12\n", "memory_limit"),
        (
            "    import os\n    os.system('echo hostile > /tmp/azr-eval-hostile')\n    return xs\n",
            "wrong",
        ),
        ("    import sys\n    sys.exit(0)\n", "exception"),
        ("    import os\n    os._exit(0)\n", "crashed"),
        ("    def g(n): return g(n + 1)\n    return g(0)\n", "depth_limit"),
        (
            "    class Right(list):\n        def __eq__(self, other): return True\n    return Right([1])\n",
            "no_plain_value",
        ),
        (
            "    class Same(int):\n        def __eq__(self, other): return True\n    return [Same(x) for x in xs]\n",
            "no_plain_value",
        ),
        (
            "    global f\n    f = lambda calls: [[2, 4], [], [246913578024691357802469135780], [2]]\n    return xs\n",
            "wrong",
        ),
        (
            "    import builtins\n    builtins.isinstance = lambda *a: True\n    builtins.list = lambda *a: [2, 4]\n    return list(xs)\n",
            "wrong",
        ),
        (
            "    import os\n    os.write(3, b'\\x04\\0\\0\\0V[2]')\n    os._exit(0)\n",
            "no_plain_value",
        ),
        (
            "    print('[[2, 4], [], [246913578024691357802469135780], [2]]')\n    return None\n",
            "wrong",
        ),
        ("    raise SystemExit([[2, 4]])\n", "exception"),
        (
            "    import sys\n    frame = sys._getframe(1)\n    frame.f_globals['doubled'] = lambda xs: [2, 4]\n    return xs\n",
            "wrong",
        ),
    ];
    let answers = hostile.map(|(response, _)| (0, response));
    let verdicts = verdicts(&suite, executor, Completion, &answers);
    for ((response, expected), reason) in hostile.iter().zip(reasons(&verdicts)) {
        assert_eq!(reason, *expected, "{response}");
    }
    assert!(!std::path::Path::new("/tmp/azr-eval-hostile").exists());
}

#[test]
fn a_verdict_does_not_depend_on_what_else_is_graded() {
    let Some(executor) = executor() else { return };
    let responses = [
        (0, "    return [x + x for x in xs]\n"),
        (0, "    return xs\n"),
        (1, "    return 1 if n < 2 else n * f(n - 1)\n"),
        (0, "    return [x + x for x in xs]\n"),
        (0, "nothing"),
    ];
    let suite = headers();
    let together = verdicts(&suite, executor, Completion, &responses);
    let alone: Vec<_> = responses
        .iter()
        .flat_map(|response| verdicts(&headers(), executor, Completion, &[*response]))
        .collect();
    assert_eq!(together, alone);
    assert_eq!(reasons(&together), ["ok", "wrong", "ok", "ok", "no_answer"]);
}

#[test]
fn prompts_show_the_data_and_not_the_answer() {
    for (suite, shown) in [(&headers(), "def doubled"), (&texts(), "assert set(similar_elements(")]
    {
        for style in super::STYLES {
            let prompt = suite.prompt(0, style);
            let text = match &prompt.body {
                PromptBody::Text(text) => text,
                PromptBody::Chat(messages) => &messages[0].content,
            };
            assert!(text.contains(shown) && prompt.max_new_tokens > 0, "{text}");
            assert!(!text.contains("twice(x) for") && !text.contains("set(a)"), "{text}");
            assert_eq!(prompt.stop.is_empty(), style == Chat);
        }
    }
}

#[test]
fn broken_files_are_named_with_their_line() {
    let first = HEADERS.lines().next().unwrap();
    for (text, reason) in [
        (format!("{first}\n{first}\n"), "line 2: task `HumanEval/900` is in the file twice"),
        (format!("{first}\n{{\"task_id\": \"a/1\"}}"), "line 2: missing field `entry_point`"),
        (format!("\n{}", &first[..100]), "line 2: expected the end of a string at byte"),
        (first.replace("/900", ""), "line 1: `HumanEval` does not end with a number"),
        (first.replace("\"atol\": 0", "\"atol\": null"), "line 1: field `atol` is None"),
        (first.replace("[[[1, 2]], [[]]]", "[1]"), "line 1: field `base_input` is no list of"),
        (first.replace("\"doubled\"", "3"), "line 1: field `entry_point` is a int, not a text"),
        (
            TEXTS.lines().nth(1).unwrap().replace("[[\"annie\"], [\"dawood\"]]", "[]"),
            "line 1: `Mbpp/737` has no inputs",
        ),
        ("[1]".to_owned(), "line 1: expected an object, found a list"),
    ] {
        let (_folder, path) = file(&text);
        let error = humaneval::open(&path).unwrap_err().to_string();
        assert!(error.contains("data.jsonl") && error.contains(reason), "{error}");
    }
    let (_folder, path) = file(&TEXTS.replace("(1+2j)", "one"));
    let error = mbpp::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 3: 'one' is no complex number"), "{error}");
}

#[test]
fn a_reference_without_a_value_is_named() {
    let Some(executor) = executor() else { return };
    let (_folder, path) =
        file(&HEADERS.replace("return 1 if n < 2 else", "return 1 / 0 if n < 2 else"));
    let suite = humaneval::open(&path).unwrap();
    let answers = [azr_eval::Answer { item: 1, style: Completion, response: "    return 1" }];
    let error = suite.grade(&answers, executor, &azr_plugin::Quiet).unwrap_err().to_string();
    assert!(error.contains("`HumanEval/901` gives no value (exception)"), "{error}");
}
