//! The CPU device as a whole.

mod conformance;
