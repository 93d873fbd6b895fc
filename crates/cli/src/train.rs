//! `azr train`: a run from its configuration to its last checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use azr_backend_cpu::PolicyOptions;
use azr_run::{Evaluations, RunConfig, RunDir, RunError, seconds};
use azr_selfplay::{Evaluation, SelfPlay, SelfPlayError};
use azr_weights::models::content_sha256;
use toml::{Table, Value};

use crate::args::Train;
use crate::benchmarks::{self, Benchmarks};
use crate::console::{self, Console};
use crate::{Ending, engines, heldout, interrupt, models, print};

pub(crate) fn run(arguments: &Train, plugins: &[PathBuf]) -> Result<Ending> {
    let (config, resumed) = configured(arguments, plugins)?;
    let host = engines::host(&config.plugins)?;
    let model = models::local(&config.model, arguments.offline)?;
    print::note(format!("opening {}", model.display()));
    let (engines, executor) = engines::create(&host, &config, &model)?;
    print::note(print::escaped(&console::about(&engines.policy.info())));
    // Everything that can be refused is refused before a folder is made.
    let mut sums = BTreeMap::from([("model".to_owned(), content_sha256(&model)?)]);
    let held_out = heldout::read(&config.eval.sets, &mut sums)?;
    let shown = held_out.first().map(|set| set.name.clone());
    let tokenizer = engines.tokenizer.clone();
    let benchmarks = Benchmarks::open(&host, &config, tokenizer, executor, &mut sums)?;
    let selfplay = SelfPlay::new(config.selfplay.clone(), engines)?.with_held_out(held_out)?;
    let mut run = match resumed {
        Some(run) => run,
        None => {
            let path = arguments.run_dir.clone();
            let path = path.unwrap_or_else(|| free_folder(Path::new("runs"), &config.model));
            RunDir::create(&path, &config)?
        }
    };
    run.pin(&sums)?;
    run.save_config(&config)?;
    interrupt::install("finishing this step, then saving")?;
    steps(&config, run, selfplay, &benchmarks, &shown.unwrap_or_default())
}

/// Asks the held-out tasks, all or a part of them, and takes the benchmarks; the answers to these are written down.
fn evaluate(
    (selfplay, benchmarks): (&mut SelfPlay, &Benchmarks),
    (config, run): (&RunConfig, &RunDir),
    step: u64,
    asks_all: bool,
    console: &Console,
) -> Result<Evaluation> {
    let mut evaluate = || -> Result<Evaluation> {
        let tasks_per_kind = config.eval.tasks_per_kind;
        let mut evaluation = selfplay.evaluate(step, tasks_per_kind, asks_all, console)?;
        let scores = benchmarks.take(selfplay.policy_mut(), console)?;
        scores.record(run, step)?;
        evaluation.metrics.extend(scores.metrics);
        evaluation.timings.extend(scores.timings);
        Ok(evaluation)
    };
    evaluate().with_context(|| format!("the evaluation after step {step}"))
}

