//! The fixture plugins: built as a third party would build them, and patched where a case needs it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use azr_host::Host;

/// The plugin with one engine of each kind, all named `echo`.
pub(crate) fn echo_file() -> PathBuf {
    built().join("libazr_fixture_echo.so")
}

/// The plugin with the backend `twin`.
pub(crate) fn twin_file() -> PathBuf {
    built().join("libazr_fixture_twin.so")
}

/// A host with the echo engines linked in.
pub(crate) fn builtin_host() -> Host {
    let mut host = Host::new();
    host.register_builtin(azr_fixture_echo::plugin_module()).unwrap();
    host
}

/// A host with the echo engines loaded from their file.
pub(crate) fn loaded_host() -> Host {
    let mut host = Host::new();
    host.load_file(echo_file()).unwrap();
    host
}

/// A directory that is removed when it is dropped.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The error with all its causes, paths below `directory` shortened to `<dir>`.
pub(crate) fn text(error: &dyn std::error::Error, directory: &Path) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, "\ncause: {error}").unwrap();
        cause = error.source();
    }
    text.replace(directory.to_str().unwrap(), "<dir>")
}

/// A copy of the echo plugin in which every `from` is replaced by the equally long `to`.
pub(crate) fn patched(directory: &Path, from: &str, to: &str) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(echo_file()).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} is not in the file");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = directory.join("patched.so");
    fs::write(&path, bytes).unwrap();
    path
}

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (sources, target) = (scratch.join("fixture-sources"), scratch.join("fixtures"));
        copy_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), &sources);
        copy_lock_file(&sources);
        let output = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--manifest-path"])
            .arg(sources.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("CARGO_BUILD_TARGET")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("debug")
    })
}

/// Copies the plugins' sources, for the checkout may be read-only; their path to azr-plugin becomes absolute.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_sources(&source, &copy);
            continue;
        }
        let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin");
        let plugin = plugin.canonicalize().unwrap();
        let text = fs::read_to_string(&source).unwrap();
        let text = text.replace("../../../../plugin", plugin.to_str().unwrap());
        // An unchanged file keeps its time, so that cargo does not build it again.
        if fs::read_to_string(&copy).is_ok_and(|old| old == text) {
            continue;
        }
        replace(&copy, text.as_bytes());
    }
}

/// The fixtures use the versions of the workspace, which are on this machine already.
fn copy_lock_file(sources: &Path) {
    let ours = sources.join("Cargo.lock");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(&ours) < changed(&workspace) {
        replace(&ours, &fs::read(&workspace).unwrap());
    }
}

/// Writes a file in one step: tests run as parallel processes.
fn replace(path: &Path, content: &[u8]) {
    let copy = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    fs::write(copy.path(), content).unwrap();
    copy.persist(path).unwrap();
}
