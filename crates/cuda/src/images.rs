//! The kernels in this binary: the sources of all, and images of machine code for some GPUs if
//! `cargo xtask kernels build` made them before this crate was compiled (`build.rs`).

/// A file of kernels.
#[derive(Debug)]
pub(crate) struct Image {
    /// The file's name without its extension.
    pub(crate) name: &'static str,
    /// Machine code for each of [`ARCHITECTURES`], as the driver takes it.
    pub(crate) fatbin: Option<&'static [u8]>,
    /// The text of the file.
    pub(crate) source: &'static str,
}

/// What an image has machine code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// The compute capability it is made for.
    pub(crate) capability: (u32, u32),
    /// Whether it uses what only devices of this very capability have (`sm_90a`).
    pub(crate) is_specific: bool,
}

/// All files of kernels, in alphabetical order.
pub(crate) static IMAGES: &[Image] = include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// Names and texts of the headers that they include.
pub(crate) static HEADERS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/headers.rs"));

/// What images are made for.
pub(crate) static ARCHITECTURES: &[Architecture] =
    include!(concat!(env!("OUT_DIR"), "/architectures.rs"));

impl Architecture {
    /// Whether a device of this compute capability runs the code: that of the same major number and no lower minor one
    /// does, unless the code is specific.
    fn serves(self, capability: (u32, u32)) -> bool {
        let (major, minor) = self.capability;
        if self.is_specific {
            self.capability == capability
        } else {
            major == capability.0 && minor <= capability.1
        }
    }
}

/// Whether images have machine code for a device of this compute capability.
pub(crate) fn is_served(capability: (u32, u32)) -> bool {
    ARCHITECTURES.iter().any(|architecture| architecture.serves(capability))
}

/// The image of the file `name`.
pub(crate) fn image(name: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.name == name)
}

impl Image {
    /// Machine code for a device of this compute capability; NVRTC makes it where there is none.
    pub(crate) fn fatbin_for(&self, capability: (u32, u32)) -> Option<&'static [u8]> {
        self.fatbin.filter(|_| is_served(capability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_and_header_is_here() {
        let norm = image("rms_norm").unwrap();
        assert!(norm.source.contains("__global__"));
        assert!(image("no_such").is_none());
        assert!(HEADERS.iter().any(|(name, text)| *name == "common.cuh" && text.contains("bf16")));
    }

    #[test]
    fn fatbins_are_aligned_and_begin_as_such() {
        for fatbin in IMAGES.iter().filter_map(|image| image.fatbin) {
            assert_eq!(fatbin.as_ptr() as usize % 64, 0);
            assert_eq!(fatbin[..4], 0xba55_ed50_u32.to_le_bytes());
        }
    }

    #[test]
    fn images_serve_the_devices_that_can_run_them() {
        for capability in [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), (12, 1)] {
            assert!(is_served(capability), "{capability:?}");
        }
        for capability in [(7, 5), (10, 3), (11, 0), (13, 0)] {
            assert!(!is_served(capability), "{capability:?}");
        }
        let old = Architecture { capability: (8, 6), is_specific: false };
        assert!(!old.serves((8, 0)) && old.serves((8, 9)));
    }

    #[test]
    fn what_is_not_embedded_is_not_found() {
        let image = Image { name: "k", fatbin: Some(b"k"), source: "" };
        assert_eq!(image.fatbin_for((9, 0)), Some(b"k".as_slice()));
        assert_eq!(image.fatbin_for((10, 3)), None);
        assert_eq!(Image { fatbin: None, ..image }.fatbin_for((9, 0)), None);
    }
}
