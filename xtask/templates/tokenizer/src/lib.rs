//! The tokenizer `my-plugin`: one token for each byte and one for the end of a text.
//!
//! For a model whose 257 ids mean just that; token ids are the model's, so a tokenizer belongs to its models.

use std::path::Path;

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::Deserialize;
use azr_plugin::serde_json::{Map, Value, json};
use azr_plugin::{
    ControlTokens, Engine, ErrorCode, Message, PluginError, Result, Services, Tokenizer,
    TokenizerInfo,
};

azr_plugin::export! { entry: my_plugin, tokenizers: [Bytes] }

/// The id behind those of the bytes, and how it is spelled.
const EOS: (u32, &str) = (256, "<eos>");

/// Options, as in `--set tokenizer.options.model=PATH`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct Options {
    /// The model's path, which azr hands to every tokenizer. This one looks nothing up in it.
    pub model: String,
}

/// Text as bytes.
#[derive(Debug)]
pub struct Bytes;

impl Engine for Bytes {
    const NAME: &'static str = "my-plugin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "one token for each byte";
    type Options = Options;

    fn create(_: Options, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl Tokenizer for Bytes {
    fn info(&self) -> TokenizerInfo {
        TokenizerInfo { vocab_size: 257, bos: None, eos: vec![EOS.0], has_chat_template: false }
    }

    fn encode(&self, texts: &[String], control: ControlTokens) -> Result<Vec<Vec<u32>>> {
        let plain = |text: &str| text.bytes().map(u32::from).collect::<Vec<u32>>();
        let encode = |text: &String| match control {
            ControlTokens::AsText => plain(text),
            ControlTokens::Parse => text.split(EOS.1).map(plain).collect::<Vec<_>>().join(&EOS.0),
        };
        Ok(texts.iter().map(encode).collect())
    }

    fn decode(&self, sequences: &[Vec<u32>], skip_control: bool) -> Result<Vec<String>> {
        sequences.iter().map(|ids| decode(ids, skip_control)).collect()
    }

    fn encode_chats(&self, _: &[Vec<Message>]) -> Result<Vec<Vec<u32>>> {
        Err(PluginError::new(ErrorCode::Unavailable, "bytes have no chat template")
            .with_hint("choose prompts in the completion style"))
    }

    fn vocabulary(&self) -> Result<Vec<Vec<u8>>> {
        // A control token stands for no bytes.
        Ok((0..=255).map(|byte| vec![byte]).chain([Vec::new()]).collect())
    }

    fn save(&self, directory: &Path) -> Result<()> {
        let config = json!({ "eos_token": EOS.1, "add_bos_token": false });
        for (name, content) in [("tokenizer.json", hf()), ("tokenizer_config.json", config)] {
            let path = directory.join(name);
            std::fs::write(&path, content.to_string()).map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                PluginError::new(ErrorCode::Io, message)
            })?;
        }
        Ok(())
    }
}

fn decode(ids: &[u32], skip_control: bool) -> Result<String> {
    let mut bytes = Vec::new();
    for &id in ids {
        match u8::try_from(id) {
            Ok(byte) => bytes.push(byte),
            Err(_) if id == EOS.0 && skip_control => {}
            Err(_) if id == EOS.0 => bytes.extend(EOS.1.bytes()),
            Err(_) => {
                let message = format!("token id {id} is not below 257");
                return Err(PluginError::new(ErrorCode::InvalidInput, message));
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same tokenizer in the format of Hugging Face: a byte-level BPE without merges.
fn hf() -> Value {
    // GPT-2's letters for bytes: printable ones spell themselves, the others follow from U+0100 on.
    let spells_itself = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255u8).filter(|byte| !spells_itself(byte));
    let letters = others
        .zip('\u{100}'..)
        .chain((0..=255).filter(spells_itself).map(|byte| (byte, char::from(byte))));
    let vocab: Map<String, Value> =
        letters.map(|(byte, letter)| (letter.to_string(), json!(byte))).collect();
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                        "use_regex": false });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "post_processor": null, "pre_tokenizer": level, "decoder": level,
        "added_tokens": [{ "id": EOS.0, "content": EOS.1, "special": true, "single_word": false,
                           "lstrip": false, "rstrip": false, "normalized": false }],
        "model": { "type": "BPE", "vocab": vocab, "merges": [], "dropout": null, "unk_token": null,
                   "continuing_subword_prefix": null, "end_of_word_suffix": null,
                   "byte_fallback": false, "fuse_unk": false },
    })
}
