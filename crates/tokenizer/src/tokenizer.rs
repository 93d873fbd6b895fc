//! An open tokenizer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use azr_plugin::{ControlTokens, Message, TokenizerInfo};
use azr_weights::Gguf;
use tokenizers::{AddedToken, AddedVocabulary, Tokenizer};

use crate::control::{break_up, looks_like_control};
use crate::vocabulary::{Spelling, byte_level_table};
use crate::{ChatTemplate, Date, TokenizerError, gguf, hf, save};

/// The largest published vocabularies have about 2^18 ids; tables are indexed by id.
const MAX_ID: u32 = 1 << 24;
/// Tokens that end a turn or a text in published vocabularies; a model's settings often name only one of them.
const END_TOKENS: [&str; 5] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>"];
/// The roles that a conversation may have. Templates print them, so nothing else may come through.
const ROLES: [&str; 3] = ["system", "user", "assistant"];

/// How to open a tokenizer.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// What `strftime_now` tells chat templates; the same date in every run unless set.
    pub date: Date,
}

/// The tokenizer of a model.
pub struct TextTokenizer {
    /// Parses control tokens.
    parsing: Tokenizer,
    /// Encodes control tokens as ordinary characters.
    plain: Tokenizer,
    /// Control tokens by id.
    control: BTreeMap<u32, String>,
    control_texts: Vec<String>,
    spelling: Option<Spelling>,
    special: SpecialTokens,
    add_bos: bool,
    info: TokenizerInfo,
    template: Result<ChatTemplate, TokenizerError>,
}

/// What a file gives.
pub(crate) struct Parts {
    pub(crate) inner: Tokenizer,
    pub(crate) special: SpecialTokens,
    /// Whether prompts start with the beginning-of-text token; asks the post-processor when the settings do not say.
    pub(crate) add_bos: Option<bool>,
    /// Further ids that end a generation.
    pub(crate) eos_ids: BTreeSet<u32>,
    pub(crate) template: Option<String>,
}

/// Texts of the tokens with a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    pub(crate) unk: Option<String>,
    pub(crate) pad: Option<String>,
}

impl SpecialTokens {
    /// The tokens that are there, by the names that settings and chat templates use.
    pub(crate) fn named(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("bos_token", &self.bos),
            ("eos_token", &self.eos),
            ("unk_token", &self.unk),
            ("pad_token", &self.pad),
        ];
        all.into_iter().filter_map(|(name, token)| Some((name, token.clone()?))).collect()
    }
}

