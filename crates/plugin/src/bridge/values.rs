//! Which plain type mirrors which stable-ABI type.

use std::collections::BTreeMap;

use azr_abi::abi_stable::std_types::{RString, RVec};
use azr_abi::{self as abi, Code, codes};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::mirror::{Mirror, unknown_code};
use crate::{
    Answer, Completion, ControlTokens, EngineInfo, EngineKind, ErrorCode, FinishReason,
    GenerateRequest, Grade, GroupStats, Job, JobReport, KnownAnswers, LimitKind, Limits, LossSpec,
    Message, ModelSpec, OptimizerKind, OptimizerNeeds, OptimizerSpec, Outcome, PluginError,
    PolicyInfo, Prompt, PromptBody, Proposal, ProposeRequest, Protection, Purpose, Ratio,
    ReferenceRule, Result, Role, RolloutSummary, Sampling, ScoreRequest, StepPlan, Task, TaskKind,
    TokenizerInfo, TrainSequence, UpdateBounds, UpdateReport, UpdateRequest, Validation,
};

macro_rules! structs {
    ($($name:ident { $($field:ident),+ } $(+ $ext:ident)?;)+) => {
        $(impl Mirror for $name {
            type Abi = abi::$name;

            fn into_abi(self) -> Self::Abi {
                abi::$name { $($field: self.$field.into_abi(),)+ $($ext: RString::new(),)? }
            }

            fn from_abi(abi: Self::Abi) -> Result<Self> {
                Ok(Self { $($field: Mirror::from_abi(abi.$field)?,)+ })
            }
        })+
    };
}

structs! {
    Message { role, content };
    TokenizerInfo { vocab_size, bos, eos, has_chat_template } + ext_json;
    ModelSpec { path, vocabulary, eos, learns } + ext_json;
    PolicyInfo { family, device, n_parameters, vocab_size, context_length } + ext_json;
    Sampling { temperature, top_p, max_new_tokens, stop } + ext_json;
    GenerateRequest { prompt, seeds, sampling } + ext_json;
    Completion { tokens, logprobs, finish, text } + ext_json;
    ScoreRequest { prompt, response, temperature } + ext_json;
    TrainSequence {
        prompt, response, behaviour_logprobs, reference_logprobs, advantages, weights
    } + ext_json;
    LossSpec { ratio, clip_low, clip_high, dual_clip, entropy_coef, kl_coef, temperature } + ext_json;
    OptimizerSpec { kind, learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm } + ext_json;
    UpdateRequest { sequences, loss, optimizer, bounds } + ext_json;
    UpdateBounds { loss_min, loss_max, grad_norm_max } + ext_json;
    UpdateReport {
        loss, entropy, kl, grad_norm, clip_fraction, logprob_gap_mean, logprob_gap_max, n_tokens, applied
    } + ext_json;
    Limits { wall_ms, cpu_ms, memory_bytes, output_bytes };
    Job { program, calls, purpose, limits, pinned } + ext_json;
    JobReport { outcomes, executor } + ext_json;
    Protection { name, in_force, detail } + ext_json;
    ReferenceRule { from, count };
    TaskKind { name, references } + ext_json;
    Task { kind, key, subject, payload };
    ProposeRequest { kind, references, seed } + ext_json;
    Proposal { kind, references, response } + ext_json;
    Answer { task, response } + ext_json;
    Grade { score, well_formed, reason } + ext_json;
    KnownAnswers { right, wrong } + ext_json;
    OptimizerNeeds { reference, several_answers } + ext_json;
    RolloutSummary { domain, kind, role, prompt_index, reward, n_tokens } + ext_json;
    GroupStats { group, mean, std, n_rollouts } + ext_json;
    StepPlan { advantages, weights, loss, optimizer, groups } + ext_json;
}

macro_rules! enums {
    ($($name:ident as $module:ident { $($variant:ident = $code:ident),+ })+) => {
        $(impl Mirror for $name {
            type Abi = Code;

            fn into_abi(self) -> Code {
                match self { $(Self::$variant => codes::$module::$code,)+ }
            }

            fn from_abi(abi: Code) -> Result<Self> {
                match abi {
                    $(codes::$module::$code => Ok(Self::$variant),)+
                    unknown => Err(unknown_code(stringify!($module), unknown)),
                }
            }
        })+
    };
}

enums! {
    OptimizerKind as optimizer_kind { Adamw = ADAMW, Muon = MUON }
    ErrorCode as error {
        InvalidInput = INVALID_INPUT, InvalidConfig = INVALID_CONFIG, NotFound = NOT_FOUND, Unavailable = UNAVAILABLE,
        Io = IO, Cancelled = CANCELLED, Panicked = PANICKED, Internal = INTERNAL
    }
    EngineKind as kind {
        Tokenizer = TOKENIZER, Backend = BACKEND, Executor = EXECUTOR, Domain = DOMAIN, Optimizer = OPTIMIZER
    }
    ControlTokens as control { Parse = PARSE, AsText = AS_TEXT }
    FinishReason as finish { Eos = EOS, Stop = STOP, Length = LENGTH, Context = CONTEXT }
    Purpose as purpose { Check = CHECK, Gold = GOLD }
    LimitKind as limit { Wall = WALL, Cpu = CPU, Memory = MEMORY, Output = OUTPUT, Depth = DEPTH }
    Ratio as ratio { Token = TOKEN, None = NONE, Sequence = SEQUENCE }
    Role as role { Propose = PROPOSE, Solve = SOLVE }
}

