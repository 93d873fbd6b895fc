//! What a user asked for, as it is saved with the results, so that an interrupted evaluation goes on with the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azr_eval::{EvalError, Setup};
use azr_run::{RunConfig, RunDir, RunError};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::args::Evaluate;
use crate::train;

/// What a user asked for, beside the protocol.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// What the results are named after.
    pub(super) name: String,
    pub(super) suites: Vec<String>,
    /// Folder with the suites' data.
    pub(super) data: Option<PathBuf>,
    /// Folder with the adapters that are loaded into the model.
    pub(super) adapters: Option<PathBuf>,
    /// Model and engines; nothing else of it counts.
    pub(super) config: RunConfig,
}

impl Request {
    /// What the arguments ask for.
    pub(super) fn new(arguments: &Evaluate, plugins: &[PathBuf]) -> Result<Self> {
        if arguments.suite.is_empty() {
            return Err(usage(
                "no suite is named",
                "name some by `--suite`, for example `heldout`",
            ));
        }
        let mut suites: Vec<String> = Vec::new();
        for name in &arguments.suite {
            if !suites.contains(name) {
                suites.push(name.clone());
            }
        }
        let (mut config, name, adapters) = match &arguments.run {
            Some(run) => of_run(run)?,
            None => {
                let config = RunConfig::layered(None, flags(arguments), &arguments.overrides)?;
                let name = config.model.clone();
                (config, name, None)
            }
        };
        if let Some(name) = arguments.backend.as_ref().filter(|name| **name != config.backend.name)
        {
            config.backend.name.clone_from(name);
            config.backend.options.clear();
        }
        if let Some(executor) =
            train::executor(arguments.executor.as_deref(), arguments.strict_sandbox)
        {
            let mut merged = Table::try_from(&config.executor).context("executor")?;
            if arguments.executor.as_ref().is_some_and(|name| *name != config.executor.name) {
                merged.remove("options");
            }
            azr_run::merge(&mut merged, executor.try_into().context("executor")?);
            config.executor = merged.try_into().context("executor")?;
        }
        for file in plugins.iter().chain(&config.plugins.clone()) {
            config.plugins.push(train::absolute(file)?);
        }
        config.plugins.sort();
        config.plugins.dedup();
        if Path::new(&config.model).exists() {
            config.model =
                train::absolute(Path::new(&config.model))?.to_string_lossy().into_owned();
        }
        let data = arguments.data.as_deref().map(train::absolute).transpose()?;
        Ok(Self { name, suites, data, adapters, config })
    }

    /// What an interrupted evaluation was asked for.
    pub(super) fn saved(setup: &Setup) -> Result<Self> {
        serde_json::from_value(setup.caller.clone())
            .context("`caller` in the evaluation's config.json")
    }
}

/// The newest checkpoint of a run: full weights are a model, adapters are loaded into the run's.
fn of_run(run: &Path) -> Result<(RunConfig, String, Option<PathBuf>)> {
    let (mut config, newest) = RunDir::look(run)?;
    let Some((state, folder)) = newest else {
        let message = format!("the run `{}` has no checkpoint yet", run.display());
        return Err(RunError::Config { message }.into());
    };
    let folder = train::absolute(&folder)?;
    let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy();
    let name = format!("{name}-step-{}", state.step);
    if folder.join("adapter_config.json").exists() {
        return Ok((config, name, Some(folder)));
    }
    config.model = folder.to_string_lossy().into_owned();
    Ok((config, name, None))
}

fn flags(arguments: &Evaluate) -> Table {
    let model = arguments.model.clone().map(Value::String);
    model.into_iter().map(|model| ("model".to_owned(), model)).collect()
}

fn usage(message: &str, hint: &str) -> anyhow::Error {
    EvalError::Usage { message: message.to_owned(), hint: hint.to_owned() }.into()
}
