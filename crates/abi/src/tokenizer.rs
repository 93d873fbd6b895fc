//! Mirrors of the tokenizer's types.

use abi_stable::std_types::{RBox, ROption, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::{AbiResult, Code, Message};

/// Mirror of `TokenizerInfo`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct TokenizerInfo {
    pub vocab_size: u32,
    pub bos: ROption<u32>,
    pub eos: RVec<u32>,
    pub has_chat_template: bool,
    pub ext_json: RString,
}

/// Mirror of `Tokenizer`; `control` is one of [`codes::control`](crate::codes::control), paths are bytes.
#[sabi_trait]
pub trait TokenizerApi: Send + Sync {
    fn info(&self) -> AbiResult<TokenizerInfo>;
    fn encode(&self, texts: RVec<RString>, control: Code) -> AbiResult<RVec<RVec<u32>>>;
    fn decode(&self, sequences: RVec<RVec<u32>>, skip_control: bool) -> AbiResult<RVec<RString>>;
    fn encode_chats(&self, conversations: RVec<RVec<Message>>) -> AbiResult<RVec<RVec<u32>>>;
    fn vocabulary(&self) -> AbiResult<RVec<RVec<u8>>>;

    #[sabi(last_prefix_field)]
    fn save(&self, directory: RVec<u8>) -> AbiResult<()>;
}

/// An owned tokenizer of the other side.
pub type TokenizerObject = TokenizerApi_TO<'static, RBox<()>>;
