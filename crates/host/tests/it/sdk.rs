//! Plugins built against the published SDK of ABI 1.0 (`tests/sdk`), and against what that must never become.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use azr_host::{CheckSettings, Host};
use azr_plugin::conformance::Outcome;
use azr_plugin::{Answer, EngineKind, KnownAnswers, Quiet};
use serde_json::json;

use crate::built::{build, crates, replace, scratch};
use crate::fixture::{loaded_host, text};

/// The plugin as the variant `name`, built against the unpacked SDK after `change` of its files.
fn veteran(name: &str, changes: &[(&str, &str, &str)], environment: &[(&str, &str)]) -> PathBuf {
    let folder = scratch().join("sdk").join(name);
    fs::create_dir_all(folder.join("plugin/src")).unwrap();
    let archives = crates().join("host/tests/sdk");
    // Unpacked into a folder of its own, for tests run as parallel processes.
    let unpacked = tempfile::tempdir_in(scratch()).unwrap();
    for archive in ["azr-abi-1.0.0", "azr-plugin-0.1.0"] {
        let file =
            archives.join(archive).with_extension("").with_file_name(format!("{archive}.crate"));
        let status =
            Command::new("tar").arg("xzf").arg(file).arg("-C").arg(unpacked.path()).status();
        assert!(status.unwrap().success());
    }
    fs::create_dir(unpacked.path().join("plugin")).unwrap();
    fs::create_dir(unpacked.path().join("plugin/src")).unwrap();
    for file in ["Cargo.toml", "src/lib.rs"] {
        let content = fs::read(archives.join("plugin").join(file)).unwrap();
        fs::write(unpacked.path().join("plugin").join(file), content).unwrap();
    }
    let named = format!("name = \"azr-veteran-{name}\"");
    let renamed = [("plugin/Cargo.toml", "name = \"azr-veteran\"", named.as_str())];
    for (file, from, to) in renamed.iter().chain(changes) {
        let path = unpacked.path().join(file);
        let content = fs::read_to_string(&path).unwrap();
        assert!(content.contains(from), "{from} is not in {file}");
        fs::write(path, content.replace(from, to)).unwrap();
    }
    settle(unpacked.path(), &folder);
    let library = format!("libazr_veteran_{}.so", name.replace('-', "_"));
    build(&folder.join("plugin"), environment).join(library)
}

/// Copies what differs: an unchanged file keeps its time, so that cargo does not build it again.
fn settle(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, copy) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if source.is_dir() {
            settle(&source, &copy);
        } else if fs::read(&copy).ok() != fs::read(&source).ok() {
            replace(&copy, &fs::read(&source).unwrap());
        }
    }
}

/// The plugin works in this host; methods that came later take their defaults.
fn works(file: &Path) {
    let mut host = loaded_host();
    host.load_file(file).unwrap();
    let executor = host.create_executor("echo", json!({})).unwrap();
    let domain =
        host.create_domain("adding", json!({"addend": 40}), Arc::clone(&executor)).unwrap();
    let tasks = domain.seed_tasks("sum").unwrap();
    assert_eq!(
        domain.known_answers(&tasks).unwrap(),
        [KnownAnswers::default(), KnownAnswers::default()]
    );
    let answer = |response: &str| Answer { task: tasks[1].clone(), response: response.into() };
    let grades = domain.grade(&[answer("42"), answer("41")], &Quiet).unwrap();
    assert_eq!(grades.iter().map(|grade| grade.score).collect::<Vec<_>>(), [1.0, 0.0]);
    let host = Arc::new(host);
    for (kind, name) in [(EngineKind::Domain, "adding"), (EngineKind::Optimizer, "flat")] {
        let settings = CheckSettings {
            options: json!({"addend": 1}),
            executor: Some(Arc::clone(&executor)),
            model: None,
            limit: Duration::from_secs(120),
        };
        let report = host.check(kind, name, &settings).unwrap();
        report.assert_passed();
        let skipped = report.checks.iter().filter(|check| check.outcome != Outcome::Passed);
        let skipped: Vec<_> = skipped.map(|check| check.name.as_str()).collect();
        assert_eq!(
            skipped,
            if kind == EngineKind::Domain { vec!["known answers"] } else { vec![] }
        );
    }
}

fn refusal(file: &Path) -> String {
    let error = Host::new().load_file(file).unwrap_err();
    assert!(error.is_usage());
    text(&error, file.parent().unwrap())
}

#[test]
fn a_plugin_of_an_older_sdk_works() {
    works(&veteran("old", &[], &[]));
}

/// The version was not raised although a type changed: only the comparison of layouts can tell.
#[test]
fn a_changed_layout_is_refused() {
    let file = veteran(
        "changed",
        &[
            ("azr-abi-1.0.0/src/domain.rs", "pub score: f32", "pub score: f64"),
            ("azr-plugin-0.1.0/src/domain.rs", "pub score: f32", "pub score: f64"),
        ],
        &[],
    );
    insta::assert_snapshot!(refusal(&file), @r#"
    plugin `azr-veteran-changed` (<dir>/libazr_veteran_changed.so) was built for plugin ABI 1.0 and does not fit this program, which has 1.1: its types differ from the host's: mismatched type Expected: f32 Found: f64
    hint: build it with this program's azr-plugin
    "#);
}

#[test]
fn another_major_version_is_refused() {
    let file = veteran(
        "major",
        &[
            ("azr-abi-1.0.0/Cargo.toml", "version = \"1.0.0\"", "version = \"2.0.0\""),
            ("azr-plugin-0.1.0/Cargo.toml", "version = \"1.0.0\"", "version = \"2.0.0\""),
        ],
        &[],
    );
    insta::assert_snapshot!(refusal(&file), @r#"
    plugin `azr-veteran-major` (<dir>/libazr_veteran_major.so) was built for plugin ABI 2.0, this program has 1.1
    hint: build it with a matching azr-plugin
    "#);
}

/// `AZR_OTHER_RUSTC` names the rustc of another version than the one that built this host.
#[test]
fn a_plugin_of_another_compiler_works() {
    let Ok(rustc) = std::env::var("AZR_OTHER_RUSTC") else {
        println!("skipped: AZR_OTHER_RUSTC names no other compiler");
        return;
    };
    // The sources ask for no newer compiler than that; their manifests do.
    let any = |file| (file, "rust-version = \"1.95\"\n", "");
    let changes = ["azr-abi-1.0.0/Cargo.toml", "azr-plugin-0.1.0/Cargo.toml"].map(any);
    works(&veteran("other-rustc", &changes, &[("RUSTC", &rustc)]));
}
