//! Fetching a repository of the model hub with `curl`.
//!
//! The hub's listing of a repository gives its commit, its files, their sizes and, for large files, their SHA-256
//! sums. All files are then fetched at that one commit. An interrupted pull resumes where it stopped, as long as the
//! repository is still at the same commit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde::Deserialize;

use super::process::{self, Tool};
use super::{PullProgress, Staging, packages};
use crate::hf_directory::{self, is_plain_file_name};
use crate::{ModelFile, WeightsError, atomic, hf_config};

const CURL: Tool = Tool {
    name: "curl",
    install_hint: "install curl, or fetch the files yourself and give the path of their folder",
};
/// The hub that is asked unless `HF_ENDPOINT` names another.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// The listing of a repository with thousands of files.
const MAX_LISTING_BYTES: u64 = 16 << 20;
/// Files other than weights; the largest tokenizers have about 35 MB.
const MAX_SMALL_FILE_BYTES: u64 = 256 << 20;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Fetched where the repository has them.
const OPTIONAL_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];
/// Names the commit that the staging folder is at.
const REVISION_MARK: &str = ".revision";

/// The folder name of `ORG/REPO`: `ORG--REPO`.
pub(super) fn folder_name(repository: &str) -> Result<String, WeightsError> {
    let parts = repository.split_once('/').filter(|(organization, name)| {
        [organization, name].iter().all(|part| is_plain_file_name(part) && !part.contains("--"))
    });
    match parts {
        Some((organization, name)) => Ok(format!("{organization}--{name}")),
        None => Err(WeightsError::CannotPull {
            name: format!("hf:{repository}"),
            reason: "it has not the form hf:ORG/REPO".into(),
            hint: "give organization and repository as the hub shows them, for example hf:HuggingFaceTB/SmolLM2-135M"
                .into(),
        }),
    }
}

/// A model hub.
pub(super) struct Hub {
    endpoint: String,
    token: Option<String>,
}

