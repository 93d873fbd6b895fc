//! The engines of this binary: the one list of those built in, and the ones a run chose.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use azr_host::Host;
use azr_plugin::{Executor, ModelSpec, RlOptimizer};
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

/// Makes every engine that `config` chose, with the model at `model` open.
pub(crate) fn create(host: &Host, config: &RunConfig, model: &Path) -> Result<Engines> {
    // Cheap engines first, so that a wrong option is told before gigabytes are read.
    let optimizer = optimizer(host, config)?;
    let backend = host.create_backend(&config.backend.name, options(&config.backend)?)?;
    let executor = executor(host, &config.executor)?;
    warn_of_missing_protections(&*executor);
    let mut domains = Vec::new();
    for (name, table) in &config.domains {
        let options = serde_json::to_value(table).context("domain options")?;
        domains.push((name.clone(), host.create_domain(name, options, Arc::clone(&executor))?));
    }
    let mut tokenizer_options = options(&config.tokenizer)?;
    tokenizer_options["model"] = json!(model);
    let tokenizer = host.create_tokenizer(&config.tokenizer.name, tokenizer_options)?;
    let vocabulary = tokenizer.vocabulary()?;
    let eos = tokenizer.info().eos;
    let mut spec = ModelSpec { path: model.to_owned(), vocabulary, eos, learns: true };
    let policy = backend.open(&spec)?;
    // Checkpoints are loaded into the policy, so that the reference of a resumed run is the same model.
    spec.learns = false;
    let reference = optimizer.needs().reference.then(|| backend.open(&spec)).transpose()?;
    Ok(Engines { tokenizer, policy, reference, domains, optimizer })
}

/// The RL optimizer that `config` chose.
pub(crate) fn optimizer(host: &Host, config: &RunConfig) -> Result<Arc<dyn RlOptimizer>> {
    Ok(host.create_optimizer(&config.optimizer.name, options(&config.optimizer)?)?)
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
