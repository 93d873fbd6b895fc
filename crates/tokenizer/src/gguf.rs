//! The tokenizer inside a GGUF file, built the way the model's own `tokenizer.json` is.

use std::collections::{BTreeMap, BTreeSet};

use azr_weights::Gguf;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use crate::TokenizerError;
use crate::tokenizer::{Parts, SpecialTokens};

// `tokenizer.ggml.token_type`; 1 is an ordinary token.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;

/// How Qwen2 cuts text into words, from its published `tokenizer.json`.
const QWEN2_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Reads the tokenizer of `gguf`: byte-level BPE with one of the pre-tokenizers `gpt-2`, `smollm`, `qwen2`.
pub(crate) fn read(gguf: &Gguf) -> Result<Parts, TokenizerError> {
    let path = gguf.path();
    let text = |key: &str| gguf.get(key).and_then(|value| value.as_str());
    let malformed = |reason: String| TokenizerError::malformed(path, reason);
    let unsupported =
        |feature: String| TokenizerError::Unsupported { path: path.to_path_buf(), feature };
    match text("tokenizer.ggml.model") {
        Some("gpt2") => {}
        Some(other) => {
            return Err(unsupported(format!("GGUF tokenizer model `{}`", other.escape_debug())));
        }
        None => {
            let reason = "the file has no `tokenizer.ggml.model`".into();
            return Err(TokenizerError::Missing { path: path.to_path_buf(), reason });
        }
    }
    let strings = |key: &str| {
        gguf.get(key)
            .and_then(|value| value.as_strings())
            .ok_or_else(|| malformed(format!("it has no list `{key}`")))
    };
    let tokens = used_tokens(strings("tokenizer.ggml.tokens")?, token_types(gguf));
    let merges = strings("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_string(), right.to_string())),
            None => Err(malformed(format!("`{}` is no merge", merge.escape_debug()))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let vocabulary: BTreeMap<&String, u32> =
        tokens.iter().map(|token| token.text).zip(0..).collect();
    if vocabulary.len() != tokens.len() {
        return Err(malformed("a token appears twice".into()));
    }
    let vocabulary: tokenizers::models::bpe::Vocab =
        vocabulary.into_iter().map(|(token, id)| (token.clone(), id)).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .build()
        .map_err(|e| malformed(e.to_string()))?;

    let mut tokenizer = Tokenizer::new(model);
    match text("tokenizer.ggml.pre") {
        Some("gpt-2") => {
            tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        }
        Some("smollm") => {
            let parts: [PreTokenizerWrapper; 2] =
                [Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
            tokenizer.with_pre_tokenizer(Some(Sequence::new(parts.into())));
        }
        Some("qwen2") => {
            let pattern = SplitPattern::Regex(QWEN2_PATTERN.into());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(TokenizerError::failed)?;
            let parts: [PreTokenizerWrapper; 2] =
                [split.into(), ByteLevel::new(false, true, false).into()];
            tokenizer
                .with_normalizer(Some(NFC))
                .with_pre_tokenizer(Some(Sequence::new(parts.into())));
        }
        other => {
            let name = other.unwrap_or("default").escape_debug().to_string();
            return Err(unsupported(format!(
                "GGUF pre-tokenizer `{name}` (gpt-2, smollm and qwen2 are)"
            )));
        }
    }
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let added = |kind: i64, special: bool| -> Vec<AddedToken> {
        let of_kind = tokens.iter().filter(|token| token.kind == kind && !token.text.is_empty());
        of_kind
            .map(|token| AddedToken::from(token.text.as_str(), special).normalized(false))
            .collect()
    };
    tokenizer.add_special_tokens(&added(CONTROL, true));
    tokenizer.add_tokens(&added(USER_DEFINED, false));

    let token = |key: &str| {
        let id = gguf.get(&format!("tokenizer.ggml.{key}_token_id"))?.as_u64()?;
        Some(tokens.get(usize::try_from(id).ok()?)?.text.clone())
    };
    let special = SpecialTokens {
        bos: token("bos"),
        eos: token("eos"),
        unk: token("unknown"),
        pad: token("padding"),
    };
    let add_bos = gguf.get("tokenizer.ggml.add_bos_token").and_then(|value| value.as_bool());
    Ok(Parts {
        inner: tokenizer,
        special,
        add_bos: Some(add_bos.unwrap_or(false)),
        eos_ids: BTreeSet::new(),
        template: text("tokenizer.chat_template").map(str::to_string),
    })
}

struct Token<'a> {
    text: &'a String,
    kind: i64,
}

fn token_types(gguf: &Gguf) -> &[i64] {
    gguf.get("tokenizer.ggml.token_type").and_then(|value| value.as_ints()).unwrap_or_default()
}

/// The tokens without the unused ones at the end, which only pad the vocabulary to the width of the model's matrix.
fn used_tokens<'a>(texts: &'a [String], kinds: &[i64]) -> Vec<Token<'a>> {
    let kind = |i: usize| kinds.get(i).copied().unwrap_or(1);
    let n_used = (0..texts.len()).rev().find(|&i| kind(i) != UNUSED).map_or(0, |last| last + 1);
    texts[..n_used].iter().enumerate().map(|(i, text)| Token { text, kind: kind(i) }).collect()
}
