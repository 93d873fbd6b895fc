//! Numbers for what would be an enum on one side: unlike an enum's, their set may grow without a layout change.

use abi_stable::StableAbi;

/// A code; which constants it takes is said where it is used. Zero is never used.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, StableAbi)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $value:literal),+ $(,)? })+) => {
        $($(#[$doc])* pub mod $module {
            use super::Code;
            $(pub const $name: Code = Code($value);)+
        })+
    };
}

codes! {
    /// Mirror of `ErrorCode`.
    error {
        INVALID_INPUT = 1, INVALID_CONFIG = 2, NOT_FOUND = 3, UNAVAILABLE = 4, IO = 5, CANCELLED = 6, PANICKED = 7,
        INTERNAL = 8,
    }
    /// Mirror of `EngineKind`.
    kind { TOKENIZER = 1, BACKEND = 2, EXECUTOR = 3, DOMAIN = 4, OPTIMIZER = 5 }
    /// Mirror of `ControlTokens`.
    control { PARSE = 1, AS_TEXT = 2 }
    /// Mirror of `OptimizerKind`.
    optimizer_kind { ADAMW = 1, MUON = 2 }
    /// Mirror of `FinishReason`.
    finish { EOS = 1, STOP = 2, LENGTH = 3, CONTEXT = 4 }
    /// Mirror of `PromptBody`.
    prompt { TEXT = 1, CHAT = 2 }
    /// Mirror of `Purpose`.
    purpose { CHECK = 1, GOLD = 2 }
    /// Mirror of `Outcome`.
    outcome {
        VALUE = 1, NON_VALUE = 2, EXCEPTION = 3, LIMIT = 4, NONDETERMINISTIC = 5, REFUSED = 6, UNSUPPORTED = 7,
        CRASHED = 8,
    }
    /// Mirror of `LimitKind`.
    limit { WALL = 1, CPU = 2, MEMORY = 3, OUTPUT = 4, DEPTH = 5 }
    /// Mirror of `Ratio`.
    ratio { TOKEN = 1, NONE = 2, SEQUENCE = 3 }
    /// Mirror of `Role`.
    role { PROPOSE = 1, SOLVE = 2 }
}
