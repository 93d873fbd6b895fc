//! What a domain promises.
//!
//! That a prompt does not show its answer is not checked: a short answer may stand in any prompt by chance.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::text::{SHORT, hostile, random};
use super::{
    CheckFn, Flaw, Maker, Verdict, ensure, from_threads, honours_cancellation, no_panic, shown,
};
use crate::{
    Answer, Domain, Grade, KnownAnswers, Prompt, PromptBody, Proposal, ProposeRequest, Quiet,
    Result, Task, TaskKind, Validation,
};

pub(super) const CHECKS: &[(&str, CheckFn<dyn Domain>)] = &[
    ("task kinds", kinds),
    ("seed tasks", seed_tasks),
    ("proposal prompts", propose_prompts),
    ("solver prompts", solve_prompts),
    ("proposals of any text", any_proposal),
    ("answers of any text", any_answer),
    ("known answers", known_answers),
    ("each verdict for itself", verdicts_alone),
    ("equal verdicts of equal engines", two_instances),
    ("cancellation", cancellation),
    ("calls from several threads", threads),
    ("tasks that are not its own", foreign_tasks),
];

/// Seed tasks of a kind that are asked about.
const MAX_TASKS: usize = 3;
/// Longest reason in characters.
const MAX_REASON: usize = 48;
/// How many reasons there may be: a reason that quotes a response is another one each time.
const MAX_REASONS: usize = 64;
/// Random texts of a check.
const N_RANDOM: usize = 40;

/// A domain and what it is asked about.
struct Subject {
    domain: Arc<dyn Domain>,
    kinds: Vec<TaskKind>,
    tasks: Vec<Task>,
    known: Vec<KnownAnswers>,
}

impl Subject {
    fn new(make: Maker<'_, dyn Domain>) -> std::result::Result<Self, Flaw> {
        let domain = make()?;
        let kinds = domain.kinds();
        let mut tasks = Vec::new();
        for kind in &kinds {
            tasks.extend(domain.seed_tasks(&kind.name)?.into_iter().take(MAX_TASKS));
        }
        let known = domain.known_answers(&tasks)?;
        ensure!(
            known.len() == tasks.len(),
            "known_answers gave {} entries for {} tasks",
            known.len(),
            tasks.len()
        );
        Ok(Self { domain, kinds, tasks, known })
    }

    /// What the loop would draw for a proposal of `kind` when there are seed tasks only.
    fn references(&self, kind: &TaskKind) -> Vec<Task> {
        let drawn = self.tasks.iter().filter(|task| kind.references.from.contains(&task.kind));
        drawn.take(kind.references.count as usize).cloned().collect()
    }