impl TextTokenizer {
    /// Opens the tokenizer of the GGUF file or Hugging Face directory at `path`.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, TokenizerError> {
        let parts = if path.is_dir() { hf::read(path)? } else { gguf::read(&Gguf::open(path)?)? };
        Self::new(parts, path, options)
    }

    fn new(parts: Parts, path: &Path, options: &OpenOptions) -> Result<Self, TokenizerError> {
        let Parts { mut inner, special, add_bos, eos_ids, template } = parts;
        let added: BTreeMap<u32, AddedToken> =
            inner.get_added_tokens_decoder().into_iter().collect();
        let max_id = inner.get_vocab(true).into_values().max();
        let vocab_size = match max_id {
            Some(id) if id < MAX_ID => id + 1,
            Some(id) => {
                return Err(TokenizerError::malformed(
                    path,
                    format!("token id {id} is absurdly large"),
                ));
            }
            None => return Err(TokenizerError::malformed(path, "its vocabulary is empty")),
        };
        harden(&mut inner, &added).map_err(|reason| TokenizerError::malformed(path, reason))?;
        let control: BTreeMap<u32, String> = added
            .iter()
            .filter(|(_, token)| is_control(token))
            .map(|(&id, token)| (id, token.content.clone()))
            .collect();
        let mut plain = inner.clone();
        plain.set_encode_special_tokens(true);

        let id_of = |token: &Option<String>| inner.token_to_id(token.as_ref()?);
        let first_is_bos = || {
            let ids = inner
                .encode_fast("", true)
                .map(|encoding| encoding.get_ids().to_vec())
                .unwrap_or_default();
            ids.first().copied().filter(|id| control.contains_key(id))
        };
        let bos = match add_bos {
            Some(true) => id_of(&special.bos),
            Some(false) => None,
            None => first_is_bos(),
        };
        // The token that the settings name comes first, the others in order.
        let mut eos: Vec<u32> = id_of(&special.eos).into_iter().collect();
        let by_name = control
            .iter()
            .filter(|(_, text)| END_TOKENS.contains(&text.as_str()))
            .map(|(&id, _)| id);
        let others: BTreeSet<u32> =
            by_name.chain(eos_ids).filter(|&id| id < vocab_size && !eos.contains(&id)).collect();
        eos.extend(others);

        let template = match template {
            Some(source) => ChatTemplate::new(&source, special.named(), options.date),
            None => Err(TokenizerError::NoChatTemplate {
                reason: "the model has no chat template".into(),
            }),
        };
        let decoder = serde_json::to_value(inner.get_decoder()).map_err(TokenizerError::failed)?;
        Ok(Self {
            control_texts: control.values().cloned().collect(),
            control,
            spelling: Spelling::of_decoder(&decoder),
            add_bos: bos.is_some(),
            info: TokenizerInfo { vocab_size, bos, eos, has_chat_template: template.is_ok() },
            parsing: inner,
            plain,
            special,
            template,
        })
    }

    /// Facts about the vocabulary.
    pub fn info(&self) -> &TokenizerInfo {
        &self.info
    }

    /// Token ids of `text`; nothing is added in front or behind.
    pub fn encode(&self, text: &str, control: ControlTokens) -> Result<Vec<u32>, TokenizerError> {
        match control {
            ControlTokens::Parse => ids(&self.parsing, text),
            ControlTokens::AsText => {
                let encoded = ids(&self.plain, text)?;
                if !encoded.iter().any(|id| self.control.contains_key(id)) {
                    return Ok(encoded);
                }
                // Whole-word vocabularies find control tokens without parsing them.
                ids(&self.plain, &self.harmless(text)?)
            }
        }
    }

    /// Text of `ids`; invalid UTF-8 becomes U+FFFD, ids outside the vocabulary nothing.
    /// Control tokens are left out when `skip_control`.
    pub fn decode(&self, ids: &[u32], skip_control: bool) -> Result<String, TokenizerError> {
        self.parsing.decode(ids, skip_control).map_err(TokenizerError::failed)
    }

    /// Token ids of a conversation, rendered with the model's chat template and ending where the assistant's turn
    /// begins.
    ///
    /// Contents are untrusted: a control token that is spelled in one is broken up with U+200B (zero width space)
    /// behind its first character, so the model reads something very similar, but never the token itself.
    /// Roles are `system`, `user` or `assistant`.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        self.encode(&self.render_chat(messages)?, ControlTokens::Parse)
    }

    /// The text that [`TextTokenizer::encode_chat`] encodes.
    pub fn render_chat(&self, messages: &[Message]) -> Result<String, TokenizerError> {
        let template = match &self.template {
            Ok(template) => template,
            Err(error) => {
                let reason = match error {
                    TokenizerError::NoChatTemplate { reason } => reason.clone(),
                    other => other.to_string(),
                };
                return Err(TokenizerError::NoChatTemplate { reason });
            }
        };
        if messages.is_empty() {
            return Err(TokenizerError::InvalidInput {
                reason: "a conversation has no messages".into(),
            });
        }
        let messages = messages.iter().map(|message| {
            if !ROLES.contains(&message.role.as_str()) {
                let reason = format!(
                    "`{}` is no role: system, user and assistant are",
                    message.role.escape_debug()
                );
                return Err(TokenizerError::InvalidInput { reason });
            }
            Ok(Message { role: message.role.clone(), content: self.harmless(&message.content)? })
        });
        template.render(&messages.collect::<Result<Vec<_>, _>>()?)
    }

    /// The bytes that each id stands for, indexed by id; empty for control tokens and for ids without a token.
    /// A model may score more ids than this: its matrices are often padded.
    pub fn vocabulary(&self) -> Result<Vec<Vec<u8>>, TokenizerError> {
        let spelling = self.spelling.ok_or_else(|| TokenizerError::Failed {
            reason:
                "its decoder is neither byte-level nor sentencepiece, so its tokens have no bytes"
                    .into(),
        })?;
        let table = byte_level_table();
        let mut vocabulary = vec![Vec::new(); self.info.vocab_size as usize];
        for (token, id) in self.parsing.get_vocab(false) {
            vocabulary[id as usize] = spelling.bytes(&token, &table);
        }
        for (id, token) in self.parsing.get_added_tokens_decoder() {
            vocabulary[id as usize] =
                if self.control.contains_key(&id) { Vec::new() } else { token.content.into() };
        }
        Ok(vocabulary)
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` (with the chat template) and `generation_config.json` (ids
    /// that end a generation) into `directory`, such that opening it gives the same ids. Control tokens that their
    /// own file did not call special are written as special.
    pub fn save(&self, directory: &Path) -> Result<(), TokenizerError> {
        let template = self.template.as_ref().ok().map(ChatTemplate::source);
        save::write(directory, &self.parsing, &self.special, self.add_bos, &self.info, template)
    }

    fn harmless(&self, text: &str) -> Result<String, TokenizerError> {
        match break_up(text, &self.control_texts) {
            Some(text) => Ok(text.into_owned()),
            None => Err(TokenizerError::InvalidInput {
                reason: "a text spells control tokens that cannot be broken up".into(),
            }),
        }
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer").field("info", &self.info).finish_non_exhaustive()
    }
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    Ok(tokenizer.encode_fast(text, false).map_err(TokenizerError::failed)?.get_ids().to_vec())
}

fn is_control(token: &AddedToken) -> bool {
    token.special || looks_like_control(&token.content)
}

/// Makes every control token special, and matched before the text is normalised: otherwise a text could spell it in
/// characters that only become the token by normalisation.
fn harden(tokenizer: &mut Tokenizer, added: &BTreeMap<u32, AddedToken>) -> Result<(), String> {
    if added
        .values()
        .filter(|token| is_control(token))
        .all(|token| token.special && !token.normalized)
    {
        return Ok(());
    }
    let tokens = added.values().cloned().map(|token| {
        if is_control(&token) { token.special(true).normalized(false) } else { token }
    });
    let tokens: Vec<AddedToken> = tokens.collect();
    tokenizer.with_added_vocabulary(AddedVocabulary::new());
    tokenizer.add_tokens(&tokens);
    // Ids of added tokens follow from their order; a file with gaps between them cannot be rebuilt.
    match added.iter().find(|(id, token)| tokenizer.token_to_id(&token.content) != Some(**id)) {
        Some((id, token)) => {
            Err(format!("added token `{}` cannot keep its id {id}", token.content.escape_debug()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
