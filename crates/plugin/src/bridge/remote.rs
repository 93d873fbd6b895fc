//! Stable-ABI objects as plain engines: what a host uses, and a host's executors inside a plugin.
//!
//! Answers are checked for their shape, so that a defect of a plugin is an error that names it.
//! Facts that the plain traits give without a `Result` are asked for once, when the engine is wrapped.

use std::path::Path;
use std::sync::Arc;

use azr_abi::abi_stable::std_types::RResult;
use azr_abi::{
    BackendObject, DomainObject, ExecutorObject, ExecutorSourceObject, OptimizerObject,
    PolicyObject, TokenizerObject,
};

use super::context::{lend, lend_with_sink};
use super::mirror::{Mirror, answer, batch, path};
use crate::{
    Answer, Backend, CallContext, Completion, CompletionSink, ControlTokens, Domain, ErrorCode,
    Executor, ExecutorSource, GenerateRequest, Grade, Job, JobReport, KnownAnswers, Message,
    ModelSpec, OptimizerNeeds, PluginError, Policy, PolicyInfo, Prompt, Proposal, ProposeRequest,
    Protection, Result, RlOptimizer, RolloutSummary, ScoreRequest, StepPlan, Task, TaskKind,
    Tokenizer, TokenizerInfo, UpdateReport, UpdateRequest, Validation,
};

pub(crate) fn tokenizer(label: String, object: TokenizerObject) -> Result<Arc<dyn Tokenizer>> {
    let info = answer(object.info())?;
    Ok(Arc::new(RemoteTokenizer { object, label, info }))
}

pub(crate) fn backend(label: String, object: BackendObject) -> Arc<dyn Backend> {
    Arc::new(RemoteBackend { object, label })
}

pub(crate) fn executor(label: String, object: ExecutorObject) -> Result<Arc<dyn Executor>> {
    let protections = answer(object.protections())?;
    Ok(Arc::new(RemoteExecutor { object, label, protections }))
}

pub(crate) fn executor_source(object: ExecutorSourceObject) -> Arc<dyn ExecutorSource> {
    Arc::new(RemoteExecutorSource { object })
}

pub(crate) fn domain(label: String, object: DomainObject) -> Result<Arc<dyn Domain>> {
    let kinds = answer(object.kinds())?;
    Ok(Arc::new(RemoteDomain { object, label, kinds }))
}

pub(crate) fn optimizer(label: String, object: OptimizerObject) -> Result<Arc<dyn RlOptimizer>> {
    let needs = answer(object.needs())?;
    Ok(Arc::new(RemoteOptimizer { object, label, needs }))
}

fn expect_len(label: &str, what: &str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let message = format!("{label} answered with {got} {what} where {expected} were asked for");
    Err(PluginError::new(ErrorCode::Internal, message)
        .with_hint("this is a defect of the plugin: report it to its author"))
}

struct RemoteTokenizer {
    object: TokenizerObject,
    label: String,
    info: TokenizerInfo,
}

impl Tokenizer for RemoteTokenizer {
    fn info(&self) -> TokenizerInfo {
        self.info.clone()
    }

    fn encode(&self, texts: &[String], control: ControlTokens) -> Result<Vec<Vec<u32>>> {
        let ids: Vec<Vec<u32>> = answer(self.object.encode(batch(texts), control.into_abi()))?;
        expect_len(&self.label, "token sequences", ids.len(), texts.len())?;
        Ok(ids)
    }

    fn decode(&self, sequences: &[Vec<u32>], skip_control: bool) -> Result<Vec<String>> {
        let texts: Vec<String> = answer(self.object.decode(batch(sequences), skip_control))?;
        expect_len(&self.label, "texts", texts.len(), sequences.len())?;
        Ok(texts)
    }

    fn encode_chats(&self, conversations: &[Vec<Message>]) -> Result<Vec<Vec<u32>>> {
        let ids: Vec<Vec<u32>> = answer(self.object.encode_chats(batch(conversations)))?;
        expect_len(&self.label, "token sequences", ids.len(), conversations.len())?;
        Ok(ids)
    }

    fn vocabulary(&self) -> Result<Vec<Vec<u8>>> {
        answer(self.object.vocabulary())
    }

    fn save(&self, directory: &Path) -> Result<()> {
        answer(self.object.save(path(directory)))
    }
}

struct RemoteBackend {
    object: BackendObject,
    label: String,
}

impl Backend for RemoteBackend {
    fn open(&self, model: &ModelSpec) -> Result<Box<dyn Policy>> {
        let object = self.object.open(model.clone().into_abi()).into_result().map_err(|error| {
            // The mirror of an error always translates; the error is the same either way.
            PluginError::from_abi(error).unwrap_or_else(|unknown| unknown)
        })?;
        let info = answer(object.info())?;
        Ok(Box::new(RemotePolicy { object, label: format!("policy of {}", self.label), info }))
    }
}

struct RemotePolicy {
    object: PolicyObject,
    label: String,
    info: PolicyInfo,
}

impl Policy for RemotePolicy {
    fn info(&self) -> PolicyInfo {
        self.info.clone()
    }

