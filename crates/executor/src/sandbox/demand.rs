//! How much protection an executor demands before it runs a program.

use azr_plugin::{ErrorCode, PluginError, Protection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the protection that [`Demand::Default`] insists on: the strict system-call filter of programs.
pub const SECCOMP_PROGRAM: &str = "seccomp-program";

/// How much protection is demanded. An executor that has less refuses to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// Every protection.
    Strict,
    /// The system-call filter of programs; what else is missing is told and does without.
    #[default]
    Default,
    /// Whatever there is. For programs that are trusted.
    Any,
}

impl Demand {
    /// Checks what is in force against what is demanded.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`], which names all that is demanded and missing, and why.
    pub fn check(self, protections: &[Protection]) -> Result<(), PluginError> {
        let missing: Vec<String> = protections
            .iter()
            .filter(|protection| !protection.in_force && self.includes(&protection.name))
            .map(|protection| format!("{} ({})", protection.name, protection.detail))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (demanded, way_out) = match self {
            Self::Strict => ("strict", "default\" (the system-call filter alone is required"),
            Self::Default | Self::Any => ("default", "any\" (only for programs that you trust"),
        };
        let message = format!(
            "sandbox = \"{demanded}\" demands protections that are missing here: {}",
            missing.join("; ")
        );
        Err(PluginError::new(ErrorCode::Unavailable, message).with_hint(format!(
            "run on a machine that has them, or set the executor's option sandbox = \"{way_out})"
        )))
    }

    fn includes(self, name: &str) -> bool {
        match self {
            Self::Strict => true,
            Self::Default => name == SECCOMP_PROGRAM,
            Self::Any => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named() {
        let entry = |name: &str, in_force| Protection {
            name: name.to_owned(),
            in_force,
            detail: format!("about {name}"),
        };
        let degraded =
            [entry("landlock", false), entry(SECCOMP_PROGRAM, true), entry("pid-namespace", false)];
        let error = Demand::Strict.check(&degraded).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
        let message = error.to_string();
        for text in ["landlock (about landlock)", "pid-namespace", "sandbox = \"strict\""] {
            assert!(message.contains(text), "{message}");
        }
        assert!(!message.contains(SECCOMP_PROGRAM));
        assert!(error.hint.is_some_and(|hint| hint.contains("sandbox = \"default\"")));
        assert_eq!(Demand::Default.check(&degraded), Ok(()));
        let bare = [entry(SECCOMP_PROGRAM, false)];
        let error = Demand::Default.check(&bare).unwrap_err();
        assert!(error.hint.is_some_and(|hint| hint.contains("sandbox = \"any\"")));
        assert_eq!(Demand::Any.check(&bare), Ok(()));
    }
}
