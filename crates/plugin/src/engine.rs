//! How an engine describes itself and how it is made.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Executor, Result};

/// The kinds of engines a plugin can bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// Text to token ids and back.
    Tokenizer,
    /// Opens models as policies.
    Backend,
    /// Runs untrusted programs.
    Executor,
    /// Tasks: prompts, validation, grading.
    Domain,
    /// Rewards to advantages and an update plan.
    Optimizer,
}

impl EngineKind {
    /// All kinds, in the order in which they are listed to users.
    pub const ALL: [Self; 5] =
        [Self::Tokenizer, Self::Backend, Self::Executor, Self::Domain, Self::Optimizer];

    /// The kind's name on the command line and in config files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::Backend => "backend",
            Self::Executor => "executor",
            Self::Domain => "domain",
            Self::Optimizer => "optimizer",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a host knows about an engine before it creates one.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineInfo {
    /// The engine's kind.
    pub kind: EngineKind,
    /// Unique among the engines of its kind: lower case, digits, `-` and `+`.
    pub name: String,
    /// Semantic version of the engine.
    pub version: String,
    /// One line for `azr plugins list`.
    pub summary: String,
    /// Free-form JSON object, for example `{"train": true}`.
    pub capabilities: serde_json::Value,
    /// JSON schema of the options object; the host refuses options that do not match it.
    pub options_schema: serde_json::Value,
}

/// Makes executors of the host by name, for an executor that is made of others.
pub trait ExecutorSource: Send + Sync {
    /// Makes the executor `name`; `options` is its options object.
    ///
    /// # Errors
    /// When the host has no such executor, the options do not match its schema, or its constructor fails.
    fn executor(&self, name: &str, options: &serde_json::Value) -> Result<Arc<dyn Executor>>;
}

/// What the host lends to an engine for its lifetime.
#[derive(Clone, Default)]
pub struct Services {
    /// The executor chosen for this run; domains run programs through it. Absent for other kinds.
    pub executor: Option<Arc<dyn Executor>>,
    /// The host's executors, for an executor that is made of others. Absent for other kinds.
    pub executors: Option<Arc<dyn ExecutorSource>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("executor", &self.executor.is_some())
            .field("executors", &self.executors.is_some())
            .finish()
    }
}

/// The options of an engine that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// An engine that `export!` can offer to a host. Implement it beside the trait of the engine's kind.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Unique name among the engines of the kind.
    const NAME: &'static str;
    /// Semantic version; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One line that tells a user what it is.
    const SUMMARY: &'static str;
    /// The engine's options. Use `#[serde(deny_unknown_fields, default)]`, so that `{}` is valid.
    type Options: DeserializeOwned + JsonSchema;

    /// Free-form JSON object of what the engine can do.
    fn capabilities() -> serde_json::Value {
        serde_json::json!({})
    }

    /// Makes an engine. Must be cheap unless it has to start processes or open a device.
    fn create(options: Self::Options, services: Services) -> Result<Self>;
}
