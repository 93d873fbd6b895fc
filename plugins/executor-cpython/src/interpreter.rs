//! Finds a Python interpreter.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use azr_plugin::{ErrorCode, PluginError};

/// Oldest version that the harness runs on.
const OLDEST: (u32, u32) = (3, 9);

/// Where an interpreter is looked for when none is named; the first word is searched for on `PATH`.
const CANDIDATES: [&str; 3] = ["python3", "/usr/bin/python3", "/usr/local/bin/python3"];

/// Prints the version, the executable behind shims, links and virtual environments, and all files and folders that
/// are needed to start it and to import the modules that are its arguments.
const QUESTION: &str = r#"
import sys
print("%d.%d" % tuple(sys.version_info[:2]))
import importlib, os
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
print("\n".join(entry for entry in sys.path if entry))
with open("/proc/self/maps") as maps:
    print("\n".join(sorted({line.split(None, 5)[5].strip() for line in maps if "/" in line})))
"#;

/// Modules that the harness needs for itself; see there.
const OWN_MODULES: [&str; 7] = ["ctypes", "json", "mmap", "random", "resource", "select", "struct"];

/// How long an interpreter may take to answer, also on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A usable interpreter.
#[derive(Debug, Clone)]
pub(crate) struct Interpreter {
    /// Its real path, which works with an empty environment.
    pub(crate) path: PathBuf,
    /// Files and folders that it reads.
    pub(crate) readable: Vec<PathBuf>,
}

/// Why a candidate cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) candidate: PathBuf,
    pub(crate) reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.candidate.display(), self.reason)
    }
}

/// The first candidate (or the named interpreter alone) that `start` gets to run, with what `start` makes of it.
///
/// # Errors
/// [`ErrorCode::Unavailable`] with what is wrong with each candidate.
pub(crate) fn find<T>(
    named: Option<&Path>,
    modules: &[&str],
    start: impl Fn(Interpreter) -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    let candidates: Vec<PathBuf> = named.map_or_else(
        || CANDIDATES.iter().map(PathBuf::from).collect(),
        |path| vec![path.to_owned()],
    );
    let mut unusable = Vec::new();
    for candidate in candidates {
        let started = ask(&candidate, modules, ANSWER_TIMEOUT)
            .and_then(|interpreter| start(interpreter).map_err(|error| error.message));
        match started {
            Ok(started) => return Ok(started),
            Err(reason) => unusable.push(Unusable { candidate, reason }),
        }
    }
    let tried: Vec<String> = unusable.iter().map(Unusable::to_string).collect();
    let message =
        format!("no usable Python {}.{} or newer: tried {}", OLDEST.0, OLDEST.1, tried.join(", "));
    Err(PluginError::new(ErrorCode::Unavailable, message).with_hint(
        "install Python 3.9 or newer, or name an interpreter with the option python of this executor",
    ))
}

/// What an interpreter says about itself, or why it is none.
fn ask(candidate: &Path, modules: &[&str], timeout: Duration) -> Result<Interpreter, String> {
    let mut question = Command::new(candidate);
    question.args(["-I", "-S", "-c", QUESTION]).args(OWN_MODULES).args(modules);
    let (is_success, text, said) = answer(&mut question, timeout)?;
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| {
        let (major, minor) = line.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    match version {
        None => return Err("it is no Python interpreter".to_owned()),
        Some(version) if version < OLDEST => {
            return Err(format!("version {}.{} is too old", version.0, version.1));
        }
        Some(_) if !is_success => {
            let last = said.lines().last().unwrap_or_default();
            return Err(format!("it does not work: {last}"));
        }
        Some(_) => {}
    }
    let path = lines.next().map(PathBuf::from).ok_or("it does not tell its path")?;
    let mut readable: Vec<PathBuf> = lines.map(PathBuf::from).collect();
    readable.extend([path.clone(), "/etc/ld.so.cache".into()]);
    Ok(Interpreter { path, readable })
}

/// Whether the process ended well, and all that it wrote to its two outputs.
fn answer(command: &mut Command, timeout: Duration) -> Result<(bool, String, String), String> {
    let deadline = Instant::now() + timeout;
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let [output, errors] = [process.stdout.take().map(read), process.stderr.take().map(read)];
    // A process that it started may hold its outputs and live on: nothing here waits for their end alone.
    let text = |pipe: Option<mpsc::Receiver<Vec<u8>>>| {
        let left = deadline.saturating_duration_since(Instant::now());
        let bytes = pipe.and_then(|pipe| pipe.recv_timeout(left).ok())?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let texts = text(output).zip(text(errors));
    if texts.is_none() {
        let _ = process.kill();
    }
    let status = loop {
        match process.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => {
                let _ = process.kill();
                break process.wait().map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let (output, errors) = texts.ok_or("it does not answer")?;
    Ok((status.success(), output, errors))
}

/// Reads to the end on a thread of its own.
fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn failure(named: &Path) -> PluginError {
        find(Some(named), &[], |_| Ok(())).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_told() {
        let folder = std::env::temp_dir().join(format!("azr-python-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = |name: &str, text: &str, mode: u32| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        for (path, reason) in [
            (PathBuf::from("/nonexistent/python"), "No such file"),
            (script("locked", "#!/bin/sh\n", 0o644), "Permission denied"),
            (script("old", "#!/bin/sh\necho 3.6\n", 0o755), "version 3.6 is too old"),
            (script("broken", "#!/bin/sh\necho 3.11\necho why >&2; exit 1\n", 0o755), "why"),
            (PathBuf::from("/bin/true"), "no Python interpreter"),
        ] {
            let error = failure(&path);
            assert_eq!(error.code, ErrorCode::Unavailable);
            assert!(error.message.contains(&path.display().to_string()), "{error}");
            assert!(error.message.contains(reason), "{error}");
            assert!(error.hint.is_some());
        }
        // A script whose own child holds the output.
        let silent = script("silent", "#!/bin/sh\necho 3.11\nsleep 3\n", 0o755);
        let reason = ask(&silent, &[], Duration::from_millis(100)).unwrap_err();
        assert_eq!(reason, "it does not answer");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_candidate_that_does_not_start_is_passed_over() {
        let shell = || PluginError::new(ErrorCode::Unavailable, "cannot read its library");
        let error = find(None, &[], |_| Err::<(), _>(shell())).unwrap_err();
        let tried = CANDIDATES.iter().filter(|path| error.message.contains(*path)).count();
        assert_eq!(tried, CANDIDATES.len(), "{error}");
    }
}
