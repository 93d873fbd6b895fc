//! A run's configuration: a named profile, then files, then `--set` overrides; the merged result is saved with the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use azr_selfplay::{Overlap, SelfPlayConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::profiles::{CODE, DEFAULT_MODEL, VARIED, is_nano};
use crate::{NANO, Profile, Result, RunError};

/// An engine by name, with its own options; the host checks them against the engine's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineChoice {
    /// Name among the engines of its kind (`azr plugins list`).
    pub name: String,
    /// The engine's options.
    #[serde(default)]
    pub options: Table,
}

impl EngineChoice {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), options: Table::new() }
    }
}

/// When a run is evaluated, and on what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// The run is evaluated before its first step, after every so many, and after its last; 0 means never.
    pub every: u64,
    /// Held-out sets: names of built-in ones (`heldout`, `cruxeval`), or paths of files in the format of a run's
    /// `buffers/tasks.jsonl`. What they are about is kept out of training, evaluated or not.
    pub sets: Vec<String>,
    /// The first and the last evaluation ask all tasks, those between only the part that has at most so many of each
    /// kind of a set; 0 means all of them.
    pub tasks_per_kind: usize,
    /// Benchmarks beside the sets (`azr eval --help` names them), taken at every evaluation with one greedy answer to
    /// each item. Nothing of them is kept out of training but what a set keeps out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<String>,
    /// Folder with the benchmarks' data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// At most so many items of each benchmark, always the same; 0 means all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The complete configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The profile the defaults came from.
    pub profile: Profile,
    /// A named model, a GGUF file or a Hugging Face directory.
    pub model: String,
    /// Self-play steps of the whole run.
    pub steps: u64,
    /// A checkpoint is saved every so many steps, and when the run ends or is interrupted.
    pub save_every: u64,
    /// Checkpoints that are kept; older ones are removed.
    pub keep_checkpoints: usize,
    /// Plugin files loaded beside the built-in engines.
    pub plugins: Vec<PathBuf>,
    /// The loop.
    pub selfplay: SelfPlayConfig,
    /// Evaluation on held-out tasks.
    pub eval: EvalConfig,
    /// Text to token ids.
    pub tokenizer: EngineChoice,
    /// Opens the model.
    pub backend: EngineChoice,
    /// Runs programs.
    pub executor: EngineChoice,
    /// Rewards to an update.
    pub optimizer: EngineChoice,
    /// Task domains by engine name, with their options.
    pub domains: BTreeMap<String, Table>,
}

