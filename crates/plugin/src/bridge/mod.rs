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
use azr_abi::abi_stable::library::{AbiHeader, AbiHeaderRef, LibraryError};
use azr_abi::abi_stable::std_types::{RResult, RStr};
use azr_abi::abi_stable::type_layout::TypeLayout;
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

/// Longest finding of a layout check that is passed on, in characters.
const MAX_FINDING_CHARS: usize = 300;

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
    /// Within a major version the plugin may be older or newer than the host.
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
        let header = header.upgrade().map_err(|error| header_error(&error))?;
        let layout = header
            .layout()
            .ok_or_else(|| HeaderError::Layout("the plugin does not describe them".into()))?;
        check_layout(<PluginModuleRef as StableAbi>::LAYOUT, layout)?;
        // SAFETY: the layouts were compared above.
        let module = unsafe { header.init_root_module_with_unchecked_layout::<PluginModuleRef>() };
        Ok(Self::new(module.map_err(|error| HeaderError::Start(short(&error.to_string())))?, id))
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

    /// Makes an executor, which may be made of the executors of `services`; `options` were checked against its
    /// schema.
    ///
    /// # Errors
    /// What the engine's constructor answers, or `Panicked`.
    pub fn create_executor(
        &self,
        name: &str,
        options: &serde_json::Value,
        services: &Services,
    ) -> Result<Arc<dyn Executor>> {
        let object = self.create(self.module.create_executor(), name, options, services)?;
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
        remote::optimizer(label(EngineKind::Optimizer, name, &self.id), object)
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

/// Whether every type of the plugin fits the host's. Either side may be the older one: prefix types then serve what
/// both have. abi_stable's own check accepts a newer plugin only.
fn check_layout(
    host: &'static TypeLayout,
    plugin: &'static TypeLayout,
) -> std::result::Result<(), HeaderError> {
    let Err(refused) = check_layout_compatibility(host, plugin) else { return Ok(()) };
    check_layout_compatibility(plugin, host)
        .map_err(|_| HeaderError::Layout(short(&refused.to_string())))
}

fn header_error(error: &LibraryError) -> HeaderError {
    let LibraryError::InvalidAbiHeader(found) = error else {
        return HeaderError::Header(short(&error.to_string()));
    };
    let ours = AbiHeader::VALUE;
    HeaderError::Header(if found.magic_string == ours.magic_string {
        format!(
            "abi_stable {}.{} instead of {}.{}",
            found.abi_major, found.abi_minor, ours.abi_major, ours.abi_minor
        )
    } else {
        "its entry symbol is no plugin header".into()
    })
}

/// The last finding of an abi_stable error, which can be tens of kilobytes long, on one line.
fn short(text: &str) -> String {
    let last = text.rfind("Error:").map_or(text, |at| &text[at + "Error:".len()..]);
    let words: Vec<&str> = last.split_whitespace().collect();
    words.join(" ").chars().take(MAX_FINDING_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "export! is made for the root of a crate")]

    use azr_abi::abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};

    use super::*;
    use crate::{Engine, RolloutSummary, StepPlan};

    struct Refusing;

    impl Engine for Refusing {
        const NAME: &'static str = "refusing";
        const VERSION: &'static str = "1.0.0";
        const SUMMARY: &'static str = "plans nothing";
        type Options = std::collections::BTreeMap<String, String>;

        fn create(_: Self::Options, _: Services) -> Result<Self> {
            Ok(Self)
        }
    }

    impl RlOptimizer for Refusing {
        fn plan(&self, _step: u64, _rollouts: &[RolloutSummary]) -> Result<StepPlan> {
            Err(PluginError::new(crate::ErrorCode::Unavailable, "no plan"))
        }
    }

    crate::export! {
        entry: azr_plugin_test_refusing,
        optimizers: [Refusing],
    }

    #[test]
    fn the_entry_is_the_header_that_abi_stable_expects() {
        extern "C" fn unused() -> RootModuleResult {
            RootModuleResult::RErr(azr_abi::abi_stable::library::RootModuleError::Unwound)
        }
        #[expect(
            unsafe_code,
            reason = "it is compared with the header of abi_stable's own constructor"
        )]
        // SAFETY: the constructor returns no module.
        let expected =
            unsafe { LibHeader::from_constructor::<PluginModuleRef>(unused, CheckTypeLayout::Yes) };
        let ours = &azr_plugin_test_refusing;
        assert_eq!(ours.root_mod_consts().name(), expected.root_mod_consts().name());
        assert_eq!(ours.version_strings().version, expected.version_strings().version);
        assert!(std::ptr::eq(ours.layout().unwrap(), <PluginModuleRef as StableAbi>::LAYOUT));
        assert_eq!(PluginModuleRef::VERSION_STRINGS.version, "1.1.0");
    }

    #[test]
    fn the_entry_leads_to_the_plugin() {
        // SAFETY: the pointer is that of a static that `export!` generated.
        #[expect(unsafe_code, reason = "a loaded plugin is entered like this")]
        let module =
            unsafe { Module::from_entry(NonNull::from(&azr_plugin_test_refusing).cast(), "test") }
                .unwrap();
        assert_eq!(module.manifest_json(), Module::new(plugin_module(), "test").manifest_json());
        let engines = module.engines().unwrap();
        assert_eq!((engines.len(), engines[0].name.as_str()), (1, "refusing"));
        let optimizer = module.create_optimizer("refusing", &serde_json::json!({})).unwrap();
        assert_eq!(optimizer.plan(0, &[]).unwrap_err().message, "no plan");
        let missing = module.create_optimizer("accepting", &serde_json::json!({})).err().unwrap();
        assert_eq!(missing.message, "there is no optimizer `accepting` of plugin `azr-plugin`");
    }

    /// The same module in two minor versions, and one that breaks the rules.
    mod versions {
        macro_rules! version {
            ($name:ident { $($fields:tt)* }) => {
                pub(super) mod $name {
                    #![allow(unsafe_code, reason = "the derive generates it")]
                    #![allow(unreachable_pub, dead_code, reason = "only the layout is used")]
                    use azr_abi::abi_stable::StableAbi;

                    #[repr(C)]
                    #[derive(StableAbi)]
                    #[sabi(kind(Prefix(prefix_ref = SampleRef, prefix_fields = SamplePrefix)))]
                    pub struct Sample { $($fields)* }
                }
            };
        }

        version!(old { #[sabi(last_prefix_field)] pub first: u32, });
        version!(new { #[sabi(last_prefix_field)] pub first: u32, pub second: u64, });
        version!(broken { #[sabi(last_prefix_field)] pub first: f32, pub second: u64, });
    }

    #[test]
    fn host_and_plugin_may_differ_by_what_was_added() {
        let old = <versions::old::SampleRef as StableAbi>::LAYOUT;
        let new = <versions::new::SampleRef as StableAbi>::LAYOUT;
        assert!(
            check_layout_compatibility(new, old).is_err(),
            "abi_stable alone refuses an older plugin"
        );
        assert_eq!(check_layout(new, old), Ok(()));
        assert_eq!(check_layout(old, new), Ok(()));
        assert_eq!(check_layout(new, new), Ok(()));
    }

    #[test]
    fn a_changed_type_is_refused_in_one_line() {
        let new = <versions::new::SampleRef as StableAbi>::LAYOUT;
        let broken = <versions::broken::SampleRef as StableAbi>::LAYOUT;
        for (host, plugin) in [(new, broken), (broken, new)] {
            let HeaderError::Layout(finding) = check_layout(host, plugin).unwrap_err() else {
                panic!("wrong error")
            };
            assert!(finding.len() <= MAX_FINDING_CHARS && finding.contains("f32"), "{finding}");
        }
    }
}
