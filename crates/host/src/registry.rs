//! The host: which engines there are, where each comes from, and how one is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azr_plugin::bridge::{Module, PluginModuleRef};
use azr_plugin::manifest::{Manifest, is_engine_name};
use azr_plugin::{
    Backend, Domain, EngineInfo, EngineKind, Executor, ExecutorSource, PluginError, RlOptimizer,
    Services, Tokenizer,
};
use serde_json::Value;

use crate::HostError;
use crate::load::{Loaded, load};
use crate::options::{check, suggest};
use crate::search::{check_owner, plugin_files};

/// Where an engine comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Linked into this program.
    BuiltIn,
    /// Loaded from this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("(built in)"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// One line of [`Host::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineListing {
    /// The engine's kind.
    pub kind: EngineKind,
    /// Its name, unique within the kind.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// One line that tells what it is.
    pub summary: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it took the place of a built-in engine of the same name.
    pub replaces_builtin: bool,
}

/// The engines of this process.
#[derive(Debug, Default)]
pub struct Host {
    engines: BTreeMap<(EngineKind, String), Entry>,
    files: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone)]
struct Entry {
    info: EngineInfo,
    module: Module,
    origin: Origin,
    replaces_builtin: bool,
}

/// How a file came to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// The user named it: it may replace a built-in engine.
    Named,
    /// It was found on the search path.
    Found,
}

impl Host {
    /// A host without engines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a plugin that is linked into this program; `module` is its `plugin_module()`.
    ///
    /// # Errors
    /// When an engine of the same kind and name is there already.
    pub fn register_builtin(&mut self, module: PluginModuleRef) -> Result<(), HostError> {
        let text = Module::new(module, "").manifest_json();
        let manifest = Manifest::from_json(&text).map_err(|error| HostError::Inconsistent {
            origin: Origin::BuiltIn,
            reason: error.to_string(),
        })?;
        let module = Module::new(module, &manifest.id);
        self.register(Loaded { module, manifest }, &Origin::BuiltIn, Wish::Found)
    }

    /// Loads the plugin file that the user named. Its engines replace built-in ones of the same kind and name;
    /// the second of two equal files is not loaded again.
    ///
    /// The file's bytes are checked first (a shared library for this machine, whole, with a sound manifest of this
    /// ABI, built with `panic = "unwind"`); then a private copy of them is loaded, and every type's layout compared.
    ///
    /// # Errors
    /// When the file is no plugin for this host, or another loaded plugin brings one of its engines.
    pub fn load_file(&mut self, path: impl AsRef<Path>) -> Result<(), HostError> {
        self.load(path.as_ref(), Wish::Named)
    }

    /// Loads what is in `directories` (usually [`search_path`](crate::search_path)), after the files that the user
    /// named: these plugins replace nothing. A file is left out when it or its directory can be written to by its
    /// group or by all users, or belongs to neither root nor the user this process acts as.
    ///
    /// Returns why files were left out; nothing of such a file is registered.
    pub fn discover(&mut self, directories: &[PathBuf]) -> Vec<HostError> {
        let files = directories.iter().flat_map(|entry| plugin_files(entry));
        files
            .filter_map(|path| {
                check_owner(&path).and_then(|()| self.load(&path, Wish::Found)).err()
            })
            .collect()
    }

    /// Every engine, in the order of kinds and names.
    pub fn list(&self) -> Vec<EngineListing> {
        let listing = |entry: &Entry| EngineListing {
            kind: entry.info.kind,
            name: entry.info.name.clone(),
            version: entry.info.version.clone(),
            summary: entry.info.summary.clone(),
            origin: entry.origin.clone(),
            replaces_builtin: entry.replaces_builtin,
        };
        self.engines.values().map(listing).collect()
    }

    /// What an engine says about itself.
    ///
    /// # Errors
    /// When there is no such engine.
    pub fn info(&self, kind: EngineKind, name: &str) -> Result<&EngineInfo, HostError> {
        Ok(&self.entry(kind, name)?.info)
    }

