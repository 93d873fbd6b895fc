//! What every executor is tested with, ours and those of others, like the conformance set of a device.
//!
//! * [`hostile`]: programs that attack, each with what a safe executor may make of it, and a runner that
//!   watches the machine while they run.
//! * [`answers`]: hostile texts for everything that reads literals.
//! * [`corpus`]: honest programs in the style of what models propose, and a comparison of two executors.

pub mod answers;
pub mod corpus;
pub mod hostile;
