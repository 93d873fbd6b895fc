//! From proposals to verified tasks: parse, check, evaluate, keep what is sound.

use std::collections::BTreeMap;

use azr_plugin::{CallContext, Proposal, Result, Task, Validation};

use crate::expression::{Definition, Work, list};
use crate::gate;
use crate::options::MathOptions;
use crate::parse::Form;
use crate::prompts::reference;
use crate::reason::Reason;
use crate::task::{CallTask, InductionTask, Kind};
use crate::wave;

/// Verifies proposals one by one.
pub(crate) fn validate(
    options: &MathOptions,
    proposals: &[Proposal],
    context: &dyn CallContext,
) -> Result<Vec<Validation>> {
    wave::each(proposals, context, |proposal| {
        let (verdict, well_formed) = verdict(options, proposal)?;
        let well_formed = well_formed
            && verdict.as_ref().err().is_none_or(|&reason| Form::of(options).allows(reason));
        let (task, measures, reason) = match verdict {
            Ok((task, measures)) => (Some(task), measures, Reason::Ok),
            Err(reason) => (None, BTreeMap::new(), reason),
        };
        Ok(Validation { task, well_formed, reason: reason.as_str().to_owned(), measures })
    })
}

type Measures = BTreeMap<String, f64>;
type Verdict = std::result::Result<(Task, Measures), Reason>;

/// What becomes of a proposal, and whether it is well formed as far as parsing tells.
fn verdict(options: &MathOptions, proposal: &Proposal) -> Result<(Verdict, bool)> {
    let form = Form::of(options);
    let kind = Kind::parse(&proposal.kind)?;
    if kind == Kind::Induction {
        let reference = reference(&proposal.references)?;
        let parsed = form.proposed_inputs(&proposal.response);
        let drafted = parsed.content.and_then(|proposed| {
            let definition = gate::subject(options, &reference.definition)?;
            gate::message(options, &proposed.message)?;
            let (points, work) = points(options, &definition, &proposed.arguments)?;
            let task =
                InductionTask { definition: definition.text(), message: proposed.message, points };
            Ok((task, definition, work))
        });
        return Ok((
            finished(drafted, |task, definition| task.to_task(definition))?,
            parsed.well_formed,
        ));
    }
    let parsed = form.proposed_call(&proposal.response);
    let drafted = parsed.content.and_then(|proposed| {
        let definition = gate::subject(options, &proposed.definition)?;
        let input = gate::input(options, &definition, &proposed.arguments)?;
        let (output, work) = gate::output(options, &definition, &input)?;
        let task = CallTask {
            definition: definition.text(),
            input: list(&input),
            output: output.to_string(),
        };
        Ok((task, definition, work))
    });
    Ok((finished(drafted, |task, definition| task.to_task(kind, definition))?, parsed.well_formed))
}

/// The points of an induction task and the most work that one of them takes. One value for all of them would make a
/// task that a constant solves.
fn points(
    options: &MathOptions,
    definition: &Definition,
    texts: &[String],
) -> std::result::Result<(Vec<(String, String)>, Work), Reason> {
    let mut points = Vec::new();
    let mut most = Work::default();
    for input in gate::distinct_inputs(options, definition, texts)? {
        let (output, work) = gate::output(options, definition, &input)?;
        most = Work { steps: most.steps.max(work.steps), bits: most.bits.max(work.bits) };
        points.push((list(&input), output.to_string()));
    }
    let is_constant = points.windows(2).all(|pair| matches!(pair, [a, b] if a.1 == b.1));
    if is_constant { Err(Reason::Constant) } else { Ok((points, most)) }
}

fn finished<T>(
    drafted: std::result::Result<(T, Definition, Work), Reason>,
    to_task: impl FnOnce(&T, &Definition) -> Result<Task>,
) -> Result<Verdict> {
    Ok(match drafted {
        Ok((task, definition, work)) => {
            Ok((to_task(&task, &definition)?, measures(&definition, work)))
        }
        Err(reason) => Err(reason),
    })
}

/// How hard a task looks. Of the points of an induction task the hardest counts.
fn measures(definition: &Definition, work: Work) -> Measures {
    let size = definition.size();
    [
        ("nodes", size.nodes as f64),
        ("depth", size.depth as f64),
        ("functions", size.functions as f64),
        ("steps", work.steps as f64),
        ("bits", work.bits as f64),
    ]
    .into_iter()
    .map(|(name, measure)| (name.to_owned(), measure))
    .collect()
}

#[cfg(test)]
mod tests {
    use azr_plugin::Quiet;

    use super::*;
    use crate::options::PromptStyle;
    use crate::testing::call_task;

    fn found(options: &MathOptions, kind: Kind, response: &str) -> Validation {
        let references = match kind {
            Kind::Induction => vec![call_task(Kind::Deduction, "f(x) = 12 / x", "3")],
            _ => Vec::new(),
        };
        let response = response.to_owned();
        let proposal = Proposal { kind: kind.as_str().to_owned(), references, response };
        validate(options, &[proposal], &Quiet).unwrap().remove(0)
    }

    fn assert_reasons(options: &MathOptions, kind: Kind, cases: &[(&str, &str, bool)]) {
        for (response, reason, well_formed) in cases {
            let validation = found(options, kind, response);
            assert_eq!(
                (validation.reason.as_str(), validation.well_formed),
                (*reason, *well_formed),
                "{response}"
            );
            assert_eq!(validation.task.is_some(), *reason == "ok");
            assert_eq!(validation.measures.is_empty(), *reason != "ok");
        }
    }

