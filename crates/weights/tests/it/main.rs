//! Whole models: written and read back, converted from GGUF, and the real ones where they are on this machine.

#[cfg(test)]
mod real;
#[cfg(test)]
mod roundtrip;
