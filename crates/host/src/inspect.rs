//! Looks at the bytes of a file: whether it is a sound plugin for this host, before any of its code can run.

use std::path::Path;

use azr_plugin::bridge;
use azr_plugin::manifest::{self, Manifest, ManifestError};
use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

use crate::HostError;

/// The machine this host was built for, as ELF numbers it; files of others cannot be loaded.
const HOST_MACHINE: Option<elf::Machine> = if cfg!(target_arch = "x86_64") {
    Some(elf::EM_X86_64)
} else if cfg!(target_arch = "aarch64") {
    Some(elf::EM_AARCH64)
} else {
    None
};

/// The manifest of the plugin with these `bytes`, and its text.
pub(crate) fn inspect(path: &Path, bytes: &[u8]) -> Result<(Manifest, String), HostError> {
    let library = check_library(path, bytes)?;
    let text = manifest_text(path, &library)?;
    let manifest = Manifest::from_json(&text)
        .map_err(|reason| HostError::Manifest { path: path.into(), reason })?;
    if manifest.abi_major != bridge::abi_version().0 {
        let (found, host) = abi_versions(&manifest);
        return Err(HostError::AbiVersion { path: path.into(), id: manifest.id, found, host });
    }
    if manifest.panic != "unwind" {
        return Err(HostError::PanicAbort { path: path.into(), id: manifest.id });
    }
    let exported = library
        .dynamic_symbols()
        .any(|symbol| symbol.is_definition() && symbol.name() == Ok(&manifest.entry));
    if !exported {
        let reason =
            format!("its manifest names the symbol `{}`, which it does not export", manifest.entry);
        return Err(HostError::Load { path: path.into(), reason });
    }
    Ok((manifest, text))
}

/// The ABI versions of the plugin and of this program, as messages name them.
pub(crate) fn abi_versions(manifest: &Manifest) -> (String, String) {
    let (major, minor) = bridge::abi_version();
    (format!("{}.{}", manifest.abi_major, manifest.abi_minor), format!("{major}.{minor}"))
}

/// A shared library for this machine whose segments all lie within the file:
/// the system's loader dies of SIGBUS on a shorter one.
fn check_library<'data>(
    path: &Path,
    bytes: &'data [u8],
) -> Result<ElfFile64<'data, Endianness>, HostError> {
    let not_a_library =
        |reason: &str| HostError::NotALibrary { path: path.into(), reason: reason.into() };
    if bytes.is_empty() {
        return Err(not_a_library("it is empty"));
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(not_a_library("it is not an ELF file"));
    }
    let header = FileHeader64::<Endianness>::parse(bytes)
        .map_err(|_| not_a_library("it is not a 64-bit ELF file of a known version"))?;
    let endian = header.endian().map_err(|_| not_a_library("its byte order is unknown"))?;
    let machine = header.e_machine(endian);
    if HOST_MACHINE != Some(machine) || header.is_big_endian() != cfg!(target_endian = "big") {
        return Err(HostError::WrongMachine {
            path: path.into(),
            found: machine_name(machine),
            host: HOST_MACHINE.map_or_else(|| std::env::consts::ARCH.into(), machine_name),
        });
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(not_a_library("it is an ELF file, but not a shared library"));
    }
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|_| not_a_library("its segment table is damaged"))?;
    let found = bytes.len() as u64;
    for segment in segments {
        let needed = segment.p_offset(endian).saturating_add(segment.p_filesz(endian));
        if needed > found {
            return Err(HostError::Truncated { path: path.into(), needed, found });
        }
    }
    ElfFile64::parse(bytes).map_err(|_| not_a_library("its section table is damaged"))
}

fn manifest_text(path: &Path, library: &ElfFile64<'_, Endianness>) -> Result<String, HostError> {
    let section = library
        .section_by_name(manifest::SECTION)
        .ok_or_else(|| HostError::NotAPlugin { path: path.into() })?;
    let data = section.data().map_err(|_| ManifestError::Damaged);
    data.and_then(manifest::json_of)
        .map(ToOwned::to_owned)
        .map_err(|reason| HostError::Manifest { path: path.into(), reason })
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_RISCV => "riscv".into(),
        elf::EM_386 => "x86".into(),
        other => format!("machine number {}", other.0),
    }
}
