//! The code domain with the real CPython executor: whole rounds, sound gold values, and answers that try to cheat.

mod cheating;
mod conforms;
mod rounds;
// Clippy takes helpers for test code only where it is told so.
#[cfg(test)]
mod setup;
