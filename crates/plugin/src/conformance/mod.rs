//! The conformance kit: what every engine of a kind promises, as checks that any engine can be put through.
//!
//! ```text
//! #[test]
//! fn it_conforms() {
//!     conformance::domain(|| Ok(Arc::new(Maze::create(Options::default(), Services::default())?))).assert_passed();
//! }
//! ```
//!
//! A check makes its own engines, twice where they are compared, and runs on a thread of its own with a time limit:
//! a panic or a hang is a failed check and not the end of the process. What an engine is asked is the same each time.

mod backend;
mod domain;
mod executor;
mod optimizer;
mod report;
mod text;
mod tokenizer;

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub use report::{Check, Outcome, Report};

use crate::{
    Backend, CallContext, Domain, ErrorCode, Executor, ModelSpec, PluginError, Result, RlOptimizer,
    Tokenizer,
};

/// Puts a domain through the kit; `make` makes one engine, always the same.
pub fn domain(make: impl Fn() -> Result<Arc<dyn Domain>> + Send + Sync + 'static) -> Report {
    Kit::default().domain(make)
}

/// Puts an RL optimizer through the kit; `make` makes one engine, always the same.
pub fn optimizer(
    make: impl Fn() -> Result<Arc<dyn RlOptimizer>> + Send + Sync + 'static,
) -> Report {
    Kit::default().optimizer(make)
}

/// Puts an executor of Python programs through the kit; `make` makes one engine, always the same.
pub fn executor(make: impl Fn() -> Result<Arc<dyn Executor>> + Send + Sync + 'static) -> Report {
    Kit::default().executor(make)
}

/// Puts a tokenizer through the kit; `make` makes one engine, always the same.
pub fn tokenizer(make: impl Fn() -> Result<Arc<dyn Tokenizer>> + Send + Sync + 'static) -> Report {
    Kit::default().tokenizer(make)
}

/// Puts a backend through the kit with a small model, which it opens, trains and saves to temporary folders.
pub fn backend(
    make: impl Fn() -> Result<Arc<dyn Backend>> + Send + Sync + 'static,
    model: &ModelSpec,
) -> Report {
    Kit::default().backend(make, model)
}

/// The kit with another time limit than the default one.
#[derive(Debug, Clone, Copy)]
pub struct Kit {
    /// Longest time of one check. An engine that exceeds it is asked nothing more.
    pub limit: Duration,
}

impl Default for Kit {
    fn default() -> Self {
        Self { limit: Duration::from_secs(120) }
    }
}

impl Kit {
    /// See [`domain`].
    pub fn domain(
        &self,
        make: impl Fn() -> Result<Arc<dyn Domain>> + Send + Sync + 'static,
    ) -> Report {
        self.run(make, domain::CHECKS)
    }

    /// See [`optimizer`].
    pub fn optimizer(
        &self,
        make: impl Fn() -> Result<Arc<dyn RlOptimizer>> + Send + Sync + 'static,
    ) -> Report {
        self.run(make, optimizer::CHECKS)
    }

    /// See [`executor`].
    pub fn executor(
        &self,
        make: impl Fn() -> Result<Arc<dyn Executor>> + Send + Sync + 'static,
    ) -> Report {
        self.run(make, executor::CHECKS)
    }

    /// See [`tokenizer`].
    pub fn tokenizer(
        &self,
        make: impl Fn() -> Result<Arc<dyn Tokenizer>> + Send + Sync + 'static,
    ) -> Report {
        self.run(make, tokenizer::CHECKS)
    }

    /// See [`backend`].
    pub fn backend(
        &self,
        make: impl Fn() -> Result<Arc<dyn Backend>> + Send + Sync + 'static,
        model: &ModelSpec,
    ) -> Report {
        let model = model.clone();
        let make =
            move || Ok(Arc::new(backend::Subject { backend: make()?, model: model.clone() }));
        self.run(make, backend::CHECKS)
    }

    fn run<T: ?Sized + 'static>(
        &self,
        make: impl Fn() -> Result<Arc<T>> + Send + Sync + 'static,
        checks: &[(&'static str, CheckFn<T>)],
    ) -> Report {
        let make: Make<T> = Arc::new(make);
        let mut report = Report::default();
        let mut timed_out = None;
        for &(name, check) in checks {
            let outcome = match timed_out {
                Some(name) => Outcome::Skipped(format!("`{name}` did not end")),
                None => {
                    let make = Arc::clone(&make);
                    let found = within(self.limit, move || check(&*make));
                    if found.is_none() {
                        timed_out = Some(name);
                    }
                    found.map_or_else(|| timeout(self.limit), outcome_of)
                }
            };
            report.checks.push(Check { name: name.to_owned(), outcome });
        }
        report
    }
}

/// Makes one engine.
type Make<T> = Arc<dyn Fn() -> Result<Arc<T>> + Send + Sync>;

/// [`Make`] as a check borrows it.
type Maker<'a, T> = &'a dyn Fn() -> Result<Arc<T>>;

/// One check of engines that it makes itself.
type CheckFn<T> = for<'a> fn(Maker<'a, T>) -> Verdict;

