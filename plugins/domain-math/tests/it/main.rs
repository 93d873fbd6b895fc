//! The math domain from outside: whole rounds in both styles, answers that try to cheat, hostile text.

mod cheating;
mod conformance;
mod rounds;
// Clippy takes helpers for test code only where it is told so.
#[cfg(test)]
mod setup;
