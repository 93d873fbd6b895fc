//! Finds a Python interpreter.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use azr_plugin::{ErrorCode, PluginError, Result};

/// Oldest version that the harness runs on.
const OLDEST: (u32, u32) = (3, 9);

/// Where an interpreter is looked for when none is named; the first word is searched for on `PATH`.
const CANDIDATES: [&str; 3] = ["python3", "/usr/bin/python3", "/usr/local/bin/python3"];

/// Prints what is needed to know about an interpreter. Shims and links are resolved by Python itself.
const QUESTION: &str = "import sys; print(sys.executable); print(*sys.version_info[:2])";

/// A usable interpreter.
#[derive(Debug, Clone)]
pub(crate) struct Interpreter {
    /// Its real path, which works with an empty environment.
    pub(crate) path: PathBuf,
}

impl Interpreter {
    /// The named interpreter, else the first usable candidate.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let candidates: Vec<PathBuf> = named.map_or_else(
            || CANDIDATES.iter().map(PathBuf::from).collect(),
            |path| vec![path.to_owned()],
        );
        let found = candidates.iter().find_map(|candidate| ask(candidate));
        found.map(|path| Self { path }).ok_or_else(|| {
            let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
            let message = format!("no Python 3.9 or newer found (looked for {})", tried.join(", "));
            PluginError::new(ErrorCode::Unavailable, message)
                .with_hint("install Python 3.9 or newer, or name one with the option python")
        })
    }
}

/// The interpreter's real path, if it runs and is new enough.
fn ask(candidate: &Path) -> Option<PathBuf> {
    let output = Command::new(candidate)
        .args(["-I", "-S", "-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (path, version) = text.trim_end().split_once('\n')?;
    let (major, minor) = version.split_once(' ')?;
    let version = (major.parse().ok()?, minor.parse().ok()?);
    (version >= OLDEST && !path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interpreter_is_named() {
        let error = Interpreter::find(Some(Path::new("/nonexistent/python"))).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains("/nonexistent/python"));
        assert!(error.hint.is_some());
        // Something that is no Python is not taken for one.
        assert!(ask(Path::new("/bin/true")).is_none());
    }
}
