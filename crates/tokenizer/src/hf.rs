//! The tokenizer of a Hugging Face directory: `tokenizer.json` and the settings around it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use azr_weights::WeightsError;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::TokenizerError;
use crate::tokenizer::{Parts, SpecialTokens};

/// The largest published `tokenizer.json` files have about 35 MB.
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
/// Settings list every added token, of which some tokenizers have thousands.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// Reads the tokenizer of `directory`.
pub(crate) fn read(directory: &Path) -> Result<Parts, TokenizerError> {
    let path = directory.join("tokenizer.json");
    let Some(bytes) = read_file(&path, MAX_TOKENIZER_BYTES)? else {
        let reason = "the directory has no tokenizer.json".into();
        return Err(TokenizerError::Missing { path: directory.to_path_buf(), reason });
    };
    // The library's parser is not ours: a panic on a hostile file must stay an error.
    let parsed = panic::catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(&bytes)));
    let mut inner = parsed
        .map_err(|_| TokenizerError::malformed(&path, "the tokenizers library cannot read it"))?
        .map_err(|error| TokenizerError::malformed(&path, error))?;
    // Files of embedding models cut and pad every text; a language model must see all of it and nothing else.
    inner.with_truncation(None).map_err(TokenizerError::failed)?.with_padding(None);

    let settings: Settings = read_json(&directory.join("tokenizer_config.json"))?;
    let template_file = directory.join("chat_template.jinja");
    let template = match read_file(&template_file, MAX_SETTINGS_BYTES)? {
        Some(bytes) => Some(
            String::from_utf8(bytes).map_err(|e| TokenizerError::malformed(&template_file, e))?,
        ),
        None => settings.chat_template.and_then(default_template),
    };
    let mut eos_ids = BTreeSet::new();
    for file in ["generation_config.json", "config.json"] {
        let generation: Generation = read_json(&directory.join(file))?;
        eos_ids.extend(ids(generation.eos_token_id.as_ref()));
    }
    let token = |value: Option<Value>| value.as_ref().and_then(token_text);
    let special = SpecialTokens {
        bos: token(settings.bos_token),
        eos: token(settings.eos_token),
        unk: token(settings.unk_token),
        pad: token(settings.pad_token),
    };
    Ok(Parts { inner, special, add_bos: settings.add_bos_token, eos_ids, template })
}

/// What matters of `tokenizer_config.json`.
#[derive(Deserialize, Default)]
struct Settings {
    bos_token: Option<Value>,
    eos_token: Option<Value>,
    unk_token: Option<Value>,
    pad_token: Option<Value>,
    add_bos_token: Option<bool>,
    chat_template: Option<Value>,
}

/// What matters of `generation_config.json` and `config.json`.
#[derive(Deserialize, Default)]
struct Generation {
    eos_token_id: Option<Value>,
}

/// A token is given as its text or as an object with `content`.
fn token_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_string)
}

/// Templates are given as one text or as a list of named ones, of which `default` is for plain conversations.
fn default_template(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(list) => {
            let named =
                |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
            Some(list.iter().find(named)?.get("template")?.as_str()?.to_string())
        }
        _ => None,
    }
}

/// Ids are given as one number or as a list.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn read_json<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, TokenizerError> {
    match read_file(path, MAX_SETTINGS_BYTES)? {
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| TokenizerError::malformed(path, error))
        }
        None => Ok(T::default()),
    }
}

/// The content of a file, or nothing where there is none.
fn read_file(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, TokenizerError> {
    if !path.exists() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|source| WeightsError::Io { action: "read", path: path.to_path_buf(), source })?;
    if bytes.len() as u64 > max_bytes {
        return Err(TokenizerError::malformed(
            path,
            format!("it is longer than {max_bytes} bytes"),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_come_in_several_forms() {
        assert_eq!(token_text(&json!("<s>")).as_deref(), Some("<s>"));
        assert_eq!(token_text(&json!({"content": "<s>", "lstrip": false})).as_deref(), Some("<s>"));
        assert_eq!(token_text(&Value::Null), None);
        let list =
            json!([{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]);
        assert_eq!(default_template(list).as_deref(), Some("b"));
        assert_eq!(default_template(json!("c")).as_deref(), Some("c"));
        assert_eq!(ids(Some(&json!([2, 7, -1, 1e9]))), [2, 7]);
        assert_eq!((ids(Some(&json!(2))), ids(None)), (vec![2], vec![]));
    }
}
