//! Progress out, cancellation in: borrowed for the duration of one call.

use abi_stable::sabi_trait;
use abi_stable::sabi_types::RRef;

/// Mirror of `CallContext`.
#[sabi_trait]
pub trait CallContextApi: Send + Sync {
    fn progress(&self, done: u64, total: u64);

    #[sabi(last_prefix_field)]
    fn is_cancelled(&self) -> bool;
}

/// A call context lent for one call.
pub type ContextRef<'a> = CallContextApi_TO<'a, RRef<'a, ()>>;
