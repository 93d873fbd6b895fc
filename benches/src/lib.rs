//! What the benches share: the limits of the machine, measured in the same run, and tables of how near we come to them.

mod machine;
mod models;
mod suite;
mod table;

pub use machine::Machine;
pub use models::{Shape, adamw, qwen2_5_0_5b, qwen2_5_1_5b, qwen2_5_7b, smollm2_135m};
pub use suite::{Suite, Work};
