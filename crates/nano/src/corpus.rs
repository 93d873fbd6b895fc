//! The pre-training documents: prompts of the code domain, each with a response that is right.

use anyhow::{Result, bail};
use azr_plugin::{Domain, Executor, Prompt, PromptBody, ProposeRequest, Task};
use serde_json::json;

use crate::draw::Draws;
use crate::program::Sketch;
use crate::solved::{Call, Noted, Plan, Solved, solve};

/// Statements of a function that is asked about, and how often.
const N_STATEMENTS: [(usize, usize); 4] = [(0, 10), (1, 22), (2, 30), (MAX_STATEMENTS, 38)];
/// Statements of a function that is proposed: what is too short has nothing to teach.
const N_PROPOSED_STATEMENTS: [(usize, usize); 2] = [(2, 20), (MAX_STATEMENTS, 80)];
/// Most of them. Held-out functions have more.
pub(crate) const MAX_STATEMENTS: usize = 3;
/// Inputs of an induction task; half of them are shown to the solver.
pub(crate) const INDUCTION_INPUTS: usize = 6;
/// Of a hundred documents, so many have answers that are worked out step by step: through notes, or as a program with one
/// operation a line. The others are direct: bare answers, or a program that is one expression. That is what a model like
/// this has to find out for itself: which manner pays.
const CAREFUL_PERCENT: usize = 80;
/// Of a hundred phrases of a task's description, so many are written down; the examples tell the others.
const TOLD_PERCENT: usize = 95;
/// Calls of one function in a document of direct answers: reading a program is dear, so it is asked about twice. Notes
/// about a second call would be copied from those about the first, and nobody would learn to follow the program.
const DIRECT_CALLS: usize = 2;

/// Weights of tokens in the loss. Questions, and most of a proposal, are drawn at random: there is little to learn from
/// them, and their gradient drowns that of the answers.
const QUESTION_WEIGHT: f32 = 0.05;
const PROPOSAL_WEIGHT: f32 = 0.3;
const ANSWER_WEIGHT: f32 = 1.0;
/// Of the beginning of a careful answer, where it parts from a direct one. What is taught often and what is begun often
/// are two things: the model shall be able to go step by step, but seldom do so before it found out that it pays.
const MANNER_WEIGHT: f32 = 0.12;

/// A text in parts, each with the weight of its tokens in the loss. The first part is a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) parts: Vec<(String, f32)>,
}

impl Document {
    pub(crate) fn text(&self) -> String {
        self.parts.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Deduction,
    Abduction,
    Induction,
    ProposeDeduction,
    ProposeAbduction,
    ProposeInduction,
}

impl Topic {
    /// The task kind.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Deduction | Self::ProposeDeduction => "deduction",
            Self::Abduction | Self::ProposeAbduction => "abduction",
            Self::Induction | Self::ProposeInduction => "induction",
        }
    }

    const fn is_proposal(self) -> bool {
        matches!(self, Self::ProposeDeduction | Self::ProposeAbduction | Self::ProposeInduction)
    }

    const fn n_calls(self, is_careful: bool) -> usize {
        match self {
            Self::Induction | Self::ProposeInduction => INDUCTION_INPUTS,
            Self::Deduction | Self::Abduction if !is_careful => DIRECT_CALLS,
            _ => 1,
        }
    }
}

const TOPICS: [(Topic, usize); 6] = [
    (Topic::Deduction, 36),
    (Topic::Abduction, 28),
    (Topic::Induction, 24),
    (Topic::ProposeDeduction, 4),
    (Topic::ProposeAbduction, 4),
    (Topic::ProposeInduction, 4),
];

/// A plan about `topic` with a function of `n_statements`.
pub(crate) fn plan(mut draws: Draws, topic: Topic, n_statements: usize, is_careful: bool) -> Plan {
    let sketch = Sketch::draw(&mut draws, n_statements);
    Plan { topic, sketch, is_careful, n_calls: topic.n_calls(is_careful), draws }
}

/// The plan of document `index`.
pub(crate) fn training_plan(seed: u64, index: u64) -> Plan {
    let mut draws = Draws::of(seed, index);
    let topic = draws.weighted(&TOPICS);
    let n_statements = match topic.is_proposal() {
        true => draws.weighted(&N_PROPOSED_STATEMENTS),
        false => draws.weighted(&N_STATEMENTS),
    };
    let is_careful = draws.chance(CAREFUL_PERCENT);
    plan(draws, topic, n_statements, is_careful)
}

