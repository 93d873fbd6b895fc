//! Progress out, cancellation in, completions out: borrowed for the duration of one call.

use abi_stable::sabi_trait;
use abi_stable::sabi_types::RRef;

use crate::Completion;

/// Mirror of `CallContext`.
#[sabi_trait]
pub trait CallContextApi: Send + Sync {
    fn progress(&self, done: u64, total: u64);

    #[sabi(last_prefix_field)]
    fn is_cancelled(&self) -> bool;
}

/// Mirror of `CompletionSink`.
#[sabi_trait]
pub trait CompletionSinkApi: Send + Sync {
    #[sabi(last_prefix_field)]
    fn completed(&self, request: u64, sample: u64, completion: Completion);
}

/// A call context lent for one call.
pub type ContextRef<'a> = CallContextApi_TO<'a, RRef<'a, ()>>;

/// A completion sink lent for one call.
pub type SinkRef<'a> = CompletionSinkApi_TO<'a, RRef<'a, ()>>;
