//! Small stand-ins for this crate's own unit tests.

use azr_plugin::{
    CallContext, ErrorCode, Executor, Job, JobReport, PluginError, Prompt, PromptBody, Protection,
};

use crate::ask::{Asker, Finish, Question, Response, Sampling};
use crate::{Answer, PromptStyle, Result, Suite, Verdict};

/// So many sums `n+n`.
pub(crate) struct Sums(pub(crate) usize);

impl Suite for Sums {
    fn name(&self) -> &str {
        "sums"
    }

    fn ids(&self) -> Vec<String> {
        (0..self.0).map(|n| format!("{n}+{n}")).collect()
    }

    fn prompt(&self, item: usize, _: PromptStyle) -> Prompt {
        let body = PromptBody::Text(format!("{item}+{item}="));
        Prompt { body, stop: vec!["\n".into()], max_new_tokens: 8 }
    }

    fn grade(
        &self,
        answers: &[Answer<'_>],
        _: &dyn Executor,
        _: &dyn CallContext,
    ) -> Result<Vec<Verdict>> {
        let grade = |answer: &Answer<'_>| {
            let is_right = self.gold(answer.item, answer.style).as_deref() == Some(answer.response);
            let reason = if is_right { "ok" } else { "wrong" }.to_owned();
            Verdict { is_right, reason, answer: Some(answer.response.to_owned()) }
        };
        Ok(answers.iter().map(grade).collect())
    }

    fn gold(&self, item: usize, _: PromptStyle) -> Option<String> {
        Some((2 * item).to_string())
    }
}

/// Says a number that its seed chooses, and fails after so many waves.
pub(crate) struct Parrot {
    pub(crate) wave: usize,
    pub(crate) fails_after: usize,
}

impl Asker for Parrot {
    fn wave(&self) -> usize {
        self.wave
    }

    fn ask(
        &mut self,
        questions: &[Question],
        _: Sampling,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>> {
        if self.fails_after == 0 {
            return Err(PluginError::new(ErrorCode::Internal, "the parrot flew away").into());
        }
        self.fails_after -= 1;
        context.progress(1, 8);
        let say = |&seed: &u64| Response {
            text: (2 * (seed % 7)).to_string(),
            n_tokens: Some(1 + seed % 3),
            finish: Finish::Stop,
        };
        Ok(questions.iter().map(|question| question.seeds.iter().map(say).collect()).collect())
    }
}

/// Runs nothing.
pub(crate) struct NoExecutor;

impl Executor for NoExecutor {
    fn run(&self, _: &[Job], _: &dyn CallContext) -> azr_plugin::Result<Vec<JobReport>> {
        Err(PluginError::new(ErrorCode::Unavailable, "there is no executor"))
    }

    fn protections(&self) -> Vec<Protection> {
        Vec::new()
    }
}
