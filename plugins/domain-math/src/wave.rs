//! One item after the other, with progress and cancellation.

use azr_plugin::{CallContext, ErrorCode, PluginError, Result};

/// Judges each of `items` alone, so that no verdict depends on the others.
pub(crate) fn each<T, V>(
    items: &[T],
    context: &dyn CallContext,
    judge: impl Fn(&T) -> Result<V>,
) -> Result<Vec<V>> {
    let total = items.len() as u64;
    context.progress(0, total);
    let one = |(done, item): (u64, &T)| {
        if context.is_cancelled() {
            return Err(PluginError::new(ErrorCode::Cancelled, "the math domain was told to stop"));
        }
        let verdict = judge(item)?;
        context.progress(done, total);
        Ok(verdict)
    };
    (1..).zip(items).map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Remembers what it was told, and cancels after so many answers.
    struct Recorder {
        told: Mutex<Vec<(u64, u64)>>,
        n_allowed: usize,
    }

    impl CallContext for Recorder {
        fn progress(&self, done: u64, total: u64) {
            self.told.lock().unwrap().push((done, total));
        }

        fn is_cancelled(&self) -> bool {
            self.told.lock().unwrap().len() > self.n_allowed
        }
    }

    #[test]
    fn every_item_is_counted_until_the_call_is_cancelled() {
        let context = Recorder { told: Mutex::default(), n_allowed: 9 };
        assert_eq!(each(&[1, 2, 3], &context, |item| Ok(item * 2)).unwrap(), [2, 4, 6]);
        assert_eq!(*context.told.lock().unwrap(), [(0, 3), (1, 3), (2, 3), (3, 3)]);
        let context = Recorder { told: Mutex::default(), n_allowed: 1 };
        let error = each(&[1, 2, 3], &context, |item| Ok(item * 2)).unwrap_err();
        assert_eq!((error.code, context.told.lock().unwrap().len()), (ErrorCode::Cancelled, 2));
    }
}
