//! From seeds to grades, and that no verdict depends on another.

use azr_domain_math::{MathOptions, PromptStyle};
use azr_plugin::{
    Answer, Domain, Engine, ErrorCode, PromptBody, Proposal, ProposeRequest, Quiet, Services,
};

use crate::setup::{domain, grade, propose, task, verdicts};

#[test]
fn a_round_of_every_kind_starts_from_the_seeds() {
    let domain = domain(MathOptions::default());
    for kind in domain.kinds() {
        let seeds = domain.seed_tasks(&kind.name).unwrap();
        let references = domain.seed_tasks(&kind.references.from[0]).unwrap();
        let request =
            ProposeRequest { kind: kind.name.clone(), references: references.clone(), seed: 1 };
        assert_eq!(domain.propose_prompts(&[request]).unwrap().len(), 1);
        assert_eq!(domain.solve_prompts(&seeds).unwrap().len(), 1);
        let right = match kind.name.as_str() {
            "deduction" => " 7\n",
            "abduction" => "x = 14/2)\n",
            _ => "a) = a",
        };
        assert_eq!(verdicts(&grade(&domain, &seeds[0], &[right])), [(1.0, "ok")], "{}", kind.name);
        let response = match kind.name.as_str() {
            "induction" => {
                " nothing changes\nf(1)\nf(2)\nf(3)\nf(4)\nf(5)\nf(6)\nf(7)\nf(8)\nf(9)\nf(10)"
            }
            _ => "a, b) = gcd(a, b)^2\nf(12, 18)",
        };
        let validation = propose(&domain, &kind.name, &references, &[response]).remove(0);
        assert_eq!(
            (validation.reason.as_str(), validation.well_formed),
            ("ok", true),
            "{}",
            kind.name
        );
        assert!(validation.measures["nodes"] >= 1.0);
        let solved = domain.solve_prompts(&[validation.task.unwrap()]).unwrap().remove(0);
        let PromptBody::Text(text) = solved.body else { panic!("completion style is text") };
        let shown = if kind.name == "induction" { "# f(5) = 5\nlet f(" } else { "36 = f(" };
        assert_eq!(text.ends_with(shown), kind.name != "deduction", "{text}");
    }
}

#[test]
fn chat_style_goes_the_same_way() {
    let domain = domain(MathOptions { prompt_style: PromptStyle::Chat, ..MathOptions::default() });
    let response = "<think>roots</think>\n<answer>\n```expression\nf(x) = x^2 - 5*x + 6\n```\n```input\n3\n```\n</answer>";
    let task = task(&domain, "abduction", response);
    let answers = [
        "<think></think><answer>2</answer>",
        "<answer>f(3)</answer>",
        "<think></think><answer>`x = 3`</answer>",
        "<think></think><answer>4</answer>",
    ];
    let grades = grade(&domain, &task, &answers);
    assert_eq!(verdicts(&grades), [(1.0, "ok"), (1.0, "ok"), (1.0, "ok"), (0.0, "wrong")]);
    let well_formed: Vec<_> = grades.iter().map(|grade| grade.well_formed).collect();
    assert_eq!(well_formed, [true, false, true, true]);
}

/// The loop checks a wave in as many calls as it likes.
#[test]
fn no_verdict_depends_on_what_else_is_in_the_call() {
    let domain = domain(MathOptions::default());
    let responses = [
        "x) = x + 1\nf(1)",
        "n) = 9^9^9^n\nf(9)",
        "nothing",
        "x) = 1 / x\nf(0)",
        "x) = x + 1\nf(1)",
    ];
    let proposals: Vec<Proposal> = ["deduction", "abduction"]
        .into_iter()
        .flat_map(|kind| responses.map(|response| (kind.to_owned(), response.to_owned())))
        .map(|(kind, response)| Proposal { kind, references: Vec::new(), response })
        .collect();
    let square = task(&domain, "abduction", "x) = x^2\nf(3)");
    let answers: Vec<Answer> = ["3)", "-3)", "2)", "oops", "-3)"]
        .map(|response| Answer { task: square.clone(), response: response.to_owned() })
        .to_vec();
    let validations = domain.validate(&proposals, &Quiet).unwrap();
    let grades = domain.grade(&answers, &Quiet).unwrap();
    assert_eq!(verdicts(&grades)[..3], [(1.0, "ok"), (1.0, "ok"), (0.0, "wrong")]);
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
fn options_that_make_no_domain_are_refused() {
    let options = MathOptions { induction_inputs: 1, ..MathOptions::default() };
    let error = azr_domain_math::MathDomain::create(options, Services::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidConfig);
}
