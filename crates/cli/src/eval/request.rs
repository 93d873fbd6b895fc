//! What a user asked for, as it is saved with the results, so that an interrupted evaluation goes on with the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azr_eval::{EvalError, ServerAsker, ServerOptions, Setup};
use azr_run::{Profile, RunConfig, RunDir, RunError};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::args::{Evaluate, Style};
use crate::{heldout, train};

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
    /// The server that is asked instead of a model here.
    pub(super) server: Option<Server>,
    /// Model and engines; nothing else of it counts.
    pub(super) config: RunConfig,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) url: String,
    /// The model's name there.
    pub(super) model: String,
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
        let server = arguments.against.as_deref().map(|url| server(url, arguments)).transpose()?;
        let name = server.as_ref().map_or(name, |server| server.model.clone());
        let data = arguments.data.as_deref().map(train::absolute).transpose()?;
        Ok(Self { name, suites, data, adapters, server, config })
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

/// The server at `url`, which has the model that is asked for, or only one.
fn server(url: &str, arguments: &Evaluate) -> Result<Server> {
    let url = url.to_owned();
    if let Some(model) = &arguments.server_model {
        return Ok(Server { url, model: model.clone() });
    }
    let mut options = ServerOptions::new(&url);
    options.key = arguments.api_key_env.as_deref().map(key).transpose()?;
    let models = ServerAsker::new(options).models()?;
    match &models[..] {
        [model] => Ok(Server { url, model: model.clone() }),
        _ => {
            let message = format!("`{url}` has {} models: {}", models.len(), models.join(", "));
            Err(usage(&message, "choose one by `--server-model NAME`"))
        }
    }
}

/// The key in an environment variable.
pub(super) fn key(variable: &str) -> Result<String> {
    std::env::var(variable).map_err(|_| {
        let message = format!("the environment variable `{variable}` holds no key");
        usage(&message, "set it to the server's key, or leave `--api-key-env` out")
    })
}

/// The flags as a layer of a configuration. A style is that of the domains of built-in suites too.
fn flags(arguments: &Evaluate) -> Table {
    let mut flags = Table::new();
    let table = |key: &str, value: Value| Value::Table(Table::from_iter([(key.to_owned(), value)]));
    if let Some(model) = &arguments.model {
        flags.insert("model".into(), model.clone().into());
    }
    let mut style = arguments.style.unwrap_or(Style::Auto);
    if arguments.against.is_some() {
        flags.insert("profile".into(), Profile::Robust.to_string().into());
        style = if style == Style::Completion { style } else { Style::Chat };
    }
    let style = match style {
        Style::Completion => Some("completion"),
        Style::Chat => Some("chat"),
        Style::Auto => None,
    };
    if let Some(style) = style {
        let options = table("prompt_style", style.into());
        flags.insert("domains".into(), table(heldout::DOMAIN, options));
    }
    flags
}

fn usage(message: &str, hint: &str) -> anyhow::Error {
    EvalError::Usage { message: message.to_owned(), hint: hint.to_owned() }.into()
}
