//! The `azr` binary.

fn main() {}
