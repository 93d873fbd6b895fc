//! The host against real plugin files: sound ones, broken ones, and ones that misbehave.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod built;
mod conformance;
mod faults;
mod files;
mod fixture;
mod options;
mod registry;
mod sdk;
mod values;
