//! `azr plan`: what a run needs in memory, before it is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use azr_backend_cpu::{
    ActivationPrecision, Lora, MemoryPlan, OptimizerState, Options, RolloutWeights, Workload,
};
use azr_domain_code::CodeOptions;
use azr_plugin::RlOptimizer;
use azr_run::RunConfig;
use azr_weights::{ModelConfig, ModelFile};
use serde_json::{Value, json};

use crate::args::{Format, Train};
use crate::{engines, heldout, models, print, train};

/// Longest response of domains that are not known here.
const RESPONSE_TOKENS: usize = 1024;
/// Task kinds of a domain where none are chosen.
const N_KINDS: usize = 3;
/// Resident size of one worker of each executor and what it starts: 11 MB for the embedded interpreter's, two
/// interpreters of 10 MB for CPython's.
const WORKER_BYTES: u64 = 32 << 20;
/// Program, tokenizer, buffers of tasks.
const PROCESS_BYTES: u64 = 64 << 20;

type Change = fn(&mut Options, &mut Workload);

/// What could be changed, as arguments of `--set`.
const CHANGES: [(&str, Change); 7] = [
    ("selfplay.max_prompt_tokens=1024", |_, workload| {
        workload.prompt_tokens = workload.prompt_tokens.min(1024);
    }),
    ("backend.options.gradient_checkpointing=true", |options, _| {
        options.gradient_checkpointing = true;
    }),
    ("backend.options.micro_batch_rows=512", |options, _| options.micro_batch_rows = Some(512)),
    ("backend.options.kv_cache_mib=256", |options, _| options.kv_cache_mib = Some(256)),
    ("backend.options.optimizer_state=int8", |options, _| {
        options.optimizer_state = OptimizerState::Int8;
    }),
    ("backend.options.rollout_weights=f32", |options, _| {
        options.rollout_weights = RolloutWeights::F32;
    }),
    ("backend.options.lora={}", |options, _| {
        options.lora.get_or_insert_with(Lora::default);
    }),
];

pub(crate) fn run(arguments: &Train, plugins: &[PathBuf], format: Format) -> Result<()> {
    let (config, _) = train::configured(arguments, plugins)?;
    let optimizer = engines::optimizer(&engines::host(&config.plugins)?, &config)?;
    let model = ModelFile::open(&models::local(&config.model, true)?)?;
    let plan = Plan::new(&config, &model, &*optimizer)?;
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
    model: &'a ModelConfig,
    options: Options,
    workload: Workload,
    memory: MemoryPlan,
    working: u64,
    workers: u64,
    free: Option<u64>,
}

impl<'a> Plan<'a> {
    fn new(
        config: &'a RunConfig,
        model: &'a ModelFile,
        optimizer: &dyn RlOptimizer,
    ) -> Result<Self> {
        anyhow::ensure!(
            config.backend.name == "cpu",
            "only the backend `cpu` tells what it needs, this run has `{}`",
            config.backend.name
        );
        let options: Options = serde_json::to_value(&config.backend.options)
            .and_then(serde_json::from_value)
            .context("options of the backend `cpu`")?;
        let workload = workload(config, model, optimizer)?;
        let memory = options.plan(model.config(), &workload)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.executor.options.get("workers").and_then(toml::Value::as_integer);
        let n_workers = workers.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
        Ok(Self {
            working: options.working_bytes(model.config(), &memory),
            workers: n_workers.unwrap_or(threads as u64) * WORKER_BYTES,
            free: azr_backend_cpu::free_bytes(),
            config,
            model: model.config(),
            options,
            workload,
            memory,
        })
    }

    fn total(&self) -> u64 {
        self.memory.peak() + self.working + self.workers + PROCESS_BYTES
    }

    /// The total with other options of the backend and another workload.
    fn total_with(&self, options: &Options, workload: &Workload) -> Option<u64> {
        let memory = options.plan(self.model, workload).ok()?;
        let working = options.working_bytes(self.model, &memory);
        Some(memory.peak() + working + self.workers + PROCESS_BYTES)
    }

    fn fits(&self) -> bool {
        self.free.is_none_or(|free| self.total() <= free)
    }

    fn entries(&self) -> [(&'static str, u64, String); 12] {
        let m = &self.memory;
        let rows = |n: usize| format!("{n} rows");
        [
            ("weights", m.weights, "float32".to_owned()),
            ("rollout_weights", m.rollout_weights, "copies that generate".to_owned()),
            ("reference", m.reference, "frozen weights that `kl_coef` needs".to_owned()),
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

    /// Settings that need less, with the total that they lead to: each by itself, then all that help together.
    fn alternatives(&self) -> Vec<(Vec<&'static str>, u64)> {
        let after = |change: Change, (mut options, mut workload): (Options, Workload)| {
            change(&mut options, &mut workload);
            let total = self.total_with(&options, &workload)?;
            Some(((options, workload), total))
        };
        let now = (self.options.clone(), self.workload);
        let mut alternatives = Vec::new();
        let (mut state, mut settings, mut least) = (now.clone(), Vec::new(), self.total());
        for (setting, change) in CHANGES {
            if let Some((_, total)) = after(change, now.clone())
                && total < self.total()
            {
                alternatives.push((vec![setting], total));
            }
            if let Some((next, total)) = after(change, state.clone())
                && total < least
            {
                (state, least) = (next, total);
                settings.push(setting);
            }
        }
        if settings.len() > 1 {
            alternatives.push((settings, least));
        }
        alternatives
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
            .map(|(settings, total)| json!({"set": settings, "total": total}))
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
            print::data("\nwhat would need less, with the total:");
            for (settings, total) in self.alternatives() {
                print::data(format!("{:>7}  --set {}", mib(total), settings.join(" --set ")));
            }
        }
    }
}

/// The most that the run's settings allow.
fn workload(
    config: &RunConfig,
    model: &ModelFile,
    optimizer: &dyn RlOptimizer,
) -> Result<Workload> {
    let selfplay = &config.selfplay;
    let n_kinds = match selfplay.kinds.len() {
        0 => N_KINDS * config.domains.len(),
        chosen => chosen,
    };
    let longest = |(name, options): (&String, &toml::Table)| -> Result<usize> {
        if name != "code" {
            return Ok(RESPONSE_TOKENS);
        }
        let options: CodeOptions =
            options.clone().try_into().context("options of the domain `code`")?;
        Ok(options.longest_response() as usize)
    };
    let longest: Vec<usize> = config.domains.iter().map(longest).collect::<Result<_>>()?;
    let sets = if config.eval.every > 0 {
        heldout::read(&config.eval.sets, &mut BTreeMap::new())?
    } else {
        Vec::new()
    };
    let n_asked = sets.iter().map(|set| set.tasks.len()).sum();
    Ok(Workload {
        prompt_tokens: selfplay.max_prompt_tokens.min(model.config().context_length),
        response_tokens: longest.into_iter().max().unwrap_or(RESPONSE_TOKENS),
        n_samples: selfplay.most_samples(n_kinds).max(n_asked),
        n_sequences: selfplay.most_sequences(n_kinds),
        optimizer: optimizer.plan(0, &[])?.optimizer.kind,
        has_reference: optimizer.needs().reference,
        activations: ActivationPrecision::F32,
        is_bf16: model.has_bf16_layers(),
    })
}
