//! Why a proposal was rejected or an answer scored less: stable names that metrics count.

use crate::expression::{Fault, ParseError};

/// A verdict's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Valid, or right.
    Ok,
    /// The response is longer than anything that was asked for.
    TooLong,
    /// The response holds no definition where one was demanded.
    NoExpression,
    /// The definition is longer than allowed.
    ExpressionTooLong,
    /// The definition is deeper than allowed.
    ExpressionTooDeep,
    /// The definition does not follow the grammar.
    Syntax,
    /// The definition names a variable that is none.
    UnknownName,
    /// The definition calls a function that is none.
    UnknownFunction,
    /// A function has too few or too many arguments, the answered definition too few or too many parameters.
    WrongArguments,
    /// The expression names none of its parameters, or all points of an induction task have one value.
    Constant,
    /// The response holds no input where one was demanded.
    NoInput,
    /// Fewer distinct inputs than demanded.
    TooFewInputs,
    /// The input is not one literal for each parameter.
    InputNotLiteral,
    /// The input is longer than allowed.
    InputTooLong,
    /// The response holds no message where one was demanded.
    NoMessage,
    /// The message is longer than allowed.
    MessageTooLong,
    /// The message would be mistaken for a part of a prompt.
    BreaksFormat,
    /// The response holds no answer where one was demanded.
    NoAnswer,
    /// The answer is no literal, or not one for each parameter.
    AnswerNotLiteral,
    /// The answer is a different value, or makes a different value.
    Wrong,
    /// A division by zero, or a function outside of where it is defined.
    Undefined,
    /// A boolean or a list where a number is needed, or the like.
    Type,
    /// The limit on steps or on the size of numbers was reached.
    Limit,
    /// The value is longer than allowed.
    OutputTooLong,
}

impl Reason {
    /// The name under which the reason is counted.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TooLong => "too_long",
            Self::NoExpression => "no_expression",
            Self::ExpressionTooLong => "expression_too_long",
            Self::ExpressionTooDeep => "expression_too_deep",
            Self::Syntax => "syntax",
            Self::UnknownName => "unknown_name",
            Self::UnknownFunction => "unknown_function",
            Self::WrongArguments => "wrong_arguments",
            Self::Constant => "constant",
            Self::NoInput => "no_input",
            Self::TooFewInputs => "too_few_inputs",
            Self::InputNotLiteral => "input_not_literal",
            Self::InputTooLong => "input_too_long",
            Self::NoMessage => "no_message",
            Self::MessageTooLong => "message_too_long",
            Self::BreaksFormat => "breaks_format",
            Self::NoAnswer => "no_answer",
            Self::AnswerNotLiteral => "answer_not_literal",
            Self::Wrong => "wrong",
            Self::Undefined => "undefined",
            Self::Type => "type",
            Self::Limit => "limit",
            Self::OutputTooLong => "output_too_long",
        }
    }
}

impl From<ParseError> for Reason {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Syntax => Self::Syntax,
            ParseError::TooLong => Self::ExpressionTooLong,
            ParseError::TooDeep => Self::ExpressionTooDeep,
            ParseError::UnknownName => Self::UnknownName,
            ParseError::UnknownFunction => Self::UnknownFunction,
            ParseError::Arguments => Self::WrongArguments,
        }
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Undefined => Self::Undefined,
            Fault::Type => Self::Type,
            Fault::Limit => Self::Limit,
        }
    }
}