    fn requests(&self) -> Vec<ProposeRequest> {
        let request = |kind: &TaskKind, references, seed| ProposeRequest {
            kind: kind.name.clone(),
            references,
            seed,
        };
        let of_kind = |kind| {
            let drawn = self.references(kind);
            [
                request(kind, drawn.clone(), 0),
                request(kind, drawn, u64::MAX),
                request(kind, vec![], 1),
            ]
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }

    fn proposals(&self, texts: &[String]) -> Vec<Proposal> {
        let of_kind = |kind: &TaskKind| {
            let (name, references) = (kind.name.clone(), self.references(kind));
            let proposal = move |text: &String| Proposal {
                kind: name.clone(),
                references: references.clone(),
                response: text.clone(),
            };
            texts.iter().map(proposal).collect::<Vec<_>>()
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }

    /// An answer with each of `texts` to each task.
    fn answers(&self, texts: &[String]) -> Vec<Answer> {
        let answer =
            |task: &Task, text: &String| Answer { task: task.clone(), response: text.clone() };
        self.tasks.iter().flat_map(|task| texts.iter().map(|text| answer(task, text))).collect()
    }

    /// The answers whose grades are known, with these grades.
    fn known(&self) -> Vec<(Answer, f32)> {
        let answers = |(task, known): (&Task, &KnownAnswers)| {
            let of = |texts: &[String], score: f32| -> Vec<_> {
                let answer = |text: &String| Answer { task: task.clone(), response: text.clone() };
                texts.iter().map(|text| (answer(text), score)).collect()
            };
            [of(&known.right, 1.0), of(&known.wrong, 0.0)].concat()
        };
        self.tasks.iter().zip(&self.known).flat_map(answers).collect()
    }

    /// What is known to be right, for texts that are nearly so.
    fn right(&self) -> Vec<String> {
        self.known.iter().flat_map(|known| known.right.iter().cloned()).collect()
    }

    /// Few calls that reach into every part: known answers and what is near them, each of them as a proposal, too.
    fn mixture(&self) -> (Vec<Proposal>, Vec<Answer>) {
        let texts =
            [SHORT[..8].iter().map(|&text| text.to_owned()).collect(), random(&self.right(), 8)];
        let texts = texts.concat();
        let known = self.known().into_iter().map(|(answer, _)| answer);
        let answers: Vec<Answer> = known.chain(self.answers(&texts)).collect();
        (self.proposals(&[texts, self.right()].concat()), answers)
    }

    fn validate(&self, proposals: &[Proposal]) -> std::result::Result<Vec<Validation>, Flaw> {
        let verdicts = self.domain.validate(proposals, &Quiet)?;
        one_each("validations", verdicts.len(), proposals.len())?;
        Ok(verdicts)
    }

    fn grade(&self, answers: &[Answer]) -> std::result::Result<Vec<Grade>, Flaw> {
        let grades = self.domain.grade(answers, &Quiet)?;
        one_each("grades", grades.len(), answers.len())?;
        Ok(grades)
    }
}

fn one_each(what: &str, got: usize, expected: usize) -> Verdict {
    ensure!(got == expected, "{got} {what} for {expected} items");
    Ok(())
}

fn kinds(make: Maker<'_, dyn Domain>) -> Verdict {
    let kinds = make()?.kinds();
    ensure!(!kinds.is_empty(), "it has no kind of task");
    let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    ensure!(names.len() == kinds.len(), "a kind is there twice: {names:?}");
    for kind in &kinds {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !kind.name.is_empty() && kind.name.chars().all(is_plain),
            "{:?} is no name of a kind (lower case, digits and `-`)",
            kind.name
        );
        for from in &kind.references.from {
            ensure!(
                names.contains(from.as_str()),
                "`{}` draws references from {from:?}, which is no kind",
                kind.name
            );
        }
    }
    ensure!(make()?.kinds() == kinds, "two equal engines have different kinds");
    Ok(())
}

fn seed_tasks(make: Maker<'_, dyn Domain>) -> Verdict {
    let domain = make()?;
    let mut n_tasks = 0;
    for TaskKind { name, .. } in domain.kinds() {
        let tasks = domain.seed_tasks(&name)?;
        n_tasks += tasks.len();
        let mut keys = BTreeSet::new();
        for task in &tasks {
            sound_task(&name, task)?;
            ensure!(
                keys.insert(&task.key),
                "two seed tasks of `{name}` have the key {:?}",
                task.key
            );
        }
        ensure!(
            make()?.seed_tasks(&name)? == tasks,
            "two equal engines start from different tasks"
        );
    }
    ensure!(n_tasks > 0, "no kind has a seed task: a run would have nothing to start from");
    if let Err(error) = domain.seed_tasks("no-such-kind") {
        no_panic("seed tasks of an unknown kind", &error)?;
    }
    Ok(())
}

fn sound_task(kind: &str, task: &Task) -> Verdict {
    ensure!(task.kind == kind, "a task of `{kind}` says that it is of {:?}", task.kind);
    ensure!(!task.key.is_empty(), "a task of `{kind}` has no key");
    Ok(())
}

fn propose_prompts(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let requests = subject.requests();
    let ask = |domain: &dyn Domain, requests: &[ProposeRequest]| domain.propose_prompts(requests);
    sound_prompts(make, &*subject.domain, &requests, ask)
}

fn solve_prompts(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let ask = |domain: &dyn Domain, tasks: &[Task]| domain.solve_prompts(tasks);
    sound_prompts(make, &*subject.domain, &subject.tasks, ask)
}

/// One prompt for each item, the same whatever else is asked for and whichever engine is asked.
fn sound_prompts<T>(
    make: Maker<'_, dyn Domain>,
    domain: &dyn Domain,
    items: &[T],
    ask: impl Fn(&dyn Domain, &[T]) -> Result<Vec<Prompt>>,
) -> Verdict {
    let prompts = ask(domain, items)?;
    one_each("prompts", prompts.len(), items.len())?;
    for (prompt, item) in prompts.iter().zip(items) {
        let is_empty = match &prompt.body {
            PromptBody::Text(text) => text.is_empty(),
            PromptBody::Chat(messages) => messages.iter().all(|message| message.content.is_empty()),
        };
        ensure!(!is_empty, "a prompt is empty");
        ensure!(prompt.max_new_tokens > 0, "a prompt leaves no token for the response");
        ensure!(!prompt.stop.iter().any(String::is_empty), "an empty text is to end responses");
        let alone = ask(domain, std::slice::from_ref(item))?;
        ensure!(alone[..] == [prompt.clone()], "a prompt depends on what else is asked for");
    }
    ensure!(ask(&*make()?, items)? == prompts, "two equal engines write different prompts");
    ensure!(ask(domain, &[])?.is_empty(), "there is a prompt for nothing");
    Ok(())
}

fn any_proposal(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let texts = [hostile(), subject.right(), random(&subject.right(), N_RANDOM)].concat();
    let proposals = subject.proposals(&texts);
    let mut reasons = BTreeSet::new();
    for (proposal, verdict) in proposals.iter().zip(subject.validate(&proposals)?) {
        let said = shown(&proposal.response);
        let Validation { task, reason, .. } = verdict;
        sound_reason(&reason, task.is_some(), &said)?;
        reasons.insert(reason);
        if let Some(task) = task {
            sound_task(&proposal.kind, &task)?;
            one_each("prompts", subject.domain.solve_prompts(&[task])?.len(), 1)?;
        }
    }
    few(&reasons)?;
    ensure!(subject.validate(&[])?.is_empty(), "there is a verdict on nothing");
    Ok(())
}

fn any_answer(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let texts = [hostile(), random(&subject.right(), N_RANDOM)].concat();
    let answers = subject.answers(&texts);
    let mut reasons = BTreeSet::new();
    for (answer, grade) in answers.iter().zip(subject.grade(&answers)?) {
        let said = shown(&answer.response);
        ensure!(
            (0.0..=1.0).contains(&grade.score),
            "the answer \"{said}\" scores {}, which is not between 0 and 1",
            grade.score
        );
        sound_reason(&grade.reason, grade.score == 1.0, &said)?;
        reasons.insert(grade.reason);
    }
    few(&reasons)?;
    ensure!(subject.grade(&[])?.is_empty(), "there is a grade for nothing");
    Ok(())
}

/// `ok` or a short word group, and `ok` just where all is well.
fn sound_reason(reason: &str, is_ok: bool, said: &str) -> Verdict {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _-/".contains(c);
    ensure!(
        !reason.is_empty() && reason.chars().count() <= MAX_REASON && reason.chars().all(is_plain),
        "the reason \"{}\" for \"{said}\" is no short word group",
        shown(reason)
    );
    ensure!(
        (reason == "ok") == is_ok,
        "\"{said}\" is {} with the reason `{reason}`",
        if is_ok { "right" } else { "not right" }
    );
    Ok(())
}

fn few(reasons: &BTreeSet<String>) -> Verdict {
    ensure!(
        reasons.len() <= MAX_REASONS,
        "it gave {} different reasons: metrics cannot count them",
        reasons.len()
    );
    Ok(())
}

fn known_answers(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let known = subject.known();
    for (score, word) in [(1.0, "right"), (0.0, "wrong")] {
        if !known.iter().any(|(_, known)| *known == score) {
            return Err(Flaw::Skipped(format!(
                "it knows no {word} answer to its seed tasks (Domain::known_answers)"
            )));
        }
    }
    let (answers, scores): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    for ((answer, score), grade) in answers.iter().zip(scores).zip(subject.grade(&answers)?) {
        ensure!(
            grade.score == score,
            "the {} answer \"{}\" to the `{}` task {} scores {} ({})",
            if score == 1.0 { "right" } else { "wrong" },
            shown(&answer.response),
            answer.task.kind,
            answer.task.key,
            grade.score,
            shown(&grade.reason)
        );
    }
    Ok(())
}

fn verdicts_alone(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let (proposals, answers) = subject.mixture();
    let verdicts = subject.validate(&proposals)?;
    for (proposal, verdict) in proposals.iter().zip(&verdicts) {
        let alone = subject.validate(std::slice::from_ref(proposal))?;
        same(verdict, &alone[0], "verdict on the proposal", &proposal.response)?;
    }
    let backwards: Vec<Proposal> = proposals.iter().rev().cloned().collect();
    let reversed = subject.validate(&backwards)?;
    for ((proposal, verdict), other) in proposals.iter().zip(&verdicts).zip(reversed.iter().rev()) {
        same(verdict, other, "verdict on the proposal", &proposal.response)?;
    }
    let grades = subject.grade(&answers)?;
    for (answer, grade) in answers.iter().zip(&grades) {
        let alone = subject.grade(std::slice::from_ref(answer))?;
        same(grade, &alone[0], "grade of the answer", &answer.response)?;
    }
    let backwards: Vec<Answer> = answers.iter().rev().cloned().collect();
    let reversed = subject.grade(&backwards)?;
    for ((answer, grade), other) in answers.iter().zip(&grades).zip(reversed.iter().rev()) {
        same(grade, other, "grade of the answer", &answer.response)?;
    }
    Ok(())
}

fn same<T: PartialEq>(one: &T, other: &T, what: &str, said: &str) -> Verdict {
    ensure!(one == other, "the {what} \"{}\" depends on what else is in the call", shown(said));
    Ok(())
}

fn two_instances(make: Maker<'_, dyn Domain>) -> Verdict {
    let (one, other) = (Subject::new(make)?, Subject::new(make)?);
    let (proposals, answers) = one.mixture();
    let verdicts = one.validate(&proposals)?;
    let grades = one.grade(&answers)?;
    for subject in [&one, &other] {
        ensure!(
            subject.validate(&proposals)? == verdicts,
            "equal proposals get different verdicts"
        );
        ensure!(subject.grade(&answers)? == grades, "equal answers get different grades");
    }
    Ok(())
}

fn cancellation(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let (proposals, answers) = subject.mixture();
    let verdicts = subject.validate(&proposals)?;
    honours_cancellation("validate", &verdicts, |context| {
        subject.domain.validate(&proposals, context)
    })?;
    let grades = subject.grade(&answers)?;
    honours_cancellation("grade", &grades, |context| subject.domain.grade(&answers, context))?;
    ensure!(subject.grade(&answers)? == grades, "a cancelled call changed later grades");
    Ok(())
}

fn threads(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let (proposals, answers) = subject.mixture();
    let requests = subject.requests();
    let domain = &*subject.domain;
    from_threads(|| domain.validate(&proposals, &Quiet))?;
    from_threads(|| domain.grade(&answers, &Quiet))?;
    from_threads(|| domain.propose_prompts(&requests))?;
    from_threads(|| domain.solve_prompts(&subject.tasks))
}

/// Errors are what such tasks deserve; verdicts are let pass, panics are not.
fn foreign_tasks(make: Maker<'_, dyn Domain>) -> Verdict {
    let subject = Subject::new(make)?;
    let Some(own) = subject.tasks.first().cloned() else {
        return Err(Flaw::Skipped("it has no task to distort".into()));
    };
    let mut payloads: Vec<String> =
        ["", "null", "{", "[]", "{}", "\u{0}", "\"\u{202e}\""].map(String::from).to_vec();
    payloads.push("[".repeat(50_000));
    payloads.extend(random(std::slice::from_ref(&own.payload), N_RANDOM));
    let half = own.payload.char_indices().map(|(at, _)| at).nth(own.payload.chars().count() / 2);
    payloads.push(own.payload[..half.unwrap_or(0)].to_owned());
    let of_kind = |kind: &TaskKind| {
        let payloads = payloads.iter().chain(subject.tasks.iter().map(|task| &task.payload));
        let task = |payload: &String| Task {
            kind: kind.name.clone(),
            payload: payload.clone(),
            ..own.clone()
        };
        payloads.map(task).collect::<Vec<_>>()
    };
    let mut tasks: Vec<Task> = subject.kinds.iter().flat_map(of_kind).collect();
    tasks.push(Task { kind: "no-such-kind".into(), ..own.clone() });
    tasks.push(Task { key: String::new(), ..own.clone() });
    for task in tasks {
        let what = format!("a `{}` task with the payload {}", task.kind, shown(&task.payload));
        let (kind, references) = (task.kind.clone(), vec![task.clone(); 2]);
        let request =
            ProposeRequest { kind: kind.clone(), references: references.clone(), seed: 0 };
        let response = subject.right().pop().unwrap_or_default();
        let proposal = Proposal { kind, references, response: response.clone() };
        let counts = [
            subject.domain.solve_prompts(std::slice::from_ref(&task)).map(|found| found.len()),
            subject.domain.propose_prompts(&[request]).map(|found| found.len()),
            subject.domain.validate(&[proposal], &Quiet).map(|found| found.len()),
            subject.domain.grade(&[Answer { task, response }], &Quiet).map(|found| found.len()),
        ];
        for count in counts {
            match count {
                Ok(count) => one_each("answers", count, 1)?,
                Err(error) => no_panic(&what, &error)?,
            }
        }
    }
    Ok(())
}
