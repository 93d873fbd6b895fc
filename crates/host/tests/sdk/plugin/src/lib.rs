//! A plugin as it was written for ABI 1.0: a domain and an optimizer.

use azr_plugin::{
    Answer, CallContext, Domain, Engine, ErrorCode, Grade, LossSpec, OptimizerKind, OptimizerSpec,
    PluginError, Prompt, PromptBody, Proposal, ProposeRequest, ReferenceRule, Result, RlOptimizer,
    RolloutSummary, Services, StepPlan, Task, TaskKind, Validation, schemars, serde,
};

/// Options of both engines.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct Options {
    /// What is added.
    pub addend: u64,
}

/// A task is a number; its answer is that and the addend.
#[derive(Debug)]
pub struct Adding(u64);

impl Engine for Adding {
    const NAME: &'static str = "adding";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "adds to numbers";
    type Options = Options;

    fn create(options: Options, _: Services) -> Result<Self> {
        Ok(Self(options.addend))
    }
}

fn task(number: u64) -> Task {
    let text = number.to_string();
    Task { kind: "sum".into(), key: text.clone(), subject: String::new(), payload: text }
}

fn number(task: &Task) -> Result<u64> {
    let number = if task.kind == "sum" { task.payload.parse::<u32>().ok() } else { None };
    number.map(u64::from).ok_or_else(|| PluginError::new(ErrorCode::InvalidInput, "a task of another domain"))
}

fn prompt(text: String) -> Prompt {
    Prompt { body: PromptBody::Text(text), stop: vec!["\n".into()], max_new_tokens: 8 }
}

impl Domain for Adding {
    fn kinds(&self) -> Vec<TaskKind> {
        let references = ReferenceRule { from: vec!["sum".into()], count: 1 };
        vec![TaskKind { name: "sum".into(), references }]
    }

    fn seed_tasks(&self, _: &str) -> Result<Vec<Task>> {
        Ok(vec![task(1), task(2)])
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        Ok(requests.iter().map(|_| prompt("a number: ".into())).collect())
    }

    fn validate(&self, proposals: &[Proposal], _: &dyn CallContext) -> Result<Vec<Validation>> {
        let verdict = |proposal: &Proposal| {
            let number = proposal.response.trim().parse::<u32>().ok();
            let reason = if number.is_some() { "ok" } else { "no number" }.into();
            let task = number.map(|number| task(number.into()));
            Validation { well_formed: task.is_some(), task, reason }
        };
        Ok(proposals.iter().map(verdict).collect())
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        tasks.iter().map(|task| Ok(prompt(format!("{} + {} = ", number(task)?, self.0)))).collect()
    }

    fn grade(&self, answers: &[Answer], _: &dyn CallContext) -> Result<Vec<Grade>> {
        let grade = |answer: &Answer| {
            let sum = number(&answer.task)? + self.0;
            let is_right = answer.response.trim().parse() == Ok(sum);
            let (score, reason) = if is_right { (1.0, "ok") } else { (0.0, "wrong") };
            Ok(Grade { score, well_formed: true, reason: reason.into() })
        };
        answers.iter().map(grade).collect()
    }
}

/// Rewards as advantages.
#[derive(Debug)]
pub struct Flat;

impl Engine for Flat {
    const NAME: &'static str = "flat";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "rewards as advantages";
    type Options = Options;

    fn create(_: Options, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl RlOptimizer for Flat {
    fn plan(&self, _: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        let rows = |value: fn(&RolloutSummary) -> f32| {
            rollouts.iter().map(|r| vec![value(r); r.n_tokens as usize]).collect()
        };
        Ok(StepPlan {
            advantages: rows(|r| r.reward),
            weights: rows(|r| 1.0 / r.n_tokens as f32),
            loss: LossSpec::default(),
            optimizer: OptimizerSpec {
                kind: OptimizerKind::Adamw,
                learning_rate: 1e-6,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: 1.0,
            },
            groups: Vec::new(),
        })
    }
}

azr_plugin::export! {
    entry: azr_veteran,
    domains: [Adding],
    optimizers: [Flat],
}
