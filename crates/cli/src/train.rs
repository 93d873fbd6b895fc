//! `azr train`: a run from its configuration to its last checkpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azr_run::{Profile, RunConfig, RunDir, RunError};
use azr_selfplay::SelfPlay;

use crate::args::Train;
use crate::console::{self, Console};
use crate::{Ending, engines, interrupt, models, print};

pub(crate) fn run(arguments: &Train, plugins: Vec<PathBuf>) -> Result<Ending> {
    let (mut config, resumed) = match &arguments.resume {
        Some(path) => {
            let (run, saved) = RunDir::open(path)?;
            (extended(&saved, arguments)?, Some(run))
        }
        None => (chosen(arguments)?, None),
    };
    config.plugins.extend(plugins);
    config.plugins.sort();
    config.plugins.dedup();

    let host = engines::host(&config.plugins)?;
    let model = models::local(&config.model, arguments.offline)?;
    print::note(format!("opening {}", model.display()));
    let engines = engines::create(&host, &config, &model)?;
    let info = engines.policy.info();
    print::note(print::escaped(&format!(
        "{} with {:.1} M parameters on {}",
        info.family,
        info.n_parameters as f64 / 1e6,
        info.device
    )));
    let run = match resumed {
        Some(mut run) => {
            run.save_config(&config)?;
            run
        }
        None => RunDir::create(&run_path(arguments, &config), &config)?,
    };
    let selfplay = SelfPlay::new(config.selfplay.clone(), engines)?;
    interrupt::install()?;
    steps(&config, &run, selfplay)
}

/// Runs the steps that are left.
fn steps(config: &RunConfig, run: &RunDir, mut selfplay: SelfPlay) -> Result<Ending> {
    let console = Console::default();
    let mut step = start(run, &mut selfplay, &console)?;
    print::note(format!("run folder {}", run.path().display()));
    while step < config.steps {
        step += 1;
        let mut output = selfplay.step(step, &console).with_context(|| format!("step {step}"))?;
        output
            .timings
            .extend(peak_memory_bytes().map(|bytes| ("memory/peak_bytes".to_owned(), bytes)));
        run.record_step(&output)?;
        console::line(&console::summary(&output, config.steps));
        let interrupted = interrupt::requested();
        if interrupted || step == config.steps || step.is_multiple_of(config.save_every) {
            run.save_checkpoint(step, |folder| selfplay.save(folder))?;
        }
        if interrupted && step < config.steps {
            let path = run.path().display();
            print::note(format!(
                "interrupted after step {step}; go on with `azr train --resume {path}`"
            ));
            return Ok(Ending::Interrupted);
        }
    }
    print::note(format!("done: {step} steps, checkpoint and metrics in {}", run.path().display()));
    Ok(Ending::Done)
}

/// Brings run and policy to the newest checkpoint, or to the beginning; the steps that are finished.
fn start(run: &RunDir, selfplay: &mut SelfPlay, console: &Console) -> Result<u64> {
    let Some((state, folder)) = run.latest_checkpoint()? else {
        run.rewind(0)?;
        let tasks = run.tasks()?;
        if tasks.is_empty() {
            let seeds = selfplay.seed(console)?;
            run.record_tasks(&seeds.admitted)?;
        } else {
            selfplay.restore_buffers(tasks)?;
        }
        return Ok(0);
    };
    run.rewind(state.step)?;
    selfplay.load(&folder)?;
    selfplay.restore_buffers(run.tasks()?)?;
    print::note(format!("going on after step {} from {}", state.step, folder.display()));
    Ok(state.step)
}

/// The configuration of a new run.
fn chosen(arguments: &Train) -> Result<RunConfig> {
    let profile = arguments.profile.as_deref().map(str::parse::<Profile>).transpose()?;
    let mut overrides = Vec::new();
    let mut set = |key: &str, value: Option<String>| {
        overrides.extend(value.map(|value| format!("{key}={value}")));
    };
    set("model", arguments.model.as_deref().map(quoted));
    set("steps", arguments.steps.map(|n| n.to_string()));
    set("save_every", arguments.save_every.map(|n| n.to_string()));
    set("selfplay.seed", arguments.seed.map(|n| n.to_string()));
    set("backend.name", arguments.backend.as_deref().map(quoted));
    set("executor.name", arguments.executor.as_deref().map(quoted));
    set("optimizer.name", arguments.optimizer.as_deref().map(quoted));
    set("tokenizer.name", arguments.tokenizer.as_deref().map(quoted));
    for domain in &arguments.domain {
        set(&format!("domains.{domain}"), Some("{}".to_owned()));
    }
    overrides.extend(arguments.overrides.iter().cloned());
    let mut config = RunConfig::layered(profile, arguments.config.as_deref(), &overrides)?;
    // A run must find its files again from any folder.
    if Path::new(&config.model).exists() {
        config.model = std::path::absolute(&config.model)?.to_string_lossy().into_owned();
    }
    Ok(config)
}

/// A saved configuration with what may change when a run goes on: its length and what it keeps.
fn extended(saved: &RunConfig, arguments: &Train) -> Result<RunConfig> {
    if let Some(text) = arguments.overrides.first() {
        let message =
            format!("`--set {text}` cannot be used with `--resume`: a run keeps its configuration");
        return Err(RunError::Config { message }.into());
    }
    let mut config = saved.clone();
    config.steps = arguments.steps.unwrap_or(config.steps);
    config.save_every = arguments.save_every.unwrap_or(config.save_every).max(1);
    Ok(config)
}

/// A TOML string: a path with a dot or a backslash stays what it is.
fn quoted(text: &str) -> String {
    format!("{:?}", text)
}

/// `--run-dir`, or the first free `runs/<model>-<n>`.
fn run_path(arguments: &Train, config: &RunConfig) -> PathBuf {
    if let Some(path) = &arguments.run_dir {
        return path.clone();
    }
    let model =
        Path::new(&config.model).file_stem().map_or("model".into(), |name| name.to_string_lossy());
    let free = |n: &u32| !Path::new("runs").join(format!("{model}-{n}")).exists();
    let n = (1..).find(free).unwrap_or(1);
    Path::new("runs").join(format!("{model}-{n}"))
}

/// Largest resident size of this process so far, where the system tells it.
fn peak_memory_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}