impl Hub {
    /// The hub that `HF_ENDPOINT` and `HF_TOKEN` name.
    pub(super) fn from_environment() -> Result<Self, WeightsError> {
        let variable = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
        Self::new(
            variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.into()),
            variable("HF_TOKEN"),
        )
    }

    /// A hub at `endpoint`. Both values end up in curl's config, so neither may hold quotes or line breaks.
    fn new(endpoint: String, token: Option<String>) -> Result<Self, WeightsError> {
        let harmless = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        if !harmless(&endpoint)
            || !(endpoint.starts_with("https://") || endpoint.starts_with("http://"))
        {
            return Err(CURL.error(
                "HF_ENDPOINT is not an http address",
                "set it to an address, or not at all",
            ));
        }
        if token.as_deref().is_some_and(|token| !harmless(token)) {
            return Err(CURL
                .error("HF_TOKEN holds characters that no token has", "set it to the bare token"));
        }
        Ok(Self { endpoint: endpoint.trim_end_matches('/').into(), token })
    }

    /// Fetches `repository` into `directory` unless a readable model is there.
    pub(super) fn pull(
        &self,
        directory: &Path,
        repository: &str,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<PathBuf, WeightsError> {
        let name = folder_name(repository)?;
        let target = directory.join(&name);
        if ModelFile::open(&target).is_ok() {
            return Ok(target);
        }
        let staging = Staging::open(directory, &name)?;
        let listing = self.list(&staging, repository)?;
        let mark = staging.path.join(REVISION_MARK);
        if fs::read_to_string(&mark).ok().as_ref() != Some(&listing.sha) {
            staging.clear()?;
            atomic::write_file(&mark, listing.sha.as_bytes())?;
        }
        let mut pull =
            Pull { hub: self, repository, listing, folder: staging.path.clone(), progress };
        pull.fetch_all()?;
        if let Err(error) = ModelFile::open(&staging.path) {
            // Resuming from files that are complete and wrong would fail the same way for ever.
            staging.clear()?;
            return Err(error);
        }
        fs::remove_file(&mark).map_err(WeightsError::io("remove", &mark))?;
        staging.publish()
    }

    fn list(&self, staging: &Staging, repository: &str) -> Result<Listing, WeightsError> {
        let path = staging.path.join(".listing.json");
        let url = format!("{}/api/models/{repository}?blobs=true", self.endpoint);
        self.download(&url, &path, Some(MAX_LISTING_BYTES), &mut || ())?;
        let text = hf_directory::read_text(&path, MAX_LISTING_BYTES)?;
        fs::remove_file(&path).map_err(WeightsError::io("remove", &path))?;
        let listing: Listing = serde_json::from_str(&text).map_err(|error| {
            CURL.error(format!("{url} is no listing of a repository: {error}"), "check HF_ENDPOINT")
        })?;
        if listing.sha.is_empty() || !listing.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CURL.error(format!("{url} names no commit"), "check HF_ENDPOINT"));
        }
        Ok(listing)
    }

    /// Downloads `url` to `path`, resuming what is at `path` already.
    fn download(
        &self,
        url: &str,
        path: &Path,
        max_bytes: Option<u64>,
        tick: &mut dyn FnMut(),
    ) -> Result<(), WeightsError> {
        let resuming = fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
        let (code, stderr) = self.curl(url, path, max_bytes, resuming, tick)?;
        if code == Some(0) {
            return Ok(());
        }
        // 33: the server cannot resume; HTTP 416: there is nothing left to resume. Start over.
        if resuming && (code == Some(33) || stderr.contains("416")) {
            fs::remove_file(path).map_err(WeightsError::io("remove", path))?;
            let (code, stderr) = self.curl(url, path, max_bytes, false, tick)?;
            return if code == Some(0) { Ok(()) } else { Err(self.failure(url, code, &stderr)) };
        }
        Err(self.failure(url, code, &stderr))
    }

    fn curl(
        &self,
        url: &str,
        path: &Path,
        max_bytes: Option<u64>,
        resuming: bool,
        tick: &mut dyn FnMut(),
    ) -> Result<(Option<i32>, String), WeightsError> {
        // A secure hub may not redirect to an insecure address.
        let protocols = if self.endpoint.starts_with("https:") { "=https" } else { "=http,https" };
        // The config goes through standard input: a command line, and so a token on it, is public on a machine.
        let mut config = format!(
            "url = \"{url}\"\nfail\nsilent\nshow-error\nlocation\nmax-redirs = 10\nproto = \"{protocols}\"\n\
             connect-timeout = 30\nspeed-limit = 1\nspeed-time = 60\nretry = 3\n"
        );
        if let Some(token) = &self.token {
            config += &format!("header = \"Authorization: Bearer {token}\"\n");
        }
        if let Some(max_bytes) = max_bytes {
            config += &format!("max-filesize = {max_bytes}\n");
        }
        if resuming {
            config += "continue-at = \"-\"\n";
        }
        CURL.run(Command::new("curl").args(["--config", "-", "--output"]).arg(path), &config, tick)
    }

    fn failure(&self, url: &str, code: Option<i32>, stderr: &str) -> WeightsError {
        let hint = match code {
            Some(6 | 7 | 28 | 35 | 56) => {
                "check the network; HF_ENDPOINT can name another hub. \
                Pull again to go on where it stopped"
            }
            Some(22)
                if stderr.contains("401") || stderr.contains("403") || stderr.contains("404") =>
            {
                "check the spelling; for a private or gated repository set HF_TOKEN to a token that may read it"
            }
            Some(23) => {
                "free space on the disk of the models folder, or set AZR_MODELS to another place"
            }
            Some(60) => {
                "the hub's certificate is not trusted on this machine: check its certificates and proxy"
            }
            Some(63) => "the file is larger than announced or than such a file may be",
            _ => "pull again to go on where it stopped",
        };
        // Each retry says the same again.
        CURL.error(format!("{url}: {}", stderr.lines().last().unwrap_or("no reason given")), hint)
    }
}

/// What the hub tells about a repository.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: String,
}

