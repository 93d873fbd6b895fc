//! Whether an engine keeps the promises of its kind: its description and options as a host sees them, then the
//! conformance kit of `azr-plugin`.

use std::sync::Arc;
use std::time::Duration;

use azr_plugin::conformance::{self, Check, Kit, Outcome, Report};
use azr_plugin::{EngineKind, ErrorCode, Executor, ModelSpec};
use serde_json::{Value, json};

use crate::{Host, HostError};

/// What engines are checked with.
#[derive(Clone)]
pub struct CheckSettings {
    /// Options of the engine.
    pub options: Value,
    /// What a domain runs its programs with.
    pub executor: Option<Arc<dyn Executor>>,
    /// The small model that a backend opens.
    pub model: Option<ModelSpec>,
    /// Longest time of one check.
    pub limit: Duration,
}

impl std::fmt::Debug for CheckSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckSettings").field("options", &self.options).finish_non_exhaustive()
    }
}

/// An option that no engine has.
const NO_OPTION: &str = "no-such-option";

impl Host {
    /// Puts an engine through all checks. Nothing that it does ends the process, short of what would end it in a run.
    ///
    /// # Errors
    /// When there is no such engine.
    pub fn check(
        self: &Arc<Self>,
        kind: EngineKind,
        name: &str,
        settings: &CheckSettings,
    ) -> Result<Report, HostError> {
        let info = self.info(kind, name)?.clone();
        let mut report = Report::default();
        let mut note = |name: &str, outcome| {
            report.checks.push(Check { name: name.to_owned(), outcome });
        };
        note("description", described(&info.summary, &info.version, &info.capabilities));
        let subject = Subject {
            host: Arc::clone(self),
            kind,
            name: name.to_owned(),
            settings: settings.clone(),
        };
        let tried = subject.clone();
        let schema = info.options_schema;
        let (check, _) =
            conformance::check("default options", settings.limit, move || tried.defaults(&schema));
        note(&check.name, check.outcome);
        let tried = subject.clone();
        let (check, made) =
            conformance::check("given options", settings.limit, move || tried.given());
        // What this machine lacks is no defect of the engine.
        let (outcome, is_usable) = match made {
            Some(None) => (check.outcome, true),
            Some(Some(lacking)) => (Outcome::Skipped(lacking), false),
            None => (check.outcome, false),
        };
        note("given options", outcome);
        if !is_usable {
            return Ok(report);
        }
        let tried = subject.clone();
        let (check, _) =
            conformance::check("unknown options", settings.limit, move || tried.unknown());
        note(&check.name, check.outcome);
        report.checks.extend(subject.kit().checks);
        Ok(report)
    }
}

/// One engine, to be made again and again.
#[derive(Clone)]
struct Subject {
    host: Arc<Host>,
    kind: EngineKind,
    name: String,
    settings: CheckSettings,
}

impl Subject {
    /// Makes the engine only to see whether that works.
    fn make(&self, options: Value) -> Result<(), HostError> {
        let name = self.name.as_str();
        match self.kind {
            EngineKind::Tokenizer => self.host.create_tokenizer(name, options).map(drop),
            EngineKind::Backend => self.host.create_backend(name, options).map(drop),
            EngineKind::Executor => self.host.create_executor(name, options).map(drop),
            EngineKind::Optimizer => self.host.create_optimizer(name, options).map(drop),
            EngineKind::Domain => match &self.settings.executor {
                Some(executor) => {
                    self.host.create_domain(name, options, Arc::clone(executor)).map(drop)
                }
                None => Ok(()),
            },
        }
    }

    /// `{}` makes an engine, or the error names the option that is missing.
    fn defaults(&self, schema: &Value) -> Result<(), String> {
        let error = match self.make(json!({})) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let told = match &error {
            HostError::Options { problem, .. } => problem,
            HostError::Create { source, .. } if source.code == ErrorCode::InvalidConfig => {
                &source.message
            }
            _ => &String::new(),
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_named = |name: &String| {
            told.contains(&format!("`{name}`")) || told.contains(&format!("\"{name}\""))
        };
        let names_option = properties.is_some_and(|known| known.keys().any(is_named));
        if names_option || lacks(&error).is_some() { Ok(()) } else { Err(chain(&error)) }
    }

    /// What the machine lacks for this engine, if anything.
    fn given(&self) -> Result<Option<String>, String> {
        match self.make(self.settings.options.clone()) {
            Ok(()) => Ok(None),
            Err(error) => lacks(&error).map(Some).ok_or_else(|| chain(&error)),
        }
    }

    fn unknown(&self) -> Result<(), String> {
        let mut options = self.settings.options.clone();
        if let Some(options) = options.as_object_mut() {
            options.insert(NO_OPTION.into(), json!(1));
        }
        match self.make(options) {
            Err(HostError::Options { .. }) => Ok(()),
            Err(error) => Err(format!("its schema allows any option: {}", chain(&error))),
            Ok(()) => Err("it takes options that it does not have: give its options type \
                           #[serde(deny_unknown_fields)]"
                .into()),
        }
    }

    fn kit(self) -> Report {
        let kit = Kit { limit: self.settings.limit };
        let Self { host, kind, name, settings } = self;
        let options = settings.options;
        let without = |what: &str| Report {
            checks: vec![Check {
                name: format!("the kit for {kind} engines"),
                outcome: Outcome::Skipped(format!("no {what} was given")),
            }],
        };
        match kind {
            EngineKind::Tokenizer => {
                kit.tokenizer(move || Ok(host.create_tokenizer(&name, options.clone())?))
            }
            EngineKind::Executor => {
                kit.executor(move || Ok(host.create_executor(&name, options.clone())?))
            }
            EngineKind::Optimizer => {
                kit.optimizer(move || Ok(host.create_optimizer(&name, options.clone())?))
            }
            EngineKind::Backend => match settings.model {
                None => without("model"),
                Some(model) => {
                    kit.backend(move || Ok(host.create_backend(&name, options.clone())?), &model)
                }
            },
            EngineKind::Domain => match settings.executor {
                None => without("executor"),
                Some(executor) => kit.domain(move || {
                    let executor = Arc::clone(&executor);
                    Ok(host.create_domain(&name, options.clone(), executor)?)
                }),
            },
        }
    }
}

fn described(summary: &str, version: &str, capabilities: &Value) -> Outcome {
    let is_line = !summary.trim().is_empty() && !summary.contains('\n');
    let numbers: Vec<&str> = version.split(['-', '+']).take(1).flat_map(|v| v.split('.')).collect();
    let is_version = numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u64>().is_ok());
    if !is_line {
        Outcome::Failed(format!("its summary {summary:?} is not one line of text"))
    } else if !is_version {
        Outcome::Failed(format!("its version {version:?} is no semantic version"))
    } else if !capabilities.is_object() {
        Outcome::Failed("its capabilities are no JSON object".into())
    } else {
        Outcome::Passed
    }
}

/// What the machine lacks, when that is why an engine cannot be made.
fn lacks(error: &HostError) -> Option<String> {
    match error {
        HostError::Create { source, .. } if source.code == ErrorCode::Unavailable => {
            Some(source.message.clone())
        }
        _ => None,
    }
}

/// The error with its cause, as one text.
fn chain(error: &HostError) -> String {
    match error {
        HostError::Create { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}
