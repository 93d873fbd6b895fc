//! The Absolute Zero loop (arXiv 2505.03335): one policy proposes tasks, domains verify them, the same
//! policy solves them, and one update rewards both roles.
//!
//! The loop knows engines only as `azr-plugin` traits, does no I/O, prints nothing and reads no clock but
//! the one it is given. A step is a pure function of (weights, buffers, configuration, step number):
//! every random choice is keyed by the run's seed and the place of the choice, so a resumed run and an
//! uninterrupted one do the same.

mod buffer;
mod channel;
mod config;
mod error;
mod evaluation;
mod health;
mod heldout;
mod learn;
mod metrics;
mod mix;
mod monitor;
mod observe;
mod overlap;
mod prompts;
mod proposals;
mod random;
mod record;
mod reward;
mod seeding;
mod selfplay;
mod solving;
mod stage;
mod wave;

pub use buffer::{Buffer, BufferEntry, Buffers};
pub use config::{
    Admission, BufferPolicy, Learnability, Mix, Overlap, ReferenceSampling, SelfPlayConfig,
    SolverBatch,
};
pub use error::{Result, SelfPlayError};
pub use evaluation::Evaluation;
pub use health::{Alarm, Health, HealthConfig};
pub use heldout::HeldOutSet;
pub use metrics::mean_of;
pub use monitor::{Flag, flags};
pub use observe::{Clock, Observer, Phase, Silent, WallClock};
pub use prompts::encode_prompts;
pub use record::{
    ChatMessage, Finish, PromptText, RolloutPhase, RolloutRecord, SafetyRecord, StepOutput,
};
pub use reward::{proposer_reward, solver_reward};
pub use selfplay::{Engines, SelfPlay};
