//! The engines of this binary: the one list of those built in, and the ones a run chose.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use azr_executor_auto::{AutoExecutor, AutoOptions};
use azr_executor_cpython::CpythonExecutor;
use azr_host::Host;
use azr_plugin::{Backend, Domain, Engine, Executor, ModelSpec, Policy, RlOptimizer, Tokenizer};
use azr_run::{EngineChoice, RunConfig};
use azr_selfplay::Engines;
use serde_json::{Value, json};

use crate::print;

/// A host with the built-in engines, those of `files` and those on the search path.
pub(crate) fn host(files: &[PathBuf]) -> Result<Host> {
    let mut host = Host::new();
    for module in [
        azr_tokenizer_hf::plugin_module(),
        azr_backend_cpu::plugin_module(),
        azr_backend_cuda::plugin_module(),
        azr_executor_auto::plugin_module(),
        azr_executor_cpython::plugin_module(),
        azr_executor_monty::plugin_module(),
        azr_domain_code::plugin_module(),
        azr_domain_math::plugin_module(),
        azr_rl_policy_gradient::plugin_module(),
    ] {
        host.register_builtin(module)?;
    }
    for file in files {
        host.load_file(file)?;
    }
    for error in host.discover(&azr_host::search_path()) {
        print::note(print::escaped(&format!("warning: left out: {error}")));
    }
    Ok(host)
}

/// Makes every engine that `config` chose, with the model at `model` open, and the executor that its domains have.
pub(crate) fn create(
    host: &Host,
    config: &RunConfig,
    model: &Path,
) -> Result<(Engines, Arc<dyn Executor>)> {
    // Cheap engines first, so that a wrong option is told before gigabytes are read.
    let optimizer = optimizer(host, config)?;
    let executor = guarded_executor(host, &config.executor)?;
    let mut domains = Vec::new();
    for name in config.domains.keys() {
        domains.push((name.clone(), domain(host, config, name, &executor)?));
    }
    let mut opener = Opener::new(host, config, model)?;
    let policy = opener.open(true)?;
    // Checkpoints are loaded into the policy, so that the reference of a resumed run is the same model.
    let reference = optimizer.needs().reference.then(|| opener.open(false)).transpose()?;
    let tokenizer = opener.tokenizer;
    Ok((Engines { tokenizer, policy, reference, domains, optimizer }, executor))
}

/// A backend, and what it opens.
pub(crate) struct Opener {
    backend: Arc<dyn Backend>,
    spec: ModelSpec,
    pub(crate) tokenizer: Arc<dyn Tokenizer>,
}

impl Opener {
    /// The backend and the tokenizer that `config` chose, for the model at `model`.
    pub(crate) fn new(host: &Host, config: &RunConfig, model: &Path) -> Result<Self> {
        let backend = host.create_backend(&config.backend.name, options(&config.backend)?)?;
        let mut tokenizer_options = options(&config.tokenizer)?;
        tokenizer_options["model"] = json!(model);
        let tokenizer = host.create_tokenizer(&config.tokenizer.name, tokenizer_options)?;
        let (vocabulary, eos) = (tokenizer.vocabulary()?, tokenizer.info().eos);
        let spec = ModelSpec { path: model.to_owned(), vocabulary, eos, learns: true };
        Ok(Self { backend, spec, tokenizer })
    }

    /// Opens the model, to train it or only to ask it.
    pub(crate) fn open(&mut self, learns: bool) -> Result<Box<dyn Policy>> {
        self.spec.learns = learns;
        Ok(self.backend.open(&self.spec)?)
    }
}

/// The domain `name`, with the options that `config` has for it, if any.
pub(crate) fn domain(
    host: &Host,
    config: &RunConfig,
    name: &str,
    executor: &Arc<dyn Executor>,
) -> Result<Arc<dyn Domain>> {
    let options = config.domains.get(name).map_or(Ok(json!({})), serde_json::to_value);
    Ok(host.create_domain(name, options.context("domain options")?, Arc::clone(executor))?)
}

/// The RL optimizer that `config` chose.
pub(crate) fn optimizer(host: &Host, config: &RunConfig) -> Result<Arc<dyn RlOptimizer>> {
    Ok(host.create_optimizer(&config.optimizer.name, options(&config.optimizer)?)?)
}

/// The executor that `choice` names; what is missing of its protections is said.
pub(crate) fn guarded_executor(host: &Host, choice: &EngineChoice) -> Result<Arc<dyn Executor>> {
    let executor = executor(host, choice)?;
    warn_of_missing_protections(&*executor);
    Ok(executor)
}

/// The executor of benchmarks whose programs import what they like: the full one that `choice` names, without the
/// static gate that training has. The sandbox is in force all the same.
pub(crate) fn open_executor(host: &Host, choice: &EngineChoice) -> Result<Arc<dyn Executor>> {
    let (mut name, mut options) = (choice.name.clone(), options(choice)?);
    if name == AutoExecutor::NAME {
        let AutoOptions { full, sandbox, workers, .. } = serde_json::from_value(options)?;
        name = full.name.unwrap_or_else(|| CpythonExecutor::NAME.to_owned());
        let of_both = [("sandbox", json!(sandbox)), ("workers", json!(workers))];
        let of_both = of_both.into_iter().filter(|(_, value)| !value.is_null());
        let of_both = of_both.map(|(key, value)| (key.to_owned(), value));
        options = of_both.chain(full.options).collect();
    }
    if name == CpythonExecutor::NAME {
        options["policy"] = json!("open");
    }
    Ok(host.create_executor(&name, options)?)
}

/// The executor that `choice` names.
pub(crate) fn executor(host: &Host, choice: &EngineChoice) -> Result<Arc<dyn Executor>> {
    Ok(host.create_executor(&choice.name, options(choice)?)?)
}

/// One line for all that a user would have to look up.
fn warn_of_missing_protections(executor: &dyn Executor) {
    let protections = executor.protections();
    let missing = protections.iter().filter(|entry| !entry.in_force);
    let missing: Vec<&str> = missing.map(|entry| entry.name.as_str()).collect();
    if !missing.is_empty() {
        print::note(print::escaped(&format!(
            "warning: programs run without {} (`azr doctor` says why, `--strict-sandbox` refuses)",
            missing.join(", ")
        )));
    }
}

fn options(choice: &EngineChoice) -> Result<Value> {
    serde_json::to_value(&choice.options).with_context(|| format!("options of `{}`", choice.name))
}
