//! What a caller hands to every long call: progress out, cancellation in; and to generation, who hears of completions.

use crate::Completion;

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

/// Hears of a wave's completions while others are still being sampled.
///
/// What is told is an early copy: what [`Policy::generate`](crate::Policy::generate) returns is what counts. An engine
/// may tell all completions, some or none, in any order and from any thread, but each at most once and as it will be
/// returned; a caller that relies on it checks that.
pub trait CompletionSink: Sync {
    /// Sample `sample` (the position of its seed) of request `request` is finished.
    /// Returns at once, so that it may be called between two decoding steps.
    fn completed(&self, request: usize, sample: usize, completion: &Completion);
}

/// A context that shows nothing and never cancels, and a sink that hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl CallContext for Quiet {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

impl CompletionSink for Quiet {
    fn completed(&self, _request: usize, _sample: usize, _completion: &Completion) {}
}