/// Runs the steps that are left. `shown` is the held-out set of which the console tells.
fn steps(
    config: &RunConfig,
    mut run: RunDir,
    mut selfplay: SelfPlay,
    benchmarks: &Benchmarks,
    shown: &str,
) -> Result<Ending> {
    print::note(format!("run folder {}", run.path().display()));
    let Some(mut step) = start(&mut run, &mut selfplay)? else {
        print::note("interrupted while the seed tasks were made; `--resume` makes them anew");
        return Ok(Ending::Interrupted);
    };
    let is_evaluated = config.eval.every > 0 && (selfplay.has_held_out() || !benchmarks.is_empty());
    let lines = run.metrics()?;
    let mut evaluations = Evaluations::new(shown, &lines);
    // At the end as at the start all tasks are asked; between them a part shows where it goes. A run that was
    // interrupted at what is its end now was asked a part.
    let is_end = step == 0 || step >= config.steps;
    let is_done = match selfplay.has_held_out() {
        true => evaluations.is_whole_at(step),
        false => lines.iter().any(|line| line.step == step && has_benchmarks(&line.metrics)),
    };
    if is_evaluated && is_end && !is_done {
        let asked = (&mut selfplay, benchmarks);
        match evaluate(asked, (config, &run), step, true, &Console::that_cancels()) {
            Err(error) if benchmarks::is_cancelled(&error) => {
                print::note("interrupted during the evaluation; `--resume` makes it anew");
                return Ok(Ending::Interrupted);
            }
            evaluation => {
                let evaluation = evaluation?;
                run.record_evaluation(&evaluation, wall_time())?;
                evaluations.add(step, &evaluation.metrics);
                let scores = console::benchmarks(&evaluation.metrics);
                scores.iter().for_each(|scores| print::note(print::escaped(scores)));
            }
        }
    }
    let console = Console::default();
    if let Some(set) = evaluations.summary() {
        print::note(print::escaped(&console::held_out(&set, false)));
    }
    while step < config.steps {
        step += 1;
        let mut output = selfplay.step(step, &console).with_context(|| format!("step {step}"))?;
        let is_last = step == config.steps;
        let is_due = is_evaluated && (is_last || step.is_multiple_of(config.eval.every));
        let mut evaluation =
            || evaluate((&mut selfplay, benchmarks), (config, &run), step, is_last, &console);
        let evaluation = if is_due { Some(evaluation()?) } else { None };
        output.timings.extend(peak_memory_bytes().map(|n| ("memory/peak_bytes".to_owned(), n)));
        run.record_step(&output, evaluation.as_ref(), wall_time())?;
        let mut line = console::summary(&output, config.steps);
        if let Some(evaluation) = &evaluation {
            evaluations.add(step, &evaluation.metrics);
            let summary = evaluations.summary();
            line.extend(summary.map(|set| format!(" | {}", console::held_out(&set, true))));
            let scores = console::benchmarks(&evaluation.metrics);
            line.extend(scores.map(|scores| format!(" | {scores}")));
        }
        print::note(print::escaped(&line));
        for alarm in &output.alarms {
            print::note(print::escaped(&format!("alarm ({}): {}", alarm.name, alarm.message)));
        }
        let interrupted = interrupt::requested();
        if interrupted || is_last || step.is_multiple_of(config.save_every) {
            run.save_checkpoint(step, selfplay.health(), |folder| selfplay.save(folder))?;
        }
        if interrupted && !is_last {
            let report = run.write_report(config)?;
            print::note(format!(
                "interrupted after step {step}; go on with `azr train --resume {}`, report so far in {}",
                run.path().display(),
                report.display()
            ));
            return Ok(Ending::Interrupted);
        }
    }
    let report = run.write_report(config)?;
    let ending = console::ending(evaluations.summary().as_ref(), step, seconds(&run.metrics()?));
    print::note(print::escaped(&format!("{ending}; report in {}", report.display())));
    Ok(Ending::Done)
}

/// Whether benchmarks are among these metrics.
fn has_benchmarks(metrics: &BTreeMap<String, f64>) -> bool {
    console::benchmarks(metrics).is_some()
}

/// Unix time in seconds.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Brings run and policy to the newest checkpoint, or to the beginning; the steps that are finished, or none when the
/// user interrupted seeding.
fn start(run: &mut RunDir, selfplay: &mut SelfPlay) -> Result<Option<u64>> {
    if let Some((state, folder)) = run.latest_checkpoint()? {
        let tasks = run.rewind(&state)?;
        selfplay.load(&folder)?;
        selfplay.restore_buffers(tasks)?;
        selfplay.restore_health(state.health);
        print::note(format!("going on after step {} from {}", state.step, folder.display()));
        return Ok(Some(state.step));
    }
    let tasks = run.restart()?;
    if run.is_seeded() {
        selfplay.restore_buffers(tasks)?;
        return Ok(Some(0));
    }
    match selfplay.seed(&Console::that_cancels()) {
        Ok(seeds) => run.record_seeds(&seeds, wall_time())?,
        Err(SelfPlayError::Cancelled) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(0))
}

/// The configuration that the arguments ask for, and the run that goes on, if one does.
pub(crate) fn configured(
    arguments: &Train,
    plugins: &[PathBuf],
) -> Result<(RunConfig, Option<RunDir>)> {
    let (mut config, resumed) = match &arguments.resume {
        Some(path) => {
            let (run, saved) = RunDir::open(path)?;
            (extended(&saved, arguments)?, Some(run))
        }
        None => (chosen(arguments)?, None),
    };
    for file in plugins {
        config.plugins.push(absolute(file)?);
    }
    config.plugins.sort();
    config.plugins.dedup();
    Ok((config, resumed))
}

