//! The engines that the recipe uses: those of a run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use azr_host::Host;
use azr_plugin::{Domain, Executor, ModelSpec, Policy, Tokenizer};
use azr_run::{Profile, RunConfig};
use serde_json::{Value, json};

/// Options of the code domain with which the nano model is asked: those of its profile.
fn domain_options() -> Value {
    let options = RunConfig::of_profile(Profile::Nano).domains.remove("code");
    json!(options.unwrap_or_default())
}

/// Makes engines by name.
pub(crate) struct Engines {
    host: Host,
}

impl Engines {
    pub(crate) fn new() -> Result<Self> {
        let mut host = Host::new();
        for module in [
            azr_tokenizer_hf::plugin_module(),
            azr_backend_cpu::plugin_module(),
            azr_executor_auto::plugin_module(),
            azr_executor_cpython::plugin_module(),
            azr_executor_monty::plugin_module(),
            azr_domain_code::plugin_module(),
        ] {
            host.register_builtin(module)?;
        }
        Ok(Self { host })
    }

    /// The code domain with the executor `executor`, and that executor.
    pub(crate) fn domain(&self, executor: &str) -> Result<(Arc<dyn Domain>, Arc<dyn Executor>)> {
        let executor = self.host.create_executor(executor, json!({}))?;
        let domain = self.host.create_domain("code", domain_options(), Arc::clone(&executor))?;
        Ok((domain, executor))
    }

    pub(crate) fn tokenizer(&self, model: &Path) -> Result<Arc<dyn Tokenizer>> {
        Ok(self.host.create_tokenizer("hf", json!({"model": model}))?)
    }

    pub(crate) fn policy(
        &self,
        model: &Path,
        tokenizer: &dyn Tokenizer,
    ) -> Result<Box<dyn Policy>> {
        let backend = self.host.create_backend("cpu", json!({}))?;
        let (vocabulary, eos) = (tokenizer.vocabulary()?, tokenizer.info().eos);
        Ok(backend.open(&ModelSpec { path: model.to_owned(), vocabulary, eos, learns: true })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_asks_for_as_many_inputs_as_are_taught() {
        assert_eq!(domain_options()["induction_inputs"], crate::corpus::INDUCTION_INPUTS);
    }
}