    /// Makes a tokenizer.
    ///
    /// # Errors
    /// When there is no such engine, `options` do not match its schema, or its constructor fails.
    pub fn create_tokenizer(
        &self,
        name: &str,
        options: Value,
    ) -> Result<Arc<dyn Tokenizer>, HostError> {
        self.create(EngineKind::Tokenizer, name, &options, |module| {
            module.create_tokenizer(name, &options)
        })
    }

    /// Makes a backend.
    ///
    /// # Errors
    /// When there is no such engine, `options` do not match its schema, or its constructor fails.
    pub fn create_backend(
        &self,
        name: &str,
        options: Value,
    ) -> Result<Arc<dyn Backend>, HostError> {
        self.create(EngineKind::Backend, name, &options, |module| {
            module.create_backend(name, &options)
        })
    }

    /// Makes an executor. It may be made of others of this host: those that are there now.
    ///
    /// # Errors
    /// When there is no such engine, `options` do not match its schema, or its constructor fails.
    pub fn create_executor(
        &self,
        name: &str,
        options: Value,
    ) -> Result<Arc<dyn Executor>, HostError> {
        let services = Services { executors: Some(self.executors()), ..Services::default() };
        self.create(EngineKind::Executor, name, &options, |module| {
            module.create_executor(name, &options, &services)
        })
    }

    /// Makes a domain that runs its programs through `executor`.
    ///
    /// # Errors
    /// When there is no such engine, `options` do not match its schema, or its constructor fails.
    pub fn create_domain(
        &self,
        name: &str,
        options: Value,
        executor: Arc<dyn Executor>,
    ) -> Result<Arc<dyn Domain>, HostError> {
        let services = Services { executor: Some(executor), ..Services::default() };
        self.create(EngineKind::Domain, name, &options, |module| {
            module.create_domain(name, &options, &services)
        })
    }

    /// Makes an RL optimizer.
    ///
    /// # Errors
    /// When there is no such engine, `options` do not match its schema, or its constructor fails.
    pub fn create_optimizer(
        &self,
        name: &str,
        options: Value,
    ) -> Result<Arc<dyn RlOptimizer>, HostError> {
        self.create(EngineKind::Optimizer, name, &options, |module| {
            module.create_optimizer(name, &options)
        })
    }

    /// The executors, as a source that can be lent.
    fn executors(&self) -> Arc<dyn ExecutorSource> {
        let is_executor = |key: &(EngineKind, String)| key.0 == EngineKind::Executor;
        let engines = self.engines.iter().filter(|(key, _)| is_executor(key));
        let engines = engines.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Arc::new(Self { engines, files: BTreeSet::new() })
    }

    fn create<T: ?Sized>(
        &self,
        kind: EngineKind,
        name: &str,
        options: &Value,
        make: impl FnOnce(&Module) -> Result<Arc<T>, PluginError>,
    ) -> Result<Arc<T>, HostError> {
        let entry = self.entry(kind, name)?;
        check(&entry.info, options)?;
        make(&entry.module).map_err(|source| HostError::Create {
            kind,
            name: name.into(),
            origin: entry.origin.clone(),
            source,
        })
    }

    fn entry(&self, kind: EngineKind, name: &str) -> Result<&Entry, HostError> {
        self.engines.get(&(kind, name.to_owned())).ok_or_else(|| {
            let names =
                || self.engines.keys().filter(|key| key.0 == kind).map(|key| key.1.as_str());
            let known = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            HostError::UnknownEngine {
                kind,
                name: name.into(),
                suggestion: suggest(name, names()),
                known: if known.is_empty() { "none".into() } else { known },
            }
        })
    }

