//! A domain, and short ways to ask it.

use azr_domain_math::{MathDomain, MathOptions};
use azr_plugin::{Answer, Domain, Engine, Grade, Proposal, Quiet, Services, Task, Validation};

pub(crate) fn domain(options: MathOptions) -> MathDomain {
    MathDomain::create(options, Services::default()).unwrap()
}

pub(crate) fn propose(
    domain: &MathDomain,
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
pub(crate) fn task(domain: &MathDomain, kind: &str, response: &str) -> Task {
    let validation = propose(domain, kind, &[], &[response]).remove(0);
    validation.task.unwrap_or_else(|| panic!("{response} is {}", validation.reason))
}

pub(crate) fn grade(domain: &MathDomain, task: &Task, responses: &[&str]) -> Vec<Grade> {
    let answer = |response: &&str| Answer { task: task.clone(), response: (*response).to_owned() };
    let answers: Vec<_> = responses.iter().map(answer).collect();
    domain.grade(&answers, &Quiet).unwrap()
}

pub(crate) fn verdicts(grades: &[Grade]) -> Vec<(f32, &str)> {
    grades.iter().map(|grade| (grade.score, grade.reason.as_str())).collect()
}
