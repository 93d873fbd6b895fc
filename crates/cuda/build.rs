//! Embeds the kernels: the sources of all, and the images that `cargo xtask kernels build` made from just these
//! sources. Without images the crate is whole as well, for NVRTC compiles the sources at run time; so this needs no CUDA.

#[path = "../../xtask/src/kernels/recipe.rs"]
mod recipe;

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use recipe::{ARCHITECTURES, IMAGE, REPORT, Sources};

/// Names the folder of the images, where it is not the one in the target directory.
const IMAGES: &str = "AZR_KERNEL_IMAGES";

fn main() -> Result<(), Box<dyn Error>> {
    let kernels = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../kernels");
    let kernels = fs::canonicalize(kernels)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let images = images_directory(&out)?;
    // Folders, for files come and go.
    for path in [&images, &kernels] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed=../../xtask/src/kernels/recipe.rs");
    println!("cargo::rerun-if-env-changed={IMAGES}");

    let sources = Sources::read(&kernels)?;
    let mut text = String::from("&[\n");
    let mut stale = Vec::new();
    for (name, source) in &sources.kernels {
        let fatbin = match find(&images, name, &sources.fingerprint(source)) {
            Found::Image(path) => Some(path),
            Found::Stale => {
                stale.push(name.as_str());
                None
            }
            Found::Nothing => None,
        };
        let fatbin = fatbin.map_or(Ok("None".to_owned()), |path| embedded(&path))?;
        writeln!(text, "Image {{ name: {name:?}, fatbin: {fatbin}, source: {source:?} }},")?;
    }
    if !stale.is_empty() {
        println!(
            "cargo::warning=images of other sources are not embedded ({}); `cargo xtask kernels build` makes new ones",
            stale.join(", ")
        );
    }
    fs::write(out.join("images.rs"), text + "]")?;
    fs::write(out.join("headers.rs"), format!("&{:?}", sources.headers))?;
    fs::write(out.join("architectures.rs"), architectures()?)?;
    Ok(())
}

/// What there is of a file of kernels.
enum Found {
    Image(PathBuf),
    /// An image of other sources.
    Stale,
    Nothing,
}

/// Looks for the image of the file `name`.
fn find(images: &Path, name: &str, fingerprint: &str) -> Found {
    let path = images.join(name).with_extension(IMAGE);
    let report = fs::read_to_string(images.join(name).with_extension(REPORT));
    let first_line = report.ok().and_then(|text| Some(text.lines().next()?.to_owned()));
    match first_line {
        Some(line) if line == fingerprint && path.exists() => Found::Image(path),
        Some(line) if line != fingerprint => Found::Stale,
        _ => Found::Nothing,
    }
}

/// An expression for the bytes of a file, at an address where the driver may read words of them.
fn embedded(path: &Path) -> io::Result<String> {
    let n_bytes = fs::metadata(path)?.len();
    Ok(format!(
        "{{ #[repr(C, align(64))] struct Aligned([u8; {n_bytes}]); \
         static IMAGE: Aligned = Aligned(*include_bytes!({path:?})); Some(&IMAGE.0) }}"
    ))
}

fn images_directory(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(images) = env::var_os(IMAGES) {
        let images = fs::canonicalize(&images)
            .map_err(|error| format!("{IMAGES} names {}: {error}", images.display()))?;
        return Ok(images);
    }
    // <target directory>/[<target>/]<profile>/build/<package>/out
    let mut target = out.ancestors().nth(4).ok_or("OUT_DIR is in no target directory")?;
    if target.file_name() == env::var_os("TARGET").as_deref() {
        target = target.parent().ok_or("OUT_DIR is in no target directory")?;
    }
    let images = target.join("kernels/images");
    // Cargo takes what is missing for changed, and would compile the crate each time; what is younger than this run, once.
    if !images.exists() {
        fs::create_dir_all(&images)?;
        fs::File::open(&images)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    Ok(images)
}

fn architectures() -> Result<String, Box<dyn Error>> {
    let mut text = String::from("&[\n");
    for name in ARCHITECTURES {
        let number: u32 = name.trim_end_matches('a').parse()?;
        let (major, minor, is_specific) = (number / 10, number % 10, name.ends_with('a'));
        writeln!(
            text,
            "Architecture {{ capability: ({major}, {minor}), is_specific: {is_specific} }},"
        )?;
    }
    Ok(text + "]")
}
