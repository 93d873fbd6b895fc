//! The host's side of the boundary: a plugin's root module as something that makes ordinary engines.
//!
//! Plugin authors need nothing of this; `export!` and the host crate do.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

pub use azr_abi::PluginModuleRef;
use azr_abi::abi_stable::StableAbi;
use azr_abi::abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use azr_abi::abi_stable::library::{AbiHeaderRef, LibHeader, LibraryError};
use azr_abi::abi_stable::std_types::{RResult, RStr};
use azr_abi::{ABI_MAJOR, AbiResult, Services as AbiServices};

use crate::{
    Backend, Domain, EngineInfo, EngineKind, Executor, PluginError, Result, RlOptimizer, Services,
    Tokenizer,
};

mod context;
mod guard;
mod lend;
mod mirror;
pub(crate) mod module;
mod remote;
mod values;

use mirror::{Mirror, answer};

/// The major ABI version of this build.
pub fn abi_major() -> u32 {
    ABI_MAJOR.parse().unwrap_or_default()
}

/// Why an entry symbol gives no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The plugin was built with another abi_stable.
    #[error("it was built with an incompatible version of the plugin library: {0}")]
    Header(String),
    /// A type has another layout than here.
    #[error("its types differ from the host's: {0}")]
    Layout(String),
    /// The root module could not be made.
    #[error("its root module failed to start: {0}")]
    Start(String),
}

/// A plugin's module: the same for a built-in and a loaded plugin.
#[derive(Clone)]
pub struct Module {
    module: PluginModuleRef,
    id: String,
}

impl Module {
    /// The module of a plugin that is linked into this program; `id` names the plugin in errors.
    pub fn new(module: PluginModuleRef, id: impl Into<String>) -> Self {
        Self { module, id: id.into() }
    }

    /// The module behind the entry symbol of a loaded plugin, after comparing every type's layout.
    ///
    /// A plugin may be older or newer than the host within a major version; abi_stable accepts only a newer one,
    /// so the comparison is made both ways. One way suffices because minor versions only add.
    ///
    /// # Errors
    /// When the plugin was built against something incompatible or its module does not start.
    ///
    /// # Safety
    /// `entry` points to the static that `export!` generated, in a library that is never unloaded.
    #[expect(unsafe_code, reason = "the symbol's type is the plugin's promise")]
    pub unsafe fn from_entry(
        entry: NonNull<c_void>,
        id: impl Into<String>,
    ) -> std::result::Result<Self, HeaderError> {
        // SAFETY: `AbiHeaderRef` is a transparent wrapper around a non-null pointer to the first field of `LibHeader`,
        // and the caller vouches for what is there.
        let header = unsafe { std::mem::transmute::<NonNull<c_void>, AbiHeaderRef>(entry) };
        let header = header.upgrade().map_err(|error| HeaderError::Header(short(&error)))?;
        check_layout(header)?;
        // SAFETY: the layouts were compared above.
        let module = unsafe { header.init_root_module_with_unchecked_layout::<PluginModuleRef>() };
        Ok(Self::new(module.map_err(|error| HeaderError::Start(short(&error)))?, id))
    }

    /// The manifest's JSON text, as the running plugin knows it.
    pub fn manifest_json(&self) -> String {
        self.module.manifest_json()().to_string()
    }

    /// The engines of this plugin.
    ///
    /// # Errors
    /// When the plugin panics or describes an engine in a way that cannot be read.
    pub fn engines(&self) -> Result<Vec<EngineInfo>> {
        answer(self.module.engines()())
    }

    /// Makes a tokenizer; `options` were checked against its schema.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_tokenizer(
        &self,
        name: &str,
        options: &serde_json::Value,
    ) -> Result<Arc<dyn Tokenizer>> {
        let object =
            self.create(self.module.create_tokenizer(), name, options, &Services::default())?;
        remote::tokenizer(label(EngineKind::Tokenizer, name, &self.id), object)
    }

    /// Makes a backend; `options` were checked against its schema.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_backend(
        &self,
        name: &str,
        options: &serde_json::Value,
    ) -> Result<Arc<dyn Backend>> {
        let object =
            self.create(self.module.create_backend(), name, options, &Services::default())?;
        Ok(remote::backend(label(EngineKind::Backend, name, &self.id), object))
    }

    /// Makes an executor; `options` were checked against its schema.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_executor(
        &self,
        name: &str,
        options: &serde_json::Value,
    ) -> Result<Arc<dyn Executor>> {
        let object =
            self.create(self.module.create_executor(), name, options, &Services::default())?;
        remote::executor(label(EngineKind::Executor, name, &self.id), object)
    }

    /// Makes a domain that runs its programs through the executor of `services`.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_domain(
        &self,
        name: &str,
        options: &serde_json::Value,
        services: &Services,
    ) -> Result<Arc<dyn Domain>> {
        let object = self.create(self.module.create_domain(), name, options, services)?;
        remote::domain(label(EngineKind::Domain, name, &self.id), object)
    }

    /// Makes an RL optimizer; `options` were checked against its schema.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_optimizer(
        &self,
        name: &str,
        options: &serde_json::Value,
    ) -> Result<Arc<dyn RlOptimizer>> {
        let object =
            self.create(self.module.create_optimizer(), name, options, &Services::default())?;
        Ok(remote::optimizer(label(EngineKind::Optimizer, name, &self.id), object))
    }

    fn create<T>(
        &self,
        constructor: extern "C" fn(RStr<'_>, RStr<'_>, AbiServices) -> AbiResult<T>,
        name: &str,
        options: &serde_json::Value,
        services: &Services,
    ) -> Result<T> {
        let options = options.to_string();
        match constructor(name.into(), options.as_str().into(), module::services_to_abi(services)) {
            RResult::ROk(object) => Ok(object),
            RResult::RErr(error) => Err(PluginError::from_abi(error)?),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How an engine is called in errors.
fn label(kind: EngineKind, name: &str, plugin: &str) -> String {
    format!("{kind} `{name}` of plugin `{plugin}`")
}

fn check_layout(header: &'static LibHeader) -> std::result::Result<(), HeaderError> {
    let Err(refused) = header.ensure_layout::<PluginModuleRef>() else {
        return match header.layout() {
            Some(_) => Ok(()),
            None => Err(HeaderError::Layout("the plugin does not describe them".into())),
        };
    };
    let older_plugin = header.layout().is_some_and(|layout| {
        check_layout_compatibility(layout, <PluginModuleRef as StableAbi>::LAYOUT).is_ok()
    });
    if older_plugin { Ok(()) } else { Err(HeaderError::Layout(short(&refused))) }
}

/// The last finding of an abi_stable error, which can be tens of kilobytes long, on one line.
fn short(error: &LibraryError) -> String {
    let text = error.to_string();
    let last = text.rfind("Error:").map_or(text.as_str(), |at| &text[at + "Error:".len()..]);
    let words: Vec<&str> = last.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}
