//! Which engines there are when several plugins meet.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::ptr::NonNull;

use azr_host::{Host, HostError, Origin};
use azr_plugin::bridge::Module;
use azr_plugin::{EngineKind, ModelSpec};
use insta::assert_snapshot;
use serde_json::json;

use crate::fixture::{builtin_host, echo_file, loaded_host, patched, scratch, text, twin_file};

fn names(host: &Host) -> Vec<String> {
    host.list()
        .iter()
        .map(|engine| format!("{} {} {}", engine.kind, engine.name, engine.version))
        .collect()
}

fn model() -> ModelSpec {
    ModelSpec { path: "m".into(), vocabulary: Vec::new(), eos: Vec::new(), learns: true }
}

#[test]
fn a_listing_says_what_each_engine_is() {
    let host = loaded_host();
    let all = [
        "tokenizer echo",
        "backend echo",
        "executor echo",
        "executor relay",
        "domain echo",
        "optimizer echo",
    ]
    .map(|engine| format!("{engine} 0.3.1"));
    assert_eq!(names(&host), all);
    let first = &host.list()[0];
    assert_eq!(first.summary, "answers with what it was asked");
    assert_eq!(first.origin, Origin::File(echo_file()));
    assert_eq!(host.info(EngineKind::Domain, "echo").unwrap().capabilities, json!({"echo": true}));
}

