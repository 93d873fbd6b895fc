//! Benchmarks: what a model is asked, how its answers are graded, and what a score is worth.
//!
//! A [`Suite`] is a benchmark with its items read; it prompts and grades and knows no model.

mod data;
mod error;
mod suite;
pub mod suites;

pub use data::{Located, read_lines};
pub use error::{EvalError, Result};
pub use suite::{Answer, PromptStyle, Suite, Verdict};
