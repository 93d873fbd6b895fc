//! Compiles a program and calls its function. Module code runs anew for every call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use azr_executor::literal::Arguments;
use azr_executor::program::ENTRY;
use azr_plugin::{LimitKind, Limits, Outcome};
use monty::MontyRun;
use monty_types::{
    AssertMessageAnnotations, CompileOptions, ExcType, MontyException, MontyObject, PrintWriter,
    ResourceLimits, ResourceTracker,
};

use super::{allocator, convert};
use crate::guard::{FLAGS, PREFIX};

/// Most memory of a program, whatever the limits say: with more, one operation on huge integers takes minutes,
/// and the interpreter does not look at the clock in between.
const MAX_MEMORY_BYTES: u64 = 64 << 20;

/// Deepest recursion; CPython's own limit.
const MAX_RECURSION: usize = 1_000;

/// Of a call: the number of positional arguments and the names of the others.
type Shape = (usize, Vec<String>);

/// The program that calls refer to.
#[derive(Default)]
pub(super) struct Interpreter {
    source: String,
    is_guarded: bool,
    limits: Limits,
    /// The program with a call of one shape.
    compiled: Option<(Shape, Result<MontyRun, Outcome>)>,
}

impl Interpreter {
    /// Takes a program; it is compiled at its first call.
    pub(super) fn load(&mut self, source: &str, is_guarded: bool, limits: Limits) {
        source.clone_into(&mut self.source);
        self.is_guarded = is_guarded;
        self.limits = limits;
        self.compiled = None;
    }

    /// Runs the program and calls its function with the arguments of this canonical text.
    pub(super) fn call(&mut self, arguments: &str) -> Outcome {
        let Ok(arguments) = Arguments::from_canonical(arguments) else {
            return Outcome::Unsupported("arguments".to_owned());
        };
        let values =
            arguments.positional.iter().chain(arguments.keyword.iter().map(|(_, value)| value));
        let inputs = match values.map(convert::to_monty).collect::<Result<Vec<_>, _>>() {
            Ok(inputs) => inputs,
            Err(feature) => return Outcome::Unsupported(feature.to_owned()),
        };
        let names = arguments.keyword.into_iter().map(|(name, _)| name).collect();
        let memory_bytes = self.limits.memory_bytes.clamp(1, MAX_MEMORY_BYTES);
        let memory_bytes = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        allocator::set_limit(memory_bytes);
        // A defect of the interpreter is no answer; what it leaves behind belongs to this call only.
        catch_unwind(AssertUnwindSafe(|| {
            self.compile((arguments.positional.len(), names));
            self.run(inputs, memory_bytes)
        }))
        .unwrap_or_else(|_| {
            self.compiled = None;
            Outcome::Unsupported("panic".to_owned())
        })
    }

    fn compile(&mut self, shape: Shape) {
        if self.compiled.as_ref().is_some_and(|(compiled, _)| *compiled == shape) {
            return;
        }
        let (n_positional, keywords) = &shape;
        let inputs: Vec<String> =
            (0..n_positional + keywords.len()).map(|index| format!("{PREFIX}{index}")).collect();
        let mut call = format!("{ENTRY}(");
        for (index, input) in inputs.iter().enumerate() {
            if let Some(name) =
                index.checked_sub(*n_positional).and_then(|index| keywords.get(index))
            {
                call.push_str(name);
                call.push('=');
            }
            call.push_str(input);
            call.push(',');
        }
        call.push(')');
        let code = if self.is_guarded {
            format!("{}\n({call},{FLAGS})\n", self.source)
        } else {
            format!("{}\n{call}\n", self.source)
        };
        let options = CompileOptions { assert_message_annotations: AssertMessageAnnotations::Off };
        let program = MontyRun::new(code, "program", inputs, options)
            .map_err(|error| Outcome::Unsupported(missing_syntax(&error)));
        self.compiled = Some((shape, program));
    }

    fn run(&self, inputs: Vec<MontyObject>, memory_bytes: usize) -> Outcome {
        let program = match &self.compiled {
            Some((_, Ok(program))) => program,
            Some((_, Err(outcome))) => return outcome.clone(),
            None => return Outcome::Unsupported("program".to_owned()),
        };
        let wall = Duration::from_millis(self.limits.wall_ms);
        let limits = ResourceLimits::default()
            .max_duration(wall)
            .max_memory(memory_bytes)
            .max_recursion_depth(MAX_RECURSION);
        let started = Instant::now();
        let result = program.run(inputs, ResourceTracker::new(limits), PrintWriter::Disabled);
        let is_late = started.elapsed() >= wall;
        match result {
            Ok(object) if self.is_guarded => self.unguarded(object),
            Ok(object) => convert::to_outcome(object, self.limits.output_bytes),
            Err(error) => self.failure(&error, is_late),
        }
    }

    /// The result of a guarded program: a pair of the value and the reasons not to believe it.
    fn unguarded(&self, object: MontyObject) -> Outcome {
        let MontyObject::Tuple(pair) = object else {
            return Outcome::Unsupported("guards".to_owned());
        };
        match <[MontyObject; 2]>::try_from(pair) {
            Ok([value, MontyObject::List(reasons)]) => match reasons.first() {
                None => convert::to_outcome(value, self.limits.output_bytes),
                Some(MontyObject::String(reason)) => Outcome::Unsupported(reason.clone()),
                Some(_) => Outcome::Unsupported("guards".to_owned()),
            },
            _ => Outcome::Unsupported("guards".to_owned()),
        }
    }

    fn failure(&self, error: &MontyException, is_late: bool) -> Outcome {
        let message = error.message().unwrap_or_default();
        let unsupported = |feature: &str| Outcome::Unsupported(feature.to_owned());
        match error.exc_type() {
            ExcType::MemoryError => Outcome::Limit(LimitKind::Memory),
            ExcType::RecursionError => Outcome::Limit(LimitKind::Depth),
            ExcType::TimeoutError if is_late => Outcome::Limit(LimitKind::Wall),
            ExcType::NotImplementedError if !self.source.contains("NotImplemented") => {
                unsupported("operation")
            }
            ExcType::ModuleNotFoundError | ExcType::ImportError => unsupported("import"),
            ExcType::NameError if !message.contains("free variable") => {
                unsupported(&format!("name {}", quoted(message)))
            }
            ExcType::AttributeError if message.starts_with("module ") => {
                let mut quotes = message.split('\'').skip(1).step_by(2);
                let (module, name) = (quotes.next(), quotes.next());
                unsupported(&format!("{}.{}", module.unwrap_or("?"), name.unwrap_or("?")))
            }
            other => {
                let name: &str = other.into();
                Outcome::Exception(name.rsplit('.').next().unwrap_or(name).to_owned())
            }
        }
    }
}

/// What the compiler does not know: the host has found the syntax in order.
fn missing_syntax(error: &MontyException) -> String {
    let message = error.message().unwrap_or_default();
    let feature = message.rsplit("does not yet support ").next().unwrap_or(message);
    let is_short = feature.len() < message.len() && feature.len() <= 48;
    let feature = if is_short { feature } else { "syntax" };
    feature.chars().map(|character| if is_word(character) { character } else { ' ' }).collect()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The first quoted word of a message.
fn quoted(message: &str) -> &str {
    message.split('\'').nth(1).unwrap_or("?")
}
