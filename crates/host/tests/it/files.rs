//! Files that are no plugins, or none for this host: each is refused with its own words, before its code runs.

use std::fs;
use std::path::Path;

use azr_host::Host;
use insta::assert_snapshot;

use crate::fixture::{echo_file, patched, scratch, text};

/// The error of loading `path`.
fn refusal(path: &Path) -> String {
    let error = Host::new().load_file(path).unwrap_err();
    assert!(error.is_usage());
    text(&error, path.parent().unwrap())
}

/// The error of loading a file with this content.
fn refusal_of(content: &[u8]) -> String {
    let directory = scratch();
    let path = directory.path().join("plugin.so");
    fs::write(&path, content).unwrap();
    refusal(&path)
}

#[test]
fn a_missing_file() {
    let directory = scratch();
    assert_snapshot!(refusal(&directory.path().join("plugin.so")), @"cannot read plugin `<dir>/plugin.so`: No such file or directory (os error 2)");
}

#[test]
fn a_directory() {
    let directory = scratch();
    fs::create_dir(directory.path().join("plugin.so")).unwrap();
    assert_snapshot!(refusal(&directory.path().join("plugin.so")), @"plugin `<dir>/plugin.so` is not a regular file");
}

#[test]
fn a_text_file() {
    assert_snapshot!(refusal_of(b"#!/bin/sh\n"), @r"
    `<dir>/plugin.so` is not a plugin: it is not an ELF file
    hint: give the shared library (.so) that cargo built
    ");
}

#[test]
fn an_empty_file() {
    assert_snapshot!(refusal_of(b""), @r"
    `<dir>/plugin.so` is not a plugin: it is empty
    hint: give the shared library (.so) that cargo built
    ");
}

#[test]
fn a_32_bit_file() {
    let mut bytes = fs::read(echo_file()).unwrap();
    bytes[4] = 1;
    assert_snapshot!(refusal_of(&bytes), @r"
    `<dir>/plugin.so` is not a plugin: it is not a 64-bit ELF file of a known version
    hint: give the shared library (.so) that cargo built
    ");
}

#[test]
fn a_file_for_another_machine() {
    let mut bytes = fs::read(echo_file()).unwrap();
    let other = if cfg!(target_arch = "riscv64") { 62 } else { 243 };
    bytes[18] = other;
    bytes[19] = 0;
    let refusal = refusal_of(&bytes).replace(std::env::consts::ARCH, "<this machine>");
    assert_snapshot!(refusal, @r"
    plugin `<dir>/plugin.so` was built for riscv, but this is <this machine>
    hint: build it on this machine
    ");
}

#[test]
fn a_relocatable_object() {
    let mut bytes = fs::read(echo_file()).unwrap();
    bytes[16] = 1;
    assert_snapshot!(refusal_of(&bytes), @r"
    `<dir>/plugin.so` is not a plugin: it is an ELF file, but not a shared library
    hint: give the shared library (.so) that cargo built
    ");
}

/// The system's loader would map such a file and die of SIGBUS.
#[test]
fn a_truncated_file_at_any_length() {
    let bytes = fs::read(echo_file()).unwrap();
    assert!(refusal_of(&bytes[..bytes.len() / 2]).contains("is cut short: its content needs"));
    for length in [1, 4, 20, 63, 64, 65, 200, 4_096, bytes.len() * 3 / 4, bytes.len() - 1] {
        let refusal = refusal_of(&bytes[..length]);
        assert!(
            refusal.contains("cut short") || refusal.contains("is not a plugin"),
            "{length}: {refusal}"
        );
    }
}

#[test]
fn a_library_that_is_no_plugin() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps
        .lines()
        .find_map(|line| line.split_whitespace().last().filter(|p| p.contains("libc.so")))
        .unwrap();
    let refusal = refusal(Path::new(libc))
        .replace(Path::new(libc).file_name().unwrap().to_str().unwrap(), "libc.so");
    assert_snapshot!(refusal, @r"
    `<dir>/libc.so` is a shared library, but not an azr plugin
    hint: a plugin calls azr_plugin::export!
    ");
}

#[test]
fn a_plugin_for_another_major_abi() {
    let directory = scratch();
    let path = patched(directory.path(), "\"abi_major\":1", "\"abi_major\":2");
    assert_snapshot!(refusal(&path), @r"
    plugin `azr-fixture-echo` (<dir>/patched.so) was built for plugin ABI 2.1, this program has 1.1
    hint: build it with a matching azr-plugin
    ");
}

#[test]
fn a_plugin_that_aborts_on_panic() {
    let directory = scratch();
    let path = patched(directory.path(), "\"panic\":\"unwind\"", "\"panic\":\"abort\" ");
    assert_snapshot!(refusal(&path), @r#"
    plugin `azr-fixture-echo` (<dir>/patched.so) was built with panic=abort
    hint: build it with panic = "unwind" in its cargo profile
    "#);
}

#[test]
fn a_damaged_manifest() {
    let directory = scratch();
    let path = patched(directory.path(), "{\"manifest\":1,", "{\"manifest\":x,");
    assert_snapshot!(refusal(&path), @r"
    plugin `<dir>/patched.so` cannot be used: its manifest does not parse: expected value at line 1 column 13
    hint: build it again with a current azr-plugin
    ");
    let path = patched(directory.path(), "AZRPLUG\u{1}", "AZRPLUG\u{2}");
    assert!(refusal(&path).contains("its manifest is damaged"));
}

#[test]
fn a_manifest_with_a_wrong_symbol() {
    let directory = scratch();
    let path = patched(
        directory.path(),
        "\"entry\":\"azr_fixture_echo\"",
        "\"entry\":\"azr_fixture_exho\"",
    );
    assert_snapshot!(refusal(&path), @"cannot load plugin `<dir>/patched.so`: its manifest names the symbol `azr_fixture_exho`, which it does not export");
}

/// The name in the manifest is patched; the running code still has the right one.
#[test]
fn a_manifest_that_differs_from_the_engines() {
    let directory = scratch();
    let path =
        patched(directory.path(), "\"backend\",\"name\":\"echo\"", "\"backend\",\"name\":\"ohce\"");
    let error = Host::new().load_file(&path).unwrap_err();
    let text = text(&error, directory.path());
    assert!(
        text.starts_with("plugin `<dir>/patched.so` contradicts itself: its manifest lists"),
        "{text}"
    );
}

#[test]
fn an_abi_header_of_another_version() {
    let directory = scratch();
    let path =
        patched(directory.path(), "abi stable library for Rust", "abi stable library for Ruby");
    assert_snapshot!(refusal(&path), @r"
    plugin `azr-fixture-echo` (<dir>/patched.so) was built for plugin ABI 1.1 and does not fit this program, which has 1.1: it was built with an incompatible version of the plugin library: its entry symbol is no plugin header
    hint: build it with this program's azr-plugin
    ");
}