/// abi_stable's own loader would answer with the first library for every later file.
#[test]
fn two_files_are_two_plugins() {
    let mut host = loaded_host();
    host.load_file(twin_file()).unwrap();
    assert!(host.create_backend("echo", json!({})).unwrap().open(&model()).is_ok());
    let refusal = host.create_backend("twin", json!({})).unwrap().open(&model()).err().unwrap();
    assert_snapshot!(refusal, @r"
    this is the twin
    hint: use the other one
    ");
    assert_eq!(host.list().len(), 7);
}

#[test]
fn two_linked_crates_are_two_plugins() {
    let mut host = builtin_host();
    host.register_builtin(azr_fixture_twin::plugin_module()).unwrap();
    assert_eq!(host.list().len(), 7);
    // Both entry symbols are in this program, and each leads to its own plugin.
    let echo = NonNull::from(&azr_fixture_echo::azr_fixture_echo).cast();
    let twin = NonNull::from(&azr_fixture_twin::azr_fixture_twin).cast();
    for (entry, id, n_engines) in [(echo, "azr-fixture-echo", 6), (twin, "azr-fixture-twin", 1)] {
        // SAFETY: the pointers are those of statics that `export!` generated.
        #[expect(unsafe_code, reason = "a loaded plugin is entered like this")]
        let module = unsafe { Module::from_entry(entry, id) }.unwrap();
        assert!(module.manifest_json().contains(&format!("\"id\":\"{id}\"")));
        assert_eq!(module.engines().unwrap().len(), n_engines);
    }
}

#[test]
fn a_named_file_replaces_a_builtin_engine() {
    let mut host = builtin_host();
    assert!(
        host.list()
            .iter()
            .all(|engine| engine.origin == Origin::BuiltIn && !engine.replaces_builtin)
    );
    host.load_file(echo_file()).unwrap();
    let listed = host.list();
    assert_eq!(listed.len(), 6);
    assert!(
        listed
            .iter()
            .all(|engine| engine.origin == Origin::File(echo_file()) && engine.replaces_builtin)
    );
}

#[test]
fn two_files_with_the_same_engine_are_an_error_that_names_both() {
    let directory = scratch();
    let copy = directory.path().join("copy.so");
    fs::copy(echo_file(), &copy).unwrap();
    let mut host = loaded_host();
    let error = host.load_file(&copy).unwrap_err();
    assert!(matches!(&error, HostError::Duplicate { kind: EngineKind::Tokenizer, .. }));
    let text = text(&error, directory.path())
        .replace(echo_file().parent().unwrap().to_str().unwrap(), "<built>");
    assert_snapshot!(text, @r"
    two plugins bring tokenizer `echo`: `<built>/libazr_fixture_echo.so` and `<dir>/copy.so`
    hint: leave one of them out, or give its engine another name
    ");
    assert_eq!(host.list().len(), 6, "nothing of the second file was registered");
}

/// The damaged header is only seen in a file that has been mapped, when its constructors have run.
#[test]
fn a_file_with_a_taken_engine_is_refused_before_its_code_runs() {
    let directory = scratch();
    let path =
        patched(directory.path(), "abi stable library for Rust", "abi stable library for Ruby");
    assert!(matches!(Host::new().load_file(&path).unwrap_err(), HostError::Header { .. }));
    assert!(matches!(loaded_host().load_file(&path).unwrap_err(), HostError::Duplicate { .. }));
}

#[test]
fn the_same_file_is_loaded_once() {
    let mut host = loaded_host();
    let directory = scratch();
    let link = directory.path().join("link.so");
    std::os::unix::fs::symlink(echo_file(), &link).unwrap();
    host.load_file(&link).unwrap();
    assert!(host.list().iter().all(|engine| engine.origin == Origin::File(echo_file())));
}

#[test]
fn two_builtin_plugins_of_the_same_name_are_an_error() {
    let mut host = builtin_host();
    let error = host.register_builtin(azr_fixture_echo::plugin_module()).unwrap_err();
    assert!(matches!(
        error,
        HostError::Duplicate { first: Origin::BuiltIn, second: Origin::BuiltIn, .. }
    ));
}

/// The file is copied before it is loaded: what happens to it afterwards does not reach the running code.
#[test]
fn a_file_may_be_overwritten_while_it_is_in_use() {
    let directory = scratch();
    let path = directory.path().join("plugin.so");
    fs::copy(twin_file(), &path).unwrap();
    let mut host = Host::new();
    host.load_file(&path).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![0xcc; usize::try_from(length).unwrap()]).unwrap();
    assert!(host.create_backend("twin", json!({})).unwrap().open(&model()).is_err());
    assert!(Host::new().load_file(Path::new(&path)).is_err(), "the new content is seen");
}

#[test]
fn what_is_found_replaces_nothing_and_must_be_private() {
    let directory = scratch();
    fs::copy(echo_file(), directory.path().join("a.so")).unwrap();
    fs::copy(twin_file(), directory.path().join("b.so")).unwrap();
    fs::write(directory.path().join("c.so"), "text").unwrap();
    for name in ["a.so", "b.so", "c.so"] {
        let private = fs::Permissions::from_mode(0o644);
        fs::set_permissions(directory.path().join(name), private).unwrap();
    }
    let mut host = builtin_host();
    let refused = host.discover(&[directory.path().into()]);
    let texts: Vec<String> = refused.iter().map(|error| text(error, directory.path())).collect();
    assert_snapshot!(texts.join("\n"), @r"
    two plugins bring tokenizer `echo`: (built in) and `<dir>/a.so`
    hint: name the file with `--plugin` to put it in the place of the built-in one
    `<dir>/c.so` is not a plugin: it is not an ELF file
    hint: give the shared library (.so) that cargo built
    ");
    assert_eq!(host.list().len(), 7, "the sound file is there");

    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let file = directory.path().join("b.so");
    let refusal = || text(&Host::new().discover(std::slice::from_ref(&file))[0], directory.path());
    chmod(directory.path(), 0o777).unwrap();
    assert_snapshot!(refusal(), @r"
    plugin `<dir>/b.so` is left out: every user can write to `<dir>`
    hint: make both the file and its directory writable by you alone (chown, chmod go-w), or name the file with `--plugin`
    ");
    chmod(directory.path(), 0o755).unwrap();
    chmod(&file, 0o664).unwrap();
    assert_snapshot!(refusal(), @r"
    plugin `<dir>/b.so` is left out: its group can write to `<dir>/b.so`
    hint: make both the file and its directory writable by you alone (chown, chmod go-w), or name the file with `--plugin`
    ");
    chmod(&file, 0o644).unwrap();
    assert!(Host::new().discover(&[file]).is_empty());
}
