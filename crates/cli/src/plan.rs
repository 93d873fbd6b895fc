//! `azr plan`: what a run needs in memory, before it is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use azr_backend_cpu::{MemoryPlan, Workload};
use azr_domain_code::CodeOptions;
use azr_domain_math::MathOptions;
use azr_plugin::RlOptimizer;
use azr_run::RunConfig;
use azr_weights::{ModelConfig, Outline};
use serde_json::{Value, json};

use crate::args::{Format, Plan as Arguments};
use crate::{engines, heldout, models, print, train};

mod backend;

use backend::{Backend, Change};

/// Longest response of domains that are not known here.
const RESPONSE_TOKENS: usize = 1024;
/// Task kinds of a domain where none are chosen.
const N_KINDS: usize = 3;
/// Resident size of one worker of each executor and what it starts: 11 MB for the embedded interpreter's, two
/// interpreters of 10 MB for CPython's.
const WORKER_BYTES: u64 = 32 << 20;
/// Program, tokenizer, buffers of tasks.
const PROCESS_BYTES: u64 = 64 << 20;

pub(crate) fn run(arguments: &Arguments, plugins: &[PathBuf], format: Format) -> Result<()> {
    let (config, _) = train::configured(&arguments.train, plugins)?;
    let optimizer = engines::optimizer(&engines::host(&config.plugins)?, &config)?;
    let model = Outline::read(&models::local(&config.model, true)?)?;
    let backend = Backend::new(&config.backend, arguments.gpu_memory_gib)?;
    let plan = Plan::new(&config, &model, backend, &*optimizer)?;
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
    backend: Backend,
    workload: Workload,
    memory: MemoryPlan,
    workers: u64,
}

