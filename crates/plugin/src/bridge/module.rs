//! A plugin's root module, made from the tables that `export!` writes.

use std::sync::Arc;

use azr_abi::abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult};
use azr_abi::abi_stable::marker_type::ErasedPrefix;
use azr_abi::abi_stable::prefix_type::{PrefixRefTrait, PrefixTypeTrait};
use azr_abi::abi_stable::std_types::{RResult, RStr, RString, RVec};
use azr_abi::{
    self as abi, AbiResult, BackendObject, DomainObject, ExecutorObject, OptimizerObject,
    PluginModule, PluginModuleRef, TokenizerObject,
};

use super::guard::{guard, guard_abi, install_quiet_hook};
use super::{label, lend, remote};
use crate::{
    Backend, Domain, Engine, EngineInfo, EngineKind, ErrorCode, Executor, PluginError, Result,
    RlOptimizer, Services, Tokenizer, manifest,
};

/// What a plugin exports.
pub struct Exported {
    /// The plugin's package name.
    pub id: &'static str,
    /// The embedded manifest section.
    pub manifest: &'static [u8],
    /// Its tokenizers.
    pub tokenizers: &'static [Registration<Box<dyn Tokenizer>>],
    /// Its backends.
    pub backends: &'static [Registration<Box<dyn Backend>>],
    /// Its executors.
    pub executors: &'static [Registration<Arc<dyn Executor>>],
    /// Its domains.
    pub domains: &'static [Registration<Box<dyn Domain>>],
    /// Its RL optimizers.
    pub optimizers: &'static [Registration<Box<dyn RlOptimizer>>],
}

/// One engine of a plugin.
pub struct Registration<T> {
    name: &'static str,
    describe: fn() -> EngineInfo,
    create: fn(&str, Services) -> Result<T>,
}

/// Carries the tables of one plugin; `export!` implements it.
pub trait Export: 'static {
    /// The tables.
    fn exported() -> Exported;
}

macro_rules! registrations {
    ($($function:ident: $kind:ident => $pointer:ident<dyn $trait:ident>;)+) => {
        $(#[doc = concat!("Registers an engine of kind `", stringify!($function), "`.")]
        pub const fn $function<E: Engine + $trait>() -> Registration<$pointer<dyn $trait>> {
            Registration {
                name: E::NAME,
                describe: || describe::<E>(EngineKind::$kind),
                create: |options, services| Ok($pointer::new(make::<E>(options, services)?)),
            }
        })+
    };
}

registrations! {
    tokenizer: Tokenizer => Box<dyn Tokenizer>;
    backend: Backend => Box<dyn Backend>;
    executor: Executor => Arc<dyn Executor>;
    domain: Domain => Box<dyn Domain>;
    optimizer: Optimizer => Box<dyn RlOptimizer>;
}

/// The root module of plugin `X`. A few words are leaked per call; a process calls it once per plugin.
pub fn module<X: Export>() -> PluginModuleRef {
    PluginModule {
        manifest_json: manifest_json::<X>,
        engines: engines::<X>,
        create_tokenizer: create_tokenizer::<X>,
        create_backend: create_backend::<X>,
        create_executor: create_executor::<X>,
        create_domain: create_domain::<X>,
        create_optimizer: create_optimizer::<X>,
    }
    .leak_into_prefix()
}

/// The value of plugin `X`'s entry symbol.
#[expect(unsafe_code, reason = "abi_stable erases the root module's type")]
pub const fn header<X: Export>() -> LibHeader {
    // SAFETY: `construct` returns the erased prefix of a `PluginModuleRef`.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(construct::<X>, CheckTypeLayout::Yes) }
}

/// Runs in a loaded plugin only: a built-in one is reached through [`module`], and its panic hook is the host's.
#[expect(unsafe_code, reason = "abi_stable erases the root module's type")]
extern "C" fn construct<X: Export>() -> RootModuleResult {
    install_quiet_hook();
    // SAFETY: the host reads the prefix as a `PluginModuleRef` again, after it has compared the layouts.
    RResult::ROk(unsafe { module::<X>().to_prefix_ref().cast::<ErasedPrefix>() })
}

