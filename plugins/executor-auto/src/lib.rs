//! The `auto` executor: an embedded interpreter first, a full one for what it cannot express.
//!
//! The embedded executor costs tenths of milliseconds a program, the full one some milliseconds, so every job
//! goes to the embedded one first and only what comes back without a value goes on. The full one has the last
//! word: an exception, a missing feature or a crash of the embedded interpreter is never final, and a gold
//! value is always the full one's own.
//!
//! The two are engines of the host, chosen by name; by default `monty` and `cpython`. Where one of them cannot
//! be had on a machine, the other works alone, and [`Executor::protections`] says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use azr_executor::sandbox::Demand;
use azr_plugin::{
    CallContext, Engine, ErrorCode, Executor, ExecutorSource, Job, JobReport, PluginError,
    Protection, Result, Services,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod progress;
mod route;

use route::Route;

/// Name of the embedded executor where none is named.
const EMBEDDED: &str = "monty";

/// Name of the full executor where none is named.
const FULL: &str = "cpython";

/// One of the two executors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PartOptions {
    /// Name of the engine; by default `monty` as the embedded and `cpython` as the full one.
    pub name: Option<String>,
    /// Its options.
    pub options: BTreeMap<String, Value>,
}

/// Options of [`AutoExecutor`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AutoOptions {
    /// The fast one.
    pub embedded: PartOptions,
    /// The one that decides.
    pub full: PartOptions,
    /// Which protections both demand, where they do not have an option of their own.
    pub sandbox: Option<Demand>,
    /// Number of programs that each runs at once, where it does not have an option of its own.
    pub workers: Option<usize>,
    /// Whether to refuse to start with one of the two alone; `sandbox = "strict"` implies it.
    pub require_both: bool,
}

/// Runs programs in the cheapest executor that gives the same values as the full one.
pub struct AutoExecutor {
    parts: Parts,
    notes: Vec<Protection>,
}

/// The executors that could be made; at least one.
enum Parts {
    Both { embedded: Part, full: Part },
    One(Alone),
}

/// One of the two, where the other cannot be had.
struct Alone {
    part: Part,
    missing: String,
    /// Why it is missing.
    reason: PluginError,
    is_full: bool,
}

/// An executor and the name that its tasks are pinned to.
struct Part {
    name: String,
    executor: Arc<dyn Executor>,
}

impl Engine for AutoExecutor {
    const NAME: &'static str = "auto";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "embedded interpreter first, full one for what it cannot express";
    type Options = AutoOptions;

    fn capabilities() -> Value {
        json!({ "language": "python", "gold": true })
    }

    fn create(options: AutoOptions, services: Services) -> Result<Self> {
        let source = services.executors.ok_or_else(|| {
            PluginError::new(ErrorCode::Unavailable, "the host lends no executors")
                .with_hint("choose one executor instead of `auto`")
        })?;
        let name = |part: &PartOptions, default: &str| part.name.clone().unwrap_or(default.into());
        let (embedded_name, full_name) =
            (name(&options.embedded, EMBEDDED), name(&options.full, FULL));
        let embedded = Part::make(&*source, &embedded_name, &options.embedded, &options);
        let full = Part::make(&*source, &full_name, &options.full, &options);
        let may_lack = |error: &PluginError| {
            error.code == ErrorCode::Unavailable
                && !options.require_both
                && options.sandbox != Some(Demand::Strict)
        };
        match (embedded, full) {
            (Ok(embedded), Ok(full)) => {
                Ok(Self { parts: Parts::Both { embedded, full }, notes: Vec::new() })
            }
            (Ok(part), Err(error)) if may_lack(&error) => {
                Ok(Self::alone(part, full_name, error, false))
            }
            (Err(error), Ok(part)) if may_lack(&error) => {
                Ok(Self::alone(part, embedded_name, error, true))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl Executor for AutoExecutor {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        match &self.parts {
            Parts::Both { embedded, full } => Route { embedded, full }.run(jobs, context),
            Parts::One(alone) => alone.run(jobs, context),
        }
    }

    /// The protections of both, each with the executor's name, and what is missing of the two.
    fn protections(&self) -> Vec<Protection> {
        let parts = match &self.parts {
            Parts::Both { embedded, full } => vec![embedded, full],
            Parts::One(alone) => vec![&alone.part],
        };
        let named = |part: &Part| {
            let name = part.name.clone();
            let entries = part.executor.protections().into_iter();
            entries.map(move |entry| Protection { name: format!("{name}/{}", entry.name), ..entry })
        };
        parts.into_iter().flat_map(named).chain(self.notes.clone()).collect()
    }
}

impl AutoExecutor {
    fn alone(part: Part, missing: String, reason: PluginError, is_full: bool) -> Self {
        let note = Protection {
            name: format!("executor-{missing}"),
            in_force: false,
            detail: format!("`{}` works alone: {}", part.name, reason.message),
        };
        let alone = Alone { part, missing, reason, is_full };
        Self { parts: Parts::One(alone), notes: vec![note] }
    }
}

impl Alone {
    /// Runs everything here. Tasks that are pinned to the embedded executor may be the full one's, which agreed on
    /// them; the other way round their gold values would mean nothing.
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        let is_foreign = |job: &Job| job.pinned.as_ref() == Some(&self.missing);
        if !jobs.iter().any(is_foreign) {
            return self.part.executor.run(jobs, context);
        }
        if !self.is_full {
            let Self { part, missing, reason, .. } = self;
            let message = format!(
                "some tasks' gold values come from executor `{missing}`, and `{}` is here alone: {}",
                part.name, reason.message
            );
            return Err(PluginError::new(ErrorCode::Unavailable, message).with_hint(
                reason.hint.clone().unwrap_or_else(|| "start a new run on this machine".to_owned()),
            ));
        }
        let mut jobs = jobs.to_vec();
        for job in jobs.iter_mut().filter(|job| is_foreign(job)) {
            job.pinned = Some(self.part.name.clone());
        }
        self.part.executor.run(&jobs, context)
    }
}

impl Part {
    fn make(
        source: &dyn ExecutorSource,
        name: &str,
        part: &PartOptions,
        both: &AutoOptions,
    ) -> Result<Self> {
        let mut options = BTreeMap::new();
        options.extend(both.sandbox.map(|demand| ("sandbox".to_owned(), json!(demand))));
        options.extend(both.workers.map(|workers| ("workers".to_owned(), json!(workers))));
        options.extend(part.options.clone());
        let executor = source.executor(name, &json!(options))?;
        Ok(Self { name: name.to_owned(), executor })
    }
}

impl std::fmt::Debug for AutoExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = match &self.parts {
            Parts::Both { embedded, full } => vec![&embedded.name, &full.name],
            Parts::One(alone) => vec![&alone.part.name],
        };
        f.debug_struct("AutoExecutor").field("parts", &names).finish_non_exhaustive()
    }
}

azr_plugin::export! { entry: azr_executor_auto, executors: [AutoExecutor] }
