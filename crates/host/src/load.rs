//! Maps a checked plugin into the process, for good.
#![expect(unsafe_code, reason = "loading a library runs its code")]

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::thread;

use azr_plugin::bridge::Module;
use azr_plugin::manifest::Manifest;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::inspect::{abi_versions, inspect};
use crate::{HostError, Origin};

/// Stack of the thread that loads; the layout comparison of an unoptimised build needs 400 KB.
const STACK_BYTES: usize = 4 << 20;
/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A loaded plugin.
pub(crate) struct Loaded {
    pub(crate) module: Module,
    pub(crate) manifest: Manifest,
}

/// Checks the file at `path`, asks `admit` about its manifest, and loads it.
pub(crate) fn load(
    path: &Path,
    admit: impl FnOnce(&Manifest) -> Result<(), HostError>,
) -> Result<Loaded, HostError> {
    let bytes = read(path)?;
    let (manifest, manifest_text) = inspect(path, &bytes)?;
    admit(&manifest)?;
    let failed = |reason: String| HostError::Load { path: path.into(), reason };
    let image = sealed_image(&bytes)
        .map_err(|error| failed(format!("cannot copy it into memory: {error}")))?;
    drop(bytes);
    let module = thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("azr-plugin-load".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || open(path, image, &manifest))
            .map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        worker.join().unwrap_or_else(|_| Err(failed("its loading panicked".into())))
    })?;
    if module.manifest_json() != manifest_text {
        let reason = "the running plugin's manifest differs from its file's".into();
        return Err(HostError::Inconsistent { origin: Origin::File(path.into()), reason });
    }
    Ok(Loaded { module, manifest })
}

fn read(path: &Path) -> Result<Vec<u8>, HostError> {
    let failed =
        |error: io::Error| HostError::Read { path: path.into(), reason: error.to_string() };
    // The kind is asked for before the file is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(HostError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(HostError::Read { path: path.into(), reason });
    }
    Ok(bytes)
}

/// A private, immutable copy of the bytes that were checked: overwriting the file while its code is mapped
/// would crash the process, and a file that is replaced under the same path would not be loaded again.
fn sealed_image(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Some systems demand that the image cannot be executed as a program; kernels before 6.3 do not know the flag.
    let image = match rustix::fs::memfd_create("azr-plugin", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("azr-plugin", flags)?,
        other => other?,
    };
    let mut file = File::from(image);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

fn open(path: &Path, image: OwnedFd, manifest: &Manifest) -> Result<Module, HostError> {
    let image_path = format!("/proc/self/fd/{}", image.as_raw_fd());
    let failed = |error: libloading::Error| HostError::Load {
        path: path.into(),
        reason: error.to_string().replace(&image_path, &path.display().to_string()),
    };
    // SAFETY: the file's constructors run. It is a plugin that the user installed or named; it is trusted as code.
    let library =
        unsafe { Library::open(Some(&image_path), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
    // The loader knows libraries by their path: were the descriptor closed and its number used again,
    // it would answer with this library for another file.
    std::mem::forget(image);
    // SAFETY: only the symbol's address is used here.
    let symbol =
        unsafe { library.get::<*mut c_void>(manifest.entry.as_bytes()) }.map_err(failed)?;
    let entry = NonNull::new(symbol.as_raw_ptr());
    // Never unloaded: vtables, thread-local destructors and threads of the plugin may outlive any handle.
    std::mem::forget(library);
    let entry = entry.ok_or_else(|| HostError::Load {
        path: path.into(),
        reason: "its entry symbol is null".into(),
    })?;
    // SAFETY: the manifest that `export!` embedded names the static that `export!` generated.
    unsafe { Module::from_entry(entry, &manifest.id) }.map_err(|reason| {
        let (found, host) = abi_versions(manifest);
        let (path, id, reason) = (path.into(), manifest.id.clone(), Box::new(reason));
        HostError::Header { path, id, found, host, reason }
    })
}