impl RunConfig {
    /// Layers a file, the values of command-line flags and `section.key=value` overrides, in this order, over the
    /// profile's defaults. The last layer that names a `profile` chooses it, else the model does. Domains are chosen,
    /// not added: a default domain that is not named is left out. So is what a profile says about an algorithm or an
    /// optimizer when another is named. Unknown keys are errors.
    pub fn layered(file: Option<&Path>, flags: Table, overrides: &[String]) -> Result<Self> {
        let mut layer = Table::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(RunError::io("read", path))?;
            layer = toml::from_str(&text)
                .map_err(|e| invalid(format!("`{}`: {}", path.display(), e.message())))?;
        }
        if flags.contains_key("domains") {
            layer.remove("domains");
        }
        merge(&mut layer, flags);
        for text in overrides {
            let (key, value) = parse_override(text)?;
            merge(&mut layer, nest(&key, value));
        }
        if layer.get("model").and_then(Value::as_str).is_some_and(is_nano) {
            layer.insert("model".to_owned(), NANO.into());
        }
        let profile = match layer.get("profile").and_then(Value::as_str) {
            Some(name) => name.parse()?,
            None => Profile::of_model(
                layer.get("model").and_then(Value::as_str).unwrap_or(DEFAULT_MODEL),
            ),
        };
        let mut defaults = Self::of_profile_with_all_domains(profile);
        let domains = layer.get("domains").and_then(Value::as_table);
        let is_chosen = |name: &str| domains.map_or(name == CODE, |named| named.contains_key(name));
        defaults.domains.retain(|name, _| is_chosen(name));
        // The built-in sets hold tasks of this domain.
        if !is_chosen(CODE) {
            defaults.eval.sets.clear();
        }
        let optimizer = layer.get("optimizer");
        let named = |key| optimizer.and_then(|optimizer| optimizer.get(key));
        if named("name").is_some_and(|name| name.as_str() != Some(&defaults.optimizer.name)) {
            defaults.optimizer.options.clear();
        }
        if named("options").is_some_and(|options| options.get("algorithm").is_some()) {
            defaults.optimizer.options.retain(|key, _| !VARIED.contains(&key));
        }
        let mut merged = Table::try_from(defaults).map_err(|e| invalid(e.to_string()))?;
        merge(&mut merged, layer);
        Self::from_table(merged)
    }

    /// Reads a run's saved configuration.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::from_table(toml::from_str(text).map_err(|e| invalid(e.message().to_owned()))?)
    }

    fn from_table(table: Table) -> Result<Self> {
        let config: Self =
            table.try_into().map_err(|e: toml::de::Error| invalid(e.message().to_owned()))?;
        config.validate()?;
        Ok(config)
    }

    /// Refuses values that make no run.
    pub fn validate(&self) -> Result<()> {
        self.selfplay.validate().map_err(|e| invalid(e.to_string()))?;
        for (key, value) in [("steps", self.steps), ("save_every", self.save_every)] {
            if value == 0 {
                return Err(invalid(format!("`{key}` is 0, it must be at least 1")));
            }
        }
        if self.keep_checkpoints == 0 {
            return Err(invalid(
                "`keep_checkpoints` is 0, it must be at least 1: a run resumes from its newest"
                    .into(),
            ));
        }
        if self.domains.is_empty() {
            return Err(invalid("`domains` is empty, there must be at least one".into()));
        }
        Ok(())
    }

    /// The complete configuration as TOML, headed by the profile's name and [`RunConfig::hash`].
    pub fn to_toml(&self) -> Result<String> {
        let text = toml::to_string_pretty(self).map_err(|e| invalid(e.to_string()))?;
        Ok(format!("# profile {}, hash {}\n{text}", self.profile, self.hash()?))
    }

    /// SHA-256 of everything that shapes a step's result: all but how long the run is, what it keeps, where plugin files
    /// lie, whether checks overlap with their waves and where the model is computed, which rounding alone depends on.
    pub fn hash(&self) -> Result<String> {
        let mut backend = EngineChoice { name: "cpu".to_owned(), ..self.backend.clone() };
        for option in WHERE_OPTIONS {
            backend.options.remove(option);
        }
        let shape = Self {
            backend,
            steps: 1,
            save_every: 1,
            keep_checkpoints: 1,
            plugins: Vec::new(),
            selfplay: SelfPlayConfig { overlap: Overlap::Auto, ..self.selfplay.clone() },
            ..self.clone()
        };
        let text = toml::to_string(&shape).map_err(|e| invalid(e.to_string()))?;
        Ok(sha256(text.as_bytes()))
    }
}

/// Options of backends that say where and in which arithmetic a model is computed.
const WHERE_OPTIONS: [&str; 3] = ["threads", "device", "activations"];

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_override(text: &str) -> Result<(Vec<String>, Value)> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(invalid(format!("override `{text}` has no `=`: write `section.key=value`")));
    };
    let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(invalid(format!("override `{text}` has an empty key")));
    }
    // A bare word is a string: `--set model=smollm2-135m` needs no quotes.
    let parsed = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    Ok((path, parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()))))
}

/// `[a, b]` and `v` as `{a = {b = v}}`.
fn nest(path: &[String], value: Value) -> Table {
    let mut table = Table::new();
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            table.insert(first.clone(), Value::Table(nest(rest, value)));
        }
    }
    table
}

