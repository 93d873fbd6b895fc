//! Looks for what a program must not leave behind: files, processes, threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{getpid, set_child_subreaper};

/// Where programs try to leave a file, and how its name starts.
const MARK_FOLDERS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
const MARK: &str = "azr_escape_";

/// How long a killed process may take to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// The threads of all descendants while no program runs.
#[derive(Debug)]
pub(super) struct Baseline {
    n_threads: usize,
    patience: Duration,
}

impl Baseline {
    /// Counts after `warm_up` started all workers.
    pub(super) fn take(warm_up: impl Fn() -> Result<(), String>) -> Result<Self, String> {
        set_child_subreaper(Some(getpid())).map_err(|error| format!("no subreaper: {error}"))?;
        warm_up()?;
        // The last programs may still be ending.
        let samples = (0..20).map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            descendants().iter().map(|process| process.n_threads).sum()
        });
        Ok(Self { n_threads: samples.min().unwrap_or(0), patience: PATIENCE })
    }

    /// What was left behind since.
    pub(super) fn deviations(&self) -> Vec<String> {
        let mut whats: Vec<String> =
            marks().iter().map(|path| format!("{} was written", path.display())).collect();
        let deadline = Instant::now() + self.patience;
        loop {
            let processes = descendants();
            if processes.iter().map(|process| process.n_threads).sum::<usize>() <= self.n_threads {
                break;
            }
            if Instant::now() > deadline {
                let ids: Vec<u32> = processes.iter().map(|process| process.id).collect();
                whats.push(format!("a process survived; there are {ids:?}"));
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(id) =
            descendants().iter().map(|process| process.id).find(|id| shares_output(*id))
        {
            whats.push(format!("process {id} holds the standard output of its host"));
        }
        whats
    }
}

/// Removes what an earlier program left.
pub(super) fn remove_marks() {
    for path in marks() {
        let _ = std::fs::remove_file(path);
    }
}

fn marks() -> Vec<PathBuf> {
    let is_mark = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(MARK))
    };
    let entries = MARK_FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    entries.flatten().map(|entry| entry.path()).filter(is_mark).collect()
}

/// A living process below this one.
#[derive(Debug, Clone, Copy)]
struct Process {
    id: u32,
    parent: u32,
    n_threads: usize,
}

fn descendants() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut by_parent: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for process in entries.filter_map(|entry| living(&entry.path())) {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = by_parent.remove(&std::process::id()).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        found.extend(by_parent.remove(&process.id).unwrap_or_default());
        next += 1;
    }
    found
}

/// The process of a folder in `/proc`, unless it has ended.
fn living(folder: &Path) -> Option<Process> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name of the executable stands in parentheses and may hold anything.
    let (head, tail) = stat.rsplit_once(')')?;
    let id = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let state = fields.first()?;
    let parent = fields.get(1)?.parse().ok()?;
    let n_threads = fields.get(17)?.parse().ok()?;
    (!matches!(*state, "Z" | "X")).then_some(Process { id, parent, n_threads })
}

/// Whether a process could write to this one's standard output.
fn shares_output(id: u32) -> bool {
    let link = |process: &str, descriptor: u32| {
        std::fs::read_link(format!("/proc/{process}/fd/{descriptor}")).ok()
    };
    let own = link("self", 1);
    own.as_deref() != Some(Path::new("/dev/null"))
        && own.is_some()
        && (0..64).any(|descriptor| link(&id.to_string(), descriptor) == own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_surviving_process_and_its_hold_on_the_output_are_seen() {
        let baseline = Baseline { n_threads: 0, patience: Duration::from_millis(50) };
        let shares = |output: Stdio| {
            let mut child = Command::new("sleep")
                .arg("60")
                .stdout(output)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let id = child.id();
            let found = descendants().iter().any(|process| process.id == id);
            let whats = baseline.deviations();
            let shares = shares_output(id);
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(found && whats.iter().any(|what| what.contains("survived")), "{whats:?}");
            shares
        };
        assert!(!shares(Stdio::piped()));
        if std::fs::read_link("/proc/self/fd/1").unwrap() != Path::new("/dev/null") {
            assert!(shares(Stdio::inherit()));
        }
        assert!(baseline.deviations().is_empty());
    }
}