impl Listing {
    fn find(&self, name: &str) -> Option<&ListedFile> {
        self.siblings.iter().find(|file| file.rfilename == name)
    }
}

/// One pull of one repository.
struct Pull<'a> {
    hub: &'a Hub,
    repository: &'a str,
    listing: Listing,
    folder: PathBuf,
    progress: &'a mut dyn FnMut(PullProgress),
}

impl Pull<'_> {
    /// Fetches the config first: an unsupported model shall not cost gigabytes.
    fn fetch_all(&mut self) -> Result<(), WeightsError> {
        let weights = if self.listing.find(WEIGHTS).is_some() { WEIGHTS } else { INDEX };
        for name in [CONFIG, weights] {
            if self.listing.find(name).is_none() {
                return Err(WeightsError::CannotPull {
                    name: format!("hf:{}", self.repository),
                    reason: format!("the repository has no {name}"),
                    hint: "choose a repository with safetensors weights (or download a .gguf file and give its path)"
                        .into(),
                });
            }
        }
        let optional = OPTIONAL_FILES.iter().filter(|name| self.listing.find(name).is_some());
        let mut names: Vec<String> =
            [CONFIG].iter().chain(optional).map(ToString::to_string).collect();
        if weights == INDEX {
            names.push(INDEX.into());
        }
        for name in &names {
            self.fetch(name, Some(MAX_SMALL_FILE_BYTES), &names)?;
            if name == CONFIG {
                let path = self.folder.join(CONFIG);
                hf_config::parse(&hf_directory::read_text(&path, MAX_SMALL_FILE_BYTES)?)
                    .map_err(|flaw| flaw.at(&path))?;
            }
        }
        let shards: Vec<String> = if weights == INDEX {
            let path = self.folder.join(INDEX);
            let index = hf_directory::read_text(&path, MAX_SMALL_FILE_BYTES)?;
            hf_directory::shards(&index).map_err(|flaw| flaw.at(&path))?.into_iter().collect()
        } else {
            vec![WEIGHTS.into()]
        };
        names.extend(shards.iter().cloned());
        for name in &shards {
            self.fetch(name, None, &names)?;
        }
        Ok(())
    }

    /// Fetches one file under a `.part` name, checks it, and gives it its own name.
    /// `names` are all files whose sizes the progress shall count.
    fn fetch(
        &mut self,
        name: &str,
        max_bytes: Option<u64>,
        names: &[String],
    ) -> Result<(), WeightsError> {
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let part = self.folder.join(format!("{name}.part"));
        let url = format!(
            "{}/{}/resolve/{}/{name}",
            self.hub.endpoint, self.repository, self.listing.sha
        );
        let total_bytes = names.iter().map(|name| self.listing.find(name)?.size).sum();
        let (folder, progress) = (&self.folder, &mut self.progress);
        self.hub.download(&url, &part, max_bytes, &mut || {
            let what = name.to_string();
            progress(PullProgress { what, done_bytes: process::size_of(folder), total_bytes });
        })?;
        if let Some(error) = self.difference(name, &part)? {
            fs::remove_file(&part).map_err(WeightsError::io("remove", &part))?;
            return Err(error);
        }
        fs::rename(&part, &path).map_err(WeightsError::io("create", &path))
    }

    /// How the fetched file differs from the listed one, if it does.
    fn difference(&self, name: &str, path: &Path) -> Result<Option<WeightsError>, WeightsError> {
        let Some(listed) = self.listing.find(name) else { return Ok(None) };
        let wrong = |what, found: String, expected: &str| {
            Some(WeightsError::WrongContent {
                file: name.into(),
                what,
                found,
                expected: expected.into(),
            })
        };
        let n_bytes = fs::metadata(path).map_err(WeightsError::io("read", path))?.len();
        if let Some(expected) = listed.size.filter(|&expected| expected != n_bytes) {
            return Ok(wrong("size", n_bytes.to_string(), &expected.to_string()));
        }
        if let Some(large) = &listed.lfs {
            let found = packages::sha256_of(path)?;
            if found != large.sha256 {
                return Ok(wrong("SHA-256", found, &large.sha256));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
