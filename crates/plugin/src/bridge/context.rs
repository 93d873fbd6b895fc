//! The call context and the completion sink across the boundary, in both directions.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use azr_abi::abi_stable::sabi_trait::TD_Opaque;
use azr_abi::abi_stable::sabi_types::RRef;
use azr_abi::{
    self as abi, CallContextApi, CallContextApi_TO, CompletionSinkApi, CompletionSinkApi_TO,
    ContextRef, SinkRef,
};

use super::mirror::Mirror;
use crate::{CallContext, Completion, CompletionSink, Quiet};

/// Lends `context` for the duration of `call`.
///
/// A panic of the context does not unwind through the other side: the call is cancelled,
/// and the panic goes on here once it has returned.
pub(crate) fn lend<R>(context: &dyn CallContext, call: impl FnOnce(ContextRef<'_>) -> R) -> R {
    lend_with_sink(&Quiet, context, |_, context| call(context))
}

/// [`lend`] with a sink, whose panics are treated alike.
pub(crate) fn lend_with_sink<R>(
    sink: &dyn CompletionSink,
    context: &dyn CallContext,
    call: impl FnOnce(SinkRef<'_>, ContextRef<'_>) -> R,
) -> R {
    let lent = Lent { context, sink, panic: Mutex::new(None) };
    let result = call(
        CompletionSinkApi_TO::from_ptr(RRef::new(&lent), TD_Opaque),
        CallContextApi_TO::from_ptr(RRef::new(&lent), TD_Opaque),
    );
    match lent.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(payload) => panic::resume_unwind(payload),
        None => result,
    }
}

/// A context of the other side.
pub(crate) struct Borrowed<'a>(pub(crate) ContextRef<'a>);

impl CallContext for Borrowed<'_> {
    fn progress(&self, done: u64, total: u64) {
        self.0.progress(done, total);
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// A sink of the other side.
pub(crate) struct BorrowedSink<'a>(pub(crate) SinkRef<'a>);

impl CompletionSink for BorrowedSink<'_> {
    fn completed(&self, request: usize, sample: usize, completion: &Completion) {
        self.0.completed(request as u64, sample as u64, completion.clone().into_abi());
    }
}

struct Lent<'a> {
    context: &'a dyn CallContext,
    sink: &'a dyn CompletionSink,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Lent<'_> {
    /// None once a call of the context or the sink has panicked.
    fn call<R>(&self, call: impl FnOnce(&Self) -> R) -> Option<R> {
        let mut first_panic = None;
        if self.panic.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            match panic::catch_unwind(AssertUnwindSafe(|| call(self))) {
                Ok(result) => return Some(result),
                Err(payload) => first_panic = Some(payload),
            }
        }
        if let Some(payload) = first_panic {
            // Threads of one call may panic at once; a later payload is leaked, for its destructor may panic too.
            let mut slot = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(earlier) = slot.replace(payload) {
                std::mem::forget(earlier);
            }
        }
        None
    }
}

impl CallContextApi for Lent<'_> {
    fn progress(&self, done: u64, total: u64) {
        let _ = self.call(|lent| lent.context.progress(done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.call(|lent| lent.context.is_cancelled()).unwrap_or(true)
    }
}

impl CompletionSinkApi for Lent<'_> {
    fn completed(&self, request: u64, sample: u64, completion: abi::Completion) {
        // What no caller could have asked for stays out of its range, whatever the width of its numbers.
        let index = |index| usize::try_from(index).unwrap_or(usize::MAX);
        // One that does not translate is no loss: it is an error once it is returned.
        if let Ok(completion) = Completion::from_abi(completion) {
            let _ =
                self.call(|lent| lent.sink.completed(index(request), index(sample), &completion));
        }
    }
}
