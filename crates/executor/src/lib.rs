//! Runs untrusted programs: what every executor plugin shares.
//!
//! * [`value`] and [`literal`]: plain Python data as the host's own type, with one canonical text per value.
//! * [`equality`]: the two ways in which values are compared. Text is never evaluated.
//! * [`program`]: the static gate that every program passes before it is run.
//! * [`sandbox`], [`worker`] and [`pool`]: worker processes, how they are confined, talked to and kept busy.

pub mod equality;
pub mod literal;
pub mod pool;
pub mod program;
pub mod sandbox;
pub mod value;
pub mod worker;

pub use literal::{Arguments, LiteralError, parse_arguments, parse_literal};
pub use program::{ImportPolicy, Program, ProgramError};
pub use value::{Unhashable, Value, ValueError};
