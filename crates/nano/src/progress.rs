//! How far pre-training is, on disk: an hour of training is not lost to a kill.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use azr_plugin::Policy;
use serde::{Deserialize, Serialize};

use crate::pretrain::Recipe;

const FILE: &str = "progress.json";

/// What is done of a recipe. Documents are a function of their number, so nothing else has to be remembered but the
/// policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    recipe: Recipe,
    /// Digest of what the recipe does not say: see [`crate::pretrain`].
    corpus: String,
    pub(crate) n_plans_done: u64,
    pub(crate) n_updates: u64,
    pub(crate) n_tokens: u64,
    /// Lines of the loss curve.
    pub(crate) curve: Vec<String>,
}

impl Progress {
    pub(crate) fn new(recipe: &Recipe, corpus: &str) -> Self {
        let (recipe, corpus) = (recipe.clone(), corpus.to_owned());
        Self { recipe, corpus, n_plans_done: 0, n_updates: 0, n_tokens: 0, curve: Vec::new() }
    }

    /// What was begun in `work`, if anything was saved.
    pub(crate) fn open(work: &Path, recipe: &Recipe, corpus: &str) -> Result<Option<Self>> {
        let file = work.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let progress: Self =
            serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?;
        ensure!(
            progress.recipe == *recipe && progress.corpus == corpus,
            "{} holds an unfinished model of another recipe, generator or held-out set; remove it to begin anew",
            work.display()
        );
        Ok(Some(progress))
    }

    /// Where the policy of this state lies, if one was saved.
    pub(crate) fn saved(&self, work: &Path) -> Option<PathBuf> {
        (self.n_plans_done > 0).then(|| work.join(format!("after-{}", self.n_plans_done)))
    }

    /// Saves the state; the one before it is removed when this one is complete.
    pub(crate) fn save(&self, work: &Path, policy: &dyn Policy) -> Result<()> {
        let Some(folder) = self.saved(work) else { return Ok(()) };
        policy.save(&folder, true)?;
        let (file, new) = (work.join(FILE), work.join("progress.json.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, file)?;
        for entry in fs::read_dir(work)? {
            let path = entry?.path();
            if path.is_dir() && path != folder {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}
