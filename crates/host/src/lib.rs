//! Finds, checks, loads and registers azr plugins; built-in ones are used through the very same objects.
//!
//! ```text
//! let mut host = Host::new();
//! host.register_builtin(azr_domain_code::plugin_module())?;
//! host.load_file("plugins/libmaze.so")?;
//! let executor = host.create_executor("cpython", json!({}))?;
//! let domain = host.create_domain("maze", json!({"size": 7}), executor)?;
//! ```
//!
//! No code of a file runs before it was found to be a sound plugin for this host, see [`Host::load_file`].
//! A loaded plugin stays loaded until the process ends; it is trusted code and shares the process.

mod check;
mod error;
mod inspect;
mod load;
mod options;
mod registry;
mod search;

pub use check::CheckSettings;
pub use error::HostError;
pub use registry::{EngineListing, Host, Origin};
pub use search::search_path;