/// What something needs: its name, bytes and a note.
type Entry = (&'static str, u64, String);

/// What a run needs of one memory.
struct Needs {
    heading: &'static str,
    entries: Vec<Entry>,
    /// The most at any time.
    total: u64,
    free: Free,
}

/// What there is of a memory.
struct Free {
    bytes: Option<u64>,
    /// Of what, or why nobody knows.
    note: String,
}

impl Needs {
    /// Whether it fits, if that is known.
    fn fits(&self) -> Option<bool> {
        self.free.bytes.map(|free| self.total <= free)
    }

    fn json(&self) -> Value {
        let bytes: serde_json::Map<String, Value> =
            self.entries.iter().map(|&(name, bytes, _)| (name.to_owned(), json!(bytes))).collect();
        json!({
            "bytes": bytes,
            "total": self.total,
            "free": self.free.bytes,
            "fits": self.fits(),
        })
    }

    fn print(&self, model: &str) {
        let heading = format!("memory for {model}{} in MiB:", self.heading);
        print::data(print::escaped(&heading));
        for (name, bytes, note) in &self.entries {
            let name = name.replace('_', " ");
            print::data(format!("{name:<24} {:>7}  {note}", mib(*bytes)).trim_end());
        }
        print::data(format!("{:<24} {:>7}  at its peak", "total", mib(self.total)));
        let note = print::escaped(&self.free.note);
        match (self.free.bytes, self.fits()) {
            (Some(free), Some(true)) => {
                print::data(format!("{note:<24} {:>7}  it fits", free >> 20))
            }
            (Some(free), _) => {
                print::data(format!("{note:<24} {:>7}  it does not fit", free >> 20))
            }
            (None, _) => print::data(format!("{:<24} {:>7}  {note}", "free", "unknown")),
        }
    }
}

impl<'a> Plan<'a> {
    fn new(
        config: &'a RunConfig,
        model: &'a Outline,
        backend: Backend,
        optimizer: &dyn RlOptimizer,
    ) -> Result<Self> {
        let workload = workload(config, model, &backend, optimizer)?;
        let memory = backend.plan(&model.config, &workload)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.executor.options.get("workers").and_then(toml::Value::as_integer);
        let n_workers = workers.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
        let workers = n_workers.unwrap_or(threads as u64) * WORKER_BYTES;
        Ok(Self { config, model: &model.config, backend, workload, memory, workers })
    }

    /// The same run with other options of the backend and another workload.
    fn with(&self, backend: Backend, workload: Workload) -> Option<Self> {
        let memory = backend.plan(self.model, &workload).ok()?;
        Some(Self { backend, workload, memory, ..*self })
    }

    /// The memory that the model is in, and with a processor all the rest of the run.
    fn device(&self) -> Needs {
        let m = &self.memory;
        let rows = |n: usize| format!("{n} rows");
        let is_gpu = self.backend.is_gpu();
        let (frozen, adapters) = if is_gpu {
            (0, "without their frozen matrices")
        } else {
            (m.frozen, "with the frozen matrices they are added to")
        };
        let working = self.backend.working_bytes(self.model, m, self.workload.optimizer);
        let mut entries = vec![
            ("weights", m.weights, "float32".to_owned()),
            ("rollout_weights", m.rollout_weights, "copies that generate".to_owned()),
            ("reference", m.reference, "frozen weights that `kl_coef` needs".to_owned()),
            ("adapters", m.adapters + frozen, adapters.to_owned()),
            ("gradients", m.gradients, String::new()),
            ("optimizer_state", m.optimizer_state, self.workload.optimizer.as_str().to_owned()),
            ("training_activations", m.training_activations, rows(m.n_training_rows)),
            ("kv_cache", m.kv_cache, "at most; not while training".to_owned()),
            (
                "generation_activations",
                m.generation_activations,
                format!("{}; not while training", rows(m.n_generation_rows)),
            ),
            ("working_memory", working, self.backend.working_note().to_owned()),
        ];
        let mut total = m.peak() + frozen + working;
        if !is_gpu {
            entries.extend(self.process());
            total += self.workers + PROCESS_BYTES;
        }
        let heading = if is_gpu { " on the GPU" } else { "" };
        Needs { heading, entries, total, free: self.backend.free() }
    }

    /// What the machine around a GPU needs.
    fn host(&self) -> Option<Needs> {
        if !self.backend.is_gpu() {
            return None;
        }
        let loading = azr_backend_cuda::largest_matrix_bytes(self.model);
        let mut entries = vec![
            ("frozen_weights", self.memory.frozen, "that adapters are added to".to_owned()),
            ("loading", loading, "the largest matrix, as float32".to_owned()),
        ];
        entries.extend(self.process());
        let total = entries.iter().map(|(_, bytes, _)| bytes).sum();
        Some(Needs { heading: " on this machine", entries, total, free: backend::free_here() })
    }

    fn process(&self) -> [Entry; 2] {
        [
            ("executor_workers", self.workers, "idle; jobs have their own limit".to_owned()),
            ("process", PROCESS_BYTES, String::new()),
        ]
    }

    /// Settings that need less of the model's memory, with the total that they lead to: each by itself, then all that
    /// help together.
    fn alternatives(&self) -> Vec<(Vec<&'static str>, u64)> {
        let after = |change: Change, (mut backend, mut workload): (Backend, Workload)| {
            change(&mut backend, &mut workload);
            let total = self.with(backend.clone(), workload)?.device().total;
            Some(((backend, workload), total))
        };
        let now = (self.backend.clone(), self.workload);
        let most = self.device().total;
        let mut alternatives = Vec::new();
        let (mut state, mut settings, mut least) = (now.clone(), Vec::new(), most);
        for &(setting, change) in self.backend.changes() {
            if let Some((_, total)) = after(change, now.clone())
                && total < most
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
        let alternatives: Vec<Value> = self
            .alternatives()
            .into_iter()
            .map(|(settings, total)| json!({"set": settings, "total": total}))
            .collect();
        let mut plan = self.device().json();
        plan["model"] = json!(self.config.model);
        plan["alternatives"] = json!(alternatives);
        if let Some(host) = self.host() {
            plan["host"] = host.json();
        }
        plan
    }

    fn print(&self) {
        let device = self.device();
        device.print(&self.config.model);
        if let Some(host) = self.host() {
            print::data("");
            host.print(&self.config.model);
        }
        if device.fits() == Some(false) {
            print::data("\nwhat would need less, with the total:");
            for (settings, total) in self.alternatives() {
                print::data(format!("{:>7}  --set {}", mib(total), settings.join(" --set ")));
            }
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// The most that the run's settings allow.
fn workload(
    config: &RunConfig,
    model: &Outline,
    backend: &Backend,
    optimizer: &dyn RlOptimizer,
) -> Result<Workload> {
    let selfplay = &config.selfplay;
    let n_kinds = if selfplay.kinds.is_empty() { N_KINDS } else { selfplay.kinds.len() };
    let n_tasks = config.domains.keys().map(|name| n_kinds * selfplay.largest_batch_of(name)).sum();
    let longest = |(name, options): (&String, &toml::Table)| -> Result<usize> {
        let table = options.clone();
        let longest = match name.as_str() {
            "code" => table.try_into().map(|options: CodeOptions| options.longest_response()),
            "math" => table.try_into().map(|options: MathOptions| options.longest_response()),
            _ => return Ok(RESPONSE_TOKENS),
        };
        Ok(longest.with_context(|| format!("options of the domain `{name}`"))? as usize)
    };
    let longest: Vec<usize> = config.domains.iter().map(longest).collect::<Result<_>>()?;
    let sets = if config.eval.every > 0 {
        heldout::read(&config.eval.sets, &mut BTreeMap::new())?
    } else {
        Vec::new()
    };
    let n_asked = sets.iter().map(|set| set.tasks.len()).sum();
    Ok(Workload {
        prompt_tokens: selfplay.max_prompt_tokens.min(model.config.context_length),
        response_tokens: longest.into_iter().max().unwrap_or(RESPONSE_TOKENS),
        n_samples: selfplay.most_samples(n_tasks).max(n_asked),
        n_sequences: selfplay.most_sequences(n_tasks),
        optimizer: optimizer.plan(0, &[])?.optimizer.kind,
        has_reference: optimizer.needs().reference,
        activations: backend.activations(),
        is_bf16: model.has_bf16_layers,
    })
}
