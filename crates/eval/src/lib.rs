//! Benchmarks: what a model is asked, how its answers are graded, and what a score is worth.
//!
//! A [`Suite`] is a benchmark with its items read; it prompts and grades and knows no model.
//! An [`Asker`] answers prompts and knows no benchmark: a model in this process, a server.
//! An [`Evaluation`] takes a suite under a [`Protocol`] and makes one [`Record`] of each response; an [`EvalDir`] keeps
//! them, so that an interrupted evaluation goes on; a [`Summary`] says what they come to.

mod ask;
mod compare;
mod data;
mod error;
mod evaluation;
mod folder;
mod policy;
mod protocol;
mod server;
pub mod statistics;
mod suite;
pub mod suites;
mod summary;
#[cfg(test)]
mod testing;

pub use ask::{Asker, Finish, Question, Response, Sampling};
pub use compare::{Comparison, compare};
pub use data::{Located, read_lines};
pub use error::{EvalError, Result};
pub use evaluation::{Evaluation, Record};
pub use folder::{EvalDir, ModelSetup, Setup, SuiteSetup};
pub use policy::PolicyAsker;
pub use protocol::Protocol;
pub use server::{ServerAsker, ServerOptions};
pub use suite::{Answer, PromptStyle, Suite, Verdict};
pub use suites::Source;
pub use summary::Summary;
