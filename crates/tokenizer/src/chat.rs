//! Chat templates, rendered the way transformers renders them.
//!
//! A template is a Jinja program that came with the model, so it is untrusted: it can reach nothing but its
//! arguments, runs on a limited amount of fuel, and its output has a limit.

use std::collections::BTreeMap;
use std::io::{self, Write};

use azr_plugin::Message;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::{Date, TokenizerError};

/// Instructions per conversation. Published templates use a few dozen per message.
const FUEL: u64 = 2_000_000;
/// Published templates have up to about 20 kB.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// How much longer than its messages and the template a rendered conversation may be.
const MAX_GROWTH: usize = 16;

const NAME: &str = "chat_template";

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    special_tokens: Vec<(&'static str, String)>,
}

impl ChatTemplate {
    /// Compiles a template. `special_tokens` are variables such as `bos_token` and their texts; `date` is what
    /// `strftime_now` tells.
    pub fn new(
        source: &str,
        special_tokens: Vec<(&'static str, String)>,
        date: Date,
    ) -> Result<Self, TokenizerError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let reason = format!("the chat template is longer than {MAX_TEMPLATE_BYTES} bytes");
            return Err(TokenizerError::NoChatTemplate { reason });
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(TokenizerError::failed)?);
        environment.set_fuel(Some(FUEL));
        // Templates call methods of Python's strings and dictionaries (`strip`, `items`, …).
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: String| date.strftime(&format));
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, source.to_string()).map_err(|error| {
            TokenizerError::NoChatTemplate {
                reason: format!("the chat template is wrong: {error}"),
            }
        })?;
        Ok(Self { source: source.to_string(), environment, special_tokens })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation up to where the assistant's turn begins. Message contents go in as they are.
    pub fn render(&self, messages: &[Message]) -> Result<String, TokenizerError> {
        let n_content_bytes = self.source.len()
            + messages
                .iter()
                .map(|message| message.role.len() + message.content.len())
                .sum::<usize>();
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let mut variables: BTreeMap<&str, Value> = self
            .special_tokens
            .iter()
            .map(|(name, text)| (*name, Value::from(text.as_str())))
            .collect();
        variables.insert("messages", messages.into());
        variables.insert("add_generation_prompt", true.into());
        // transformers passes these two even when there are none.
        variables.insert("tools", ().into());
        variables.insert("documents", ().into());
        let mut output = Bounded { bytes: Vec::new(), max_bytes: MAX_GROWTH * n_content_bytes };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(variables, &mut output).map(drop))
            .map_err(|error| TokenizerError::Template { reason: error.to_string() })?;
        String::from_utf8(output.bytes).map_err(TokenizerError::failed)
    }
}

/// Collects output up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max_bytes {
            return Err(io::Error::other("the output is absurdly long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`: unlike Jinja's own filter it escapes nothing for HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let wrong =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut bytes = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value
                .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
                .map_err(|e| wrong(&e))?;
        }
        None => value
            .serialize(&mut Serializer::with_formatter(&mut bytes, PythonJson))
            .map_err(|e| wrong(&e))?,
    }
    let text = String::from_utf8(bytes).map_err(|e| wrong(&e))?;
    Ok(Value::from_safe_string(text))
}

/// Python's default separators: a space behind each comma and colon.
struct PythonJson;

impl Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn render(source: &str) -> Result<String, TokenizerError> {
        let template =
            ChatTemplate::new(source, vec![("bos_token", "<s>".into())], Date::default())?;
        template.render(&[message("user", " Hi <&'é\"\n")])
    }

    #[test]
    fn blocks_are_trimmed_as_in_transformers() {
        let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\n[{{ m['content'] | trim }}]\n    {% endif %}\n{% endfor %}\n{{ bos_token }}\n";
        assert_eq!(render(source).unwrap(), "[Hi <&'é\"]\n<s>");
    }

    #[test]
    fn python_names_work() {
        // Expected texts are those of jinja2 with transformers' settings.
        for (source, expected) in [
            ("{{ messages[0].content.strip().upper() }}", "HI <&'É\""),
            ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": " Hi <&'é\"\n"}"#),
            (
                "{{ [1, 'a', none, true, {'k': [1.5]}] | tojson }}",
                r#"[1, "a", null, true, {"k": [1.5]}]"#,
            ),
            ("{{ {'k': [1]} | tojson(indent=2) }}", "{\n  \"k\": [\n    1\n  ]\n}"),
            ("{% for k, v in messages[0].items() %}{{ k }};{% endfor %}", "role;content;"),
            ("{{ messages[0].get('x', 7) }}{{ messages[0].x is defined }}", "7False"),
            ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
            (
                "{% for i in range(5) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "01",
            ),
            ("{{ tools is none }}{{ tools is defined }}{{ custom is defined }}", "TrueTrueFalse"),
            (
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "1",
            ),
            ("{{ messages[-1].role }}{{ messages[1:] | length }}{{ 'a' ~ 1 }}", "user0a1"),
            ("{{ '<' }}{{ messages[0].role.startswith('us') }}", "<True"),
        ] {
            assert_eq!(render(source).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn a_template_can_refuse_a_conversation() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }

    #[test]
    fn hostile_templates_end() {
        for source in [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% for a in range(50000) %}xxxxxxxxxxxxxxxxxxxx{% endfor %}",
            "{% include 'x' %}",
        ] {
            assert!(matches!(render(source), Err(TokenizerError::Template { .. })), "{source}");
        }
        assert!(matches!(render("{% if %}"), Err(TokenizerError::NoChatTemplate { .. })));
        assert!(matches!(
            render(&" ".repeat(MAX_TEMPLATE_BYTES + 1)),
            Err(TokenizerError::NoChatTemplate { .. })
        ));
    }
}
