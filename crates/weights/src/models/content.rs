//! What a model is, whatever its name: a sum over the files that shape what it computes.

use std::fs;
use std::path::{Path, PathBuf};

use super::packages::sha256_of;
use crate::WeightsError;

/// Files of a model directory that engines read: weights, configurations, tokenizer, chat template.
const READ: [&str; 6] = ["gguf", "jinja", "json", "model", "safetensors", "txt"];

/// SHA-256 of a model file, or over the names and sums of the files of a model directory that engines read; lower-case
/// hexadecimal. It reads all of them.
///
/// # Errors
/// A file or the directory cannot be read.
pub fn content_sha256(model: &Path) -> Result<String, WeightsError> {
    if !model.is_dir() {
        return sha256_of(model);
    }
    let io = || WeightsError::io("read", model);
    let mut files = Vec::<PathBuf>::new();
    for entry in fs::read_dir(model).map_err(io())? {
        files.push(entry.map_err(io())?.path());
    }
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| READ.contains(&extension)) && file.is_file()
    });
    files.sort_unstable();
    let mut sums = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sums.push((name, sha256_of(&file)?));
    }
    let parts: Vec<(&str, &[u8])> =
        sums.iter().map(|(name, sum)| (name.as_str(), sum.as_bytes())).collect();
    Ok(super::embedded::sum(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_follows_what_engines_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let sum = || content_sha256(folder.path()).unwrap();
        write("config.json", "{}");
        write("model.safetensors", "weights");
        let first = sum();
        write("README.md", "notes");
        assert_eq!(sum(), first);
        write("model.safetensors", "Weights");
        assert_ne!(sum(), first);
        let file = folder.path().join("config.json");
        assert_eq!(content_sha256(&file).unwrap(), sha256_of(&file).unwrap());
        assert!(content_sha256(&folder.path().join("none")).is_err());
    }
}
