//! Prompts of one text.

use azr_plugin::{Message, Prompt, PromptBody};

/// A text that the model continues until one of `stops`.
pub(super) fn completion(text: String, stops: &[&str], max_new_tokens: u32) -> Prompt {
    let stop = stops.iter().map(|stop| (*stop).to_owned()).collect();
    Prompt { body: PromptBody::Text(text), stop, max_new_tokens }
}

/// A question of the user.
pub(super) fn chat(text: String, max_new_tokens: u32) -> Prompt {
    let message = Message { role: "user".to_owned(), content: text };
    Prompt { body: PromptBody::Chat(vec![message]), stop: Vec::new(), max_new_tokens }
}