/// Documents made of `plans`; fewer, because not every function can be shown.
pub(crate) fn documents(
    plans: Vec<Plan>,
    domain: &dyn Domain,
    executor: &dyn Executor,
) -> Result<Vec<Document>> {
    let mut solved = solve(executor, plans)?;
    let tasks: Vec<Task> = solved.iter_mut().map(task).collect();
    let mut documents = Vec::new();
    for (index, Solved { plan, program, calls }) in solved.iter_mut().enumerate() {
        let [Call { input, output, .. }, ..] = calls.as_slice() else { continue };
        let kind = plan.topic.kind();
        let parts = match plan.topic {
            Topic::Deduction | Topic::Abduction => {
                let mut parts = Vec::new();
                for call in calls.iter() {
                    let task = call_task(kind, program, &call.input, &call.output);
                    let mut question = ask(domain, &task)?;
                    // The program stands there once.
                    if !parts.is_empty() {
                        question =
                            question.replacen(program.as_str(), "", 1).trim_start().to_owned();
                    }
                    parts.push((question, QUESTION_WEIGHT));
                    parts.extend(weighed(answer(plan, call), plan.is_careful));
                }
                parts
            }
            Topic::Induction => {
                let nested = plan.sketch.nested_source().filter(|_| !plan.is_careful);
                let body = nested.as_deref().unwrap_or(program);
                let body = body.strip_prefix("def f(").unwrap_or_default();
                let question = (ask(domain, &tasks[index])?, QUESTION_WEIGHT);
                let is_careful = nested.is_none();
                [question].into_iter().chain(weighed(format!("{body}\n\n\n"), is_careful)).collect()
            }
            Topic::ProposeDeduction | Topic::ProposeAbduction => {
                let reference = plan.draws.choose(&tasks);
                let references = match reference.kind.as_str() {
                    "induction" => Vec::new(),
                    _ => vec![Task { kind: kind.to_owned(), ..reference.clone() }],
                };
                let body = program.strip_prefix("def f(").unwrap_or_default();
                let response = format!("{body}\n\nf({})\n\n\n# task", input.python);
                let question = propose(domain, kind, references, &mut plan.draws)?;
                vec![(question, 0.0), (response, PROPOSAL_WEIGHT)]
            }
            Topic::ProposeInduction => {
                let reference = call_task("deduction", program, input, output);
                let message = plan.sketch.words().join(", then ");
                let lines: String =
                    calls.iter().map(|call| format!("f({})\n", call.input.python)).collect();
                let question = propose(domain, kind, vec![reference], &mut plan.draws)?;
                vec![(question, 0.0), (format!(" {message}\n{lines}\n"), PROPOSAL_WEIGHT)]
            }
        };
        documents.push(Document { parts });
    }
    Ok(documents)
}

/// An answer with its weights: a careful one parts from a direct one before its first assignment.
fn weighed(answer: String, is_careful: bool) -> Vec<(String, f32)> {
    match answer.find(" = ").filter(|_| is_careful) {
        Some(end) => {
            let (manner, rest) = answer.split_at(end);
            vec![(manner.to_owned(), MANNER_WEIGHT), (rest.to_owned(), ANSWER_WEIGHT)]
        }
        None => vec![(answer, ANSWER_WEIGHT)],
    }
}

/// A right answer, perhaps behind notes.
fn answer(plan: &Plan, call: &Call) -> String {
    let Call { input, output, notes } = call;
    let notes = if plan.is_careful { notes.as_slice() } else { &[] };
    if plan.topic == Topic::Deduction {
        format!("{} == {}\n\n", note_lines(notes.iter()), output.python)
    } else {
        // Backwards, as one would look for the input; the parameters are the answer.
        let notes = notes.iter().skip(plan.sketch.n_parameters()).rev();
        format!("{} f({})\n\n", note_lines(notes), input.python)
    }
}

/// The task of a solved plan, as the code domain stores it.
fn task(solved: &mut Solved) -> Task {
    let Solved { plan, program, calls } = solved;
    match plan.topic {
        Topic::Induction => {
            let message = message(&plan.sketch, &mut plan.draws);
            let noted = |of: fn(&Call) -> &Noted| -> Vec<_> {
                calls.iter().map(|call| noted(of(call))).collect()
            };
            let payload = json!({
                "program": program, "message": message,
                "inputs": noted(|call| &call.input), "outputs": noted(|call| &call.output),
                "executor": null,
            });
            stored("induction", payload)
        }
        topic => match calls.first() {
            Some(Call { input, output, .. }) => call_task(topic.kind(), program, input, output),
            None => stored(topic.kind(), json!({})),
        },
    }
}

fn call_task(kind: &str, program: &str, input: &Noted, output: &Noted) -> Task {
    let payload = json!({
        "program": program, "input": noted(input), "output": noted(output), "executor": null,
    });
    // Only induction tasks have another payload.
    stored(if kind == "induction" { "deduction" } else { kind }, payload)
}

fn stored(kind: &str, payload: serde_json::Value) -> Task {
    let (key, subject) = (String::new(), String::new());
    Task { kind: kind.to_owned(), key, subject, payload: payload.to_string() }
}

fn noted(Noted { canonical, python }: &Noted) -> serde_json::Value {
    json!({"canonical": canonical, "python": python})
}

