//! The nano model: a corpus of small Python functions from a seeded generator, run by our own executor, and
//! next-token training with our own trainer. No human data.

mod corpus;
mod draw;
mod engines;
mod heldout;
mod language;
mod learning;
mod measure;
mod pretrain;
mod program;
mod progress;
mod solved;
mod tokenizer;
mod weights;

pub use heldout::{heldout_programs, write_cruxeval, write_heldout};
pub use learning::{Experiment, learning};
pub use measure::{Measured, measure};
pub use pretrain::{Recipe, pretrain, show, training_programs};
