//! Translation between the plain types of this crate and their stable-ABI mirrors.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use azr_abi::abi_stable::std_types::{RNone, ROption, RResult, RSome, RString, RVec};
use azr_abi::{AbiError, AbiResult, Code};

use crate::{ErrorCode, PluginError, Result};

/// A type with a mirror on the other side of the boundary.
pub(crate) trait Mirror: Sized {
    /// The mirror.
    type Abi;

    /// Moves into the mirror.
    fn into_abi(self) -> Self::Abi;

    /// Moves out of the mirror; fails on a code this side does not know.
    fn from_abi(abi: Self::Abi) -> Result<Self>;
}

/// Copies a borrowed batch into its mirror.
pub(crate) fn batch<T: Mirror + Clone>(items: &[T]) -> RVec<T::Abi> {
    items.iter().cloned().map(T::into_abi).collect()
}

/// A text of the other side, which is UTF-8 only if its author kept to safe code.
pub(crate) fn text(abi: RString) -> Result<String> {
    String::from_utf8(abi.into_string().into_bytes()).map_err(|_| {
        PluginError::new(ErrorCode::Internal, "a text is no UTF-8")
            .with_hint("this is a defect of the plugin: report it to its author")
    })
}

/// The mirror of a path: its bytes, which need not be UTF-8.
pub(crate) fn path(path: &Path) -> RVec<u8> {
    path.as_os_str().as_bytes().into()
}

/// A borrowed path out of its mirror.
pub(crate) fn as_path(bytes: &RVec<u8>) -> &Path {
    Path::new(OsStr::from_bytes(bytes.as_slice()))
}

/// An answer of the other side as a plain one; `label` says who answered.
pub(crate) fn answer<T: Mirror>(label: &str, result: AbiResult<T::Abi>) -> Result<T> {
    match result {
        RResult::ROk(value) => T::from_abi(value).map_err(|error| PluginError {
            message: format!("{label} answered what cannot be read: {}", error.message),
            ..error
        }),
        RResult::RErr(error) => Err(PluginError::from_abi(error)?),
    }
}

/// A plain answer as one for the other side.
pub(crate) fn into_answer<T: Mirror>(result: Result<T>) -> AbiResult<T::Abi> {
    match result {
        Ok(value) => RResult::ROk(value.into_abi()),
        Err(error) => RResult::RErr(error.into_abi()),
    }
}

/// The error for a code that the other side sent and this side does not know.
pub(crate) fn unknown_code(what: &str, code: Code) -> PluginError {
    PluginError::new(ErrorCode::Internal, format!("unknown {what} code {}", code.0)).with_hint(
        "host and plugin were built against different versions of azr: rebuild the older one",
    )
}

macro_rules! identity {
    ($($name:ty),+) => {
        $(impl Mirror for $name {
            type Abi = $name;

            fn into_abi(self) -> $name {
                self
            }

            fn from_abi(abi: $name) -> Result<Self> {
                Ok(abi)
            }
        })+
    };
}
identity!((), bool, u8, u32, u64, f32, f64);

impl Mirror for String {
    type Abi = RString;

    fn into_abi(self) -> RString {
        self.into()
    }

    fn from_abi(abi: RString) -> Result<Self> {
        text(abi)
    }
}

impl Mirror for PathBuf {
    type Abi = RVec<u8>;

    fn into_abi(self) -> RVec<u8> {
        self.into_os_string().into_vec().into()
    }

    fn from_abi(abi: RVec<u8>) -> Result<Self> {
        Ok(OsString::from_vec(abi.into_vec()).into())
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type Abi = RVec<T::Abi>;

    fn into_abi(self) -> Self::Abi {
        self.into_iter().map(T::into_abi).collect()
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        abi.into_iter().map(T::from_abi).collect()
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type Abi = ROption<T::Abi>;

    fn into_abi(self) -> Self::Abi {
        self.map_or(RNone, |value| RSome(value.into_abi()))
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        abi.into_option().map(T::from_abi).transpose()
    }
}

impl Mirror for PluginError {
    type Abi = AbiError;

    fn into_abi(self) -> AbiError {
        AbiError {
            code: self.code.into_abi(),
            message: self.message.into(),
            hint: self.hint.into_abi(),
            ext_json: RString::new(),
        }
    }

    fn from_abi(abi: AbiError) -> Result<Self> {
        // An error of a kind this side does not know is still that error.
        let code = ErrorCode::from_abi(abi.code).unwrap_or(ErrorCode::Internal);
        Ok(Self { code, message: text(abi.message)?, hint: Option::from_abi(abi.hint)? })
    }
}
