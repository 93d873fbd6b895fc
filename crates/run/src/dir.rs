//! The run folder: what a step leaves in it and how a run goes on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use azr_plugin::PluginError;
use azr_selfplay::{
    Alarm, BufferEntry, Evaluation, Health, RolloutRecord, SafetyRecord, StepOutput,
};
use serde::{Deserialize, Serialize};

use crate::files::{remove_dir_if_present, sync_directory, write_file};
use crate::log::Log;
use crate::report;
use crate::{EventWriter, MetricsLine, Result, RunConfig, RunError};

const CONFIG: &str = "config.toml";
const STATE: &str = "state.json";
const INPUTS: &str = "inputs.json";
const TASKS: &str = "buffers/tasks.jsonl";
const SEEDED: &str = "buffers/seeded";
const CHECKPOINTS: &str = "checkpoints";
const PLOT: &str = "learning.svg";

/// What a checkpoint says beside weights and optimizer state. Randomness is counter-based, so the step is its position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// Steps finished.
    pub step: u64,
    /// Tasks in the buffer log up to this step.
    pub n_tasks: usize,
    /// What the loop remembers beside weights and buffers.
    pub health: Health,
    /// [`RunConfig::hash`] of the run.
    pub config_hash: String,
    /// Version of `azr` that wrote it.
    pub version: String,
}

/// An open run folder; no other process can open it meanwhile.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    config_hash: String,
    keep_checkpoints: usize,
    /// Tasks in the buffer log.
    n_tasks: usize,
    _lock: File,
}

