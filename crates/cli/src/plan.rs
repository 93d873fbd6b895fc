//! `azr plan`: what a run needs in memory, before it is started.

use anyhow::{Context, Result};
use azr_backend_cpu::{MemoryPlan, Options, Workload};
use azr_plugin::OptimizerKind;
use azr_run::RunConfig;
use azr_weights::{Inspection, inspect};
use serde_json::{Value, json};
use toml::Table;

use crate::args::{Format, Train};
use crate::{models, print, train};

/// Longest response of the code domain's own defaults.
const RESPONSE_TOKENS: usize = 1024;
/// Task kinds where none are chosen.
const N_KINDS: usize = 3;
/// Resident size of one worker of each executor and what it starts: 11 MB for the embedded interpreter's, two
/// interpreters of 10 MB for CPython's.
const WORKER_BYTES: u64 = 32 << 20;
/// Program, tokenizer, buffers of tasks.
const PROCESS_BYTES: u64 = 64 << 20;

pub(crate) fn run(arguments: &Train, format: Format) -> Result<()> {
    let config = train::chosen(arguments)?;
    let inspection = inspect(&models::local(&config.model, true)?)?;
    let plan = Plan::new(&config, &inspection)?;
    match format {
        Format::Json => print::json(&plan.json()),
        Format::Text => {
            plan.print();
            Ok(())
        }
    }
}

struct Plan<'a> {
    config: &'a RunConfig,
    inspection: &'a Inspection,
    options: Options,
    workload: Workload,
    memory: MemoryPlan,
    working: u64,
    workers: u64,
    free: Option<u64>,
}

impl<'a> Plan<'a> {
    fn new(config: &'a RunConfig, inspection: &'a Inspection) -> Result<Self> {
        anyhow::ensure!(
            config.backend.name == "cpu",
            "only the backend `cpu` tells what it needs, this run has `{}`",
            config.backend.name
        );
        let options: Options = serde_json::to_value(&config.backend.options)
            .and_then(serde_json::from_value)
            .context("options of the backend `cpu`")?;
        let workload = workload(config, inspection)?;
        let memory = options.plan(&inspection.config, &workload)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.executor.options.get("workers").and_then(toml::Value::as_integer);
        let n_workers = workers.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
        Ok(Self {
            working: options.working_bytes(&inspection.config, &memory),
            workers: n_workers.unwrap_or(threads as u64) * WORKER_BYTES,
            free: azr_backend_cpu::free_bytes(),
            config,
            inspection,
            options,
            workload,
            memory,
        })
    }

    fn total(&self) -> u64 {
        self.memory.peak() + self.working + self.workers + PROCESS_BYTES
    }

    /// The total with other options of the backend.
    fn total_with(&self, options: &Options) -> Option<u64> {
        let memory = options.plan(&self.inspection.config, &self.workload).ok()?;
        let working = options.working_bytes(&self.inspection.config, &memory);
        Some(memory.peak() + working + self.workers + PROCESS_BYTES)
    }

    fn fits(&self) -> bool {
        self.free.is_none_or(|free| self.total() <= free)
    }