/// Lays `upper` over `lower`: tables merge, everything else is replaced.
pub fn merge(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

pub(crate) fn invalid(message: String) -> RunError {
    RunError::Config { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(overrides: &[&str]) -> Result<RunConfig> {
        RunConfig::layered(
            None,
            Table::new(),
            &overrides.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn overrides_reach_every_level_and_take_bare_words() {
        let config = sets(&[
            "model=my/model",
            "selfplay.batch_size=2",
            "optimizer.options.learning_rate=0.001",
        ])
        .unwrap();
        assert_eq!(config.model, "my/model");
        assert_eq!(config.selfplay.batch_size, 2);
        assert_eq!(config.optimizer.options["learning_rate"].as_float(), Some(0.001));
        assert_eq!(config.domains.keys().collect::<Vec<_>>(), ["code"]);
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_key() {
        for text in ["stepz=3", "selfplay.bach_size=2", "backend.nam=cpu"] {
            let error = sets(&[text]).unwrap_err().to_string();
            let key = text.split_once('=').unwrap().0.rsplit('.').next().unwrap();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn options_keep_the_default_domain_and_a_named_domain_replaces_it() {
        let options = sets(&["domains.code.prompt_style=chat"]).unwrap();
        assert_eq!(options.domains["code"]["prompt_style"].as_str(), Some("chat"));
        let math = sets(&["domains.math={}"]).unwrap();
        assert_eq!(math.domains.keys().collect::<Vec<_>>(), ["math"]);
        assert!(math.eval.sets.is_empty() && !options.eval.sets.is_empty());
        let named = sets(&["domains.math={}", "eval.sets=['mine.jsonl']"]).unwrap();
        assert_eq!(named.eval.sets, ["mine.jsonl"]);
        assert_eq!(math.domains["math"]["references"].as_integer(), Some(2), "as the profile says");
        let both = sets(&["domains.math.references=1", "domains.code={}"]).unwrap();
        assert_eq!(both.domains["math"]["references"].as_integer(), Some(1));
        assert_eq!(both.domains["code"], RunConfig::of_profile(Profile::Nano).domains["code"]);
        assert_eq!(both.domains.len(), 2);
    }

    #[test]
    fn the_profile_comes_from_the_last_layer_that_names_one() {
        assert_eq!(sets(&["profile=paper"]).unwrap(), RunConfig::of_profile(Profile::Paper));
        assert!(sets(&["profile=pepper"]).is_err());
        assert_eq!(sets(&["model=some"]).unwrap().profile, Profile::Robust);
        for nano in ["model=nano", "model=azr-nano"] {
            assert_eq!(sets(&[nano]).unwrap(), RunConfig::of_profile(Profile::Nano));
        }
    }

    #[test]
    fn a_saved_configuration_reads_back_the_same() {
        for profile in [Profile::Nano, Profile::Paper, Profile::Robust] {
            let config = RunConfig::of_profile(profile);
            let text = config.to_toml().unwrap();
            assert!(text.starts_with(&format!("# profile {profile}, hash ")), "{text}");
            assert_eq!(RunConfig::from_toml(&text).unwrap(), config);
        }
    }

    #[test]
    fn the_hash_ignores_what_changes_no_step() {
        let config = RunConfig::of_profile(Profile::Robust);
        let longer = RunConfig { steps: 99, ..config.clone() };
        let mut overlapped = config.clone();
        overlapped.selfplay.overlap = Overlap::Always;
        let other = RunConfig { model: "other".into(), ..config.clone() };
        assert_eq!(config.hash().unwrap(), longer.hash().unwrap());
        assert_eq!(config.hash().unwrap(), overlapped.hash().unwrap());
        assert_ne!(config.hash().unwrap(), other.hash().unwrap());
    }

    #[test]
    fn a_run_without_benchmarks_has_the_configuration_it_always_had() {
        let text = sets(&[]).unwrap().to_toml().unwrap();
        assert!(!text.contains("suites") && !text.contains("limit ="), "{text}");
        let named = sets(&["eval.suites=['gsm8k']", "eval.data='data'", "eval.limit=9"]).unwrap();
        assert_eq!((named.eval.suites.len(), named.eval.limit), (1, 9));
        assert_eq!(RunConfig::from_toml(&named.to_toml().unwrap()).unwrap(), named);
    }

    #[test]
    fn one_learnability_sample_is_refused() {
        let error = sets(&["selfplay.learnability_samples=1"]).unwrap_err().to_string();
        assert!(error.contains("learnability_samples"), "{error}");
    }
}
