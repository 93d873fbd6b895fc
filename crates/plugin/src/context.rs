//! What a caller hands to every long call: progress out, cancellation in.

/// Progress and cancellation of one call. Cheap enough to ask once per sample or decoding step.
pub trait CallContext: Sync {
    /// Tells the caller that `done` of `total` units of work are finished.
    /// The unit is the call's own: tokens for `generate` and `update`, programs for `run`.
    /// `total` may be an upper bound (a completion may end early).
    fn progress(&self, done: u64, total: u64);

    /// True once the caller wants the call to end. An engine answers within one second
    /// with [`ErrorCode::Cancelled`](crate::ErrorCode::Cancelled).
    fn is_cancelled(&self) -> bool;
}

/// A context that shows nothing and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl CallContext for Quiet {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}
