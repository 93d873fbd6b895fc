//! Benchmarks about programs: functions to write (HumanEval+, MBPP+) and calls to predict (CRUXEval, LiveCodeBench).
//!
//! Programs run in the sandbox of an executor and nowhere else, whoever wrote them; values are compared here. Reference
//! solutions and answers import and name what they like (`eval`, `hashlib`), so the executor should have option
//! `policy = "open"`: the process sandbox is in force all the same.

mod batch;
pub mod cruxeval;
mod fence;
pub mod humaneval;
mod json;
pub mod livecodebench;
pub mod mbpp;
mod oracle;
mod prediction;
mod problem;
mod prompt;
mod reference;
mod response;
mod stated;
mod synthesis;
mod wave;

pub use prediction::Prediction;
pub use synthesis::Synthesis;