    fn entries(&self) -> [(&'static str, u64, String); 10] {
        let m = &self.memory;
        let rows = |n: usize| format!("{n} rows");
        [
            ("weights", m.weights, "float32".to_owned()),
            ("adapters", m.adapters, "with the frozen matrices they are added to".to_owned()),
            ("gradients", m.gradients, String::new()),
            ("optimizer_state", m.optimizer_state, self.workload.optimizer.as_str().to_owned()),
            ("training_activations", m.training_activations, rows(m.n_training_rows)),
            ("kv_cache", m.kv_cache, "at most; not while training".to_owned()),
            (
                "generation_activations",
                m.generation_activations,
                format!("{}; not while training", rows(m.n_generation_rows)),
            ),
            ("working_memory", self.working, "logits and packed operands".to_owned()),
            ("executor_workers", self.workers, "idle; jobs have their own limit".to_owned()),
            ("process", PROCESS_BYTES, String::new()),
        ]
    }

    /// What could be changed, with the total that it leads to.
    fn alternatives(&self) -> Vec<(&'static str, u64)> {
        let with = |key, change: &dyn Fn(&mut Options)| {
            let mut options = self.options.clone();
            change(&mut options);
            let total = self.total_with(&options).filter(|&total| total < self.total());
            total.map(|total| (key, total))
        };
        [
            with("backend.options.gradient_checkpointing=true", &|options| {
                options.gradient_checkpointing = true;
            }),
            with("backend.options.micro_batch_rows=512", &|options| {
                options.micro_batch_rows = Some(512);
            }),
            with("backend.options.kv_cache_mib=256", &|options| options.kv_cache_mib = Some(256)),
            with("backend.options.optimizer_state=int8", &|options| {
                options.optimizer_state = azr_backend_cpu::OptimizerState::Int8;
            }),
            with("backend.options.lora={}", &|options| {
                options.lora = options.lora.take().or_else(|| Some(Default::default()));
            }),
            with("the first three and backend.options.lora={}", &|options| {
                options.gradient_checkpointing = true;
                options.micro_batch_rows = Some(512);
                options.kv_cache_mib = Some(256);
                options.lora = options.lora.take().or_else(|| Some(Default::default()));
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn json(&self) -> Value {
        let bytes: serde_json::Map<String, Value> = self
            .entries()
            .into_iter()
            .map(|(name, bytes, _)| (name.to_owned(), json!(bytes)))
            .collect();
        let alternatives: Vec<Value> = self
            .alternatives()
            .into_iter()
            .map(|(change, total)| json!({"change": change, "total": total}))
            .collect();
        json!({
            "model": self.config.model,
            "bytes": bytes,
            "total": self.total(),
            "free": self.free,
            "fits": self.fits(),
            "alternatives": alternatives,
        })
    }

    fn print(&self) {
        print::data(print::escaped(&format!("memory for {} in MiB:", self.config.model)));
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        for (name, bytes, note) in self.entries() {
            let name = name.replace('_', " ");
            print::data(format!("{name:<24} {:>7}  {note}", mib(bytes)).trim_end());
        }
        print::data(format!("{:<24} {:>7}  at its peak", "total", mib(self.total())));
        if let Some(free) = self.free {
            let verdict = if self.fits() { "it fits" } else { "it does not fit" };
            print::data(format!("{:<24} {:>7}  {verdict}", "free on this machine", free >> 20));
        }
        if !self.fits() {
            print::data("\nwhat would need less (`--set …`), with the total:");
            for (change, total) in self.alternatives() {
                print::data(format!("{:>7}  {change}", mib(total)));
            }
        }
    }
}

/// The most that the run's settings allow.
fn workload(config: &RunConfig, inspection: &Inspection) -> Result<Workload> {
    let selfplay = &config.selfplay;
    let n_kinds = if selfplay.kinds.is_empty() {
        N_KINDS * config.domains.len()
    } else {
        selfplay.kinds.len()
    };
    let per_role = selfplay.batch_size.saturating_mul(n_kinds);
    let budgets =
        config.domains.values().filter_map(|options| options.get("max_new_tokens")?.as_table());
    let longest = budgets.flat_map(Table::values).filter_map(toml::Value::as_integer).max();
    let optimizer = match config.optimizer.options.get("optimizer").and_then(toml::Value::as_str) {
        None | Some("adamw") => OptimizerKind::Adamw,
        Some("muon") => OptimizerKind::Muon,
        Some(other) => anyhow::bail!("unknown optimizer `{other}`: there are `adamw` and `muon`"),
    };
    Ok(Workload {
        prompt_tokens: selfplay.max_prompt_tokens.min(inspection.config.context_length),
        response_tokens: longest.and_then(|n| usize::try_from(n).ok()).unwrap_or(RESPONSE_TOKENS),
        n_samples: per_role.saturating_mul(selfplay.learnability_samples as usize),
        n_sequences: per_role.saturating_mul(2),
        optimizer,
        is_bf16: inspection.tensor_types.keys().any(|name| name == "BF16"),
    })
}
