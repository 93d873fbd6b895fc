//! The final answer of a response.

/// Longer answers are cut: nobody means them.
const MAX_BYTES: usize = 4096;

/// Boxes that are looked at, from the last one: each may have to be read to the end.
const MAX_BOXES: usize = 64;

/// What comes before a final answer, in lower case.
const MARKS: &[&str] = &["answer is:", "answer is", "answer:", "answers are", "answer ="];

/// The final answer of a response; None when there is nothing.
///
/// The first of these that there is:
/// 1. what stands in the last `\boxed{…}` or `\fbox{…}` whose braces balance (`\boxed 5` too);
/// 2. the rest of the line after the last `#### `;
/// 3. the rest of the line after the last "answer is", "answer:" and the like, up to the end of the sentence;
/// 4. the last formula between dollar signs of the last line, if the line ends with it;
/// 5. the last number;
/// 6. the last line that is not empty.
#[must_use]
pub fn extract(response: &str) -> Option<String> {
    let found = boxed(response)
        .or_else(|| hashes(response))
        .or_else(|| announced(response))
        .or_else(|| formula(response))
        .or_else(|| number(response))
        .or_else(|| response.lines().rev().map(str::trim).find(|line| !line.is_empty()))?;
    let mut end = found.len().min(MAX_BYTES);
    while !found.is_char_boundary(end) {
        end -= 1;
    }
    found.get(..end).map(|found| found.trim().to_owned()).filter(|found| !found.is_empty())
}

fn boxed(response: &str) -> Option<&str> {
    let mut end = response.len();
    for _ in 0..MAX_BOXES {
        let before = response.get(..end)?;
        let at = ["\\boxed", "\\fbox"].iter().filter_map(|command| before.rfind(command)).max()?;
        let rest = response.get(at..)?;
        let rest = rest.trim_start_matches("\\boxed").trim_start_matches("\\fbox");
        let content = if rest.trim_start().starts_with('{') {
            braced(rest.trim_start())
        } else {
            // `\boxed 5`: up to the next dollar sign or the end of the line.
            rest.split(['$', '\n']).next()
        };
        if let Some(content) = content.map(str::trim).filter(|content| !content.is_empty()) {
            return Some(content);
        }
        end = at;
    }
    None
}

/// What stands in the braces at the start, None when they do not end.
fn braced(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth == 1 => return text.get(1..at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn hashes(response: &str) -> Option<&str> {
    let at = response.rfind("#### ")?;
    let line = response.get(at + 5..)?.lines().next()?.trim();
    (!line.is_empty()).then_some(line)
}

fn announced(response: &str) -> Option<&str> {
    // Lower case of ASCII alone, so that offsets stay those of the response.
    let lower = response.to_ascii_lowercase();
    let (at, mark) = MARKS
        .iter()
        .filter_map(|mark| Some((lower.rfind(mark)?, mark)))
        .max_by_key(|(at, mark)| (at + mark.len(), *at))?;
    let rest = response.get(at + mark.len()..)?.trim_start_matches(['*', ' ', ':']).trim_start();
    let line = rest.lines().next()?;
    let line = sentence(line).trim().trim_end_matches(['.', '*']).trim();
    (!line.is_empty()).then_some(line)
}

/// A line up to the first full stop that ends a sentence.
fn sentence(line: &str) -> &str {
    line.split_once(". ").map_or(line, |(sentence, _)| sentence)
}

fn formula(response: &str) -> Option<&str> {
    let line = response.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.trim_end_matches(['.', '*', ' ']);
    let inner = line.strip_suffix('$')?;
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let start = inner.rfind('$')?;
    inner.get(start + 1..).map(str::trim).filter(|inner| !inner.is_empty())
}

/// The last number, with its sign, point, separators of thousands and a fraction's denominator.
fn number(response: &str) -> Option<&str> {
    let bytes = response.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let mut start = end - 1;
    while start > 0 {
        let joins = matches!(bytes.get(start - 1), Some(b'.' | b',' | b'/'))
            && start > 1
            && digit(start - 2);
        if !digit(start - 1) && !joins {
            break;
        }
        start -= 1;
    }
    let before = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at));
    if before(1) == Some(&b'-')
        && !before(2).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b')')
    {
        start -= 1;
    }
    response.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::extract;

    fn found(response: &str) -> Option<String> {
        extract(response)
    }

    #[test]
    fn the_last_box_whose_braces_balance_wins() {
        let text = "First \\boxed{1}, then $\\boxed{\\frac{1}{2}}$. #### 7 The answer is 9";
        assert_eq!(found(text).as_deref(), Some("\\frac{1}{2}"));
        assert_eq!(found("\\boxed{3} and \\boxed{\\frac{1}{2").as_deref(), Some("3"));
        assert_eq!(found("so $\\boxed 5$.").as_deref(), Some("5"));
        assert_eq!(found("\\boxed{\\{1, 2\\}}").as_deref(), Some("\\{1, 2\\}"));
        assert_eq!(found("\\boxed{} is 4").as_deref(), Some("4"));
    }

    #[test]
    fn boxes_without_end_take_no_time() {
        let answer = found(&"\\boxed{".repeat(100_000)).unwrap();
        assert_eq!(answer.len(), super::MAX_BYTES);
    }

    #[test]
    fn without_a_box_the_line_after_the_hashes_counts() {
        assert_eq!(found("6 - 2 = 4\n#### 1,234\nbye 5").as_deref(), Some("1,234"));
    }

    #[test]
    fn then_what_is_announced_as_the_answer() {
        assert_eq!(
            found("The answer is 3. No, the Answer is: 12 apples.").as_deref(),
            Some("12 apples")
        );
        assert_eq!(found("**Final answer:** $x = 2$.\nDone").as_deref(), Some("$x = 2$"));
        assert_eq!(found("The answer is 3.5. That is all 7.").as_deref(), Some("3.5"));
    }

    #[test]
    fn then_the_last_formula_number_or_line() {
        assert_eq!(found("Hence $a = 1$ and\n$x \\in [1, 2)$.").as_deref(), Some("x \\in [1, 2)"));
        assert_eq!(found("She has 1,200.50 dollars").as_deref(), Some("1,200.50"));
        assert_eq!(found("it drops to -7 degrees").as_deref(), Some("-7"));
        assert_eq!(found("pages 5-7").as_deref(), Some("7"));
        assert_eq!(found("a third, 1/3 of it").as_deref(), Some("1/3"));
        assert_eq!(found("Let us see.\nYes\n\n").as_deref(), Some("Yes"));
        assert_eq!(found(" \n "), None);
        assert_eq!(found(""), None);
    }
}