    fn load(&mut self, path: &Path, wish: Wish) -> Result<(), HostError> {
        let canonical = path
            .canonicalize()
            .map_err(|error| HostError::Read { path: path.into(), reason: error.to_string() })?;
        if self.files.contains(&canonical) {
            return Ok(());
        }
        let origin = Origin::File(path.into());
        let plugin = load(path, |manifest| self.check_conflicts(manifest, &origin, wish))?;
        self.register(plugin, &origin, wish)?;
        self.files.insert(canonical);
        Ok(())
    }

    /// Fails if the manifest promises an engine that is there already: no code of such a file is to run.
    fn check_conflicts(
        &self,
        manifest: &Manifest,
        origin: &Origin,
        wish: Wish,
    ) -> Result<(), HostError> {
        for engine in &manifest.engines {
            let kind = EngineKind::ALL.into_iter().find(|kind| kind.as_str() == engine.kind);
            if let Some(kind) = kind {
                self.replaces_builtin(&(kind, engine.name.clone()), origin, wish)?;
            }
        }
        Ok(())
    }

    /// Whether an engine takes the place of a built-in one; fails where it may not take the place of another.
    fn replaces_builtin(
        &self,
        key: &(EngineKind, String),
        origin: &Origin,
        wish: Wish,
    ) -> Result<bool, HostError> {
        match self.engines.get(key) {
            None => Ok(false),
            Some(entry) if entry.origin == Origin::BuiltIn && wish == Wish::Named => Ok(true),
            Some(entry) => Err(duplicate(key, &entry.origin, origin)),
        }
    }

    /// Adds all engines of a plugin, or none.
    fn register(&mut self, plugin: Loaded, origin: &Origin, wish: Wish) -> Result<(), HostError> {
        let infos = plugin
            .module
            .engines()
            .map_err(|source| HostError::Describe { origin: origin.clone(), source })?;
        check_description(&plugin.manifest, &infos)
            .map_err(|reason| HostError::Inconsistent { origin: origin.clone(), reason })?;
        let mut added = BTreeMap::new();
        for info in infos {
            let key = (info.kind, info.name.clone());
            let replaces_builtin = self.replaces_builtin(&key, origin, wish)?;
            let entry = Entry {
                info,
                module: plugin.module.clone(),
                origin: origin.clone(),
                replaces_builtin,
            };
            added.insert(key, entry);
        }
        self.engines.append(&mut added);
        Ok(())
    }
}

impl ExecutorSource for Host {
    fn executor(&self, name: &str, options: &Value) -> Result<Arc<dyn Executor>, PluginError> {
        self.create_executor(name, options.clone()).map_err(PluginError::from)
    }
}

/// The engines that a plugin describes must be those of its manifest, each with a proper name.
fn check_description(manifest: &Manifest, infos: &[EngineInfo]) -> Result<(), String> {
    let described: Vec<(&str, &str)> =
        infos.iter().map(|info| (info.kind.as_str(), info.name.as_str())).collect();
    let promised: Vec<(&str, &str)> = manifest
        .engines
        .iter()
        .map(|engine| (engine.kind.as_str(), engine.name.as_str()))
        .collect();
    if described != promised {
        return Err(format!("its manifest lists {promised:?}, but it describes {described:?}"));
    }
    if let Some((kind, name)) = described.iter().find(|(_, name)| !is_engine_name(name)) {
        return Err(format!(
            "{kind} {name:?} is no engine name (lower-case letters, digits, `-` and `+`)"
        ));
    }
    let distinct: BTreeSet<_> = described.iter().collect();
    if distinct.len() != described.len() {
        return Err(format!("it brings an engine twice: {described:?}"));
    }
    Ok(())
}

fn duplicate((kind, name): &(EngineKind, String), first: &Origin, second: &Origin) -> HostError {
    let hint = match first {
        Origin::BuiltIn => {
            "name the file with `--plugin` to put it in the place of the built-in one"
        }
        Origin::File(_) => "leave one of them out, or give its engine another name",
    };
    HostError::Duplicate {
        kind: *kind,
        name: name.clone(),
        first: first.clone(),
        second: second.clone(),
        hint,
    }
}