/// The configuration of a new run.
fn chosen(arguments: &Train) -> Result<RunConfig> {
    let mut flags = Table::new();
    let text = |value: &Option<String>| value.clone().map(Value::String);
    let number = |key: &str, value: Option<u64>| -> Result<Option<Value>> {
        let integer = value.map(i64::try_from).transpose();
        Ok(integer.with_context(|| format!("{key} is too large"))?.map(Value::Integer))
    };
    let engine = |name: &Option<String>| {
        text(name).map(|name| Value::Table(Table::from_iter([("name".to_owned(), name)])))
    };
    let domains = (!arguments.domain.is_empty()).then(|| {
        let domain = |name: &String| (name.clone(), Value::Table(Table::new()));
        Value::Table(arguments.domain.iter().map(domain).collect())
    });
    let seed = number("seed", arguments.seed)?
        .map(|seed| Value::Table(Table::from_iter([("seed".to_owned(), seed)])));
    for (key, value) in [
        ("profile", text(&arguments.profile)),
        ("model", text(&arguments.model)),
        ("steps", number("steps", arguments.steps)?),
        ("save_every", number("save-every", arguments.save_every)?),
        ("selfplay", seed),
        ("backend", engine(&arguments.backend)),
        ("executor", executor(arguments.executor.as_deref(), arguments.strict_sandbox)),
        ("optimizer", engine(&arguments.optimizer)),
        ("tokenizer", engine(&arguments.tokenizer)),
        ("domains", domains),
    ] {
        flags.extend(value.map(|value| (key.to_owned(), value)));
    }
    let mut config = RunConfig::layered(arguments.config.as_deref(), flags, &arguments.overrides)?;
    // A run must find its files again from any folder.
    if Path::new(&config.model).exists() {
        config.model = absolute(Path::new(&config.model))?.to_string_lossy().into_owned();
    }
    config.plugins = config.plugins.iter().map(|file| absolute(file)).collect::<Result<_>>()?;
    config.eval.data = config.eval.data.as_deref().map(absolute).transpose()?;
    for set in &mut config.eval.sets {
        if !heldout::is_built_in(set) && Path::new(set.as_str()).exists() {
            *set = absolute(Path::new(set.as_str()))?.to_string_lossy().into_owned();
        }
    }
    Ok(config)
}

/// The executor that the flags choose, and what they demand of it.
pub(crate) fn executor(name: Option<&str>, strict_sandbox: bool) -> Option<Value> {
    let mut table = Table::new();
    if let Some(name) = name {
        table.insert("name".to_owned(), name.into());
    }
    if strict_sandbox {
        let options = Table::from_iter([("sandbox".to_owned(), Value::from("strict"))]);
        table.insert("options".to_owned(), options.into());
    }
    (!table.is_empty()).then_some(Value::Table(table))
}

/// A saved configuration with what may change when a run goes on: its length, what it keeps and where it computes.
fn extended(saved: &RunConfig, arguments: &Train) -> Result<RunConfig> {
    if let Some(text) = arguments.overrides.first() {
        let message =
            format!("`--set {text}` cannot be used with `--resume`: a run keeps its configuration");
        return Err(RunError::Config { message }.into());
    }
    let mut config = saved.clone();
    if let Some(name) = arguments.backend.as_ref().filter(|name| **name != saved.backend.name) {
        config.backend.name.clone_from(name);
        config.backend.options.retain(|option, _| is_shared(option));
    }
    config.steps = arguments.steps.unwrap_or(config.steps);
    config.save_every = arguments.save_every.unwrap_or(config.save_every);
    config.validate()?;
    Ok(config)
}

/// Whether an option belongs to what every backend has. What is trained, and how, stays what it was when a run goes on
/// with another backend.
fn is_shared(option: &str) -> bool {
    let options = serde_json::to_value(PolicyOptions::default()).unwrap_or_default();
    options.get(option).is_some()
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}`", path.display()))
}

/// The first free `<folder>/<model>-<n>`.
pub(crate) fn free_folder(folder: &Path, model: &str) -> PathBuf {
    let name = model.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let model = name.strip_suffix(".gguf").unwrap_or(name);
    let free = |n: &u32| !folder.join(format!("{model}-{n}")).exists();
    let n = (1..).find(free).unwrap_or(1);
    folder.join(format!("{model}-{n}"))
}

/// Largest resident size of this process so far, where the system tells it.
fn peak_memory_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}