impl Mirror for Outcome {
    type Abi = abi::Outcome;

    fn into_abi(self) -> abi::Outcome {
        use codes::outcome as code;
        let (code, limit, text) = match self {
            Self::Value(text) => (code::VALUE, None, text),
            Self::NonValue(text) => (code::NON_VALUE, None, text),
            Self::Exception(text) => (code::EXCEPTION, None, text),
            Self::Limit(kind) => (code::LIMIT, Some(kind), String::new()),
            Self::Nondeterministic => (code::NONDETERMINISTIC, None, String::new()),
            Self::Refused(text) => (code::REFUSED, None, text),
            Self::Unsupported(text) => (code::UNSUPPORTED, None, text),
            Self::Crashed(text) => (code::CRASHED, None, text),
        };
        abi::Outcome { code, limit: limit.map_or(Code(0), Mirror::into_abi), text: text.into() }
    }

    fn from_abi(abi: abi::Outcome) -> Result<Self> {
        use codes::outcome as code;
        let text = abi.text.into_string();
        Ok(match abi.code {
            code::VALUE => Self::Value(text),
            code::NON_VALUE => Self::NonValue(text),
            code::EXCEPTION => Self::Exception(text),
            code::LIMIT => Self::Limit(LimitKind::from_abi(abi.limit)?),
            code::NONDETERMINISTIC => Self::Nondeterministic,
            code::REFUSED => Self::Refused(text),
            code::UNSUPPORTED => Self::Unsupported(text),
            code::CRASHED => Self::Crashed(text),
            unknown => return Err(unknown_code("outcome", unknown)),
        })
    }
}

impl Mirror for Prompt {
    type Abi = abi::Prompt;

    fn into_abi(self) -> abi::Prompt {
        let (body, text, chat) = match self.body {
            PromptBody::Text(text) => (codes::prompt::TEXT, text.into(), RVec::new()),
            PromptBody::Chat(messages) => {
                (codes::prompt::CHAT, RString::new(), messages.into_abi())
            }
        };
        abi::Prompt {
            body,
            text,
            chat,
            stop: self.stop.into_abi(),
            max_new_tokens: self.max_new_tokens,
            ext_json: RString::new(),
        }
    }

    fn from_abi(abi: abi::Prompt) -> Result<Self> {
        let body = match abi.body {
            codes::prompt::TEXT => PromptBody::Text(abi.text.into_string()),
            codes::prompt::CHAT => PromptBody::Chat(Vec::from_abi(abi.chat)?),
            unknown => return Err(unknown_code("prompt", unknown)),
        };
        Ok(Self { body, stop: Vec::from_abi(abi.stop)?, max_new_tokens: abi.max_new_tokens })
    }
}

/// What came to [`Validation`] after its mirror was frozen.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct ValidationMore {
    measures: BTreeMap<String, f64>,
}

impl Mirror for Validation {
    type Abi = abi::Validation;

    fn into_abi(self) -> abi::Validation {
        let mut measures = self.measures;
        // JSON has no words for other numbers.
        measures.retain(|_, value| value.is_finite());
        let ext_json = match measures.is_empty() {
            true => String::new(),
            false => json!({ "measures": measures }).to_string(),
        };
        abi::Validation {
            task: self.task.into_abi(),
            well_formed: self.well_formed,
            reason: self.reason.into(),
            ext_json: ext_json.into(),
        }
    }

    fn from_abi(abi: abi::Validation) -> Result<Self> {
        let more: ValidationMore = match abi.ext_json.as_str() {
            "" => ValidationMore::default(),
            text => serde_json::from_str(text).map_err(|error| {
                let message = format!("the additions to a validation are not valid: {error}");
                PluginError::new(ErrorCode::Internal, message)
            })?,
        };
        Ok(Self {
            task: Option::from_abi(abi.task)?,
            well_formed: abi.well_formed,
            reason: abi.reason.into_string(),
            measures: more.measures,
        })
    }
}

impl Mirror for EngineInfo {
    type Abi = abi::EngineInfo;

    fn into_abi(self) -> abi::EngineInfo {
        abi::EngineInfo {
            kind: self.kind.into_abi(),
            name: self.name.into(),
            version: self.version.into(),
            summary: self.summary.into(),
            capabilities_json: self.capabilities.to_string().into(),
            options_schema_json: self.options_schema.to_string().into(),
            ext_json: RString::new(),
        }
    }

    fn from_abi(abi: abi::EngineInfo) -> Result<Self> {
        let json = |text: &RString, what: &str| {
            serde_json::from_str(text).map_err(|error| {
                PluginError::new(
                    ErrorCode::Internal,
                    format!("{what} of engine `{}` are no JSON: {error}", abi.name),
                )
            })
        };
        Ok(Self {
            kind: EngineKind::from_abi(abi.kind)?,
            capabilities: json(&abi.capabilities_json, "the capabilities")?,
            options_schema: json(&abi.options_schema_json, "the option schemas")?,
            name: abi.name.into_string(),
            version: abi.version.into_string(),
            summary: abi.summary.into_string(),
        })
    }
}
