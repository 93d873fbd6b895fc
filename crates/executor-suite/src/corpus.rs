//! Honest programs in the style of what models propose, and a comparison of two executors on them.

/// A program with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triplet {
    /// Python source text that defines `f`.
    pub program: String,
    /// Canonical text of the arguments.
    pub call: String,
    /// Name of the template that it came from.
    pub family: &'static str,
}

/// `n` different programs; the same for the same seed.
pub fn triplets(_seed: u64, _n: usize) -> Vec<Triplet> {
    Vec::new()
}
