//! The mathematics of reinforcement learning from self-play: token losses, advantages, loss weights,
//! learning-rate schedules and a float64 AdamW against which backends are checked.
//!
//! Everything here is a pure function of its arguments; backends call [`token_loss`], RL optimizers the rest.

mod loss;

pub use loss::{TokenLoss, token_loss};