    #[test]
    fn a_sound_proposal_becomes_a_task_with_its_value() {
        for kind in [Kind::Deduction, Kind::Abduction] {
            let validation =
                found(&MathOptions::default(), kind, "n) = gcd(n, 6)**2 + 2^n\nf( 9 )");
            let task = CallTask::read(&validation.task.unwrap()).unwrap();
            assert_eq!(task.definition, "f(n) = gcd(n, 6)^2 + 2^n");
            assert_eq!((task.input.as_str(), task.output.as_str()), ("9", "521"));
            let measures: Vec<_> =
                validation.measures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let expected = [
                ("bits", 10.0),
                ("depth", 4.0),
                ("functions", 1.0),
                ("nodes", 9.0),
                ("steps", 11.0),
            ];
            assert_eq!(measures, expected);
        }
    }

    #[test]
    fn reasons_name_what_is_wrong_with_a_call() {
        let options = MathOptions {
            max_expression_chars: 60,
            max_depth: 6,
            max_input_chars: 12,
            max_output_chars: 12,
            ..MathOptions::default()
        };
        assert_reasons(
            &options,
            Kind::Deduction,
            &[
                ("x) = x + 1\nf(2)", "ok", true),
                ("x, y) = x + 1\nf(2, true)", "ok", true),
                ("", "no_expression", false),
                ("x) = x + 1", "no_input", false),
                ("x) = x +\nf(2)", "syntax", false),
                ("x) = y\nf(2)", "unknown_name", true),
                ("x) = sqrt(x)\nf(2)", "unknown_function", true),
                ("x) = abs(x, x)\nf(2)", "wrong_arguments", true),
                ("x) = 7\nf(2)", "constant", true),
                ("x) = sum(k, 1, 3, k)\nf(2)", "constant", true),
                ("x) = x + 1\nf(1 + 1)", "input_not_literal", true),
                ("x) = x + 1\nf(2, 3)", "input_not_literal", true),
                ("x) = x + 1\nf(1234567890123)", "input_too_long", true),
                ("x) = x^9 + 1\nf(123)", "output_too_long", true),
                ("x) = -------x\nf(1)", "expression_too_deep", true),
                (
                    "x) = x + 1000000000000000000000000000000000000000000000000000000\nf(1)",
                    "expression_too_long",
                    true,
                ),
                ("x) = 1 / x\nf(0)", "undefined", true),
                ("x) = x + 1\nf(true)", "type", true),
                ("x) = 9^9^9^x\nf(9)", "limit", true),
            ],
        );
    }

    #[test]
    fn reasons_name_what_is_wrong_with_inputs() {
        let options =
            MathOptions { induction_inputs: 3, max_message_chars: 20, ..MathOptions::default() };
        assert_reasons(
            &options,
            Kind::Induction,
            &[
                (" divide\nf(1)\nf(2)\nf(2)\nf(3)\nf(4)", "ok", true),
                (" divide\nf(1)\nf(2)\nf(4/2)", "too_few_inputs", true),
                (" divide\nf(1)\nf(2)\nf(x)", "input_not_literal", true),
                (" divide\nf(1)\nf(2)\nf(0)", "undefined", true),
                ("\nf(1)", "no_message", false),
                (" divide", "no_input", false),
                (" a very long story of division\nf(1)\nf(2)\nf(3)", "message_too_long", true),
                (" </think>\nf(1)\nf(2)\nf(3)", "breaks_format", true),
            ],
        );
        let references = vec![call_task(Kind::Deduction, "f(x) = x mod 2", "3")];
        let response = " odd\nf(1)\nf(3)\nf(5)".to_owned();
        let proposal = Proposal { kind: "induction".to_owned(), references, response };
        let validation = validate(&options, &[proposal], &Quiet).unwrap().remove(0);
        assert_eq!(validation.reason, "constant");
    }

    #[test]
    fn tags_and_contents_are_judged_apart() {
        let options = MathOptions { prompt_style: PromptStyle::Chat, ..MathOptions::default() };
        let blocks =
            |definition: &str| format!("```expression\n{definition}\n```\n```input\n2\n```");
        assert_reasons(
            &options,
            Kind::Deduction,
            &[
                (
                    &format!("<think>a</think><answer>{}</answer>", blocks("f(x) = x + 1")),
                    "ok",
                    true,
                ),
                (&blocks("f(x) = x + 1"), "ok", false),
                (
                    &format!("<think>a</think><answer>{}</answer>", blocks("f(x) = x +")),
                    "syntax",
                    true,
                ),
                (&format!("<think>a</think><answer>{}</answer>", blocks("x + 1")), "syntax", true),
            ],
        );
    }

    #[test]
    fn an_induction_proposal_without_a_reference_is_about_the_seed() {
        let options = MathOptions { induction_inputs: 2, ..MathOptions::default() };
        let response = " give it back\nf(1)\nf([2])\n".to_owned();
        let without = Proposal { kind: "induction".to_owned(), references: Vec::new(), response };
        let validation = validate(&options, &[without], &Quiet).unwrap().remove(0);
        let task = InductionTask::read(&validation.task.unwrap()).unwrap();
        let points = [("1", "1"), ("[2]", "[2]")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(
            (task.definition.as_str(), task.points.as_slice()),
            ("f(x) = x", points.as_slice())
        );
    }
}
