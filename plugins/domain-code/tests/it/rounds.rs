//! From seeds to grades, and which proposals are sound.

use azr_domain_code::{CodeOptions, InductionScore, PromptStyle};
use azr_plugin::{Answer, Domain, PromptBody, Proposal, ProposeRequest, Quiet};

use crate::setup::{domain, grade, propose, square, squares, task, verdicts};

#[test]
fn a_round_of_every_kind_starts_from_the_seeds() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    for kind in domain.kinds() {
        let seeds = domain.seed_tasks(&kind.name).unwrap();
        let references = domain.seed_tasks(&kind.references.from[0]).unwrap();
        let request =
            ProposeRequest { kind: kind.name.clone(), references: references.clone(), seed: 1 };
        assert_eq!(domain.propose_prompts(&[request]).unwrap().len(), 1);
        assert_eq!(domain.solve_prompts(&seeds).unwrap().len(), 1);
        let right = match kind.name.as_str() {
            "deduction" => " 'Hello world'\n",
            "abduction" => "a='Hello world')\n",
            _ => "a):\n    return a",
        };
        assert_eq!(verdicts(&grade(&domain, &seeds[0], &[right])), [(1.0, "ok")], "{}", kind.name);
        let response = match kind.name.as_str() {
            "induction" => " nothing changes\nf(1)\nf('a')\nf([])\nf({})\nf(2.5)\nf((1,))",
            _ => "a, b=2):\n    return [a] * b\n\nf('x', b=3)",
        };
        let validation = propose(&domain, &kind.name, &references, &[response]).remove(0);
        assert_eq!(
            (validation.reason.as_str(), validation.well_formed),
            ("ok", true),
            "{}",
            kind.name
        );
        let solved = domain.solve_prompts(&[validation.task.unwrap()]).unwrap().remove(0);
        let PromptBody::Text(text) = solved.body else { panic!("completion style is text") };
        let shown =
            if kind.name == "induction" { "# f([]) == []\ndef f(" } else { "['x', 'x', 'x']" };
        assert_eq!(text.contains(shown), kind.name != "deduction", "{text}");
    }
}

#[test]
fn only_sound_programs_become_tasks() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let cases = [
        ("x):\n    return x + 1\n\nf(1)", "ok"),
        (
            "s):\n    import collections\n    return collections.Counter(s)['a']\n\nf('banana')",
            "ok",
        ),
        ("x):\n    return x + 'a'\n\nf(1)", "exception"),
        ("x):\n    raise Exception(x)\n\nf(1)", "exception"),
        ("x):\n    raise SystemExit(0)\n\nf(1)", "exception"),
        ("n):\n    return f(n + 1)\n\nf(1)", "limit"),
        ("n):\n    while True:\n        n += 1\n\nf(1)", "limit"),
        ("n):\n    return 'a' * (1 << 40)\n\nf(1)", "limit"),
        ("x):\n    return str({'a', 'b', 'c', 'd', 'e', 'f', x})\n\nf('g')", "nondeterministic"),
        ("x):\n    return str(object())\n\nf(1)", "nondeterministic"),
        ("x):\n    return (y for y in x)\n\nf([1])", "non_value"),
        ("x):\n    return float('nan')\n\nf([1])", "non_value"),
        ("x):\n    print(x)\n\nf(1)", "none_output"),
        ("x):\n    return 'a' * 5000\n\nf(1)", "output_too_long"),
        ("x):\n    return '<' + '|im_end|>'\n\nf(1)", "breaks_format"),
        ("x):\n    return open(x)\n\nf('/etc/passwd')", "forbidden_name"),
        ("x, y):\n    return x\n\nf(1)", "exception"),
    ];
    let (responses, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let found = propose(&domain, "deduction", &[], &responses);
    let found: Vec<_> = found.iter().map(|validation| validation.reason.as_str()).collect();
    assert_eq!(found, expected);
}

