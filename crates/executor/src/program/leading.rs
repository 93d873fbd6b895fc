//! The program that a text begins with.

use ruff_python_parser::parse_module;

use super::{MAX_SOURCE_BYTES, with_stack};

/// Most times that a text is cut and parsed again.
const MAX_CUTS: usize = 64;

/// The lines that `text` begins with as far as they are valid Python, for text that goes on in prose or was broken off:
/// it is cut before the line where the parser stumbles until nothing is left to stumble over. Line ends and blank lines
/// around it are those of [`Program::source`](super::Program::source). Total; no more than [`MAX_SOURCE_BYTES`] are
/// looked at, and a text that is not understood after 64 cuts is none.
pub fn leading(text: &str) -> String {
    let mut end = text.len().min(MAX_SOURCE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = text.get(..end).unwrap_or_default();
    with_stack(shown, |source| Ok(cut(source))).unwrap_or_default()
}

fn cut(mut source: String) -> String {
    for _ in 0..MAX_CUTS {
        let Err(error) = parse_module(&source) else { return source };
        let stumbled = error.location.start().to_usize().min(source.len().saturating_sub(1));
        let before = source.get(..stumbled).unwrap_or_default();
        source.truncate(before.rfind('\n').map_or(0, |at| at + 1));
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prose_behind_a_program_is_cut_off() {
        let body = "def g(x):\n    return x\n";
        for rest in [
            "",
            "\nThis adds nothing.",
            "```\nIt works because",
            "def h(x):\n",
            "print(g(",
            "x = [1,\n2,\n3",
            "'''a text\nthat never ends",
            "  y = 1\n z = 2",
        ] {
            let found = leading(&format!("{body}{rest}"));
            assert_eq!(found.trim_end(), body.trim_end(), "{rest}");
        }
        assert_eq!(leading("Sure! Here it is:\ndef g(x):\n    return x"), "");
        assert_eq!(leading(""), "\n");
    }

    #[test]
    fn long_and_hopeless_texts_cost_little() {
        let long = format!("x = 1\n{}", "#".repeat(MAX_SOURCE_BYTES));
        assert!(leading(&long).starts_with("x = 1\n#"));
        assert_eq!(leading(&"x y\n".repeat(1000)), "");
        assert_eq!(leading(&"(\n".repeat(1000)), "");
    }

    proptest! {
        #[test]
        fn what_is_left_is_python(text in r"(?s)(def g\(x\):\n|    return x\n|\n|x = \[|'''|```|\)|é|.){0,24}") {
            prop_assert!(parse_module(&leading(&text)).is_ok());
        }
    }
}
