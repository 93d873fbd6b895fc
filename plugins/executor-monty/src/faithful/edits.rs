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

/// Names of the functions that a rewritten program calls.
pub(super) type Helpers = std::collections::BTreeSet<&'static str>;

pub(super) const POWER: &str = "__azr_pow";
pub(super) const SUM: &str = "__azr_sum";
pub(super) const SUM_UNORDERED: &str = "__azr_sum_unordered";
pub(super) const CHARACTER: &str = "__azr_chr";
pub(super) const ANY_CHARACTER: &str = "__azr_chr_any";
pub(super) const ROUND: &str = "__azr_round";
pub(super) const DIVMOD: &str = "__azr_divmod";

/// A power that overflowed or is complex in CPython. Where one side is a float or the result must be one, CPython asks the
/// C library; Monty multiplies, which rounds in another way.
const POWER_SOURCE: &str = "\
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
const SUM_SOURCE: &str = "\
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
const SUM_UNORDERED_SOURCE: &str = "\
def __azr_sum_unordered(items, start=0):
    r = sum(items, start)
    if not isinstance(r, int):
        __azr_flags.append('set order')
    return r
";

/// A character that some tables know and others do not, where the program looks one up.
const CHARACTER_SOURCE: &str = "\
def __azr_chr(i):
    if not 31 < i < 127 and i not in (9, 10, 13):
        __azr_flags.append('unicode')
    return chr(i)
";

/// Half a surrogate pair, which Monty's strings cannot hold.
const ANY_CHARACTER_SOURCE: &str = "\
def __azr_chr_any(i):
    if 55295 < i < 57344:
        __azr_flags.append('surrogate')
    return chr(i)
";

/// CPython rounds the decimal digits; Monty multiplies, rounds and divides.
const ROUND_SOURCE: &str = "\
def __azr_round(number, ndigits=None):
    if ndigits is None:
        return round(number)
    r = round(number, ndigits)
    if isinstance(number, float) and (not 0 <= ndigits < 16 or float(f'{number:.{ndigits}f}') != r):
        __azr_flags.append('float rounding')
    return r
";

/// CPython takes the exact remainder of floats; Monty computes with the rounded quotient.
const DIVMOD_SOURCE: &str = "\
def __azr_divmod(a, b):
    if isinstance(a, float) or isinstance(b, float):
        __azr_flags.append('float division')
    return divmod(a, b)
";

const FLOORDIV_SOURCE: &str = "\
def __azr_floordiv(a, b):
    if isinstance(a, float) or isinstance(b, float):
        __azr_flags.append('float division')
    return a // b
";

/// A string on the left is formatted.
const MOD_SOURCE: &str = "\
def __azr_mod(a, b):
    if isinstance(a, float) or isinstance(b, float) and not isinstance(a, str):
        __azr_flags.append('float division')
    return a % b
";

/// CPython divides integers of any length exactly.
const DIV_SOURCE: &str = "\
def __azr_div(a, b):
    if isinstance(a, int) and abs(a) > 9007199254740992 or isinstance(b, int) and abs(b) > 9007199254740992:
        __azr_flags.append('huge division')
    r = a / b
    if isinstance(r, float) and r - r != 0.0:
        __azr_flags.append('float range')
    return r
";

/// An integer that is too long for a float is infinite in Monty and an error in CPython.
const MUL_SOURCE: &str = "\
def __azr_mul(a, b):
    r = a * b
    if isinstance(r, float) and r - r != 0.0:
        __azr_flags.append('float range')
    return r
";

const ADD_SOURCE: &str = "\
def __azr_add(a, b):
    r = a + b
    if isinstance(r, float) and r != r:
        __azr_flags.append('nan')
    return r
";

const SUB_SOURCE: &str = "\
def __azr_sub(a, b):
    r = a - b
    if isinstance(r, float) and r != r:
        __azr_flags.append('nan')
    return r
";

/// Operators that change a mutable object in place in CPython make a new one in Monty.
const IMUL_SOURCE: &str = "\
def __azr_imul(a, b):
    if not isinstance(a, (int, float, str, tuple)):
        __azr_flags.append('in-place operator')
    r = a * b
    if isinstance(r, float) and r - r != 0.0:
        __azr_flags.append('float range')
    return r
";

const ISUB_SOURCE: &str = "\
def __azr_isub(a, b):
    if not isinstance(a, (int, float)):
        __azr_flags.append('in-place operator')
    r = a - b
    if isinstance(r, float) and r != r:
        __azr_flags.append('nan')
    return r
";

const IAND_SOURCE: &str = "\
def __azr_iand(a, b):
    if not isinstance(a, int):
        __azr_flags.append('in-place operator')
    return a & b
";

const IOR_SOURCE: &str = "\
def __azr_ior(a, b):
    if not isinstance(a, int):
        __azr_flags.append('in-place operator')
    return a | b
";

const IXOR_SOURCE: &str = "\
def __azr_ixor(a, b):
    if not isinstance(a, int):
        __azr_flags.append('in-place operator')
    return a ^ b
";

/// The method of a class whose objects have an address for a text in CPython.
pub(super) const REPR: &str =
    "def __repr__(self): __azr_flags.append('address'); return 'object'\n";

/// All helpers by name.
const SOURCES: [(&str, &str); 18] = [
    (POWER, POWER_SOURCE),
    (SUM, SUM_SOURCE),
    (SUM_UNORDERED, SUM_UNORDERED_SOURCE),
    (CHARACTER, CHARACTER_SOURCE),
    (ANY_CHARACTER, ANY_CHARACTER_SOURCE),
    (ROUND, ROUND_SOURCE),
    (DIVMOD, DIVMOD_SOURCE),
    ("__azr_floordiv", FLOORDIV_SOURCE),
    ("__azr_mod", MOD_SOURCE),
    ("__azr_div", DIV_SOURCE),
    ("__azr_mul", MUL_SOURCE),
    ("__azr_add", ADD_SOURCE),
    ("__azr_sub", SUB_SOURCE),
    ("__azr_imul", IMUL_SOURCE),
    ("__azr_isub", ISUB_SOURCE),
    ("__azr_iand", IAND_SOURCE),
    ("__azr_ior", IOR_SOURCE),
    ("__azr_ixor", IXOR_SOURCE),
];

pub(super) fn apply(
    source: &str,
    mut edits: Vec<Edit>,
    helpers: &Helpers,
) -> Result<Faithful, &'static str> {
    if edits.is_empty() {
        return Ok(Faithful { source: source.to_owned(), is_guarded: false });
    }
    let mut text = format!("{FLAGS} = []\n");
    for (name, helper) in SOURCES {
        text.push_str(if helpers.contains(name) { helper } else { "" });
    }
    edits.sort_by_key(|edit| (edit.start, !edit.closes));
    let mut copied = 0;
    for edit in edits {
        text.push_str(source.get(copied..edit.start).ok_or("rewriting")?);
        text.push_str(&edit.text);
        copied = edit.end;
    }
    text.push_str(source.get(copied..).ok_or("rewriting")?);
    Ok(Faithful { source: text, is_guarded: true })
}
