//! Plain engines as stable-ABI objects: what a plugin hands to a host, and the executors that a host lends.

use std::sync::Arc;

use azr_abi::abi_stable::sabi_trait::TD_Opaque;
use azr_abi::abi_stable::std_types::{RStr, RString, RVec};
use azr_abi::{
    self as abi, AbiResult, BackendApi, BackendApi_TO, BackendObject, Code, ContextRef, DomainApi,
    DomainApi_TO, DomainObject, ExecutorApi, ExecutorApi_TO, ExecutorObject, ExecutorSourceApi,
    ExecutorSourceApi_TO, ExecutorSourceObject, OptimizerApi, OptimizerApi_TO, OptimizerObject,
    PolicyApi, PolicyApi_TO, PolicyObject, SinkRef, TokenizerApi, TokenizerApi_TO, TokenizerObject,
};

use super::context::{Borrowed, BorrowedSink};
use super::guard::Guarded;
use super::mirror::{Mirror, as_path};
use crate::{
    Backend, Domain, ErrorCode, Executor, ExecutorSource, ModelSpec, PluginError, Policy, Result,
    RlOptimizer, Tokenizer, UpdateRequest,
};

pub(crate) fn tokenizer(label: String, engine: Box<dyn Tokenizer>) -> TokenizerObject {
    TokenizerApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

pub(crate) fn backend(label: String, engine: Box<dyn Backend>) -> BackendObject {
    BackendApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

pub(crate) fn executor(label: String, engine: Arc<dyn Executor>) -> ExecutorObject {
    ExecutorApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

pub(crate) fn executor_source(
    label: String,
    source: Arc<dyn ExecutorSource>,
) -> ExecutorSourceObject {
    ExecutorSourceApi_TO::from_value(Guarded::new(label, source), TD_Opaque)
}

pub(crate) fn domain(label: String, engine: Box<dyn Domain>) -> DomainObject {
    DomainApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

pub(crate) fn optimizer(label: String, engine: Box<dyn RlOptimizer>) -> OptimizerObject {
    OptimizerApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

fn policy(label: String, engine: Box<dyn Policy>) -> PolicyObject {
    PolicyApi_TO::from_value(Guarded::new(label, engine), TD_Opaque)
}

fn plain<T: Mirror>(abi: RVec<T::Abi>) -> Result<Vec<T>> {
    Vec::from_abi(abi)
}

impl TokenizerApi for Guarded<Box<dyn Tokenizer>> {
    fn info(&self) -> AbiResult<abi::TokenizerInfo> {
        self.call(|tokenizer| Ok(tokenizer.info()))
    }

    fn encode(&self, texts: RVec<RString>, control: Code) -> AbiResult<RVec<RVec<u32>>> {
        self.call(|tokenizer| tokenizer.encode(&plain(texts)?, Mirror::from_abi(control)?))
    }

    fn decode(&self, sequences: RVec<RVec<u32>>, skip_control: bool) -> AbiResult<RVec<RString>> {
        self.call(|tokenizer| tokenizer.decode(&plain::<Vec<u32>>(sequences)?, skip_control))
    }

    fn encode_chats(&self, conversations: RVec<RVec<abi::Message>>) -> AbiResult<RVec<RVec<u32>>> {
        self.call(|tokenizer| tokenizer.encode_chats(&plain::<Vec<_>>(conversations)?))
    }

    fn vocabulary(&self) -> AbiResult<RVec<RVec<u8>>> {
        self.call(|tokenizer| tokenizer.vocabulary())
    }

    fn save(&self, directory: RVec<u8>) -> AbiResult<()> {
        self.call(|tokenizer| tokenizer.save(as_path(&directory)))
    }
}

impl BackendApi for Guarded<Box<dyn Backend>> {
    fn open(&self, model: abi::ModelSpec) -> AbiResult<PolicyObject> {
        self.call_abi(|backend| {
            let opened = backend.open(&ModelSpec::from_abi(model)?)?;
            Ok(policy(format!("policy of {}", self.label()), opened))
        })
    }
}

impl PolicyApi for Guarded<Box<dyn Policy>> {
    fn info(&self) -> AbiResult<abi::PolicyInfo> {
        self.call(|policy| Ok(policy.info()))
    }

    fn generate(
        &mut self,
        requests: RVec<abi::GenerateRequest>,
        sink: SinkRef<'_>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<RVec<abi::Completion>>> {
        self.call_mut(|policy| {
            policy.generate(&plain(requests)?, &BorrowedSink(sink), &Borrowed(context))
        })
    }

    fn score(
        &mut self,
        requests: RVec<abi::ScoreRequest>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<RVec<f32>>> {
        self.call_mut(|policy| policy.score(&plain(requests)?, &Borrowed(context)))
    }

    fn update(
        &mut self,
        request: abi::UpdateRequest,
        context: ContextRef<'_>,
    ) -> AbiResult<abi::UpdateReport> {
        self.call_mut(|policy| {
            policy.update(&UpdateRequest::from_abi(request)?, &Borrowed(context))
        })
    }

    fn save(&self, directory: RVec<u8>, with_optimizer: bool) -> AbiResult<()> {
        self.call(|policy| policy.save(as_path(&directory), with_optimizer))
    }

    fn load(&mut self, directory: RVec<u8>) -> AbiResult<()> {
        self.call_mut(|policy| policy.load(as_path(&directory)))
    }
}

impl ExecutorApi for Guarded<Arc<dyn Executor>> {
    fn run(
        &self,
        jobs: RVec<abi::Job>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<abi::JobReport>> {
        self.call(|executor| executor.run(&plain(jobs)?, &Borrowed(context)))
    }

    fn protections(&self) -> AbiResult<RVec<abi::Protection>> {
        self.call(|executor| Ok(executor.protections()))
    }
}

impl ExecutorSourceApi for Guarded<Arc<dyn ExecutorSource>> {
    fn executor(&self, name: RStr<'_>, options_json: RStr<'_>) -> AbiResult<ExecutorObject> {
        self.call_abi(|source| {
            let options = serde_json::from_str(&options_json).map_err(|error| {
                PluginError::new(
                    ErrorCode::InvalidConfig,
                    format!("the options of executor `{name}` are no JSON: {error}"),
                )
            })?;
            Ok(executor(format!("executor `{name}`"), source.executor(&name, &options)?))
        })
    }
}

impl DomainApi for Guarded<Box<dyn Domain>> {
    fn kinds(&self) -> AbiResult<RVec<abi::TaskKind>> {
        self.call(|domain| Ok(domain.kinds()))
    }

    fn seed_tasks(&self, kind: RString) -> AbiResult<RVec<abi::Task>> {
        self.call(|domain| domain.seed_tasks(&kind))
    }

    fn propose_prompts(&self, requests: RVec<abi::ProposeRequest>) -> AbiResult<RVec<abi::Prompt>> {
        self.call(|domain| domain.propose_prompts(&plain(requests)?))
    }

    fn validate(
        &self,
        proposals: RVec<abi::Proposal>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<abi::Validation>> {
        self.call(|domain| domain.validate(&plain(proposals)?, &Borrowed(context)))
    }

    fn solve_prompts(&self, tasks: RVec<abi::Task>) -> AbiResult<RVec<abi::Prompt>> {
        self.call(|domain| domain.solve_prompts(&plain(tasks)?))
    }

    fn grade(
        &self,
        answers: RVec<abi::Answer>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<abi::Grade>> {
        self.call(|domain| domain.grade(&plain(answers)?, &Borrowed(context)))
    }

    fn known_answers(&self, tasks: RVec<abi::Task>) -> AbiResult<RVec<abi::KnownAnswers>> {
        self.call(|domain| domain.known_answers(&plain(tasks)?))
    }
}

impl OptimizerApi for Guarded<Box<dyn RlOptimizer>> {
    fn needs(&self) -> AbiResult<abi::OptimizerNeeds> {
        self.call(|optimizer| Ok(optimizer.needs()))
    }

    fn plan(&self, step: u64, rollouts: RVec<abi::RolloutSummary>) -> AbiResult<abi::StepPlan> {
        self.call(|optimizer| optimizer.plan(step, &plain(rollouts)?))
    }
}
