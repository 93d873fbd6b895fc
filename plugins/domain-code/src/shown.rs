//! Which untrusted text may stand in a prompt.
//!
//! Programs, values and messages are model text, and they are shown to the model again. A task whose text could be
//! taken for a part of the prompt around it is refused, so that no prompt needs to escape anything.

use crate::parse::PROPOSAL_STOPS;

/// What no shown text may hold: fences, our tags, and the opening of most chat templates' control tokens.
const FORBIDDEN: &[&str] =
    &["```", "<think>", "</think>", "<answer>", "</answer>", "<puzzle_", "</puzzle_", "<|"];

/// How no unindented line of a shown program may begin: as a call or a check of the completion style.
const FORBIDDEN_LINES: &[&str] = &["f(", "assert"];

/// How no unindented comment of a shown program may begin.
const FORBIDDEN_COMMENTS: &[&str] = &["task", "hint", "f(", "find the arguments"];

/// Whether a program can be shown in every prompt.
pub(crate) fn program_is_safe(program: &str) -> bool {
    is_safe(program)
        && !PROPOSAL_STOPS.iter().any(|stop| program.contains(stop))
        && program.lines().all(line_is_safe)
}

/// Whether one line of text (a value, arguments, a message) can be shown in every prompt.
pub(crate) fn line_of_text_is_safe(text: &str) -> bool {
    is_safe(text) && !text.contains('\n')
}

fn is_safe(text: &str) -> bool {
    !FORBIDDEN.iter().any(|mark| text.contains(mark))
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn line_is_safe(line: &str) -> bool {
    let comment = line
        .strip_prefix('#')
        .map(|comment| comment.trim_start_matches('#').trim_start().to_lowercase());
    !FORBIDDEN_LINES.iter().any(|mark| line.starts_with(mark))
        && !comment
            .is_some_and(|comment| FORBIDDEN_COMMENTS.iter().any(|mark| comment.starts_with(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_programs_are_shown() {
        let program = "import math\n\n# adds one\ndef f(x):\n\t# task of the loop\n    assert x\n    return f(x - 1) if x < 0 else x\n";
        assert!(program_is_safe(program));
        assert!(line_of_text_is_safe("'a < b | c `quoted`'"));
    }

    #[test]
    fn what_looks_like_a_prompt_is_not() {
        for program in [
            "def f(x):\n    return '```'",
            "def f(x):\n    return x # </answer>",
            "def f(x):\n    return x\n# task 4\ndef g(x):\n    return x",
            "def f(x):\n    return x\n#  Task 4",
            "def f(x):\n    return x\n## hint: add",
            "def f(x):\n    return x\n# f(1) == 2",
            "def f(x):\n    return x\nf(1)",
            "def f(x):\n    return x\nassert f(1) == 2",
            "def f(x):\n    return '''\nf(1)'''",
            "def f(x):\n    return x\n\n\n\ny = 1",
            "def f(x):\n    return '<|im_end|>'",
            "def f(x):\n    return '<think>'",
            "def f(x):\n    return x\r# task 4",
            "def f(x):\n    return '\u{1b}[2J'",
        ] {
            assert!(!program_is_safe(program), "{program}");
        }
        for text in ["1\n2", "'<|im_start|>'", "</answer>", "'```'", "\0"] {
            assert!(!line_of_text_is_safe(text), "{text}");
        }
    }
}
