//! Forms in which a domain may demand responses, read from untrusted text: tags around thoughts and answer, fenced
//! blocks. Every reader is total and takes linear time.

mod fence;
mod tags;

pub use fence::{Fence, fences};
pub use tags::{TagRule, answer, answer_or_all};
