//! What can be wrong with a plugin, a choice of engine or its options.

use std::path::PathBuf;

use azr_plugin::bridge::HeaderError;
use azr_plugin::manifest::ManifestError;
use azr_plugin::{EngineKind, ErrorCode, PluginError};

use crate::Origin;

/// An error of the plugin host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The file cannot be read.
    #[error("cannot read plugin `{}`: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The path names a directory or a device.
    #[error("plugin `{}` is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file that nobody named can be changed by somebody other than root and this user.
    #[error(
        "plugin `{}` is left out: {who} can write to `{}`\nhint: make both the file and its directory writable by you alone (chown, chmod go-w), or name the file with `--plugin`",
        path.display(), place.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// The file or its directory.
        place: PathBuf,
        /// Who can write to it.
        who: &'static str,
    },
    /// The file is no shared library.
    #[error("`{}` is not a plugin: {reason}\nhint: give the shared library (.so) that cargo built", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The library was built for another kind of machine.
    #[error("plugin `{}` was built for {found}, but this is {host}\nhint: build it on this machine", path.display())]
    WrongMachine {
        /// The file.
        path: PathBuf,
        /// Its machine.
        found: String,
        /// This machine.
        host: String,
    },
    /// The file ends before its content does.
    #[error(
        "plugin `{}` is cut short: its content needs {needed} bytes, it has {found}\nhint: copy or build it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that its segments reach to.
        needed: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The library has no azr manifest.
    #[error(
        "`{}` is a shared library, but not an azr plugin\nhint: a plugin calls azr_plugin::export!",
        path.display()
    )]
    NotAPlugin {
        /// The file.
        path: PathBuf,
    },
    /// The manifest cannot be used.
    #[error("plugin `{}` cannot be used: {reason}\nhint: build it again with a current azr-plugin", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: ManifestError,
    },
    /// The plugin was built for another major version of the ABI.
    #[error(
        "plugin `{id}` ({}) was built for plugin ABI {found}, this program has {host}\nhint: build it with a matching azr-plugin",
        path.display()
    )]
    AbiVersion {
        /// The file.
        path: PathBuf,
        /// The plugin.
        id: String,
        /// Its version.
        found: String,
        /// The host's version.
        host: String,
    },
    /// A panic of the plugin would end the process.
    #[error(
        "plugin `{id}` ({}) was built with panic=abort\nhint: build it with panic = \"unwind\" in its cargo profile",
        path.display()
    )]
    PanicAbort {
        /// The file.
        path: PathBuf,
        /// The plugin.
        id: String,
    },
    /// The system's loader refused the library.
    #[error("cannot load plugin `{}`: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library's types or its root module do not fit.
    #[error(
        "plugin `{id}` ({}) was built for plugin ABI {found} and does not fit this program, which has {host}: {reason}\nhint: build it with this program's azr-plugin",
        path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The plugin.
        id: String,
        /// The version of the ABI that it says it was built for.
        found: String,
        /// The host's version.
        host: String,
        /// What differs.
        reason: Box<HeaderError>,
    },
    /// What a plugin says about itself is contradictory.
    #[error(
        "plugin {origin} contradicts itself: {reason}\nhint: report this to the plugin's author"
    )]
    Inconsistent {
        /// The plugin.
        origin: Origin,
        /// The contradiction.
        reason: String,
    },
    /// A plugin failed to describe its engines.
    #[error("plugin {origin} cannot describe its engines")]
    Describe {
        /// The plugin.
        origin: Origin,
        /// What it answered.
        source: PluginError,
    },
    /// Two plugins bring an engine of the same kind and name.
    #[error("two plugins bring {kind} `{name}`: {first} and {second}\nhint: {hint}")]
    Duplicate {
        /// Kind of the engine.
        kind: EngineKind,
        /// Its name.
        name: String,
        /// The plugin that was there.
        first: Origin,
        /// The plugin that came later.
        second: Origin,
        /// The way out.
        hint: &'static str,
    },
    /// No plugin brings the engine.
    #[error("there is no {kind} `{name}`{suggestion}\nhint: there are {known}")]
    UnknownEngine {
        /// Kind that was asked for.
        kind: EngineKind,
        /// Name that was asked for.
        name: String,
        /// `; did you mean …?`, or nothing.
        suggestion: String,
        /// The names there are, or `none`.
        known: String,
    },
    /// The options do not match the engine's schema.
    #[error("wrong option for {kind} `{name}` at `{pointer}`: {problem}{suggestion}")]
    Options {
        /// Kind of the engine.
        kind: EngineKind,
        /// Its name.
        name: String,
        /// JSON pointer into the options; `/` is the whole.
        pointer: String,
        /// What is wrong there.
        problem: String,
        /// A hint, or nothing.
        suggestion: String,
    },
    /// The engine's option schema is no valid JSON schema.
    #[error(
        "the option schema of {kind} `{name}` is wrong: {reason}\nhint: report this to the plugin's author"
    )]
    Schema {
        /// Kind of the engine.
        kind: EngineKind,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine could not be made.
    #[error("cannot create {kind} `{name}` of plugin {origin}")]
    Create {
        /// Kind of the engine.
        kind: EngineKind,
        /// Its name.
        name: String,
        /// Its plugin.
        origin: Origin,
        /// What it answered.
        source: PluginError,
    },
}

impl HostError {
    /// Whether what the user wrote is wrong: a file, a name or an option, rather than that something failed.
    pub const fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Inconsistent { .. }
                | Self::Describe { .. }
                | Self::Schema { .. }
                | Self::Create { .. }
        )
    }
}

/// For an engine that asked the host for another one.
impl From<HostError> for PluginError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Create { source, .. } => source,
            error => Self::new(ErrorCode::InvalidConfig, error.to_string()),
        }
    }
}
