//! Running the programs that fetching relies on.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use std::{fs, io};

use crate::WeightsError;

/// How much of a program's error output is read; the rest is drained and dropped.
const MAX_STDERR_BYTES: u64 = 64 << 10;
/// How much of it a message shows.
const SHOWN_CHARS: usize = 600;
/// How often progress is reported while a program runs.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// A program as messages name it, and what to do when it cannot be started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// For example `python3 -m pip download`.
    pub(super) name: &'static str,
    /// For example `install Python 3`.
    pub(super) install_hint: &'static str,
}

impl Tool {
    /// The error of this tool.
    pub(super) fn error(self, reason: impl Into<String>, hint: impl Into<String>) -> WeightsError {
        WeightsError::Tool { tool: self.name.into(), reason: reason.into(), hint: hint.into() }
    }

    /// Starts `command` with piped error output, and piped input and output as set by the caller.
    pub(super) fn start(self, command: &mut Command) -> Result<Child, WeightsError> {
        command.stderr(Stdio::piped()).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.error("the program is not on this machine", self.install_hint)
            }
            _ => self.error(error.to_string(), self.install_hint),
        })
    }

    /// Runs `command` to its end, with `input` on its standard input, calling `tick` now and then.
    /// Returns its exit code and its error output, shortened.
    pub(super) fn run(
        self,
        command: &mut Command,
        input: &str,
        tick: &mut dyn FnMut(),
    ) -> Result<(Option<i32>, String), WeightsError> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = self.start(command)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input reports its own error.
            let _ = stdin.write_all(input.as_bytes());
        }
        let stderr = drain(&mut child);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => thread::sleep(PROGRESS_INTERVAL),
                Err(error) => return Err(self.error(error.to_string(), self.install_hint)),
            }
            tick();
        };
        Ok((status.code(), stderr.join().unwrap_or_default()))
    }
}

/// Collects the child's error output on a thread, so that the child never blocks on it.
pub(super) fn drain(child: &mut Child) -> thread::JoinHandle<String> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let Some(mut stderr) = stderr else { return String::new() };
        let mut kept = Vec::new();
        let _ = stderr.by_ref().take(MAX_STDERR_BYTES).read_to_end(&mut kept);
        let _ = io::copy(&mut stderr, &mut io::sink());
        shorten(&String::from_utf8_lossy(&kept))
    })
}

/// Size of everything under `path`; what vanishes meanwhile counts as nothing.
pub(super) fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}

/// The end of `text` without control characters: the last lines say what went wrong.
fn shorten(text: &str) -> String {
    let clean: Vec<char> =
        text.trim().chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    let start = clean.len().saturating_sub(SHOWN_CHARS);
    let end: String = clean[start..].iter().collect();
    if start > 0 { format!("…{end}") } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool { name: "sh", install_hint: "install a shell" };

    #[test]
    fn exit_code_and_the_end_of_the_error_output_come_back() {
        let script = "cat >&2; i=0; while [ $i -lt 2000 ]; do echo 'line 1234567890 1234567890 1234567890' >&2; i=$((i+1)); done; printf '\\033[31mlast' >&2; exit 7";
        let (code, stderr) =
            TOOL.run(Command::new("sh").args(["-c", script]), "input", &mut || ()).unwrap();
        assert_eq!(code, Some(7));
        assert!(stderr.starts_with('…') && stderr.chars().count() == SHOWN_CHARS + 1);
        assert!(!stderr.contains('\u{1b}'));
    }

    #[test]
    fn a_missing_program_is_named_with_the_way_out() {
        let error = TOOL.run(&mut Command::new("azr-no-such-program"), "", &mut || ()).unwrap_err();
        assert_eq!(error.to_string(), "sh failed: the program is not on this machine");
        assert_eq!(error.hint().as_deref(), Some("install a shell"));
    }
}