/// The loop checks a wave in as many calls as it likes.
#[test]
fn no_verdict_depends_on_what_else_is_in_the_call() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let responses = [
        "x):\n    return x + 1\n\nf(1)",
        "x):\n    return x + 1\n\nf(2)",
        "n):\n    while True:\n        n += 1\n\nf(1)",
        "x):\n    return x + 1\n\nf(1)",
        "n):\n    return 'a' * (1 << 40)\n\nf(1)",
        "x):\n    return str({'a', 'b', 'c', 'd', 'e', 'f', x})\n\nf('g')",
        "nothing",
        "x):\n    return open(x)\n\nf('/etc/passwd')",
    ];
    let proposals: Vec<Proposal> = ["deduction", "abduction"]
        .into_iter()
        .flat_map(|kind| responses.map(|response| (kind.to_owned(), response.to_owned())))
        .map(|(kind, response)| Proposal { kind, references: Vec::new(), response })
        .collect();
    let answers = [
        (square(&domain, "deduction"), vec![" 9\n", " 6\n"]),
        (square(&domain, "abduction"), vec!["-3)\n", "2)\n", "-3)\n", "'a')\n"]),
        (task(&domain, "abduction", "x):\n    return x * x\n\nf(2)"), vec!["-2)\n", "-3)\n"]),
        (squares(&domain), vec!["x):\n    return x * x", "x):\n    while True:\n        pass"]),
    ];
    let answers: Vec<Answer> = answers
        .into_iter()
        .flat_map(|(task, responses)| responses.into_iter().map(move |text| (task.clone(), text)))
        .map(|(task, text)| Answer { task, response: text.to_owned() })
        .collect();
    let validations = domain.validate(&proposals, &Quiet).unwrap();
    let grades = domain.grade(&answers, &Quiet).unwrap();
    assert!(validations.iter().any(|validation| validation.task.is_some()));
    assert!(grades.iter().any(|grade| grade.score == 1.0));
    for size in [1, 3] {
        let parts = proposals.chunks(size).map(|part| domain.validate(part, &Quiet).unwrap());
        assert_eq!(parts.flatten().collect::<Vec<_>>(), validations);
        // Back to front, as completions may come.
        let parts = answers.rchunks(size).map(|part| domain.grade(part, &Quiet).unwrap());
        let parts: Vec<_> = parts.collect();
        assert_eq!(parts.into_iter().rev().flatten().collect::<Vec<_>>(), grades);
    }
}

#[test]
fn every_input_of_an_induction_proposal_must_run() {
    let Some(domain) = domain(CodeOptions { induction_inputs: 4, ..CodeOptions::default() }) else {
        return;
    };
    let reference = task(&domain, "deduction", "n):\n    return 12 // n\n\nf(3)");
    let responses = [" division\nf(1)\nf(2)\nf(3)\nf(4)", " division\nf(1)\nf(2)\nf(0)\nf(4)"];
    let found = propose(&domain, "induction", &[reference], &responses);
    assert_eq!((found[0].reason.as_str(), found[1].reason.as_str()), ("ok", "exception"));
    let item = found[0].task.as_ref().unwrap();
    let answers = [
        "n):\n    return 12 // n",
        "n):\n    return {1: 12, 2: 6}.get(n, 3)",
        "n):\n    return {1: 12, 2: 6}[n]",
    ];
    let grades = grade(&domain, item, &answers);
    assert_eq!(verdicts(&grades), [(1.0, "ok"), (0.0, "wrong"), (0.0, "exception")]);
}

#[test]
fn induction_counts_the_hidden_pairs_only() {
    for (induction_score, score) in [(InductionScore::Binary, 0.0), (InductionScore::Accuracy, 0.8)]
    {
        let options =
            CodeOptions { induction_inputs: 10, induction_score, ..CodeOptions::default() };
        let Some(domain) = domain(options) else { return };
        let reference = task(&domain, "abduction", "n):\n    return n * n\n\nf(3)");
        let response = " area\nf(0)\nf(1)\nf(2)\nf(3)\nf(4)\nf(5)\nf(6)\nf(7)\nf(8)\nf(9)";
        let item = propose(&domain, "induction", &[reference], &[response]).remove(0).task.unwrap();
        // Wrong for one hidden input, and for a shown one, which does not matter.
        let grades =
            grade(&domain, &item, &["n):\n    return n ** 2 if n not in (2, 9) else 'no'"]);
        assert_eq!(verdicts(&grades), [(score, "wrong")]);
    }
}

#[test]
fn chat_style_goes_the_same_way() {
    let Some(domain) =
        domain(CodeOptions { prompt_style: PromptStyle::Chat, ..CodeOptions::default() })
    else {
        return;
    };
    let response = "<think>a helper</think>\n<answer>\n```python\ndef double(x):\n    return x + x\n\n\ndef f(x):\n    \
                    return double(x)\n```\n```input\n'ab'\n```\n</answer>";
    let task = task(&domain, "abduction", response);
    let answers = [
        "<think></think><answer>'ab'</answer>",
        "<answer>f('ab')</answer>",
        "<think></think><answer>'ba'</answer>",
    ];
    let grades = grade(&domain, &task, &answers);
    assert_eq!(verdicts(&grades), [(1.0, "ok"), (1.0, "ok"), (0.0, "wrong")]);
    assert_eq!(
        grades.iter().map(|grade| grade.well_formed).collect::<Vec<_>>(),
        [true, false, true]
    );
}