    fn generate(
        &mut self,
        requests: &[GenerateRequest],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>> {
        let completions: Vec<Vec<Completion>> =
            answer(lend_with_sink(sink, context, |sink, context| {
                self.object.generate(batch(requests), sink, context)
            }))?;
        expect_len(&self.label, "groups of completions", completions.len(), requests.len())?;
        for (group, request) in completions.iter().zip(requests) {
            expect_len(&self.label, "completions", group.len(), request.seeds.len())?;
            for completion in group {
                expect_len(
                    &self.label,
                    "log-probabilities",
                    completion.logprobs.len(),
                    completion.tokens.len(),
                )?;
            }
        }
        Ok(completions)
    }

    fn score(
        &mut self,
        requests: &[ScoreRequest],
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>> {
        let scores: Vec<Vec<f32>> =
            answer(lend(context, |context| self.object.score(batch(requests), context)))?;
        expect_len(&self.label, "scored sequences", scores.len(), requests.len())?;
        for (score, request) in scores.iter().zip(requests) {
            expect_len(&self.label, "log-probabilities", score.len(), request.response.len())?;
        }
        Ok(scores)
    }

    fn update(
        &mut self,
        request: &UpdateRequest,
        context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        answer(lend(context, |context| self.object.update(request.clone().into_abi(), context)))
    }

    fn save(&self, directory: &Path, with_optimizer: bool) -> Result<()> {
        answer(self.object.save(path(directory), with_optimizer))
    }

    fn load(&mut self, directory: &Path) -> Result<()> {
        answer(self.object.load(path(directory)))
    }
}

struct RemoteExecutor {
    object: ExecutorObject,
    label: String,
    protections: Vec<Protection>,
}

impl Executor for RemoteExecutor {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        let reports: Vec<JobReport> =
            answer(lend(context, |context| self.object.run(batch(jobs), context)))?;
        expect_len(&self.label, "reports", reports.len(), jobs.len())?;
        for (report, job) in reports.iter().zip(jobs) {
            expect_len(&self.label, "outcomes", report.outcomes.len(), job.calls.len())?;
        }
        Ok(reports)
    }

    fn protections(&self) -> Vec<Protection> {
        self.protections.clone()
    }
}

struct RemoteExecutorSource {
    object: ExecutorSourceObject,
}

impl ExecutorSource for RemoteExecutorSource {
    fn executor(&self, name: &str, options: &serde_json::Value) -> Result<Arc<dyn Executor>> {
        let options = options.to_string();
        match self.object.executor(name.into(), options.as_str().into()) {
            RResult::ROk(object) => executor(format!("executor `{name}`"), object),
            RResult::RErr(error) => Err(PluginError::from_abi(error)?),
        }
    }
}

struct RemoteDomain {
    object: DomainObject,
    label: String,
    kinds: Vec<TaskKind>,
}

impl Domain for RemoteDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        self.kinds.clone()
    }

    fn seed_tasks(&self, kind: &str) -> Result<Vec<Task>> {
        answer(self.object.seed_tasks(kind.into()))
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        let prompts: Vec<Prompt> = answer(self.object.propose_prompts(batch(requests)))?;
        expect_len(&self.label, "prompts", prompts.len(), requests.len())?;
        Ok(prompts)
    }

    fn validate(
        &self,
        proposals: &[Proposal],
        context: &dyn CallContext,
    ) -> Result<Vec<Validation>> {
        let verdicts: Vec<Validation> =
            answer(lend(context, |context| self.object.validate(batch(proposals), context)))?;
        expect_len(&self.label, "validations", verdicts.len(), proposals.len())?;
        Ok(verdicts)
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        let prompts: Vec<Prompt> = answer(self.object.solve_prompts(batch(tasks)))?;
        expect_len(&self.label, "prompts", prompts.len(), tasks.len())?;
        Ok(prompts)
    }

    fn grade(&self, answers: &[Answer], context: &dyn CallContext) -> Result<Vec<Grade>> {
        let grades: Vec<Grade> =
            answer(lend(context, |context| self.object.grade(batch(answers), context)))?;
        expect_len(&self.label, "grades", grades.len(), answers.len())?;
        Ok(grades)
    }

    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        let known: Vec<KnownAnswers> = answer(self.object.known_answers(batch(tasks)))?;
        expect_len(&self.label, "sets of known answers", known.len(), tasks.len())?;
        Ok(known)
    }
}

struct RemoteOptimizer {
    object: OptimizerObject,
    label: String,
    needs: OptimizerNeeds,
}

impl RlOptimizer for RemoteOptimizer {
    fn needs(&self) -> OptimizerNeeds {
        self.needs
    }

    fn plan(&self, step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        let plan: StepPlan = answer(self.object.plan(step, batch(rollouts)))?;
        for (what, rows) in [("advantage rows", &plan.advantages), ("weight rows", &plan.weights)] {
            expect_len(&self.label, what, rows.len(), rollouts.len())?;
            for (row, rollout) in rows.iter().zip(rollouts) {
                expect_len(&self.label, what, row.len(), rollout.n_tokens as usize)?;
            }
        }
        Ok(plan)
    }
}
