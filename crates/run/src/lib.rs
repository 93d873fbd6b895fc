//! A run on disk: its merged configuration, metrics, rollouts, buffers, checkpoints and resume.
//!
//! This crate is the only one that writes into a run folder. A file is either replaced as a whole (written under a
//! temporary name, flushed, renamed) or is a JSON-lines log to which a step appends its lines in one write;
//! a log's torn last line is dropped when the run is opened again. So a run can be killed at any moment.

mod config;
mod dir;
mod error;
mod files;
mod log;
mod plot;
mod profiles;
mod report;
mod tensorboard;

pub use config::{EngineChoice, EvalConfig, RunConfig, merge, sha256};
pub use dir::{CheckpointState, RunDir};
pub use error::{Result, RunError};
pub use log::{MetricsLine, parse_tasks};
pub use plot::{Curve, Panel, svg};
pub use profiles::{NANO, Profile, is_nano};
pub use report::{Evaluations, SetSummary, duration, seconds};
pub use tensorboard::EventWriter;
