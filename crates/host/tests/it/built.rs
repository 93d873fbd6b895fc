//! Builds the fixture plugins, once in a target folder that all test binaries share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder that the fixture plugins lie in.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let sources = scratch().join("fixture-sources");
        copy_sources(&crates().join("host/tests/fixtures"), &sources);
        build(&sources, &[])
    })
}

/// Builds the workspace in `sources`, which uses the versions of ours: they are on this machine already. Returns where
/// its libraries lie. One target folder serves all fixtures, so that they share what they are made of.
pub(crate) fn build(sources: &Path, environment: &[(&str, &str)]) -> PathBuf {
    copy_lock_file(sources);
    let target = scratch().join("fixtures");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_BUILD_TARGET")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug")
}

/// A folder of this build for what tests make.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The folder of the workspace's crates; this file is a part of several of them.
pub(crate) fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
        let plugin = crates().join("plugin").canonicalize().unwrap();
        let text = fs::read_to_string(&source).unwrap();
        let text = text.replace("../../../../plugin", plugin.to_str().unwrap());
        // An unchanged file keeps its time, so that cargo does not build it again.
        if fs::read_to_string(&copy).is_ok_and(|old| old == text) {
            continue;
        }
        replace(&copy, text.as_bytes());
    }
}

fn copy_lock_file(sources: &Path) {
    let ours = sources.join("Cargo.lock");
    let workspace = crates().join("../Cargo.lock");
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(&ours) < changed(&workspace) {
        replace(&ours, &fs::read(&workspace).unwrap());
    }
}

/// Writes a file in one step: tests run as parallel processes.
pub(crate) fn replace(path: &Path, content: &[u8]) {
    let copy = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    fs::write(copy.path(), content).unwrap();
    copy.persist(path).unwrap();
}
