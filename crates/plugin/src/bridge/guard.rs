//! Panics stop here: a panic that reached a stable-ABI shim would end the process.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Once, OnceLock};

use azr_abi::AbiResult;

use super::mirror::{Mirror, into_answer};
use crate::{ErrorCode, PluginError, Result};

/// Longest panic message that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 2_000;

thread_local! {
    /// How many guards this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the latest panic of this thread happened, if the quiet hook saw it.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// An object whose calls and whose drop cannot unwind, and which is never called again after a panic.
pub(crate) struct Guarded<T> {
    object: ManuallyDrop<T>,
    label: String,
    panicked: OnceLock<String>,
}

impl<T> Guarded<T> {
    /// Guards `object`; `label` names it in errors.
    pub(crate) fn new(label: String, object: T) -> Self {
        Self { object: ManuallyDrop::new(object), label, panicked: OnceLock::new() }
    }

    /// The object's name in errors.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Calls the object and translates the answer.
    pub(crate) fn call<R: Mirror>(&self, call: impl FnOnce(&T) -> Result<R>) -> AbiResult<R::Abi> {
        self.call_abi(|object| call(object).map(R::into_abi))
    }

    /// Calls the object; the answer is already one for the other side.
    pub(crate) fn call_abi<A>(&self, call: impl FnOnce(&T) -> Result<A>) -> AbiResult<A> {
        let result = self.ready().and_then(|()| match catch(|| call(&self.object)) {
            Ok(answer) => answer,
            Err(message) => Err(self.poison(message)),
        });
        result.map_err(PluginError::into_abi).into()
    }

    /// Calls the object exclusively and translates the answer.
    pub(crate) fn call_mut<R: Mirror>(
        &mut self,
        call: impl FnOnce(&mut T) -> Result<R>,
    ) -> AbiResult<R::Abi> {
        let result = match self.ready() {
            Ok(()) => catch(|| call(&mut self.object).map(R::into_abi)),
            Err(error) => Ok(Err(error)),
        };
        result
            .unwrap_or_else(|message| Err(self.poison(message)))
            .map_err(PluginError::into_abi)
            .into()
    }

    fn ready(&self) -> Result<()> {
        match self.panicked.get() {
            None => Ok(()),
            Some(message) => Err(PluginError::new(
                ErrorCode::Panicked,
                format!(
                    "{} is not called again, because it panicked before: {message}",
                    self.label
                ),
            )),
        }
    }

    fn poison(&self, message: String) -> PluginError {
        let error = panicked(&self.label, &message);
        // A concurrent call may have panicked first; its message stays.
        let _ = self.panicked.set(message);
        error
    }
}

impl<T> Drop for Guarded<T> {
    #[expect(unsafe_code, reason = "the object is dropped inside the guard")]
    fn drop(&mut self) {
        // SAFETY: the object is dropped here and nowhere else, and `self` is not used afterwards.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        // Nobody is left who could be told about a panic of a destructor.
        let _ = catch(|| drop(object));
    }
}

/// Runs a call of the module itself; `label` says what it was doing.
pub(crate) fn guard<R: Mirror>(label: &str, call: impl FnOnce() -> Result<R>) -> AbiResult<R::Abi> {
    into_answer(catch(call).unwrap_or_else(|message| Err(panicked(label, &message))))
}

/// Like [`guard`] for an answer that is already one for the other side.
pub(crate) fn guard_abi<A>(label: &str, call: impl FnOnce() -> Result<A>) -> AbiResult<A> {
    let result = catch(call).unwrap_or_else(|message| Err(panicked(label, &message)));
    result.map_err(PluginError::into_abi).into()
}

/// Keeps panics inside guards off standard error; for a loaded plugin, whose hook is its own and not the host's.
pub(crate) fn install_quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(info);
                return;
            }
            let location = info.location().map(ToString::to_string);
            let _ = LOCATION.try_with(|slot| slot.replace(location));
        }));
    });
}

/// The panic's message instead of the panic.
fn catch<R>(call: impl FnOnce() -> R) -> std::result::Result<R, String> {
    let _inside = Inside::enter();
    // The object is never called again after a panic, so nothing sees a broken state.
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let message = message_of(&*payload);
        dispose(payload);
        match LOCATION.try_with(RefCell::take).ok().flatten() {
            Some(location) => format!("{message} (at {location})"),
            None => message,
        }
    })
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Drops a panic's payload, whose own destructor may panic again.
fn dispose(payload: Box<dyn Any + Send>) {
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

fn panicked(label: &str, message: &str) -> PluginError {
    PluginError::new(ErrorCode::Panicked, format!("{label} panicked: {message}"))
        .with_hint("this is a defect of the plugin: report it to its author")
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}
