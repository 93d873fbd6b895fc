//! Where the characters of a text decide what a method does, and Monty knows other tables.

use azr_executor::Value;
use azr_executor::literal::Arguments;
use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, walk_expr, walk_interpolated_string_element,
};
use ruff_python_ast::{Expr, InterpolatedStringElement, ModModule};

use super::{name, values};

const REASON: &str = "unicode";

/// Methods that look characters up.
const METHODS: [&str; 22] = [
    "capitalize",
    "casefold",
    "decode",
    "encode",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "lower",
    "lstrip",
    "rstrip",
    "splitlines",
    "swapcase",
    "title",
    "upper",
];

/// Methods that look for white space when they are called without arguments.
const BARE_METHODS: [&str; 3] = ["rsplit", "split", "strip"];

/// Functions and modules that look characters up.
const NAMES: [&str; 6] = ["ascii", "float", "int", "json", "re", "repr"];

/// Refuses programs that look characters up where texts hold other characters than plain ones; otherwise tells whether
/// the program looks characters up.
pub(super) fn check(
    source: &str,
    module: &ModModule,
    calls: &[&Arguments],
) -> Result<bool, &'static str> {
    if has_surrogate(source) {
        return Err("surrogate");
    }
    let mut uses = Uses::default();
    uses.visit_body(&module.body);
    if uses.is_self_documenting {
        return Err("f-string");
    }
    let is_plain = uses.is_plain && calls.iter().flat_map(|call| values(call)).all(has_plain_text);
    if uses.looks_up && !is_plain { Err(REASON) } else { Ok(uses.looks_up) }
}

/// An escape of half a surrogate pair.
fn has_surrogate(source: &str) -> bool {
    let source = source.to_ascii_lowercase();
    ["\\ud", "\\u0000d"].iter().any(|escape| {
        source.match_indices(escape).any(|(start, _)| {
            let next = source.as_bytes().get(start + escape.len());
            next.is_some_and(|digit| matches!(digit, b'8' | b'9' | b'a'..=b'f'))
        })
    })
}

/// ASCII without the separators that are white space to some functions only.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii() && !matches!(byte, 0x0b | 0x0c | 0x1c..=0x1f))
}

fn has_plain_text(value: &Value) -> bool {
    match value {
        Value::Str(text) => is_plain(text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).is_ok_and(is_plain),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().all(has_plain_text)
        }
        Value::Dict(entries) => {
            entries.iter().all(|(key, value)| has_plain_text(key) && has_plain_text(value))
        }
        _ => true,
    }
}

struct Uses {
    looks_up: bool,
    /// Whether all texts of the program are plain.
    is_plain: bool,
    /// Whether a formatted text shows its own source, which is rewritten.
    is_self_documenting: bool,
}

impl Default for Uses {
    fn default() -> Self {
        Self { looks_up: false, is_plain: true, is_self_documenting: false }
    }
}

impl<'a> SourceOrderVisitor<'a> for Uses {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::StringLiteral(text) => self.is_plain &= is_plain(text.value.to_str()),
            Expr::BytesLiteral(bytes) => self.is_plain &= bytes.value.bytes().all(|b| b.is_ascii()),
            Expr::Attribute(attribute) => {
                let method = attribute.attr.as_str();
                // A method that is not called here may be called with anything.
                self.looks_up |= METHODS.contains(&method) || BARE_METHODS.contains(&method);
            }
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func
                    && BARE_METHODS.contains(&method.attr.as_str())
                    && !call.arguments.is_empty()
                {
                    self.visit_expr(&method.value);
                    return self.visit_arguments(&call.arguments);
                }
            }
            other => self.looks_up |= name(other).is_some_and(|name| NAMES.contains(&name)),
        }
        walk_expr(self, expression);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        match element {
            InterpolatedStringElement::Literal(text) => self.is_plain &= is_plain(&text.value),
            InterpolatedStringElement::Interpolation(interpolation) => {
                self.is_self_documenting |= interpolation.debug_text.is_some();
                self.looks_up |= !interpolation.conversion.is_none();
            }
        }
        walk_interpolated_string_element(self, element);
    }
}
