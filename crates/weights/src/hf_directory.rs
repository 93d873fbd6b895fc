//! Hugging Face model directories: `config.json` with one or several safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Flaw;
use crate::{ModelConfig, SafetensorsFile, WeightsError, atomic, hf_config, write_safetensors};

/// The weights, where they are in one file.
const SINGLE_FILE: &str = "model.safetensors";
/// Names the files of the weights, where they are in several.
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Published `config.json` files have a few kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// An index has about 100 bytes per tensor.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// The largest published models have about 200 files.
const MAX_SHARDS: usize = 4096;

/// Writes `model.safetensors` (float32) and `config.json` into `directory`, which is created if needed.
///
/// `tensors` yields every tensor of [`ModelConfig::tensors`] once, in any order, as name, shape and row-major values;
/// only one of them is in memory at a time. Both files are replaced by renaming, the weights first. On an error (also
/// one that `tensors` yields) the files that were there before stay.
pub fn write_hf_directory<E>(
    directory: &Path,
    config: &ModelConfig,
    tensors: &mut dyn Iterator<Item = Result<(String, Vec<usize>, Vec<f32>), E>>,
) -> Result<(), WeightsError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    config.check().map_err(|reason| WeightsError::InvalidConfig { reason })?;
    atomic::create_directory(directory)?;
    // transformers refuses safetensors files that do not say for which framework they are.
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&directory.join(SINGLE_FILE), &metadata, &config.tensors(), tensors)?;
    atomic::write_file(&directory.join("config.json"), hf_config::print(config).as_bytes())
}

/// The config of the directory.
pub(crate) fn read_config(directory: &Path) -> Result<ModelConfig, WeightsError> {
    let path = directory.join("config.json");
    if !path.exists() {
        return Err(not_a_model(directory, "the directory has no config.json"));
    }
    hf_config::parse(&read_text(&path, MAX_CONFIG_BYTES)?).map_err(|flaw| flaw.at(&path))
}

/// The directory's safetensors files and, for each tensor, the number of the file that holds it.
pub(crate) fn open_files(
    directory: &Path,
) -> Result<(Vec<SafetensorsFile>, BTreeMap<String, usize>), WeightsError> {
    let mut files = Vec::new();
    let mut places = BTreeMap::new();
    for path in weight_files(directory)? {
        let file = SafetensorsFile::open(&path)?;
        for name in file.names() {
            if places.insert(name.clone(), files.len()).is_some() {
                let reason = format!("tensor `{name}` is in two files");
                return Err(WeightsError::Malformed { path: directory.to_path_buf(), reason });
            }
        }
        files.push(file);
    }
    Ok((files, places))
}

/// The names of the safetensors files that the text of a `model.safetensors.index.json` lists, each a plain file name.
pub(crate) fn shards(index: &str) -> Result<BTreeSet<String>, Flaw> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_str(index).map_err(|error| Flaw::Malformed(error.to_string()))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        return Err(Flaw::Malformed(format!(
            "it lists {} files, must be 1 to {MAX_SHARDS}",
            shards.len()
        )));
    }
    // Anything else could reach out of the model's directory.
    match shards.iter().find(|name| !is_plain_file_name(name) || !name.ends_with(".safetensors")) {
        Some(name) => {
            Err(Flaw::Malformed(format!("`{name}` is not the name of a safetensors file")))
        }
        None => Ok(shards),
    }
}

/// Reads a text file of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, WeightsError> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_string(&mut text))
        .map_err(WeightsError::io("read", path))?;
    if text.len() as u64 > max_bytes {
        let reason = format!("it is longer than {max_bytes} bytes");
        return Err(WeightsError::Malformed { path: path.to_path_buf(), reason });
    }
    Ok(text)
}

/// Whether `name` is one component of a path and made of harmless characters.
pub(crate) fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether the directory has weights, or says that it has.
pub(crate) fn has_weights(directory: &Path) -> bool {
    [SINGLE_FILE, INDEX_FILE].iter().any(|name| directory.join(name).exists())
}

fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = directory.join(SINGLE_FILE);
    if single.exists() {
        return Ok(vec![single]);
    }
    let index = directory.join(INDEX_FILE);
    if !index.exists() {
        return Err(not_a_model(
            directory,
            "the directory has no model.safetensors and no model.safetensors.index.json",
        ));
    }
    let shards = shards(&read_text(&index, MAX_INDEX_BYTES)?).map_err(|flaw| flaw.at(&index))?;
    Ok(shards.iter().map(|name| directory.join(name)).collect())
}

fn not_a_model(path: &Path, reason: &str) -> WeightsError {
    WeightsError::NotAModel { path: path.to_path_buf(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_may_not_reach_out_of_its_directory() {
        for name in [
            "../x.safetensors",
            "/etc/x.safetensors",
            "a/b.safetensors",
            ".safetensors",
            "x.bin",
            "..",
            "a\\b.safetensors",
        ] {
            let index = serde_json::json!({"weight_map": {"t": name}}).to_string();
            assert!(shards(&index).is_err(), "{name}");
        }
        let index = r#"{"metadata": {}, "weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-1.safetensors"}}"#;
        assert_eq!(
            shards(index).unwrap().into_iter().collect::<Vec<_>>(),
            ["m-1.safetensors", "m-2.safetensors"]
        );
        assert!(shards(r#"{"weight_map": {}}"#).is_err());
        assert!(shards("[]").is_err());
    }

    #[test]
    fn long_texts_are_refused_before_they_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, "x".repeat(11)).unwrap();
        assert!(read_text(&path, 10).unwrap_err().to_string().contains("longer than 10 bytes"));
        assert_eq!(read_text(&path, 11).unwrap().len(), 11);
    }
}
