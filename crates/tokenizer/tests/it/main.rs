//! Tests on the real models' tokenizers.

#[cfg(test)]
mod real;
