//! JSON-lines logs: append a step's lines, read them back, cut them at a step.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use azr_selfplay::BufferEntry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::write_file;
use crate::{Result, RunError};

/// One line of `metrics.jsonl`: the step, the wall-clock time it ended, and slash-separated metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// Steps finished; 1 after the first.
    pub step: u64,
    /// Unix time in seconds.
    pub wall_time: f64,
    /// Every metric by name.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

/// The part of a line that every log shares.
#[derive(Deserialize)]
struct Stamp {
    step: u64,
}

/// An append-only log of lines that each carry a `step`.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Appends `lines` in one write and flushes them to disk.
    pub(crate) fn append<T: Serialize>(&self, lines: &[T]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line).map_err(|e| self.damaged(0, &e))?;
            bytes.push(b'\n');
        }
        let io = |e| RunError::io("write", &self.path)(e);
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        file.sync_data().map_err(io)
    }

    /// Every line; a log that does not exist is empty.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let mut lines = Vec::new();
        self.for_each(|number, text| {
            lines.push(serde_json::from_str(text).map_err(|e| self.damaged(number, &e))?);
            Ok(())
        })?;
        Ok(lines)
    }

    /// Drops the lines of later steps than `step`, and a torn last line. Keeps the file when there is nothing to drop.
    pub(crate) fn rewind(&self, step: u64) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let mut kept = Vec::new();
        self.for_each(|number, text| {
            let stamp: Stamp = serde_json::from_str(text).map_err(|e| self.damaged(number, &e))?;
            if stamp.step <= step {
                kept.extend_from_slice(text.as_bytes());
                kept.push(b'\n');
            }
            Ok(())
        })?;
        write_file(&self.path, &kept)
    }

    /// Empties the log.
    pub(crate) fn clear(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(RunError::io("remove", &self.path)(e))
            }
            _ => Ok(()),
        }
    }

    /// Calls `each` with the number and text of every whole line.
    fn for_each(&self, mut each: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(RunError::io("read", &self.path)(e)),
        };
        let (mut reader, mut bytes) = (BufReader::new(file), Vec::new());
        for number in 1.. {
            bytes.clear();
            reader.read_until(b'\n', &mut bytes).map_err(RunError::io("read", &self.path))?;
            // A line without its newline was torn by a kill in the middle of an append, perhaps inside a character.
            let Some(line) = bytes.strip_suffix(b"\n") else { break };
            each(number, std::str::from_utf8(line).map_err(|e| self.damaged(number, &e))?)?;
        }
        Ok(())
    }

    fn damaged(&self, line: usize, error: &dyn Display) -> RunError {
        damaged(&self.path, line, error)
    }
}

/// Tasks as the buffer log has them, one JSON object a line; `name` is what errors call them by. Unlike a log's, the
/// last line counts without its newline too: a task that is dropped would be trained on.
///
/// # Errors
/// [`RunError::Damaged`] with the number of a line that is no task, or where there is none at all.
pub fn parse_tasks(name: &Path, text: &[u8]) -> Result<Vec<BufferEntry>> {
    let text = std::str::from_utf8(text).map_err(|e| damaged(name, 0, &e))?;
    let parse = |(before, line)| {
        serde_json::from_str(line).map_err(|e: serde_json::Error| damaged(name, before + 1, &e))
    };
    let tasks = text.lines().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    if tasks.is_empty() {
        return Err(damaged(name, 0, &"it holds no task"));
    }
    Ok(tasks)
}

fn damaged(path: &Path, line: usize, error: &dyn Display) -> RunError {
    RunError::Damaged { path: path.to_owned(), line, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> MetricsLine {
        MetricsLine {
            step,
            wall_time: 1.5,
            metrics: BTreeMap::from([("update/loss".to_owned(), 0.1 * step as f64)]),
        }
    }

    #[test]
    fn appended_lines_come_back_and_later_steps_can_be_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path().join("metrics.jsonl"));
        assert!(log.read::<MetricsLine>().unwrap().is_empty());
        log.append(&[line(1)]).unwrap();
        log.append(&[line(2), line(3)]).unwrap();
        assert_eq!(log.read::<MetricsLine>().unwrap(), vec![line(1), line(2), line(3)]);
        log.rewind(2).unwrap();
        assert_eq!(log.read::<MetricsLine>().unwrap(), vec![line(1), line(2)]);
    }

    #[test]
    fn a_torn_last_line_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let log = Log::new(path.clone());
        log.append(&[line(1)]).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"step\":2,\"wall_t\xc3").unwrap();
        assert_eq!(log.read::<MetricsLine>().unwrap(), vec![line(1)]);
        log.rewind(5).unwrap();
        log.append(&[line(2)]).unwrap();
        assert_eq!(log.read::<MetricsLine>().unwrap(), vec![line(1), line(2)]);
    }

    #[test]
    fn tasks_are_read_as_the_buffer_log_writes_them() {
        let task = azr_plugin::Task {
            kind: "deduction".into(),
            key: "k".into(),
            subject: "s".into(),
            payload: "{}".into(),
        };
        let entry = BufferEntry { domain: "code".into(), kind: "deduction".into(), step: 0, task };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tasks.jsonl");
        Log::new(path.clone()).append(&[entry.clone(), entry.clone()]).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(parse_tasks(&path, &text).unwrap(), [entry.clone(), entry]);
        let without_newline = text.strip_suffix(b"\n").unwrap();
        assert_eq!(parse_tasks(&path, without_newline).unwrap().len(), 2);
        let refusal = |text: &[u8]| parse_tasks(&path, text).unwrap_err().to_string();
        assert!(refusal(b"{\"domain\":\"code\"}\n").contains("line 1"));
        assert!(refusal(&text[..text.len() - 9]).contains("line 2"), "a torn task is no task");
        assert!(refusal(b"").contains("no task"));
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1,\"wall_time\":0}\nnonsense\n").unwrap();
        let error = Log::new(path).read::<MetricsLine>().unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
