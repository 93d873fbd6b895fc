//! Text to token ids and back.

use std::path::Path;

use crate::{Message, Result};

/// What happens to control tokens (`<|im_end|>`, …) that are spelled out in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlTokens {
    /// They become the control token. For trusted text only: templates, tests.
    Parse,
    /// They are encoded as ordinary characters. For everything that a model or a user wrote.
    AsText,
}

/// Facts about a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerInfo {
    /// Number of ids, control tokens included.
    pub vocab_size: u32,
    /// Beginning-of-text id, when the model's own configuration says prompts start with it.
    pub bos: Option<u32>,
    /// Ids that end a generation (end of text, end of turn).
    pub eos: Vec<u32>,
    /// Whether [`Tokenizer::encode_chats`] works.
    pub has_chat_template: bool,
}

/// A tokenizer of one model.
pub trait Tokenizer: Send + Sync {
    /// Facts about the vocabulary.
    fn info(&self) -> TokenizerInfo;

    /// Token ids of each text; nothing is added in front or behind.
    fn encode(&self, texts: &[String], control: ControlTokens) -> Result<Vec<Vec<u32>>>;

    /// Text of each sequence; invalid UTF-8 becomes U+FFFD. Control tokens are left out when `skip_control`.
    fn decode(&self, sequences: &[Vec<u32>], skip_control: bool) -> Result<Vec<String>>;

    /// Token ids of each conversation, rendered with the model's chat template and ending where the
    /// assistant's turn begins. Message contents are untrusted: control tokens spelled in them never
    /// become control tokens.
    fn encode_chats(&self, conversations: &[Vec<Message>]) -> Result<Vec<Vec<u32>>>;

    /// The bytes that each id stands for, indexed by id; empty for control tokens.
    /// Backends use it to match stop strings and to write completions as text.
    fn vocabulary(&self) -> Result<Vec<Vec<u8>>>;

    /// Writes `tokenizer.json` and `tokenizer_config.json` (with the chat template) into `directory`.
    fn save(&self, directory: &Path) -> Result<()>;
}
