//! `cargo xtask new-plugin`: writes a crate outside the workspace that depends on `azr-plugin` only.
//!
//! The files under `templates/` are real Rust for a plugin called `my-plugin`; its name, the kind's name and the path of
//! `azr-plugin` are all that is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::say;

/// A file's place in the plugin, and its template.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($file:literal),*) => {
        &[$(($file, include_str!(concat!("../templates/", $folder, "/", $file)))),*]
    };
}

/// Files of every plugin.
const COMMON: &[File] = files!("common": "Cargo.toml", "README.md", ".gitignore", "rustfmt.toml");

/// Files of each kind of engine, in the order in which `azr plugins list` shows the kinds.
const KINDS: [(&str, &[File]); 5] = [
    ("tokenizer", files!("tokenizer": "src/lib.rs", "tests/conformance.rs")),
    ("backend", files!("backend": "src/lib.rs", "src/model.rs", "tests/conformance.rs")),
    ("executor", files!("executor": "src/lib.rs", "tests/memory.rs")),
    ("domain", files!("domain": "src/lib.rs", "tests/conformance.rs")),
    ("optimizer", files!("optimizer": "src/lib.rs", "tests/conformance.rs")),
];

/// Names that make no crate: cargo refuses them, or the crate would hide one that its code needs.
const RESERVED: [&str; 22] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "azr-plugin",
    "break",
    "const",
    "core",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "proc-macro",
    "std",
    "test",
    "self",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Plan<'a> {
    name: &'a str,
    kind: &'a str,
    path: PathBuf,
}

/// Writes the plugin that `arguments` ask for and says what to do with it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let plan = Plan::parse(arguments)?;
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root =
        crates.canonicalize().with_context(|| format!("cannot find {}", crates.display()))?;
    write(&plan, &root)?;
    say(&format!(
        "made {}: the {} `{}`\ntry: cd {} && cargo test && cargo build --release\n",
        plan.path.display(),
        plan.kind,
        plan.name,
        plan.path.display(),
    ));
    Ok(())
}

impl<'a> Plan<'a> {
    fn parse(arguments: &'a [String]) -> Result<Self> {
        let (mut name, mut kind, mut path) = (None, None, None);
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                _ => (argument, None),
            };
            let place = match flag {
                "--kind" => &mut kind,
                "--path" => &mut path,
                flag if flag.starts_with('-') => bail!("unknown option `{flag}`; {USAGE}"),
                name_given => {
                    if name.replace(name_given).is_some() {
                        bail!("one plugin has one name, `{name_given}` is a second one; {USAGE}");
                    }
                    continue;
                }
            };
            let Some(value) = inline.or_else(|| rest.next()) else {
                bail!("`{flag}` needs a value; {USAGE}");
            };
            *place = Some(value);
        }
        let Some(name) = name else { bail!("the plugin needs a name; {USAGE}") };
        check_name(name)?;
        let Some(kind) = kind else { bail!("`--kind` is missing; {USAGE}") };
        if !KINDS.iter().any(|(known, _)| *known == kind) {
            let kinds = KINDS.map(|(known, _)| known).join(", ");
            bail!("there is no kind `{kind}`; the kinds are {kinds}");
        }
        Ok(Self { name, kind, path: PathBuf::from(path.unwrap_or(name)) })
    }
}

const USAGE: &str = "usage: cargo xtask new-plugin NAME --kind tokenizer|backend|executor|domain|optimizer [--path DIR]";

/// Refuses what cannot name an engine and a crate.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.ends_with('-')
        || !name.chars().all(plain)
    {
        bail!(
            "`{name}` cannot name a plugin: take lower-case letters, digits and `-`, beginning with a letter and not \
             ending with `-`"
        );
    }
    if RESERVED.contains(&name) {
        bail!("`{name}` cannot name a plugin: Rust has a meaning for it; take another name");
    }
    Ok(())
}

