//! The call context across the boundary, in both directions.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use azr_abi::abi_stable::sabi_trait::TD_Opaque;
use azr_abi::abi_stable::sabi_types::RRef;
use azr_abi::{CallContextApi, CallContextApi_TO, ContextRef};

use crate::CallContext;

/// Lends `context` for the duration of `call`.
///
/// A panic of the context does not unwind through the other side: the call is cancelled,
/// and the panic goes on here once it has returned.
pub(crate) fn lend<R>(context: &dyn CallContext, call: impl FnOnce(ContextRef<'_>) -> R) -> R {
    let lent = Lent { context, panic: Mutex::new(None) };
    let result = call(CallContextApi_TO::from_ptr(RRef::new(&lent), TD_Opaque));
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

struct Lent<'a> {
    context: &'a dyn CallContext,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Lent<'_> {
    /// None once a call of the context has panicked.
    fn call<R>(&self, call: impl FnOnce(&dyn CallContext) -> R) -> Option<R> {
        let mut first_panic = None;
        if self.panic.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            match panic::catch_unwind(AssertUnwindSafe(|| call(self.context))) {
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
        let _ = self.call(|context| context.progress(done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.call(|context| context.is_cancelled()).unwrap_or(true)
    }
}
