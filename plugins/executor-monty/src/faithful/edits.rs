//! Rewrites a program where a guard in it decides better than a look at its text.

use std::borrow::Cow;

use super::Faithful;
use crate::guard::FLAGS;

/// A piece of source text and what comes in its place. Pieces do not overlap; insertions are empty pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: Cow<'static, str>,
    /// Whether it closes what an earlier edit opened: it comes before insertions at the same place.
    pub(super) closes: bool,
}

/// The functions that a rewritten program calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Helpers {
    pub(super) power: bool,
    pub(super) sum: bool,
    pub(super) sum_unordered: bool,
}

/// Marks a piece that holds an operator `**`, perhaps between parentheses; the operator becomes a comma.
pub(super) const OPERATOR: &str = "**";

/// A power that overflowed or is complex in CPython. Where one side is a float or the result must be one, CPython asks the
/// C library; Monty multiplies, which rounds in another way.
const POWER: &str = "\
def __azr_pow(a, b):
    if isinstance(b, int) and (isinstance(a, float) or isinstance(a, int) and b < 0):
        r = float(a) ** float(b)
    else:
        r = a ** b
    if isinstance(r, float) and r - r != 0.0:
        __azr_flags.append('float power')
    return r
";

/// A sum for which it matters how rounding errors are treated: Monty adds as CPython did before 3.12, later versions
/// compensate as here (Neumaier's sum).
const SUM: &str = "\
def __azr_sum(items, start=0):
    items = list(items)
    r = sum(items, start)
    if isinstance(r, float):
        t = float(start)
        c = 0.0
        for x in items:
            x = float(x)
            s = t + x
            c += (t - s) + x if abs(t) >= abs(x) else (x - s) + t
            t = s
        if t + c != r:
            __azr_flags.append('float sum')
    return r
";

/// A sum for which the order matters.
const SUM_UNORDERED: &str = "\
def __azr_sum_unordered(items, start=0):
    r = sum(items, start)
    if isinstance(r, float):
        __azr_flags.append('set order')
    return r
";

pub(super) fn apply(
    source: &str,
    mut edits: Vec<Edit>,
    helpers: Helpers,
) -> Result<Faithful, &'static str> {
    if edits.is_empty() {
        return Ok(Faithful { source: source.to_owned(), is_guarded: false });
    }
    let mut text = format!("{FLAGS} = []\n");
    for (is_used, helper) in
        [(helpers.power, POWER), (helpers.sum, SUM), (helpers.sum_unordered, SUM_UNORDERED)]
    {
        text.push_str(if is_used { helper } else { "" });
    }
    edits.sort_by_key(|edit| (edit.start, !edit.closes));
    let mut copied = 0;
    for edit in edits {
        text.push_str(source.get(copied..edit.start).ok_or("rewriting")?);
        if edit.text == OPERATOR {
            let piece = source.get(edit.start..edit.end).ok_or("rewriting")?;
            if piece.contains(['#', '\\']) {
                return Err("rewriting");
            }
            text.push_str(&piece.replacen(OPERATOR, ",", 1));
        } else {
            text.push_str(&edit.text);
        }
        copied = edit.end;
    }
    text.push_str(source.get(copied..).ok_or("rewriting")?);
    Ok(Faithful { source: text, is_guarded: true })
}
