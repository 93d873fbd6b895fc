//! Why a proposal was rejected or an answer scored less: stable names that metrics count.

/// A verdict's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Valid, or right.
    Ok,
    /// The response is longer than anything that was asked for.
    TooLong,
    /// The response holds no program where one was demanded.
    NoProgram,
    /// The program is longer than allowed.
    ProgramTooLong,
    /// The program is no Python that the parser accepts.
    Syntax,
    /// The program defines no function that could be `f`.
    NoFunction,
    /// The function takes nothing.
    NoParameter,
    /// The program imports a module that is not allowed.
    ForbiddenImport,
    /// The program uses a name that is not allowed.
    ForbiddenName,
    /// Program, input, output or message would be mistaken for a part of a prompt.
    BreaksFormat,
    /// The response holds no input where one was demanded.
    NoInput,
    /// Fewer distinct inputs than demanded.
    TooFewInputs,
    /// The input is not made of literals.
    InputNotLiteral,
    /// The input is longer than allowed.
    InputTooLong,
    /// The response holds no message where one was demanded.
    NoMessage,
    /// The message is longer than allowed.
    MessageTooLong,
    /// The response holds no answer where one was demanded.
    NoAnswer,
    /// The answer is no literal.
    AnswerNotLiteral,
    /// The answer is a different value, or makes a different value.
    Wrong,
    /// The program raised.
    Exception,
    /// Runs of the program disagreed.
    Nondeterministic,
    /// A limit on time, memory, depth or result size was hit.
    Limit,
    /// The result is no plain value, or one that no literal can state.
    NonValue,
    /// The function returned `None`.
    NoneOutput,
    /// The result is longer than allowed.
    OutputTooLong,
    /// The executor refused the program.
    Refused,
    /// The executor cannot express the program.
    Unsupported,
    /// The process that ran the program died.
    Crashed,
}

impl Reason {
    /// The name under which the reason is counted.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TooLong => "too_long",
            Self::NoProgram => "no_program",
            Self::ProgramTooLong => "program_too_long",
            Self::Syntax => "syntax",
            Self::NoFunction => "no_function",
            Self::NoParameter => "no_parameter",
            Self::ForbiddenImport => "forbidden_import",
            Self::ForbiddenName => "forbidden_name",
            Self::BreaksFormat => "breaks_format",
            Self::NoInput => "no_input",
            Self::TooFewInputs => "too_few_inputs",
            Self::InputNotLiteral => "input_not_literal",
            Self::InputTooLong => "input_too_long",
            Self::NoMessage => "no_message",
            Self::MessageTooLong => "message_too_long",
            Self::NoAnswer => "no_answer",
            Self::AnswerNotLiteral => "answer_not_literal",
            Self::Wrong => "wrong",
            Self::Exception => "exception",
            Self::Nondeterministic => "nondeterministic",
            Self::Limit => "limit",
            Self::NonValue => "non_value",
            Self::NoneOutput => "none_output",
            Self::OutputTooLong => "output_too_long",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Crashed => "crashed",
        }
    }
}
