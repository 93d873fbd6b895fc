//! Writing a tokenizer the way transformers reads it.

use std::path::Path;

use azr_plugin::TokenizerInfo;
use azr_weights::{WeightsError, write_file};
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::TokenizerError;
use crate::tokenizer::SpecialTokens;

/// Writes the three files of a tokenizer into `directory`, which is created if needed.
pub(crate) fn write(
    directory: &Path,
    tokenizer: &Tokenizer,
    special: &SpecialTokens,
    add_bos: bool,
    info: &TokenizerInfo,
    template: Option<&str>,
) -> Result<(), TokenizerError> {
    std::fs::create_dir_all(directory).map_err(|source| WeightsError::Io {
        action: "create",
        path: directory.to_path_buf(),
        source,
    })?;
    let text = tokenizer.to_string(false).map_err(TokenizerError::failed)?;
    write_file(&directory.join("tokenizer.json"), text.as_bytes())?;

    let mut settings = Map::new();
    settings.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    settings.insert("add_bos_token".into(), add_bos.into());
    settings.insert("clean_up_tokenization_spaces".into(), false.into());
    settings.extend(
        special.named().into_iter().map(|(name, token)| (name.to_string(), Value::from(token))),
    );
    if let Some(template) = template {
        settings.insert("chat_template".into(), template.into());
    }
    write_json(&directory.join("tokenizer_config.json"), &Value::Object(settings))?;
    write_json(
        &directory.join("generation_config.json"),
        &json!({ "eos_token_id": info.eos, "bos_token_id": info.bos }),
    )
}

fn write_json(path: &Path, value: &Value) -> Result<(), TokenizerError> {
    Ok(write_file(path, format!("{value:#}\n").as_bytes())?)
}