/// How a check ends.
type Verdict = std::result::Result<(), Flaw>;

/// Why a check did not pass.
#[derive(Debug)]
enum Flaw {
    /// The engine broke a promise.
    Failed(String),
    /// The check does not apply to the engine.
    Skipped(String),
}

impl From<PluginError> for Flaw {
    fn from(error: PluginError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Fails the check with this text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err($crate::conformance::Flaw::Failed(format!($($text)+)));
        }
    }};
}
use ensure;

/// What a host runs beside the kit's own checks, for example the loading of a plugin, under the same rules: on a thread
/// of its own, a panic is a failure, and so is not to end within `limit`.
pub fn check(
    name: &str,
    limit: Duration,
    check: impl FnOnce() -> std::result::Result<(), String> + Send + 'static,
) -> Check {
    let outcome = within(limit, move || check().map_err(Flaw::Failed));
    let outcome = outcome.map_or_else(|| timeout(limit), outcome_of);
    Check { name: name.to_owned(), outcome }
}

fn timeout(limit: Duration) -> Outcome {
    Outcome::Failed(format!("timed out: it did not end within {} s", limit.as_secs()))
}

fn outcome_of(verdict: thread::Result<Verdict>) -> Outcome {
    match verdict {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(Flaw::Failed(why))) => Outcome::Failed(why),
        Ok(Err(Flaw::Skipped(why))) => Outcome::Skipped(why),
        Err(payload) => Outcome::Failed(format!("panicked: {}", panic_text(&*payload))),
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// What `call` returns, or nothing if it does not return within `limit`; its thread then goes on until the process ends.
fn within<R: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> R + Send + 'static,
) -> Option<thread::Result<R>> {
    let (sender, receiver) = sync_channel(1);
    let call = move || {
        // Nobody listens any more when the time is over.
        let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(call)));
    };
    let spawned = thread::Builder::new().name("azr-conformance".into()).spawn(call);
    if let Err(error) = spawned {
        return Some(Err(Box::new(format!("no thread could be started: {error}"))));
    }
    match receiver.recv_timeout(limit) {
        Ok(result) => Some(result),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Err(Box::new("its thread died"))),
    }
}

/// Threads that ask one engine at once.
const N_THREADS: usize = 8;

/// Answers to `ask`, asked by several threads at once, are those of one thread.
fn from_threads<T: PartialEq + Send>(ask: impl Fn() -> Result<T> + Sync) -> Verdict {
    let alone = ask()?;
    let together: Vec<thread::Result<Result<T>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..N_THREADS).map(|_| scope.spawn(&ask)).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    for answer in together {
        let answer = answer.map_err(|payload| {
            Flaw::Failed(format!(
                "panicked when {N_THREADS} threads asked: {}",
                panic_text(&*payload)
            ))
        })?;
        ensure!(answer? == alone, "{N_THREADS} threads at once got another answer than one alone");
    }
    Ok(())
}

/// An engine answers a cancelled call within one second; the rest is for busy machines.
const CANCELLATION: Duration = Duration::from_secs(5);

/// A context whose caller wants no answer any more.
#[derive(Debug, Default)]
struct Cancelled(AtomicBool);

impl Cancelled {
    fn at_once() -> Self {
        Self(AtomicBool::new(true))
    }

    fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl CallContext for Cancelled {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call with a cancelled context ends soon: with [`ErrorCode::Cancelled`], or, where it was nearly done, with what it
/// would have answered anyway.
fn honours_cancellation<T: PartialEq>(
    what: &str,
    whole: &T,
    call: impl FnOnce(&Cancelled) -> Result<T>,
) -> Verdict {
    let start = Instant::now();
    let answer = call(&Cancelled::at_once());
    let took = start.elapsed();
    ensure!(
        took <= CANCELLATION,
        "{what} went on for {:.1} s after it was cancelled",
        took.as_secs_f64()
    );
    match answer {
        Ok(answer) => ensure!(answer == *whole, "{what} gave half an answer when it was cancelled"),
        Err(error) => ensure!(
            error.code == ErrorCode::Cancelled,
            "{what} answered a cancelled call with another error than `Cancelled`: {error}"
        ),
    }
    Ok(())
}

/// An error is the right answer to wrong input; a panic is not.
fn errs<T>(what: &str, answer: Result<T>) -> Verdict {
    match answer {
        Ok(_) => Err(Flaw::Failed(format!("{what} is no error"))),
        Err(error) => no_panic(what, &error),
    }
}

fn no_panic(what: &str, error: &PluginError) -> Verdict {
    ensure!(error.code != ErrorCode::Panicked, "{what}: {error}");
    Ok(())
}

/// A folder for one check, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("azr-conformance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| {
            PluginError::new(ErrorCode::Io, format!("cannot create {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is printed of a long text.
fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let mut shown: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push_str(&format!("… ({} bytes)", text.len()));
    }
    shown
}
