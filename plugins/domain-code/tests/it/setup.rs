//! A domain with a real executor, and short ways to ask it.

use std::sync::{Arc, OnceLock};

use azr_domain_code::{CodeDomain, CodeOptions, RunLimits};
use azr_executor_cpython::{CpythonExecutor, CpythonOptions};
use azr_plugin::{
    Answer, Domain, Engine, Executor, Grade, Proposal, Quiet, Services, Task, Validation,
};

/// One executor for all tests; `None`, with a line that says so, where there is none.
fn executor() -> Option<Arc<dyn Executor>> {
    static EXECUTOR: OnceLock<Option<Arc<CpythonExecutor>>> = OnceLock::new();
    let executor = EXECUTOR.get_or_init(|| {
        let created = CpythonExecutor::create(CpythonOptions::default(), Services::default());
        created.map(Arc::new).inspect_err(|error| eprintln!("skipped: {error}")).ok()
    });
    executor.clone().map(|executor| executor as Arc<dyn Executor>)
}

/// A domain with short limits.
pub(crate) fn domain(options: CodeOptions) -> Option<CodeDomain> {
    let limits =
        RunLimits { wall_ms: 2_000, cpu_ms: 400, memory_bytes: 128 << 20, ..RunLimits::default() };
    let services = Services { executor: Some(executor()?), ..Services::default() };
    Some(CodeDomain::create(CodeOptions { limits, ..options }, services).unwrap())
}

/// What becomes of completions of a proposal prompt; `program` comes without its opening `def f(`.
pub(crate) fn propose(
    domain: &CodeDomain,
    kind: &str,
    references: &[Task],
    responses: &[&str],
) -> Vec<Validation> {
    let proposal = |response: &&str| Proposal {
        kind: kind.to_owned(),
        references: references.to_vec(),
        response: (*response).to_owned(),
    };
    let proposals: Vec<_> = responses.iter().map(proposal).collect();
    domain.validate(&proposals, &Quiet).unwrap()
}

/// The task that a sound proposal becomes.
pub(crate) fn task(domain: &CodeDomain, kind: &str, response: &str) -> Task {
    let validation = propose(domain, kind, &[], &[response]).remove(0);
    validation.task.unwrap_or_else(|| panic!("{}: {response}", validation.reason))
}

/// Grades of answers to one task.
pub(crate) fn grade(domain: &CodeDomain, task: &Task, responses: &[&str]) -> Vec<Grade> {
    let answer = |response: &&str| Answer { task: task.clone(), response: (*response).to_owned() };
    let answers: Vec<_> = responses.iter().map(answer).collect();
    domain.grade(&answers, &Quiet).unwrap()
}

/// Grades as (score, reason).
pub(crate) fn verdicts(grades: &[Grade]) -> Vec<(f32, &str)> {
    grades.iter().map(|grade| (grade.score, grade.reason.as_str())).collect()
}

/// A task about the square of 3.
pub(crate) fn square(domain: &CodeDomain, kind: &str) -> Task {
    task(domain, kind, "x):\n    return x * x\n\nf(3)")
}

/// An induction task whose hidden values are the squares of 3, 4 and 5.
pub(crate) fn squares(domain: &CodeDomain) -> Task {
    let references = [square(domain, "deduction")];
    let response = " area\nf(0)\nf(1)\nf(2)\nf(3)\nf(4)\nf(5)";
    propose(domain, "induction", &references, &[response]).remove(0).task.unwrap()
}
