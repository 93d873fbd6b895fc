//! Tasks of a domain, for example a held-out set, as a suite.

use std::sync::Arc;

use azr_plugin::{Answer as TaskAnswer, CallContext, Domain, Executor, Prompt, PromptBody, Task};

use crate::{Answer, EvalError, PromptStyle, Result, Suite, Verdict};

/// Tasks of one domain. The domain prompts as its options say, whatever the style, and grades.
pub struct TaskSuite {
    name: String,
    domain: Arc<dyn Domain>,
    tasks: Vec<Task>,
    prompts: Vec<Prompt>,
}

impl std::fmt::Debug for TaskSuite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskSuite").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TaskSuite {
    /// A suite of these tasks of `domain`.
    ///
    /// # Errors
    /// The domain cannot ask them, or two have the same key.
    pub fn new(name: &str, domain: Arc<dyn Domain>, tasks: Vec<Task>) -> Result<Self> {
        let prompts = domain.solve_prompts(&tasks)?;
        if prompts.len() != tasks.len() {
            let message =
                format!("suite {name}: {} prompts of {} tasks", prompts.len(), tasks.len());
            return Err(EvalError::Contract(message));
        }
        let mut keys = std::collections::BTreeSet::new();
        if let Some(task) = tasks.iter().find(|task| !keys.insert((&task.kind, &task.key))) {
            let message =
                format!("suite {name} has two tasks of kind {} and key {}", task.kind, task.key);
            return Err(EvalError::usage(message, "leave one of them out"));
        }
        Ok(Self { name: name.to_owned(), domain, tasks, prompts })
    }
}

impl Suite for TaskSuite {
    fn name(&self) -> &str {
        &self.name
    }

    fn ids(&self) -> Vec<String> {
        self.tasks.iter().map(|task| format!("{}/{}", task.kind, task.key)).collect()
    }

    fn template(&self, _: PromptStyle) -> String {
        let is_chat = |prompt: &Prompt| matches!(prompt.body, PromptBody::Chat(_));
        let style = if self.prompts.iter().all(is_chat) { "chat" } else { "completion" };
        format!("domain, {style}")
    }

    fn prompt(&self, item: usize, _: PromptStyle) -> Prompt {
        self.prompts[item].clone()
    }

    fn grade(
        &self,
        answers: &[Answer<'_>],
        _: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<Verdict>> {
        let answer = |answer: &Answer<'_>| TaskAnswer {
            task: self.tasks[answer.item].clone(),
            response: answer.response.to_owned(),
        };
        let grades = self.domain.grade(&answers.iter().map(answer).collect::<Vec<_>>(), context)?;
        let verdict = |(grade, answer): (azr_plugin::Grade, &Answer<'_>)| Verdict {
            is_right: grade.score >= 1.0,
            reason: grade.reason,
            answer: grade.well_formed.then(|| answer.response.trim().to_owned()),
        };
        Ok(grades.into_iter().zip(answers).map(verdict).collect())
    }

    fn gold(&self, _: usize, _: PromptStyle) -> Option<String> {
        None
    }
}
