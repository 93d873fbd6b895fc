//! Two waves as the progress of one call.

use azr_plugin::CallContext;

/// One of two waves: the first fills the first half of the caller's bar, the second the other half.
pub(crate) struct Half<'a> {
    pub(crate) context: &'a dyn CallContext,
    /// Jobs of the whole call.
    pub(crate) n_jobs: u64,
    pub(crate) is_second: bool,
}

impl CallContext for Half<'_> {
    fn progress(&self, done: u64, total: u64) {
        let halves = 2 * total.max(1);
        let filled = done.min(total) + if self.is_second { total } else { 0 };
        self.context.progress(self.n_jobs * filled / halves, self.n_jobs);
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}
