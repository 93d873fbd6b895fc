//! The mathematics of reinforcement learning from self-play: token losses, advantages, loss weights,
//! learning-rate schedules and float64 optimizers against which backends are checked.
//!
//! Everything here is a pure function of its arguments; backends call [`response_losses`], [`NEWTON_SCHULZ`] and
//! [`muon_scale`], RL optimizers the rest.

mod adamw;
mod advantage;
mod algorithm;
mod error;
mod loss;
mod muon;
mod schedule;
mod weight;

pub use adamw::{AdamwState, adamw_reference};
pub use advantage::{Advantage, Baseline, Estimator, Rollout, advantages, baseline};
pub use algorithm::{Algorithm, Objective};
pub use error::RlError;
pub use loss::{Response, TokenLoss, response_losses, token_loss};
pub use muon::{MuonStep, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, muon_reference, muon_scale};
pub use schedule::{Schedule, learning_rate_factor};
pub use weight::{Aggregation, token_weights};
