//! The code domain: deduction, abduction and induction over short Python programs.
//!
//! A proposal is parsed, passes the static gate of `azr-executor` and is run until its gold values are beyond doubt;
//! an answer is parsed as data (deduction, abduction) or as a program (induction) and compared by value.
//! Model text is parsed and shown here, and run by the executor only.

mod examples;
mod gate;
mod grade;
mod known;
mod options;
mod outcome;
mod parse;
mod prompts;
mod reason;
mod seeds;
mod shown;
mod task;
#[cfg(test)]
mod testing;
mod validate;

use std::fmt;
use std::sync::Arc;

use azr_plugin::{
    Answer, CallContext, Domain, Engine, ErrorCode, Executor, Grade, KnownAnswers, PluginError,
    Prompt, Proposal, ProposeRequest, Result, Services, Task, TaskKind, Validation,
};

pub use options::{CodeOptions, InductionScore, PromptStyle, RunLimits, TokenBudgets};
use task::Kind;

/// Code reasoning tasks.
pub struct CodeDomain {
    options: CodeOptions,
    executor: Arc<dyn Executor>,
}

impl fmt::Debug for CodeDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeDomain").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine for CodeDomain {
    const NAME: &'static str = "code";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Python programs: predict the output, find an input, write the program";
    type Options = CodeOptions;

    fn create(options: CodeOptions, services: Services) -> Result<Self> {
        options.check()?;
        let executor = services.executor.ok_or_else(|| {
            PluginError::new(
                ErrorCode::Unavailable,
                "the code domain has no executor to run programs with",
            )
            .with_hint("choose one with --executor")
        })?;
        Ok(Self { options, executor })
    }
}

impl Domain for CodeDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        let kind = |kind: Kind| match kind {
            Kind::Deduction | Kind::Abduction => {
                TaskKind::new(kind.as_str(), &[kind.as_str()], self.options.references)
            }
            Kind::Induction => {
                let from = [Kind::Abduction, Kind::Deduction].map(Kind::as_str);
                TaskKind::new(kind.as_str(), &from, 1)
            }
        };
        Kind::ALL.map(kind).to_vec()
    }

    fn seed_tasks(&self, kind: &str) -> Result<Vec<Task>> {
        Ok(vec![seeds::seed_task(Kind::parse(kind)?)?])
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        requests.iter().map(|request| prompts::propose(&self.options, request)).collect()
    }

    fn validate(
        &self,
        proposals: &[Proposal],
        context: &dyn CallContext,
    ) -> Result<Vec<Validation>> {
        validate::validate(&self.options, &*self.executor, proposals, context)
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        tasks.iter().map(|task| prompts::solve(&self.options, task)).collect()
    }

    fn grade(&self, answers: &[Answer], context: &dyn CallContext) -> Result<Vec<Grade>> {
        grade::grade(&self.options, &*self.executor, answers, context)
    }

    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        tasks.iter().map(|task| known::known(&self.options, task)).collect()
    }
}

azr_plugin::export! {
    entry: azr_domain_code,
    domains: [CodeDomain],
}
