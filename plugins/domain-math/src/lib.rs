//! The math domain: deduction, abduction and induction over exact mathematical expressions.
//!
//! A proposal is parsed by the grammar of a small total language and evaluated; an answer is a literal (deduction,
//! abduction) or an expression (induction) that is evaluated as well. All of it is exact and ends within limits, so
//! verification needs no executor, and text that a model wrote is never run as code.

mod examples;
mod expression;
mod gate;
mod grade;
mod known;
mod options;
mod parse;
mod prompts;
mod reason;
mod seeds;
mod task;
#[cfg(test)]
mod testing;
mod validate;
mod wave;

use azr_plugin::{
    Answer, CallContext, Domain, Engine, Grade, KnownAnswers, Prompt, Proposal, ProposeRequest,
    ReferenceRule, Result, Services, Task, TaskKind, Validation,
};

pub use options::{EvaluationLimits, InductionScore, MathOptions, PromptStyle, TokenBudgets};
use task::Kind;

/// Mathematical reasoning tasks.
#[derive(Debug)]
pub struct MathDomain {
    options: MathOptions,
}

impl Engine for MathDomain {
    const NAME: &'static str = "math";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "exact expressions: find the value, find arguments, write the expression";
    type Options = MathOptions;

    fn create(options: MathOptions, _services: Services) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl Domain for MathDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        let kind = |kind: Kind| {
            let (from, count) = match kind {
                Kind::Deduction | Kind::Abduction => (vec![kind], self.options.references),
                Kind::Induction => (vec![Kind::Abduction, Kind::Deduction], 1),
            };
            let from = from.into_iter().map(|kind| kind.as_str().to_owned()).collect();
            TaskKind { name: kind.as_str().to_owned(), references: ReferenceRule { from, count } }
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
        validate::validate(&self.options, proposals, context)
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        tasks.iter().map(|task| prompts::solve(&self.options, task)).collect()
    }

    fn grade(&self, answers: &[Answer], context: &dyn CallContext) -> Result<Vec<Grade>> {
        grade::grade(&self.options, answers, context)
    }

    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        tasks.iter().map(|task| known::known(&self.options, task)).collect()
    }
}

azr_plugin::export! {
    entry: azr_domain_math,
    domains: [MathDomain],
}
