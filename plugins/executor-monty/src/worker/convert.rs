//! Values of the host as values of the interpreter and back.

use azr_executor::Value;
use azr_executor::value::{MAX_DEPTH, MAX_DIGITS, MAX_NODES};
use azr_plugin::{LimitKind, Outcome};
use monty_types::MontyObject;

/// Bits of the longest integer that may have no more than [`MAX_DIGITS`] digits: digits times log2(10), rounded up.
const MAX_BITS: u64 = (MAX_DIGITS as u64 * 33_220).div_ceil(10_000);

/// A host value as an argument; the feature that is missing where the interpreter has no such type.
pub(super) fn to_monty(value: &Value) -> Result<MontyObject, &'static str> {
    let all = |items: &[Value]| items.iter().map(to_monty).collect::<Result<Vec<_>, _>>();
    Ok(match value {
        Value::None => MontyObject::None,
        Value::Bool(value) => MontyObject::Bool(*value),
        Value::Int(value) => i64::try_from(value)
            .map_or_else(|_| MontyObject::BigInt(value.clone()), MontyObject::Int),
        Value::Float(value) => MontyObject::Float(*value),
        Value::Complex(..) => return Err("complex"),
        Value::Str(text) => MontyObject::String(text.clone()),
        Value::Bytes(bytes) => MontyObject::Bytes(bytes.clone()),
        Value::List(items) => MontyObject::List(all(items)?),
        Value::Tuple(items) => MontyObject::Tuple(all(items)?),
        Value::Set(items) => MontyObject::Set(all(items)?),
        Value::FrozenSet(items) => MontyObject::FrozenSet(all(items)?),
        Value::Dict(entries) => {
            let pair = |(key, value): &(Value, Value)| Ok((to_monty(key)?, to_monty(value)?));
            MontyObject::dict(entries.iter().map(pair).collect::<Result<Vec<_>, &'static str>>()?)
        }
    })
}

/// A result as the outcome of its call. The budget is that of [`azr_executor::value`] and `output_bytes`.
pub(super) fn to_outcome(object: MontyObject, output_bytes: u64) -> Outcome {
    let bytes_left = usize::try_from(output_bytes).unwrap_or(usize::MAX);
    let mut budget = Budget { nodes_left: MAX_NODES, bytes_left };
    match budget.value(object, 0) {
        Ok(value) => Outcome::Value(value.to_canonical()),
        Err(outcome) => outcome,
    }
}

struct Budget {
    nodes_left: usize,
    bytes_left: usize,
}

impl Budget {
    fn value(&mut self, object: MontyObject, depth: usize) -> Result<Value, Outcome> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(TOO_LONG)?;
        let is_container = matches!(
            object,
            MontyObject::List(_)
                | MontyObject::Tuple(_)
                | MontyObject::Set(_)
                | MontyObject::FrozenSet(_)
                | MontyObject::Dict(_)
        );
        if is_container && depth >= MAX_DEPTH {
            return Err(Outcome::Limit(LimitKind::Depth));
        }
        let unhashable = |_| Outcome::NonValue("set".to_owned());
        Ok(match object {
            MontyObject::None => Value::None,
            MontyObject::Bool(value) => Value::Bool(value),
            MontyObject::Int(value) => Value::Int(value.into()),
            MontyObject::BigInt(value) if value.bits() > MAX_BITS => return Err(TOO_LONG),
            MontyObject::BigInt(value) => Value::Int(value),
            MontyObject::Float(value) if value.is_nan() => return Err(unsupported("nan")),
            // CPython may have raised an overflow on the way.
            MontyObject::Float(value) if value.is_infinite() => {
                return Err(unsupported("infinity"));
            }
            MontyObject::Float(value) => Value::Float(value),
            // Addresses differ, and so do the texts around them.
            MontyObject::String(text) if text.contains(" at 0x") => {
                return Err(unsupported("address"));
            }
            // A value that holds itself is cut off at another depth.
            MontyObject::String(text) if text.contains("[...]") || text.contains("{...}") => {
                return Err(unsupported("cycle"));
            }
            MontyObject::String(text) => {
                self.spend(text.len())?;
                Value::Str(text)
            }
            MontyObject::Bytes(bytes) => {
                self.spend(bytes.len())?;
                Value::Bytes(bytes)
            }
            MontyObject::List(items) => Value::List(self.all(items, depth)?),
            MontyObject::Tuple(items) => Value::Tuple(self.all(items, depth)?),
            MontyObject::Set(items) => Value::set(self.all(items, depth)?).map_err(unhashable)?,
            MontyObject::FrozenSet(items) => {
                Value::frozen_set(self.all(items, depth)?).map_err(unhashable)?
            }
            MontyObject::Dict(entries) => {
                let mut pairs = Vec::with_capacity(entries.len().min(self.nodes_left));
                for (key, value) in entries {
                    pairs.push((self.value(key, depth + 1)?, self.value(value, depth + 1)?));
                }
                Value::dict(pairs).map_err(unhashable)?
            }
            other => return Err(no_value(&other)),
        })
    }

    fn all(&mut self, items: Vec<MontyObject>, depth: usize) -> Result<Vec<Value>, Outcome> {
        if items.len() > self.nodes_left {
            return Err(TOO_LONG);
        }
        items.into_iter().map(|item| self.value(item, depth + 1)).collect()
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Outcome> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(TOO_LONG)?;
        Ok(())
    }
}

