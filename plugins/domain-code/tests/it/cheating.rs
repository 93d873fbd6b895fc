//! Answers that were paid for by other implementations without being right.

use azr_domain_code::CodeOptions;
use azr_plugin::{Answer, Domain, Quiet};

use crate::setup::{domain, grade, square, squares, task, verdicts};

#[test]
fn arguments_cannot_close_the_call() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let task = square(&domain, "abduction");
    let answers = [
        "3)",
        "-3)",
        "3.0)",
        "2)",
        "3) or (True)",
        "0) or (True",
        "0) == 0 or f(3)",
        "__import__('os').system('x'))",
        "x := 3)",
    ];
    let grades = grade(&domain, &task, &answers);
    let scores: Vec<_> = grades.iter().map(|grade| grade.score).collect();
    assert_eq!(scores, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(grades[4..].iter().all(|grade| grade.reason == "answer_not_literal"));
}

#[test]
fn an_answer_that_is_code_is_never_run() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let marker = std::env::temp_dir().join(format!("azr-domain-code-{}", std::process::id()));
    let code = format!(" open({:?}, 'w').write('x') or 9", marker.display().to_string());
    let task = square(&domain, "deduction");
    let answers = [
        code.as_str(),
        " f(3)",
        " 3 * 3",
        " [9 for _ in [0]][0]",
        " (lambda: 9)()",
        " 9 if True else 0",
    ];
    let grades = grade(&domain, &task, &answers);
    assert!(grades.iter().all(|grade| grade.score == 0.0 && !grade.well_formed), "{grades:?}");
    assert!(!marker.exists());
}

#[test]
fn objects_that_claim_to_be_equal_are_no_values() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let any = "x):\n    class Any:\n        def __eq__(self, other): return True\n        def __hash__(self): return 0\n    return Any()";
    let list =
        "x):\n    class L(list):\n        def __eq__(self, other): return True\n    return L()";
    let int = "x):\n    class I(int):\n        def __eq__(self, other): return True\n        def __hash__(self): return 0\n    return I(1)";
    let grades = grade(&domain, &squares(&domain), &[any, list, int]);
    assert_eq!(verdicts(&grades), [(0.0, "non_value"); 3]);
    let lie = "x):\n    class L(list):\n        __class__ = list\n    return L()";
    assert_eq!(grade(&domain, &squares(&domain), &[lie])[0].score, 0.0);
}

#[test]
fn gold_values_cannot_be_found_in_the_process() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let frames = "x):\n    import sys\n    return sys._getframe(1).f_locals";
    // Would reach the callers' frames without an import, and look for a square among everything they hold.
    let generator = "x):\n    def g(): yield g\n    it = g()\n    frame = it.gi_frame\n    found = None\n    for step in it:\n        \
                     frame = it.gi_frame\n        while frame is not None:\n            for value in frame.f_locals.values():\n                \
                     if value == x * x: found = 'gold'\n            frame = frame.f_back\n    return found";
    let grades = grade(&domain, &squares(&domain), &[frames, generator]);
    assert_eq!(verdicts(&grades), [(0.0, "forbidden_import"), (0.0, "forbidden_name")]);
}

#[test]
fn one_answer_cannot_decide_about_another() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    // Returns its argument at first and 9 whenever it finds that it ran before.
    let leaky = "x):\n    import math\n    math.seen = getattr(math, 'seen', 0) + 1\n    return x if math.seen == 1 else 9\n\nf(9)";
    let task = task(&domain, "abduction", leaky);
    let answers: Vec<_> = ["1)", "2)", "9.0)", "4)"]
        .map(|text| Answer { task: task.clone(), response: text.to_owned() })
        .into();
    let together: Vec<_> = domain.grade(&answers, &Quiet).unwrap();
    assert_eq!(together.iter().map(|grade| grade.score).collect::<Vec<_>>(), [0.0, 0.0, 1.0, 0.0]);
    let alone = |answer| domain.grade(std::slice::from_ref(answer), &Quiet).unwrap().remove(0);
    assert_eq!(together, answers.iter().map(alone).collect::<Vec<_>>());
}

#[test]
fn redefined_builtins_change_only_the_program_itself() {
    let Some(domain) = domain(CodeOptions::default()) else { return };
    let shadowed = "x):\n    return x\n\n\nrepr = lambda x: '9'\n\nf('wrong')";
    let task = task(&domain, "deduction", shadowed);
    assert_eq!(
        verdicts(&grade(&domain, &task, &[" 'wrong'", " 9"])),
        [(1.0, "ok"), (0.0, "wrong")]
    );
}
