//! Pulls from a folder of hand-made wheels; the machine's own Python reads them.

use std::fs;

use super::super::table::PackageSource;
use super::*;

/// Writes a wheel `<package>-1.0` with these members into `folder`.
fn wheel(folder: &Path, package: &str, members: &[(&str, &str)]) {
    let script = "\
import sys, zipfile
folder, package, *members = sys.argv[1:]
with zipfile.ZipFile(f'{folder}/{package}-1.0-py3-none-any.whl', 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, text in zip(members[::2], members[1::2]):
        archive.writestr(name, text)
    info = f'{package}-1.0.dist-info/'
    archive.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {package}\\nVersion: 1.0\\n')
    archive.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    archive.writestr(info + 'RECORD', '')
";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(folder).arg(package);
    for (name, text) in members {
        command.args([name, text]);
    }
    assert!(command.status().unwrap().success());
}

fn has_python() -> bool {
    let found = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !found {
        println!("skipped: this machine has no python3 with pip");
    }
    found
}

fn model(n_bytes: u64, sha256: &'static str) -> NamedModel {
    NamedModel {
        name: "m",
        description: "",
        license: "",
        n_bytes,
        sha256,
        source: PackageSource::Parts { prefix: "azr-fixture", version: "1.0", n_parts: 2 },
    }
}

#[test]
fn members_are_found_bounded_and_joined() {
    if !has_python() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    wheel(folder, "a", &[("a/data/part01.bin", "one"), ("a/x.txt", "no")]);
    wheel(folder, "b", &[("b/data/part02.bin", "two"), ("c/data/part02.bin", "two")]);
    let part = |package: &str| folder.join(format!("{package}-1.0-py3-none-any.whl"));
    let mut out = HashedFile::create(&folder.join("out")).unwrap();
    append_member(&part("a"), "/data/part01.bin", &mut out, &model(5, "")).unwrap();
    assert_eq!(fs::read(folder.join("out")).unwrap(), b"one");
    // Twice the same is too much for five bytes.
    let error = append_member(&part("a"), "/data/part01.bin", &mut out, &model(5, "")).unwrap_err();
    assert!(matches!(error, WeightsError::WrongContent { what: "size", .. }), "{error}");
    let error =
        append_member(&part("b"), "/data/part02.bin", &mut out, &model(50, "")).unwrap_err();
    assert!(error.to_string().contains("2 members"), "{error}");
    fs::write(part("b"), b"no archive").unwrap();
    let error =
        append_member(&part("b"), "/data/part02.bin", &mut out, &model(50, "")).unwrap_err();
    assert!(error.to_string().contains("not a zip file"), "{error}");
}

#[test]
fn a_file_that_is_there_and_right_is_not_fetched_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m/model.gguf");
    fs::create_dir_all(directory.path().join("m")).unwrap();
    fs::write(&path, "onetwo").unwrap();
    let sha256 = sha256_of(&path).unwrap().leak();
    let mut seen = Vec::new();
    let pulled =
        pull(directory.path(), &model(6, sha256), &mut |progress| seen.push(progress.what))
            .unwrap();
    assert_eq!((pulled, seen), (path.clone(), vec!["checking m".to_string()]));
    fs::write(&path, "onetwO").unwrap();
    assert!(!is_right(&path, &model(6, sha256), &mut |_| ()).unwrap());
}

#[test]
fn the_sum_is_checked_over_all_parts() {
    let directory = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        let mut out = HashedFile::create(&directory.path().join("out")).unwrap();
        out.write_all(text.as_bytes()).unwrap();
        out
    };
    // SHA-256 of `abc`, FIPS 180-2 appendix B.1.
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    write("abc").finish(&model(3, sum)).unwrap();
    for text in ["abd", "ab", "abcd"] {
        let error = write(text).finish(&model(3, sum)).unwrap_err();
        assert!(matches!(error, WeightsError::WrongContent { .. }), "{error}");
    }
}
