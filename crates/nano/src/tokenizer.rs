//! The nano model's own tokenizer: byte-level BPE over small Python.

use std::path::Path;

use anyhow::{Result, anyhow};
use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer, TokenizerBuilder};

/// Marks the end of a text; never part of one.
pub(crate) const END: &str = "<|end|>";

/// What BPE never merges across, so that a thing has the same tokens wherever it stands: what is computed with are
/// digits, letters inside quotes, brackets and quotes, each alone; variables never have a space, which operators, commas
/// and key words take instead; line feeds take the indentation.
const PIECES: &str = concat!(
    r"[A-Za-z](?=[A-Za-z]*')|[0-9]",
    r"|(?: (?:for|in|if)|\b(?:return|def|if|for)) ",
    r"|(?<=[a-z',]) [A-Za-z_]+|[A-Za-z_]+",
    r"|\n+(?:    )*",
    r"|, |: | (?:==|!=|//|[-=+*<>]) ",
    r"|\[:+-?|\(\)|.",
);

/// Learns a vocabulary of `vocab_size` tokens from `texts` and writes `tokenizer.json` and `tokenizer_config.json`.
pub(crate) fn train(texts: &[String], vocab_size: usize, folder: &Path) -> Result<()> {
    let failed = |error: tokenizers::Error| anyhow!("training the tokenizer: {error}");
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(END, true)])
        .build();
    let split =
        Split::new(SplitPattern::Regex(PIECES.to_owned()), SplitDelimiterBehavior::Isolated, false)
            .map_err(failed)?;
    let bytes = ByteLevel::new(false, true, false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<tokenizers::NormalizerWrapper>)
        .with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])))
        .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
        .with_decoder(Some(bytes))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    Tokenizer::from(tokenizer).save(folder.join("tokenizer.json"), true).map_err(failed)?;
    let settings = json!({"eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"});
    std::fs::write(folder.join("tokenizer_config.json"), format!("{settings:#}\n"))?;
    Ok(())
}
