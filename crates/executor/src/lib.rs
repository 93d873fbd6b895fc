//! Runs untrusted programs: what every executor plugin shares.
//!
//! * [`value`] and [`literal`]: plain Python data as the host's own type, with one canonical text per value.
//! * [`equality`]: the two ways in which values are compared. Text is never evaluated.
//! * [`program`]: the static gate that every program passes before it is run.

pub mod equality;
pub mod literal;
//PROG
pub mod value;

pub use literal::{Arguments, LiteralError, parse_arguments, parse_literal};
//PROG2
pub use value::{Unhashable, Value, ValueError};
