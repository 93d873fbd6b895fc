//! The run folder: what a step leaves in it and how a run goes on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use azr_plugin::PluginError;
use azr_selfplay::{BufferEntry, SafetyRecord, StepOutput};
use serde::{Deserialize, Serialize};

use crate::files::{remove_dir_if_present, sync_directory};
use crate::log::Log;
use crate::{EventWriter, MetricsLine, Result, RunConfig, RunError, write_atomically};

const CONFIG: &str = "config.toml";
const STATE: &str = "state.json";

/// What a checkpoint says beside weights and optimizer state. Randomness is counter-based, so the step is its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// Steps finished.
    pub step: u64,
    /// Tasks in the buffer log up to this step.
    pub n_tasks: usize,
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
    _lock: File,
}

impl RunDir {
    /// Makes a new run folder and saves `config` in it.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self> {
        if path.join(CONFIG).exists() {
            return Err(RunError::Exists { path: path.to_owned() });
        }
        for folder in ["rollouts", "buffers", "checkpoints"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(RunError::io("create", &folder))?;
        }
        let lock = lock(path)?;
        let run = Self::with(path, config, lock)?;
        write_atomically(&path.join(CONFIG), config.to_toml()?.as_bytes())?;
        Ok(run)
    }

    /// Opens an existing run to go on with it, together with its saved configuration.
    pub fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let file = path.join(CONFIG);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::NotARun { path: path.to_owned() });
            }
            Err(e) => return Err(RunError::io("read", &file)(e)),
        };
        let config = RunConfig::from_toml(&text)?;
        let lock = lock(path)?;
        Ok((Self::with(path, &config, lock)?, config))
    }

    fn with(path: &Path, config: &RunConfig, lock: File) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            config_hash: config.hash()?,
            keep_checkpoints: config.keep_checkpoints,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a configuration whose hash is the run's own (a longer run, say).
    pub fn save_config(&mut self, config: &RunConfig) -> Result<()> {
        self.keep_checkpoints = config.keep_checkpoints;
        write_atomically(&self.path.join(CONFIG), config.to_toml()?.as_bytes())
    }

    /// Writes what a step left: its rollouts, admitted tasks, safety records and one metrics line, in this order, so
    /// that a step whose metrics are there is there as a whole.
    pub fn record_step(&self, output: &StepOutput) -> Result<()> {
        self.record_tasks(&output.admitted)?;
        let mut rollouts = Vec::new();
        for rollout in &output.rollouts {
            serde_json::to_writer(&mut rollouts, rollout)
                .map_err(|e| self.unwritable("rollouts", &e))?;
            rollouts.push(b'\n');
        }
        write_atomically(&self.rollouts_path(output.step), &rollouts)?;
        self.safety_log().append::<SafetyRecord>(&output.safety)?;
        let mut metrics = output.metrics.clone();
        metrics.extend(output.timings.clone());
        let wall_time =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let line = MetricsLine { step: output.step, wall_time, metrics };
        self.metrics_log().append(std::slice::from_ref(&line))?;
        self.append_event(&line)
    }

    /// Appends admitted tasks to the buffer log.
    pub fn record_tasks(&self, admitted: &[BufferEntry]) -> Result<()> {
        self.buffer_log().append(admitted)
    }

    /// Every task that was admitted, oldest first.
    pub fn tasks(&self) -> Result<Vec<BufferEntry>> {
        self.buffer_log().read()
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
        save: impl FnOnce(&Path) -> std::result::Result<(), PluginError>,
    ) -> Result<()> {
        let checkpoints = self.path.join("checkpoints");
        let name = format!("global_step_{step}");
        let target = checkpoints.join(&name);
        if self.latest_checkpoint()?.is_some_and(|(state, _)| state.step == step) {
            return Ok(());
        }
        let partial = checkpoints.join(format!("{name}.tmp"));
        remove_dir_if_present(&partial)?;
        remove_dir_if_present(&target)?;
        let result = self.fill_checkpoint(step, &partial, save).and_then(|()| {
            fs::rename(&partial, &target).map_err(RunError::io("rename", &partial))?;
            sync_directory(&checkpoints).map_err(RunError::io("write", &checkpoints))
        });
        if let Err(error) = result {
            remove_dir_if_present(&partial)?;
            return Err(error);
        }
        write_atomically(&checkpoints.join("latest"), name.as_bytes())?;
        self.prune_checkpoints(&checkpoints)
    }

    fn fill_checkpoint(
        &self,
        step: u64,
        folder: &Path,
        save: impl FnOnce(&Path) -> std::result::Result<(), PluginError>,
    ) -> Result<()> {
        fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
        save(folder).map_err(|source| RunError::Save { path: folder.to_owned(), source })?;
        let state = CheckpointState {
            step,
            n_tasks: self.tasks()?.len(),
            config_hash: self.config_hash.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let text = serde_json::to_vec_pretty(&state).map_err(|e| self.unwritable(STATE, &e))?;
        write_atomically(&folder.join(STATE), &text)
    }

    /// The checkpoint that `latest` names, if there is one.
    pub fn latest_checkpoint(&self) -> Result<Option<(CheckpointState, PathBuf)>> {
        let pointer = self.path.join("checkpoints/latest");
        let name = match fs::read_to_string(&pointer) {
            Ok(name) => name,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(RunError::io("read", &pointer)(e)),
        };
        let folder = self.path.join("checkpoints").join(name.trim());
        let file = folder.join(STATE);
        let text = fs::read(&file).map_err(RunError::io("read", &file))?;
        let state = serde_json::from_slice(&text).map_err(|e| RunError::Damaged {
            path: file,
            line: 0,
            message: e.to_string(),
        })?;
        Ok(Some((state, folder)))
    }

    /// Takes back everything after `step`, so that the steps that follow are written as if for the first time.
    pub fn rewind(&self, step: u64) -> Result<()> {
        self.buffer_log().rewind(step)?;
        self.safety_log().rewind(step)?;
        self.metrics_log().rewind(step)?;
        let rollouts = self.path.join("rollouts");
        for entry in fs::read_dir(&rollouts).map_err(RunError::io("read", &rollouts))? {
            let path = entry.map_err(RunError::io("read", &rollouts))?.path();
            if rollout_step(&path).is_none_or(|s| s > step) {
                fs::remove_file(&path).map_err(RunError::io("remove", &path))?;
            }
        }
        self.rewrite_events()
    }

    fn prune_checkpoints(&self, checkpoints: &Path) -> Result<()> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(checkpoints).map_err(RunError::io("read", checkpoints))? {
            let entry = entry.map_err(RunError::io("read", checkpoints))?;
            let name = entry.file_name();
            let step = name
                .to_str()
                .and_then(|n| n.strip_prefix("global_step_"))
                .and_then(|n| n.parse::<u64>().ok());
            steps.extend(step.map(|s| (s, entry.path())));
        }
        steps.sort();
        let n_old = steps.len().saturating_sub(self.keep_checkpoints);
        steps.iter().take(n_old).try_for_each(|(_, path)| remove_dir_if_present(path))
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
        write_atomically(&path, &bytes)
    }

    fn rollouts_path(&self, step: u64) -> PathBuf {
        self.path.join(format!("rollouts/step_{step:06}.jsonl"))
    }

    fn events_path(&self) -> PathBuf {
        self.path.join("events.out.tfevents.0.azr")
    }

    fn metrics_log(&self) -> Log {
        Log::new(self.path.join("metrics.jsonl"))
    }

    fn buffer_log(&self) -> Log {
        Log::new(self.path.join("buffers/tasks.jsonl"))
    }

    fn safety_log(&self) -> Log {
        Log::new(self.path.join("safety.jsonl"))
    }

    fn unwritable(&self, name: &str, error: &serde_json::Error) -> RunError {
        RunError::Damaged { path: self.path.join(name), line: 0, message: error.to_string() }
    }
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