extern "C" fn manifest_json<X: Export>() -> RStr<'static> {
    RStr::from_str(manifest::json_of(X::exported().manifest).unwrap_or_default())
}

extern "C" fn engines<X: Export>() -> AbiResult<RVec<abi::EngineInfo>> {
    let exported = X::exported();
    guard(&format!("plugin `{}`", exported.id), || {
        let mut infos = Vec::new();
        infos.extend(exported.tokenizers.iter().map(|engine| (engine.describe)()));
        infos.extend(exported.backends.iter().map(|engine| (engine.describe)()));
        infos.extend(exported.executors.iter().map(|engine| (engine.describe)()));
        infos.extend(exported.domains.iter().map(|engine| (engine.describe)()));
        infos.extend(exported.optimizers.iter().map(|engine| (engine.describe)()));
        Ok(infos)
    })
}

macro_rules! constructors {
    ($($function:ident: $kind:ident, $table:ident, $lend:ident => $object:ident;)+) => {
        $(extern "C" fn $function<X: Export>(
            name: RStr<'_>,
            options: RStr<'_>,
            services: abi::Services,
        ) -> AbiResult<$object> {
            let exported = X::exported();
            let label = label(EngineKind::$kind, &name, exported.id);
            guard_abi(&format!("creation of {label}"), || {
                let engine = find(exported.$table, &name, &label)?;
                let engine = (engine.create)(&options, services_from(services)?)?;
                Ok(lend::$lend(label.clone(), engine))
            })
        })+
    };
}

constructors! {
    create_tokenizer: Tokenizer, tokenizers, tokenizer => TokenizerObject;
    create_backend: Backend, backends, backend => BackendObject;
    create_executor: Executor, executors, executor => ExecutorObject;
    create_domain: Domain, domains, domain => DomainObject;
    create_optimizer: Optimizer, optimizers, optimizer => OptimizerObject;
}

/// What the host lends, for a creation call.
pub(super) fn services_to_abi(services: &Services) -> abi::Services {
    let executor = services
        .executor
        .as_ref()
        .map(|lent| lend::executor("the host's executor".into(), Arc::clone(lent)));
    let executors = services
        .executors
        .as_ref()
        .map(|lent| lend::executor_source("the host's executors".into(), Arc::clone(lent)));
    abi::Services {
        executor: executor.into(),
        executors: executors.into(),
        ext_json: RString::new(),
    }
}

fn services_from(services: abi::Services) -> Result<Services> {
    let executor = services
        .executor
        .into_option()
        .map(|object| remote::executor("the host's executor".into(), object));
    let executors = services.executors.into_option().map(remote::executor_source);
    Ok(Services { executor: executor.transpose()?, executors })
}

fn find<'a, T>(
    table: &'a [Registration<T>],
    name: &str,
    label: &str,
) -> Result<&'a Registration<T>> {
    table
        .iter()
        .find(|engine| engine.name == name)
        .ok_or_else(|| PluginError::new(ErrorCode::NotFound, format!("there is no {label}")))
}

fn describe<E: Engine>(kind: EngineKind) -> EngineInfo {
    EngineInfo {
        kind,
        name: E::NAME.into(),
        version: E::VERSION.into(),
        summary: E::SUMMARY.into(),
        capabilities: E::capabilities(),
        options_schema: schemars::schema_for!(E::Options).to_value(),
    }
}

fn make<E: Engine>(options: &str, services: Services) -> Result<E> {
    let options = serde_json::from_str(options).map_err(|error| {
        PluginError::new(
            ErrorCode::InvalidConfig,
            format!("wrong options for `{}`: {error}", E::NAME),
        )
    })?;
    E::create(options, services)
}

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exported").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Registration<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("name", &self.name).finish_non_exhaustive()
    }
}
