//! The domain `my-plugin`: sums. The model proposes calls of `f(a, b)`, and answers what they return.

use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{
    Answer, CallContext, Domain, Engine, Grade, KnownAnswers, NoOptions, Prompt, Proposal,
    ProposeRequest, Result, Services, Task, TaskKind, Validation,
};

azr_plugin::export! { entry: my_plugin, domains: [Sums] }

const FUNCTION: &str = "def f(a, b):\n    return a + b\n\n";

/// Sums of two numbers.
#[derive(Debug)]
pub struct Sums;

/// What a task stores.
#[derive(Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
struct Call(u8, u8);

impl Call {
    /// Reads `12, 7)`, what a model writes behind `f(`. Any other text is no call.
    fn parse(text: &str) -> Option<Self> {
        let (a, b) = text.trim().strip_suffix(')')?.split_once(',')?;
        Some(Self(a.trim().parse().ok()?, b.trim().parse().ok()?))
    }

    fn task(&self) -> Result<Task> {
        Task::new("sum", format!("f({}, {})", self.0, self.1), self)
    }

    fn value_in(task: &Task) -> Result<u32> {
        task.read().map(|Self(a, b)| u32::from(a) + u32::from(b))
    }
}

impl Engine for Sums {
    const NAME: &'static str = "my-plugin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "sums of two numbers";
    type Options = NoOptions;

    fn create(_: NoOptions, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl Domain for Sums {
    fn kinds(&self) -> Vec<TaskKind> {
        vec![TaskKind::new("sum", &["sum"], 4)]
    }

    fn seed_tasks(&self, _: &str) -> Result<Vec<Task>> {
        [Call(3, 4), Call(20, 1), Call(12, 7)].iter().map(Call::task).collect()
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        let prompt = |request: &ProposeRequest| {
            let shown: String = request.references.iter().map(|t| t.key.clone() + "\n").collect();
            Prompt::completion(format!("{FUNCTION}{shown}f("), &["\n"], 16)
        };
        Ok(requests.iter().map(prompt).collect())
    }

    fn validate(&self, proposals: &[Proposal], _: &dyn CallContext) -> Result<Vec<Validation>> {
        let verdict = |proposal: &Proposal| match Call::parse(&proposal.response) {
            Some(call) => call.task().map(Validation::valid),
            None => Ok(Validation::malformed("syntax")),
        };
        proposals.iter().map(verdict).collect()
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        let text = |task: &Task| format!("{FUNCTION}# {}\n# ==", task.key);
        Ok(tasks.iter().map(|task| Prompt::completion(text(task), &["\n"], 16)).collect())
    }

    fn grade(&self, answers: &[Answer], _: &dyn CallContext) -> Result<Vec<Grade>> {
        let grade = |answer: &Answer| match answer.response.trim().parse::<u32>() {
            Ok(value) if value == Call::value_in(&answer.task)? => Ok(Grade::right()),
            Ok(_) => Ok(Grade::wrong("wrong")),
            Err(_) => Ok(Grade::malformed("no_number")),
        };
        answers.iter().map(grade).collect()
    }

    // For the conformance kit: answers that must be graded 1, and 0.
    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        let known = |value: u32| KnownAnswers {
            right: vec![value.to_string()],
            wrong: vec![(value + 1).to_string(), "many".into()],
        };
        tasks.iter().map(|task| Call::value_in(task).map(known)).collect()
    }
}