impl RunDir {
    /// Makes a new run folder and saves `config` in it.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self> {
        if path.join(CONFIG).exists() {
            return Err(RunError::Exists { path: path.to_owned() });
        }
        for folder in ["rollouts", "evaluations", "buffers", CHECKPOINTS] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(RunError::io("create", &folder))?;
        }
        let lock = lock(path)?;
        let run = Self::with(path, config, lock)?;
        write_file(&path.join(CONFIG), config.to_toml()?.as_bytes())?;
        Ok(run)
    }

    /// Looks at a run, which may be going on: its configuration, and its newest checkpoint where there is one.
    pub fn look(path: &Path) -> Result<(RunConfig, Option<(CheckpointState, PathBuf)>)> {
        let config = read_config(path)?;
        let newest = newest_checkpoint(path, &config.hash()?)?;
        Ok((config, newest))
    }

    /// Opens an existing run to go on with it, together with its saved configuration.
    pub fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let config = read_config(path)?;
        let lock = lock(path)?;
        Ok((Self::with(path, &config, lock)?, config))
    }

    fn with(path: &Path, config: &RunConfig, lock: File) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            config_hash: config.hash()?,
            keep_checkpoints: config.keep_checkpoints,
            n_tasks: 0,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a configuration that differs in the run's length or in what it keeps.
    ///
    /// # Errors
    /// [`RunError::Config`] when it would change what the run computes.
    pub fn save_config(&mut self, config: &RunConfig) -> Result<()> {
        config.validate()?;
        if config.hash()? != self.config_hash {
            let message = "a run keeps its configuration; start a new one to change it".to_owned();
            return Err(RunError::Config { message });
        }
        self.keep_checkpoints = config.keep_checkpoints;
        write_file(&self.path.join(CONFIG), config.to_toml()?.as_bytes())
    }

    /// Keeps what the run is made of beside its configuration: SHA-256 sums by what they are of, in words. The first call
    /// writes them down, later ones compare: a name or path in the configuration says nothing about the content.
    ///
    /// # Errors
    /// [`RunError::Changed`] names what differs from what the run was started with.
    pub fn pin(&self, sums: &BTreeMap<String, String>) -> Result<()> {
        let file = self.path.join(INPUTS);
        if !file.exists() {
            let text = serde_json::to_vec_pretty(sums).map_err(|e| self.unwritable(INPUTS, &e))?;
            return write_file(&file, &text);
        }
        let text = fs::read(&file).map_err(RunError::io("read", &file))?;
        let pinned: BTreeMap<String, String> =
            serde_json::from_slice(&text).map_err(|e| damaged(&file, e.to_string()))?;
        match sums.iter().find(|(what, sum)| pinned.get(*what) != Some(sum)) {
            Some((what, _)) => {
                Err(RunError::Changed { path: self.path.clone(), what: what.clone() })
            }
            None => Ok(()),
        }
    }

    /// Writes what seeding left, then the mark that it is complete. `wall_time` is the Unix time in seconds.
    pub fn record_seeds(&mut self, output: &StepOutput, wall_time: f64) -> Result<()> {
        self.record_step(output, None, wall_time)?;
        write_file(&self.path.join(SEEDED), b"")
    }

    /// Whether seeding is complete; what an interrupted one left is taken back by [`RunDir::restart`].
    pub fn is_seeded(&self) -> bool {
        self.path.join(SEEDED).exists()
    }

    /// Writes an evaluation that belongs to no step's own results: the one before the first step, or one after a run
    /// that was interrupted. It gets a metrics line of its own. `wall_time` is the Unix time in seconds.
    pub fn record_evaluation(&mut self, evaluation: &Evaluation, wall_time: f64) -> Result<()> {
        self.write_records("evaluations", evaluation.step, &evaluation.rollouts)?;
        let mut metrics = evaluation.metrics.clone();
        metrics.extend(evaluation.timings.clone());
        self.append_metrics(&MetricsLine { step: evaluation.step, wall_time, metrics })
    }

    /// Writes what a step and the evaluation after it left: their results, then one metrics line, so that a step whose
    /// metrics are there is there as a whole. `wall_time` is the Unix time in seconds.
    pub fn record_step(
        &mut self,
        output: &StepOutput,
        evaluation: Option<&Evaluation>,
        wall_time: f64,
    ) -> Result<()> {
        self.record_results(output)?;
        let mut metrics = output.metrics.clone();
        metrics.extend(output.timings.clone());
        if let Some(evaluation) = evaluation {
            self.write_records("evaluations", output.step, &evaluation.rollouts)?;
            metrics.extend(evaluation.metrics.clone());
            metrics.extend(evaluation.timings.clone());
        }
        self.append_metrics(&MetricsLine { step: output.step, wall_time, metrics })
    }

    /// Writes the answers of the evaluation after `step` to a benchmark, before the line of the step.
    pub fn record_answers<T: Serialize>(
        &self,
        step: u64,
        suite: &str,
        answers: &[T],
    ) -> Result<()> {
        self.write_lines("evaluations", &format!("{}.{suite}", records_name(step)), answers)
    }

    fn append_metrics(&self, line: &MetricsLine) -> Result<()> {
        self.metrics_log().append(std::slice::from_ref(line))?;
        self.append_event(line)
    }

    /// Writes admitted tasks, rollouts, safety records and alarms.
    fn record_results(&mut self, output: &StepOutput) -> Result<()> {
        self.buffer_log().append(&output.admitted)?;
        self.n_tasks += output.admitted.len();
        self.write_records("rollouts", output.step, &output.rollouts)?;
        self.alarm_log().append::<Alarm>(&output.alarms)?;
        self.safety_log().append::<SafetyRecord>(&output.safety)
    }

    fn write_records(&self, folder: &str, step: u64, records: &[RolloutRecord]) -> Result<()> {
        self.write_lines(folder, &records_name(step), records)
    }

    fn write_lines<T: Serialize>(&self, folder: &str, name: &str, records: &[T]) -> Result<()> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|e| self.unwritable(folder, &e))?;
            lines.push(b'\n');
        }
        write_file(&self.path.join(folder).join(format!("{name}.jsonl")), &lines)
    }

    /// Writes `report.md` and its plot, made from everything that was recorded so far; returns the report's path.
    pub fn write_report(&self, config: &RunConfig) -> Result<PathBuf> {
        let (lines, alarms) = (self.metrics()?, self.alarm_log().read::<Alarm>()?);
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        let text = report::markdown(&name, config, &lines, &alarms, PLOT)?;
        write_file(&self.path.join(PLOT), report::plot(&lines).as_bytes())?;
        let path = self.path.join("report.md");
        write_file(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Every line of `metrics.jsonl`.
    pub fn metrics(&self) -> Result<Vec<MetricsLine>> {
        self.metrics_log().read()
    }

    /// Saves checkpoint `global_step_<step>`: `save` fills a temporary folder, which then takes its name; `latest` is
    /// moved to it and old checkpoints are removed. On failure the earlier checkpoints are as they were.
    pub fn save_checkpoint(
        &self,
        step: u64,
        health: &Health,
        save: impl FnOnce(&Path) -> std::result::Result<(), PluginError>,
    ) -> Result<()> {
        if self.latest_checkpoint()?.is_some_and(|(state, _)| state.step == step) {
            return Ok(());
        }
        let checkpoints = self.checkpoints();
        let name = format!("global_step_{step}");
        let target = checkpoints.join(&name);
        let partial = checkpoints.join(format!("{name}.tmp"));
        remove_dir_if_present(&partial)?;
        remove_dir_if_present(&target)?;
        let result = self.fill_checkpoint(step, health, &partial, save).and_then(|()| {
            fs::rename(&partial, &target).map_err(RunError::io("rename", &partial))?;
            sync_directory(&checkpoints).map_err(RunError::io("write", &checkpoints))?;
            write_file(&checkpoints.join("latest"), name.as_bytes())
        });
        if result.is_err() {
            // The failure that led here is what the user has to know; a rest is removed by the next attempt too.
            let _ = fs::remove_dir_all(&partial);
            return result;
        }
        let steps: Vec<u64> = self.checkpoint_steps()?.into_iter().filter(|s| *s < step).collect();
        let n_old = (steps.len() + 1).saturating_sub(self.keep_checkpoints);
        self.remove_checkpoints(steps.into_iter().take(n_old))
    }

    fn fill_checkpoint(
        &self,
        step: u64,
        health: &Health,
        folder: &Path,
        save: impl FnOnce(&Path) -> std::result::Result<(), PluginError>,
    ) -> Result<()> {
        fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
        save(folder).map_err(|source| RunError::Save { path: folder.to_owned(), source })?;
        let state = CheckpointState {
            step,
            n_tasks: self.n_tasks,
            health: health.clone(),
            config_hash: self.config_hash.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let text = serde_json::to_vec_pretty(&state).map_err(|e| self.unwritable(STATE, &e))?;
        write_file(&folder.join(STATE), &text)
    }

    /// The checkpoint that `latest` names, if there is one.
    pub fn latest_checkpoint(&self) -> Result<Option<(CheckpointState, PathBuf)>> {
        newest_checkpoint(&self.path, &self.config_hash)
    }

    /// Takes back everything after `state.step`, so that the steps that follow are written as if for the first time.
    /// Returns every task that was admitted until then, oldest first.
    pub fn rewind(&mut self, state: &CheckpointState) -> Result<Vec<BufferEntry>> {
        let tasks = self.rewind_to(state.step)?;
        if tasks.len() != state.n_tasks {
            let found = tasks.len();
            let message = format!("it holds {found} tasks, the checkpoint knows {}", state.n_tasks);
            return Err(damaged(&self.path.join(TASKS), message));
        }
        Ok(tasks)
    }

    /// Takes back every step of a run that has no checkpoint; its seeds stay, and are returned, if they are complete.
    pub fn restart(&mut self) -> Result<Vec<BufferEntry>> {
        if !self.is_seeded() {
            self.buffer_log().clear()?;
            self.safety_log().clear()?;
            self.alarm_log().clear()?;
            self.metrics_log().clear()?;
        }
        self.rewind_to(0)
    }

    fn rewind_to(&mut self, step: u64) -> Result<Vec<BufferEntry>> {
        self.buffer_log().rewind(step)?;
        self.safety_log().rewind(step)?;
        self.alarm_log().rewind(step)?;
        self.metrics_log().rewind(step)?;
        for folder in ["rollouts", "evaluations"] {
            let folder = self.path.join(folder);
            for entry in fs::read_dir(&folder).map_err(RunError::io("read", &folder))? {
                let path = entry.map_err(RunError::io("read", &folder))?.path();
                if records_step(&path).is_some_and(|s| s > step) {
                    fs::remove_file(&path).map_err(RunError::io("remove", &path))?;
                }
            }
        }
        let later = self.checkpoint_steps()?.into_iter().filter(|s| *s > step).collect::<Vec<_>>();
        self.remove_checkpoints(later)?;
        self.rewrite_events()?;
        let tasks: Vec<BufferEntry> = self.buffer_log().read()?;
        self.n_tasks = tasks.len();
        Ok(tasks)
    }

    fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Steps of the checkpoint folders, ascending.
    fn checkpoint_steps(&self) -> Result<Vec<u64>> {
        let folder = self.checkpoints();
        let mut steps = Vec::new();
        for entry in fs::read_dir(&folder).map_err(RunError::io("read", &folder))? {
            let name = entry.map_err(RunError::io("read", &folder))?.file_name();
            let step = name.to_str().and_then(|n| n.strip_prefix("global_step_"));
            steps.extend(step.and_then(|n| n.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn remove_checkpoints(&self, steps: impl IntoIterator<Item = u64>) -> Result<()> {
        let folder = |step| self.checkpoints().join(format!("global_step_{step}"));
        steps.into_iter().try_for_each(|step| remove_dir_if_present(&folder(step)))
    }

    fn append_event(&self, line: &MetricsLine) -> Result<()> {
        let path = self.events_path();
        if !path.exists() {
            return self.rewrite_events();
        }
        let write =
            || EventWriter::append_to(OpenOptions::new().append(true).open(&path)?).write(line);
        write().map_err(RunError::io("write", &path))
    }

    /// The event file is a function of the metrics, so it is made anew whenever they were cut.
    fn rewrite_events(&self) -> Result<()> {
        let path = self.events_path();
        let mut bytes = Vec::new();
        let mut writer = EventWriter::new(&mut bytes).map_err(RunError::io("write", &path))?;
        for line in self.metrics()? {
            writer.write(&line).map_err(RunError::io("write", &path))?;
        }
        write_file(&path, &bytes)
    }

    fn events_path(&self) -> PathBuf {
        self.path.join("events.out.tfevents.0.azr")
    }

    fn metrics_log(&self) -> Log {
        Log::new(self.path.join("metrics.jsonl"))
    }

    fn buffer_log(&self) -> Log {
        Log::new(self.path.join(TASKS))
    }

    fn safety_log(&self) -> Log {
        Log::new(self.path.join("safety.jsonl"))
    }

    fn alarm_log(&self) -> Log {
        Log::new(self.path.join("alarms.jsonl"))
    }

    fn unwritable(&self, name: &str, error: &serde_json::Error) -> RunError {
        RunError::Damaged { path: self.path.join(name), line: 0, message: error.to_string() }
    }
}

fn read_config(path: &Path) -> Result<RunConfig> {
    let file = path.join(CONFIG);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(RunError::NotARun { path: path.to_owned() });
        }
        Err(e) => return Err(RunError::io("read", &file)(e)),
    };
    RunConfig::from_toml(&text)
}

/// The checkpoint of the run in `path` that `latest` names, if there is one.
fn newest_checkpoint(path: &Path, config_hash: &str) -> Result<Option<(CheckpointState, PathBuf)>> {
    let checkpoints = path.join(CHECKPOINTS);
    let pointer = checkpoints.join("latest");
    let name = match fs::read_to_string(&pointer) {
        Ok(name) => name,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RunError::io("read", &pointer)(e)),
    };
    let folder = checkpoints.join(name.trim());
    let file = folder.join(STATE);
    let text = fs::read(&file).map_err(RunError::io("read", &file))?;
    let state: CheckpointState =
        serde_json::from_slice(&text).map_err(|e| damaged(&file, e.to_string()))?;
    if state.config_hash != config_hash {
        return Err(damaged(&file, "it belongs to another configuration".to_owned()));
    }
    Ok(Some((state, folder)))
}

/// Takes the folder's lock for the life of the returned file; the kernel releases it even when the process is killed.
fn lock(path: &Path) -> Result<File> {
    let file = path.join("lock");
    let lock = File::create(&file).map_err(RunError::io("create", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => Err(RunError::io("lock", &file)(e)),
    }
}

fn damaged(path: &Path, message: String) -> RunError {
    RunError::Damaged { path: path.to_owned(), line: 0, message }
}

fn records_name(step: u64) -> String {
    format!("step_{step:06}")
}

/// The step of `step_000012.jsonl` and of `step_000012.gsm8k.jsonl`.
fn records_step(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?.strip_prefix("step_")?;
    name.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