/// What the function does, with gaps.
pub(crate) fn message(sketch: &Sketch, draws: &mut Draws) -> String {
    let told: Vec<&str> = sketch
        .words()
        .iter()
        .map(|words| if draws.chance(TOLD_PERCENT) { words } else { "something" })
        .collect();
    told.join(", then ")
}

fn note_lines<'a>(notes: impl Iterator<Item = &'a String>) -> String {
    notes.map(|note| format!(" {note}\n#")).collect()
}

fn ask(domain: &dyn Domain, task: &Task) -> Result<String> {
    text(domain.solve_prompts(std::slice::from_ref(task))?)
}

fn propose(
    domain: &dyn Domain,
    kind: &str,
    references: Vec<Task>,
    draws: &mut Draws,
) -> Result<String> {
    let seed = draws.below(1 << 16) as u64;
    text(domain.propose_prompts(&[ProposeRequest { kind: kind.to_owned(), references, seed }])?)
}

fn text(prompts: Vec<Prompt>) -> Result<String> {
    match prompts.into_iter().next() {
        Some(Prompt { body: PromptBody::Text(text), .. }) => Ok(text),
        _ => bail!("the code domain asks in chat style; the nano model speaks completion style"),
    }
}

#[cfg(test)]
mod tests {
    use azr_plugin::{Answer, Proposal, Quiet};

    use super::*;
    use crate::engines::Engines;

    #[test]
    fn only_the_beginning_of_a_careful_answer_weighs_less() {
        let weighed = |text: &str, is_careful| weighed(text.to_owned(), is_careful);
        let careful = " n = 3\n# n + 1 = 4\n# == 4";
        let parts = [(" n", MANNER_WEIGHT), (" = 3\n# n + 1 = 4\n# == 4", ANSWER_WEIGHT)];
        assert_eq!(weighed(careful, true), parts.map(|(text, weight)| (text.to_owned(), weight)));
        assert_eq!(weighed(careful, false), [(careful.to_owned(), ANSWER_WEIGHT)]);
        assert_eq!(weighed(" == 4", true), [(" == 4".to_owned(), ANSWER_WEIGHT)]);
    }

    /// What stands between the questions.
    fn responses(document: &Document) -> Vec<String> {
        let parts = document.parts.split(|(_, weight)| *weight == QUESTION_WEIGHT).skip(1);
        parts.map(|parts| parts.iter().map(|(text, _)| text.as_str()).collect()).collect()
    }

    /// What the model is taught is what the domain calls right.
    #[test]
    fn every_document_is_right_in_the_eyes_of_the_domain() {
        let (domain, executor) = Engines::new().unwrap().domain("cpython").unwrap();
        let (mut n_answers, mut n_proposals) = (0, 0);
        for index in 0..60 {
            let topic = TOPICS[index as usize % TOPICS.len()].0;
            let made = plan(Draws::of(11, index), topic, 2, index / 6 % 2 == 0);
            let mut solved = solve(&*executor, vec![made]).unwrap();
            let Some(first) = solved.first_mut() else { continue };
            let task = task(first);
            let made = plan(Draws::of(11, index), topic, 2, index / 6 % 2 == 0);
            let document = documents(vec![made], &*domain, &*executor).unwrap().remove(0);
            match topic {
                Topic::Deduction | Topic::Abduction | Topic::Induction => {
                    let tasks: Vec<Task> = match topic {
                        Topic::Induction => vec![task],
                        _ => (first.calls.iter())
                            .map(|call| {
                                let Call { input, output, .. } = call;
                                call_task(topic.kind(), &first.program, input, output)
                            })
                            .collect(),
                    };
                    let responses = responses(&document);
                    assert_eq!(responses.len(), tasks.len());
                    let answers: Vec<Answer> = (tasks.into_iter().zip(responses))
                        .map(|(task, text)| Answer { task, response: text.trim_end().into() })
                        .collect();
                    let grades = domain.grade(&answers, &Quiet).unwrap();
                    assert!(
                        grades.iter().all(|grade| grade.score == 1.0 && grade.well_formed),
                        "{grades:?} {:?}",
                        document.parts
                    );
                    n_answers += 1;
                }
                _ => {
                    let references = match topic {
                        Topic::ProposeInduction => vec![call_task(
                            "deduction",
                            &first.program,
                            &first.calls[0].input,
                            &first.calls[0].output,
                        )],
                        _ => Vec::new(),
                    };
                    let proposal = Proposal {
                        kind: topic.kind().to_owned(),
                        references,
                        response: document.parts[1].0.clone(),
                    };
                    let found = domain.validate(&[proposal], &Quiet).unwrap().remove(0);
                    assert!(
                        found.task.is_some() && found.well_formed,
                        "{} {:?}",
                        found.reason,
                        document.parts
                    );
                    n_proposals += 1;
                }
            }
        }
        assert!(n_answers > 15 && n_proposals > 15, "{n_answers} {n_proposals}");
    }
}
