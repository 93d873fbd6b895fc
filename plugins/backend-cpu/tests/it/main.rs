//! The CPU backend against the float64 reference device, against itself, and against published numbers.

mod parity;
mod policy;
mod smollm2;