/// The step of `step_000012.jsonl`.
fn rollout_step(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step_")?.strip_suffix(".jsonl")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use azr_plugin::{ErrorCode, Task};

    use super::*;
    use crate::Profile;

    fn config() -> RunConfig {
        RunConfig::of_profile(Profile::Robust)
    }

    fn output(step: u64) -> StepOutput {
        let task =
            Task { kind: "deduction".into(), key: format!("key {step}"), payload: "{}".into() };
        StepOutput {
            step,
            metrics: BTreeMap::from([("update/loss".to_owned(), step as f64)]),
            timings: BTreeMap::from([("time/step_s".to_owned(), 0.5)]),
            admitted: vec![BufferEntry {
                domain: "code".into(),
                kind: "deduction".into(),
                step,
                task,
            }],
            ..StepOutput::default()
        }
    }

    fn steps(run: &RunDir) -> Vec<u64> {
        run.metrics().unwrap().iter().map(|line| line.step).collect()
    }

    /// Saves a checkpoint whose model is the step's number.
    fn save(run: &RunDir, step: u64) {
        run.save_checkpoint(step, |folder| {
            std::fs::write(folder.join("model"), step.to_string()).unwrap();
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_step_is_recorded_and_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
        run.record_tasks(&output(0).admitted).unwrap();
        for step in 1..=3 {
            run.record_step(&output(step)).unwrap();
        }
        assert_eq!(steps(&run), [1, 2, 3]);
        assert_eq!(run.metrics().unwrap()[1].metrics["time/step_s"], 0.5);
        run.rewind(1).unwrap();
        assert_eq!(steps(&run), [1]);
        assert_eq!(run.tasks().unwrap().iter().map(|t| t.step).collect::<Vec<_>>(), [0, 1]);
        let rollouts: Vec<_> = fs::read_dir(run.path().join("rollouts")).unwrap().collect();
        assert_eq!(rollouts.len(), 1);
    }

    #[test]
    fn the_newest_checkpoints_are_kept_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = RunDir::create(&path, &config()).unwrap();
        assert!(run.latest_checkpoint().unwrap().is_none());
        for step in [2, 4, 10] {
            save(&run, step);
        }
        let (state, folder) = run.latest_checkpoint().unwrap().unwrap();
        assert_eq!(state.step, 10);
        assert_eq!(fs::read_to_string(folder.join("model")).unwrap(), "10");
        assert!(!path.join("checkpoints/global_step_2").exists());
        assert!(path.join("checkpoints/global_step_4").exists());
    }

    #[test]
    fn a_failed_save_leaves_the_earlier_checkpoint_and_no_rest() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
        save(&run, 1);
        let error = run
            .save_checkpoint(2, |folder| {
                std::fs::write(folder.join("model"), "half").unwrap();
                Err(PluginError::new(ErrorCode::Io, "no space left on device"))
            })
            .unwrap_err();
        assert!(error.to_string().contains("earlier checkpoints"), "{error}");
        assert_eq!(run.latest_checkpoint().unwrap().unwrap().0.step, 1);
        let left: Vec<_> = fs::read_dir(run.path().join("checkpoints"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_folder_belongs_to_one_process_and_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = RunDir::create(&path, &config()).unwrap();
        assert!(matches!(RunDir::create(&path, &config()), Err(RunError::Exists { .. })));
        assert!(matches!(RunDir::open(&path), Err(RunError::Locked { .. })));
        drop(run);
        assert_eq!(RunDir::open(&path).unwrap().1, config());
        assert!(matches!(RunDir::open(folder.path()), Err(RunError::NotARun { .. })));
    }
}
