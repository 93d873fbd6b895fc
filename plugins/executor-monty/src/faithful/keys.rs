//! Where equal numbers of different types meet as keys: Monty keeps another one than CPython.

use std::collections::BTreeMap;

use azr_executor::Value;
use azr_executor::literal::Arguments;
use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr};
use ruff_python_ast::{Expr, ModModule, Number, Operator, UnaryOp};

use super::{name, values};

const REASON: &str = "equal keys";

/// Names of types and functions that hold keys.
const KEYED: [&str; 9] = [
    "Counter",
    "OrderedDict",
    "cache",
    "defaultdict",
    "dict",
    "frozenset",
    "fromkeys",
    "lru_cache",
    "set",
];

/// Refuses programs in which such keys could meet.
pub(super) fn check(module: &ModModule, calls: &[&Arguments]) -> Result<(), &'static str> {
    let mut keys = Keys::default();
    keys.visit_body(&module.body);
    for call in calls {
        // What is told apart in one call does not meet what is in another.
        let mut numbers = keys.numbers.clone();
        for value in values(call) {
            collect(value, &mut numbers);
        }
        if keys.has_keys && numbers.is_mixed {
            return Err(REASON);
        }
    }
    let is_mixed = keys.numbers.is_mixed || keys.has_float || keys.has_bool && keys.has_other;
    if keys.has_keys && is_mixed { Err(REASON) } else { Ok(()) }
}

/// Small numbers and the type that each was seen with.
#[derive(Debug, Clone, Default)]
struct Numbers {
    kinds: BTreeMap<i64, u8>,
    is_mixed: bool,
}

impl Numbers {
    fn add(&mut self, number: i64, kind: u8) {
        self.is_mixed |= *self.kinds.entry(number).or_insert(kind) != kind;
    }

    /// Floats that are no whole numbers are equal to nothing else.
    fn add_float(&mut self, number: f64) {
        if number.fract() == 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "large floats all count as equal")]
            self.add(number as i64, 2);
        }
    }
}

fn collect(value: &Value, numbers: &mut Numbers) {
    match value {
        Value::Bool(value) => numbers.add(i64::from(*value), 0),
        Value::Int(value) => numbers.add(i64::try_from(value).unwrap_or(i64::MAX), 1),
        Value::Float(value) => numbers.add_float(*value),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().for_each(|item| collect(item, numbers));
        }
        Value::Dict(entries) => entries.iter().for_each(|(key, value)| {
            collect(key, numbers);
            collect(value, numbers);
        }),
        _ => {}
    }
}

/// Whether floats are computed.
struct Floats(bool);

impl<'a> SourceOrderVisitor<'a> for Floats {
    fn visit_expr(&mut self, expression: &'a Expr) {
        self.0 |= match expression {
            Expr::BinOp(operation) => operation.op == Operator::Div,
            Expr::NumberLiteral(literal) => matches!(literal.value, Number::Float(_)),
            other => matches!(name(other), Some("float" | "round")),
        };
        walk_expr(self, expression);
    }
}

#[derive(Default)]
struct Keys {
    has_keys: bool,
    /// Whether keys are computed as floats, as truth values, or otherwise.
    has_float: bool,
    has_bool: bool,
    has_other: bool,
    /// Numbers that the program names as keys.
    numbers: Numbers,
}

impl Keys {
    fn key(&mut self, key: &Expr) {
        let mut floats = Floats(false);
        floats.visit_expr(key);
        self.has_float |= floats.0;
        match key {
            Expr::Compare(_) | Expr::BooleanLiteral(_) => self.has_bool = true,
            Expr::UnaryOp(operation) if operation.op == UnaryOp::Not => self.has_bool = true,
            Expr::StringLiteral(_) | Expr::FString(_) | Expr::Slice(_) | Expr::Tuple(_) => {}
            _ => self.has_other = true,
        }
        match key {
            Expr::BooleanLiteral(literal) => self.numbers.add(i64::from(literal.value), 0),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(value) => {
                    self.numbers.add(value.as_i64().unwrap_or(i64::MAX), 1);
                }
                Number::Float(value) => self.numbers.add_float(*value),
                Number::Complex { .. } => {}
            },
            Expr::UnaryOp(operation) => {
                // A negative zero is another zero; other signs make no equal numbers of unequal ones.
                self.key(&operation.operand);
            }
            Expr::Tuple(items) => items.elts.iter().for_each(|item| self.key(item)),
            _ => {}
        }
    }
}

impl<'a> SourceOrderVisitor<'a> for Keys {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Dict(dict) => {
                self.has_keys = true;
                dict.items
                    .iter()
                    .filter_map(|item| item.key.as_ref())
                    .for_each(|key| self.key(key));
            }
            Expr::Set(set) => {
                self.has_keys = true;
                set.elts.iter().for_each(|item| self.key(item));
            }
            Expr::DictComp(each) => {
                self.has_keys = true;
                each.key.iter().for_each(|key| self.key(key));
            }
            Expr::SetComp(each) => {
                self.has_keys = true;
                self.key(&each.elt);
            }
            Expr::Subscript(subscript) => self.key(&subscript.slice),
            Expr::Call(call) => {
                let function = match &*call.func {
                    Expr::Attribute(method) => method.attr.as_str(),
                    function => name(function).unwrap_or_default(),
                };
                if KEYED.contains(&function) {
                    let mut floats = Floats(false);
                    floats.visit_arguments(&call.arguments);
                    self.has_float |= floats.0;
                }
                if let Expr::Attribute(method) = &*call.func
                    && matches!(method.attr.as_str(), "add" | "get" | "setdefault")
                {
                    call.arguments.args.first().into_iter().for_each(|key| self.key(key));
                }
            }
            Expr::Name(name) => self.has_keys |= KEYED.contains(&name.id.as_str()),
            Expr::Attribute(attribute) => {
                self.has_keys |= KEYED.contains(&attribute.attr.as_str());
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}
