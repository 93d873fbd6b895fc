//! The table of pairs, and what must hold for every text.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at its first surprise")]

mod hostile;
mod table;
