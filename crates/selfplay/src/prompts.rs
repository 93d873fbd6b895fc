//! Prompts as tokens, and which of them are short enough.

use azr_plugin::{ControlTokens, PolicyInfo, Prompt, PromptBody, Tokenizer};

use crate::{Result, SelfPlayConfig, SelfPlayError};

/// Token ids of each prompt, chats by the model's own template. Text is encoded without control tokens, because it holds
/// what a model wrote.
///
/// # Errors
/// The tokenizer failed or returned another number of encodings.
pub fn encode_prompts(tokenizer: &dyn Tokenizer, prompts: &[Prompt]) -> Result<Vec<Vec<u32>>> {
    let (mut texts, mut chats) = (Vec::new(), Vec::new());
    for prompt in prompts {
        match &prompt.body {
            PromptBody::Text(text) => texts.push(text.clone()),
            PromptBody::Chat(messages) => chats.push(messages.clone()),
        }
    }
    let fail = |source| SelfPlayError::engine("tokenizer", "encode prompts", source);
    let mut encoded_texts = Vec::new();
    if !texts.is_empty() {
        encoded_texts = tokenizer.encode(&texts, ControlTokens::AsText).map_err(fail)?;
        let bos = tokenizer.info().bos;
        encoded_texts.iter_mut().for_each(|tokens| tokens.splice(0..0, bos).for_each(drop));
    }
    let encoded_chats =
        if chats.is_empty() { Vec::new() } else { tokenizer.encode_chats(&chats).map_err(fail)? };
    let counts = (encoded_texts.len(), encoded_chats.len());
    if counts != (texts.len(), chats.len()) {
        let message =
            format!("{counts:?} encodings of {:?} texts and chats", (texts.len(), chats.len()));
        return Err(SelfPlayError::contract("tokenizer", message));
    }
    let (mut encoded_texts, mut encoded_chats) =
        (encoded_texts.into_iter(), encoded_chats.into_iter());
    let encoding = |prompt: &Prompt| match prompt.body {
        PromptBody::Text(_) => encoded_texts.next().unwrap_or_default(),
        PromptBody::Chat(_) => encoded_chats.next().unwrap_or_default(),
    };
    Ok(prompts.iter().map(encoding).collect())
}

/// Whether a prompt of `n_tokens` is within the limit and leaves room for its response: all of it, or half of the
/// model's context where the response may be longer than that. An empty prompt never fits.
pub(crate) fn fits(
    n_tokens: usize,
    max_new_tokens: u32,
    config: &SelfPlayConfig,
    policy: &PolicyInfo,
) -> bool {
    let room = max_new_tokens.min(policy.context_length / 2);
    let longest = config.max_prompt_tokens.min((policy.context_length - room) as usize);
    (1..=longest).contains(&n_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_leaves_room_for_its_response() {
        let policy = PolicyInfo {
            family: String::new(),
            device: String::new(),
            n_parameters: 0,
            vocab_size: 0,
            context_length: 100,
        };
        let config = SelfPlayConfig { max_prompt_tokens: 80, ..SelfPlayConfig::default() };
        for (n_tokens, max_new_tokens, expected) in [
            (0, 10, false),
            (80, 10, true),
            (81, 10, false),
            (60, 40, true),
            (61, 40, false),
            (50, 9_000, true),
            (51, 9_000, false),
        ] {
            assert_eq!(
                fits(n_tokens, max_new_tokens, &config, &policy),
                expected,
                "{n_tokens} {max_new_tokens}"
            );
        }
    }
}