const TOO_LONG: Outcome = Outcome::Limit(LimitKind::Output);

fn unsupported(feature: &str) -> Outcome {
    Outcome::Unsupported(feature.to_owned())
}

/// What an object is that is no plain value.
fn no_value(object: &MontyObject) -> Outcome {
    let name = match object {
        // A list that contains itself is endless, as CPython's side finds it.
        MontyObject::Cycle(..) => return Outcome::Limit(LimitKind::Depth),
        MontyObject::Repr(text) if text == "<deeply nested>" => {
            return Outcome::Limit(LimitKind::Depth);
        }
        MontyObject::Repr(text) => name_in_repr(text),
        MontyObject::Ellipsis => "ellipsis",
        MontyObject::NotImplemented => "NotImplementedType",
        MontyObject::NamedTuple { type_name, .. } => type_name,
        MontyObject::Date(_) => "date",
        MontyObject::DateTime(_) => "datetime",
        MontyObject::Time(_) => "time",
        MontyObject::TimeDelta(_) => "timedelta",
        MontyObject::TimeZone(_) => "timezone",
        MontyObject::Exception { exc_type, .. } => exc_type.into(),
        MontyObject::Type(_) => "type",
        MontyObject::BuiltinFunction(_) => "builtin_function_or_method",
        MontyObject::ClassInstance(instance) => &instance.class_type.name,
        MontyObject::Function { .. } => "function",
        _ => "object",
    };
    Outcome::NonValue(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// The type's name in a text such as `<function f at 0x7f>`, `dict_keys([1])` or `range(0, 3)`.
fn name_in_repr(text: &str) -> &str {
    let text = text.strip_prefix('<').unwrap_or(text);
    let is_name = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let end = text.find(|character| !is_name(character)).unwrap_or(text.len());
    match text.get(..end).unwrap_or_default() {
        "bound" => "method",
        "built-in" => "builtin_function_or_method",
        "re.compile" => "Pattern",
        "" => "object",
        name => name.rsplit('.').next().unwrap_or(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(object: MontyObject) -> Outcome {
        to_outcome(object, 1_000)
    }

    #[test]
    fn plain_values_go_both_ways() {
        for text in [
            "None",
            "[True, -1, 1.5, 'é', b'x', (1,), {'b': {2, 1}, 'a': frozenset({3})}]",
            "123456789012345678901234567890",
            "-9223372036854775809",
        ] {
            let value = azr_executor::parse_literal(text).unwrap();
            let canonical = value.to_canonical();
            assert_eq!(outcome(to_monty(&value).unwrap()), Outcome::Value(canonical));
        }
        assert_eq!(to_monty(&Value::Complex(1.0, 2.0)).unwrap_err(), "complex");
    }

    #[test]
    fn values_that_cannot_be_trusted_are_refused() {
        assert_eq!(outcome(MontyObject::Float(f64::NAN)), unsupported("nan"));
        assert_eq!(outcome(MontyObject::Float(f64::INFINITY)), unsupported("infinity"));
        let text = "<function g at 0x7f00>".to_owned();
        assert_eq!(outcome(MontyObject::String(text)), unsupported("address"));
    }

    #[test]
    fn budgets_hold() {
        let nested =
            |depth| (0..depth).fold(MontyObject::None, |inner, _| MontyObject::List(vec![inner]));
        assert!(matches!(outcome(nested(MAX_DEPTH)), Outcome::Value(_)));
        assert_eq!(outcome(nested(MAX_DEPTH + 1)), Outcome::Limit(LimitKind::Depth));
        let wide = MontyObject::List(vec![MontyObject::Int(1); MAX_NODES]);
        assert_eq!(to_outcome(wide, u64::MAX), TOO_LONG);
        assert_eq!(outcome(MontyObject::String("x".repeat(1_001))), TOO_LONG);
        let huge = azr_executor::value::BigInt::from(1) << MAX_BITS;
        assert_eq!(outcome(MontyObject::BigInt(huge)), TOO_LONG);
    }

    #[test]
    fn other_objects_are_named() {
        let named = |text: &str| outcome(MontyObject::Repr(text.to_owned()));
        for (text, name) in [
            ("<function f at 0x7f00>", "function"),
            ("dict_keys([1])", "dict_keys"),
            ("range(0, 3)", "range"),
            ("<list_iterator object>", "list_iterator"),
            ("<re.Match object; span=(0, 1), match='a'>", "Match"),
            ("re.compile('a')", "Pattern"),
            ("<bound method A.b of <A object>>", "method"),
            ("", "object"),
        ] {
            assert_eq!(named(text), Outcome::NonValue(name.to_owned()), "{text}");
        }
        let list = MontyObject::List(vec![MontyObject::Ellipsis]);
        assert_eq!(outcome(list), Outcome::NonValue("ellipsis".to_owned()));
        let cycle = MontyObject::Cycle(0, "[...]".to_owned());
        assert_eq!(outcome(cycle), Outcome::Limit(LimitKind::Depth));
    }
}
