//! Text to token ids and back, and chat templates.
//!
//! [`TextTokenizer`] reads the tokenizer of a Hugging Face directory (`tokenizer.json`) or of a GGUF file and gives
//! the ids that the model was trained with. [`ChatTemplate`] renders conversations the way transformers does.
//!
//! Texts are untrusted: a *control token* (a special token of the vocabulary, or any added token written `<|…|>`)
//! that is spelled out in a text becomes the token's id only where the caller asks for it, and never where it stands
//! in a message of a conversation.

mod chat;
mod control;
mod date;
mod error;
mod gguf;
mod hf;
mod save;
mod tokenizer;
mod vocabulary;

pub use chat::ChatTemplate;
pub use date::Date;
pub use error::TokenizerError;
pub use tokenizer::{OpenOptions, TextTokenizer};
