//! The words of answers: names of functions, units, commands that draw and those that stand for a sign.

use crate::token::Token;

/// Characters that stand for others, or for a command.
pub(crate) const UNICODE: &[(char, &str)] = &[
    ('−', "-"),
    ('–', "-"),
    ('—', "-"),
    ('×', "*"),
    ('·', "*"),
    ('⋅', "*"),
    ('∗', "*"),
    ('÷', "/"),
    ('⁄', "/"),
    ('∕', "/"),
    ('⩽', "≤"),
    ('⩾', "≥"),
    ('≈', "="),
    ('√', "sqrt"),
    ('∛', "cbrt"),
    ('º', "°"),
    ('²', "^2"),
    ('³', "^3"),
    ('ℝ', "reals"),
    ('∅', "emptyset"),
    ('α', "alpha"),
    ('β', "beta"),
    ('θ', "theta"),
    ('φ', "phi"),
    ('λ', "lambda"),
    ('′', "'"),
    ('\u{200b}', ""),
    ('£', ""),
    ('€', ""),
];

/// Commands that stand for a sign.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("cdot", "*"),
    ("times", "*"),
    ("ast", "*"),
    ("div", "/"),
    ("le", "≤"),
    ("leq", "≤"),
    ("leqslant", "≤"),
    ("ge", "≥"),
    ("geq", "≥"),
    ("geqslant", "≥"),
    ("lt", "<"),
    ("gt", ">"),
    ("ne", "≠"),
    ("neq", "≠"),
    ("approx", "="),
    ("equiv", "="),
    ("pm", "±"),
    ("mp", "∓"),
    ("cup", "∪"),
    ("cap", "∩"),
    ("setminus", "∖"),
    ("backslash", "∖"),
    ("in", "∈"),
    ("infty", "∞"),
    ("pi", "π"),
    ("circ", "°"),
    ("degree", "°"),
    ("percent", "%"),
    ("lbrace", "⦃"),
    ("rbrace", "⦄"),
    ("lbrack", "["),
    ("rbrack", "]"),
    ("lparen", "("),
    ("rparen", ")"),
    ("vert", "|"),
    ("lvert", "|"),
    ("rvert", "|"),
    ("mid", "|"),
    ("lfloor", "⌊"),
    ("rfloor", "⌋"),
    ("lceil", "⌈"),
    ("rceil", "⌉"),
    ("langle", "⟨"),
    ("rangle", "⟩"),
    ("prime", "'"),
    ("colon", ":"),
    ("dfrac", "frac"),
    ("tfrac", "frac"),
    ("cfrac", "frac"),
    ("dbinom", "binom"),
    ("tbinom", "binom"),
    ("varnothing", "emptyset"),
    ("land", "and"),
    ("lor", "or"),
];

/// Commands that change how an answer looks and nothing else.
pub(crate) const INVISIBLE: &[&str] = &[
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "middle",
    "quad",
    "qquad",
    "displaystyle",
    "textstyle",
    "scriptstyle",
    "limits",
    "nolimits",
    "boxed",
    "fbox",
    "mathbf",
    "boldsymbol",
    "bf",
    "mathcal",
    "angle",
    "triangle",
    "large",
    "Large",
    "normalsize",
    "small",
    "noindent",
    "thinspace",
    "mathopen",
    "mathclose",
];

pub(crate) const GREEK: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
    "ell",
    "hbar",
];

/// Functions that may be written without a backslash.
const FUNCTIONS: &[&str] = &[
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "log", "ln", "lg", "exp", "sqrt", "cbrt", "abs", "floor", "ceil",
    "gcd", "lcm", "min", "max", "frac", "dfrac", "tfrac", "binom",
];

/// Short words that are no products.
const WORDS: &[&str] = &[
    "no", "on", "yes", "odd", "one", "two", "six", "ten", "the", "not", "all", "for", "is", "to",
    "of", "red", "tie", "am", "pm", "cat", "dog", "a.m", "p.m", "mon", "sun", "per", "any", "if",
];

/// Spellings of units, the first of each group for all.
const UNITS: &[&[&str]] = &[
    &["mm", "millimeter", "millimeters"],
    &["cm", "centimeter", "centimeters", "centimetres"],
    &["m", "meter", "meters", "metre", "metres"],
    &["km", "kilometer", "kilometers", "kilometres"],
    &["in", "inch", "inches"],
    &["ft", "foot", "feet"],
    &["yd", "yard", "yards"],
    &["mi", "mile", "miles"],
    &["s", "sec", "second", "seconds"],
    &["min", "mins", "minute", "minutes"],
    &["h", "hr", "hrs", "hour", "hours"],
    &["day", "days"],
    &["week", "weeks"],
    &["month", "months"],
    &["year", "years"],
    &["g", "gram", "grams"],
    &["kg", "kilogram", "kilograms"],
    &["lb", "lbs", "pound", "pounds"],
    &["oz", "ounce", "ounces"],
    &["L", "liter", "liters", "litre", "litres"],
    &["ml", "mL", "milliliter", "milliliters"],
    &["cent", "cents"],
    &["dollar", "dollars", "USD", "usd"],
    &["mph"],
    &["km/h", "kph", "kmh"],
    &["m/s"],
    &["rad", "radian", "radians"],
];

/// The power of ten that a word after a number stands for.
pub(crate) fn scale(word: &str) -> Option<u32> {
    match word {
        "hundred" => Some(2),
        "thousand" => Some(3),
        "million" => Some(6),
        "billion" => Some(9),
        "trillion" => Some(12),
        _ => None,
    }
}

/// The name of a unit, if it is one that is known.
pub(crate) fn unit(word: &str) -> Option<&'static str> {
    UNITS.iter().find(|group| group.contains(&word)).and_then(|group| group.first().copied())
}

/// Whether a short run of letters is a word and not a product of variables.
pub(crate) fn is_word(run: &str) -> bool {
    WORDS.contains(&run.to_ascii_lowercase().as_str())
}

/// The token of a word that means the same in text and in mathematics.
pub(crate) fn plain(word: &str) -> Option<Token> {
    Some(match word {
        "and" => Token::And,
        "or" => Token::Or,
        "pi" => Token::Symbol('π'),
        "inf" | "infty" | "infinity" | "oo" => Token::Symbol('∞'),
        "deg" | "degree" | "degrees" => Token::Symbol('°'),
        "percent" => Token::Symbol('%'),
        "cup" | "union" => Token::Symbol('∪'),
        _ if FUNCTIONS.contains(&word) => {
            let name = if word.ends_with("frac") { "frac" } else { word };
            Token::Command(name.to_owned())
        }
        _ => return None,
    })
}
