//! The tokenizer engine `hf`: the tokenizer that a model brings, from its Hugging Face directory or its GGUF file.

use std::io;
use std::path::Path;

use azr_plugin::{
    ControlTokens, Engine, ErrorCode, Message, PluginError, Result, Services, Tokenizer,
    TokenizerInfo,
};
use azr_tokenizer::{Date, OpenOptions, TextTokenizer, TokenizerError};
use azr_weights::{WeightsError, models};
use schemars::JsonSchema;
use serde::Deserialize;

azr_plugin::export! {
    entry: azr_tokenizer_hf,
    tokenizers: [HfTokenizer],
}

/// Options of [`HfTokenizer`].
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HfTokenizerOptions {
    /// The model: a GGUF file, a Hugging Face directory, or the name of a pulled model.
    pub model: String,
    /// What chat templates are told when they ask for the date, as `YYYY-MM-DD`. Without it, the same date in every
    /// run (2024-07-26).
    pub date: Option<String>,
}

/// The tokenizer of one model.
#[derive(Debug)]
pub struct HfTokenizer {
    inner: TextTokenizer,
}

impl Engine for HfTokenizer {
    const NAME: &'static str = "hf";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "the model's own tokenizer and chat template (tokenizer.json or GGUF)";
    type Options = HfTokenizerOptions;

    fn capabilities() -> serde_json::Value {
        serde_json::json!({"chat_templates": true, "formats": ["tokenizer.json", "gguf"]})
    }

    fn create(options: HfTokenizerOptions, _services: Services) -> Result<Self> {
        if options.model.is_empty() {
            return Err(PluginError::new(ErrorCode::InvalidConfig, "option `model` is not set")
                .with_hint("name a model or give the path of one"));
        }
        let date = match options.date {
            Some(text) => text.parse().map_err(|reason| {
                PluginError::new(ErrorCode::InvalidConfig, format!("option `date`: {reason}"))
            })?,
            None => Date::default(),
        };
        let path = models::resolve(&options.model).map_err(|error| plugin_error(error.into()))?;
        let inner = TextTokenizer::open(&path, &OpenOptions { date }).map_err(plugin_error)?;
        Ok(Self { inner })
    }
}

impl Tokenizer for HfTokenizer {
    fn info(&self) -> TokenizerInfo {
        self.inner.info().clone()
    }

    fn encode(&self, texts: &[String], control: ControlTokens) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|text| self.inner.encode(text, control).map_err(plugin_error)).collect()
    }

    fn decode(&self, sequences: &[Vec<u32>], skip_control: bool) -> Result<Vec<String>> {
        sequences
            .iter()
            .map(|ids| self.inner.decode(ids, skip_control).map_err(plugin_error))
            .collect()
    }

    fn encode_chats(&self, conversations: &[Vec<Message>]) -> Result<Vec<Vec<u32>>> {
        conversations
            .iter()
            .map(|messages| self.inner.encode_chat(messages).map_err(plugin_error))
            .collect()
    }

    fn vocabulary(&self) -> Result<Vec<Vec<u8>>> {
        self.inner.vocabulary().map_err(plugin_error)
    }

    fn save(&self, directory: &Path) -> Result<()> {
        self.inner.save(directory).map_err(plugin_error)
    }
}

/// The same error as it crosses the plugin boundary.
fn plugin_error(error: TokenizerError) -> PluginError {
    let code = match &error {
        TokenizerError::File(
            WeightsError::ModelNotFound { .. } | WeightsError::NotAModel { .. },
        )
        | TokenizerError::Missing { .. } => ErrorCode::NotFound,
        TokenizerError::File(WeightsError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            ErrorCode::NotFound
        }
        TokenizerError::File(WeightsError::Io { .. }) => ErrorCode::Io,
        TokenizerError::Failed { .. } => ErrorCode::Internal,
        _ => ErrorCode::InvalidInput,
    };
    let hint = error.hint();
    let error = PluginError::new(code, error.to_string());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A byte-level vocabulary of four letters with one control token.
    fn write_tokenizer(directory: &Path) {
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": [{"id": 4, "content": "<|end|>", "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3}, "merges": [["a", "b"]]},
        });
        fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let settings = json!({"eos_token": "<|end|>",
            "chat_template": "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}{{ strftime_now('%d') }}c"});
        fs::write(directory.join("tokenizer_config.json"), settings.to_string()).unwrap();
    }

    fn create(options: serde_json::Value) -> Result<HfTokenizer> {
        HfTokenizer::create(serde_json::from_value(options).unwrap(), Services::default())
    }

    #[test]
    fn every_call_reaches_the_tokenizer() {
        let directory = tempfile::tempdir().unwrap();
        write_tokenizer(directory.path());
        let tokenizer = create(json!({"model": directory.path(), "date": "2024-01-31"})).unwrap();
        assert_eq!((tokenizer.info().vocab_size, tokenizer.info().eos), (5, vec![4]));
        let texts = ["abc<|end|>".to_string(), String::new()];
        let ids = tokenizer.encode(&texts, ControlTokens::Parse).unwrap();
        assert_eq!(ids, [vec![3, 2, 4], vec![]]);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), ["abc", ""]);
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), texts);
        let chat = vec![Message { role: "user".into(), content: "ab".into() }];
        assert_eq!(tokenizer.encode_chats(&[chat.clone(), chat]).unwrap(), [[3, 4, 2], [3, 4, 2]]);
        assert_eq!(tokenizer.vocabulary().unwrap()[3..], [b"ab".to_vec(), vec![]]);
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path()).unwrap();
        let again = create(json!({"model": copy.path()})).unwrap();
        assert_eq!(again.encode(&texts, ControlTokens::Parse).unwrap(), ids);
    }

    #[test]
    fn wrong_options_are_told_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        for (options, code, hint) in [
            (json!({}), ErrorCode::InvalidConfig, "name a model"),
            (json!({"model": "no-such-model"}), ErrorCode::NotFound, "azr model pull"),
            (json!({"model": directory.path()}), ErrorCode::NotFound, "tokenizer.json"),
        ] {
            let error = create(options).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{error}");
        }
        let error = create(json!({"model": "x", "date": "yesterday"})).unwrap_err();
        assert_eq!((error.code, error.hint), (ErrorCode::InvalidConfig, None));
        assert!(serde_json::from_value::<HfTokenizerOptions>(json!({"models": "x"})).is_err());
    }
}