/// Writes the crate beside its place and moves it there when it is complete.
fn write(plan: &Plan<'_>, root: &Path) -> Result<()> {
    let target = &plan.path;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        bail!("there is no folder {}; make it first", parent.display());
    }
    if target.exists() && !is_empty_folder(target) {
        bail!("{} exists already; take another name or --path", target.display());
    }
    let draft = parent.join(format!(".{}-{}.tmp", plan.name, std::process::id()));
    let written = fill(&draft, plan, root).and_then(|()| {
        fs::rename(&draft, target).with_context(|| format!("cannot write {}", target.display()))
    });
    if written.is_err() {
        // Whatever is left of the draft is no plugin; the first error is the one that tells.
        let _ = fs::remove_dir_all(&draft);
    }
    written
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn fill(folder: &Path, plan: &Plan<'_>, root: &Path) -> Result<()> {
    let of_kind = KINDS.iter().filter(|(kind, _)| *kind == plan.kind).flat_map(|(_, files)| *files);
    for (name, template) in COMMON.iter().chain(of_kind) {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, replaced(template, plan, root)))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    // The versions that azr itself is built and tested with; cargo drops those that the plugin does not need.
    let (from, to) = (root.join("Cargo.lock"), folder.join("Cargo.lock"));
    fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn replaced(template: &str, plan: &Plan<'_>, root: &Path) -> String {
    // A path in a TOML string: backslashes and quotes have a meaning there.
    let path = root.join("crates/plugin").display().to_string();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    template
        .replace("my-plugin", plan.name)
        .replace("my_plugin", &plan.name.replace('-', "_"))
        .replace("my-kind", plan.kind)
        .replace("path = \"crates/plugin\"", &format!("path = \"{path}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|&text| text.to_owned()).collect()
    }

    fn refusal(arguments: &[&str]) -> String {
        Plan::parse(&texts(arguments)).unwrap_err().to_string()
    }

    /// An empty folder of this test's own.
    fn scratch(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("azr-new-plugin-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
    }

    #[test]
    fn options_stand_anywhere_and_in_both_forms() {
        let expected = Plan { name: "demo-2", kind: "domain", path: "x/y".into() };
        for line in [
            ["demo-2", "--kind", "domain", "--path", "x/y"].as_slice(),
            &["--path=x/y", "--kind=domain", "demo-2"],
        ] {
            assert_eq!(Plan::parse(&texts(line)).unwrap(), expected);
        }
        let arguments = texts(&["demo", "--kind", "backend"]);
        assert_eq!(Plan::parse(&arguments).unwrap().path, Path::new("demo"));
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_the_way_out() {
        for name in ["", "Demo", "2d", "a_b", "a b", "a+b", "../x", "ü", "demo-"] {
            let text = refusal(&[name, "--kind", "domain"]);
            assert!(text.contains(&format!("`{name}`")) && text.contains("lower-case"), "{text}");
        }
        assert!(refusal(&["test", "--kind", "domain"]).contains("another name"));
        let text = refusal(&["demo", "--kind", "domian"]);
        assert!(
            text.contains("`domian`") && text.contains("executor, domain, optimizer"),
            "{text}"
        );
        for line in [
            ["demo"].as_slice(),
            &["--kind", "domain"],
            &["demo", "--kind"],
            &["demo", "more", "--kind", "domain"],
            &["demo", "--kind", "domain", "--pth", "x"],
        ] {
            assert!(refusal(line).contains("usage: "), "{line:?}");
        }
    }

    #[test]
    fn every_kind_is_written_whole_and_under_its_name() {
        let folder = scratch("kinds");
        for (kind, _) in KINDS {
            let plan = Plan { name: "two-words", kind, path: folder.join(kind) };
            // An empty folder may be there.
            fs::create_dir(&plan.path).unwrap();
            write(&plan, &root()).unwrap();
            assert!(plan.path.join("Cargo.lock").is_file());
            let files =
                KINDS.iter().find(|(known, _)| *known == kind).map(|(_, files)| *files).unwrap();
            for (name, _) in COMMON.iter().chain(files) {
                let text = fs::read_to_string(plan.path.join(name)).unwrap();
                assert!(!text.contains("my-") && !text.contains("my_"), "{kind}: {name}");
            }
            let read = |file: &str| fs::read_to_string(plan.path.join(file)).unwrap();
            assert!(read("Cargo.toml").contains(root().join("crates/plugin").to_str().unwrap()));
            let code = read("src/lib.rs");
            assert!(code.contains("entry: two_words") && code.contains("\"two-words\""));
            assert!(code.contains(&format!(", {kind}s: [")));
        }
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), KINDS.len(), "{left:?}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_written_stays() {
        let folder = scratch("refused");
        let plan = |path: PathBuf| Plan { name: "demo", kind: "domain", path };
        fs::create_dir(folder.join("full")).unwrap();
        fs::write(folder.join("full/mine"), "precious").unwrap();
        for taken in ["full", "full/mine"] {
            let error = write(&plan(folder.join(taken)), &root()).unwrap_err().to_string();
            assert!(error.contains("exists already") && error.contains("--path"), "{error}");
        }
        let error = write(&plan(folder.join("no/where")), &root()).unwrap_err().to_string();
        assert!(error.contains("make it first"), "{error}");
        // A checkout without a lock file fails behind the first files.
        assert!(write(&plan(folder.join("new")), &folder).is_err());
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["full"]);
        assert_eq!(fs::read_to_string(folder.join("full/mine")).unwrap(), "precious");
        fs::remove_dir_all(folder).unwrap();
    }
}
