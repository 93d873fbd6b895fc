//! Jobs as the harness reads them. Arguments are JSON in which containers are arrays that start with a tag.

use azr_executor::{Arguments, Value};

/// A call of a program: the limits (wall time and processor time in milliseconds, address space and output in bytes)
/// as 8 bytes each, the length of the program as 4, all little endian, then the program and the arguments.
pub(crate) fn job(limits: [u64; 4], source: &str, call: &str) -> Vec<u8> {
    let source_length = u32::try_from(source.len()).unwrap_or(u32::MAX);
    let mut body = limits.map(u64::to_le_bytes).concat();
    body.extend(source_length.to_le_bytes());
    body.extend(source.as_bytes());
    body.extend(call.as_bytes());
    body
}

/// `[[positional, …], [[name, value], …]]`.
pub(crate) fn arguments(arguments: &Arguments) -> String {
    let mut text = String::from("[[");
    for (index, value) in arguments.positional.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        write(&mut text, value);
    }
    text.push_str("],[");
    for (index, (name, value)) in arguments.keyword.iter().enumerate() {
        text.push_str(if index == 0 { "[" } else { ",[" });
        write_str(&mut text, name);
        text.push(',');
        write(&mut text, value);
        text.push(']');
    }
    text.push_str("]]");
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::None => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) => write_float(text, *value),
        Value::Complex(re, im) => {
            text.push_str("[\"c\",");
            write_float(text, *re);
            text.push(',');
            write_float(text, *im);
            text.push(']');
        }
        Value::Str(value) => write_str(text, value),
        Value::Bytes(bytes) => {
            text.push_str("[\"b\",\"");
            text.extend(
                bytes
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 15])
                    .filter_map(|digit| char::from_digit(u32::from(digit), 16)),
            );
            text.push_str("\"]");
        }
        Value::List(items) => write_tagged(text, "l", items.iter()),
        Value::Tuple(items) => write_tagged(text, "t", items.iter()),
        Value::Set(items) => write_tagged(text, "s", items.iter()),
        Value::FrozenSet(items) => write_tagged(text, "z", items.iter()),
        Value::Dict(entries) => {
            write_tagged(text, "d", entries.iter().flat_map(|(name, value)| [name, value]))
        }
    }
}

fn write_tagged<'a>(text: &mut String, tag: &str, items: impl Iterator<Item = &'a Value>) {
    text.push_str("[\"");
    text.push_str(tag);
    text.push('"');
    for item in items {
        text.push(',');
        write(text, item);
    }
    text.push(']');
}

/// Python's JSON reads the names of the special values; the `repr` of all others is a JSON number.
fn write_float(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        text.push_str(&Value::Float(value).repr());
    }
}

fn write_str(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_follow_the_numbers() {
        let body = job([1, 2, 3, 1 << 40], "é", "[]");
        let numbers = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(body[..24], numbers);
        assert_eq!(body[24..36], [0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0]);
        assert_eq!(&body[36..], b"\xc3\xa9[]");
    }

    #[test]
    fn every_kind_has_its_tag() {
        let parsed = azr_executor::parse_arguments(
            "None, True, -12, 1e16, -inf, nan, 'a\"é', b'\\x0f', [1], (), {1: 'x'}, {2}, frozenset(), 1-2j, k=[3]",
        );
        let expected = r#"[[null,true,-12,1e+16,-Infinity,NaN,"a\"é",["b","0f"],["l",1],["t"],["d",1,"x"],["s",2],["z"],["c",1.0,-2.0]],[["k",["l",3]]]]"#;
        assert_eq!(arguments(&parsed.unwrap()), expected);
    }
}
