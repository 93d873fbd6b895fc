//! Models on disk: GGUF and safetensors in, safetensors out, configs, and fetching models by name.
//!
//! * [`ModelFile`] opens a GGUF file or a Hugging Face directory and hands out float32 tensors under
//!   Hugging Face names, whatever the file's own names, types and row order are.
//! * [`write_hf_directory`] and [`write_safetensors`] write tensor by tensor and rename at the end, so a reader
//!   never sees half a file.
//! * [`AdapterFile`], [`write_adapter_directory`] and [`merge_adapters`] are the same for LoRA adapters.
//! * [`Gguf`] and [`SafetensorsFile`] are the two formats by themselves.
//! * [`models`] finds and fetches models, [`inspect`] tells what a model is.
//!
//! Model files are untrusted: every reader is total and checks sizes before it allocates. Files are memory-mapped;
//! a file that another process shortens while it is open ends this process (that is how mapping works), so models
//! are only ever replaced by renaming.

mod adapter;
mod atomic;
mod config;
mod error;
mod gguf;
mod hf_config;
mod hf_directory;
mod inspect;
mod mapped;
mod model_file;
pub mod models;
mod safetensors_file;
mod safetensors_writer;

pub use adapter::{
    AdapterConfig, AdapterFile, AdapterSpec, BaseDigest, Projection, merge_adapters,
    write_adapter_directory,
};
pub use atomic::write_file;
pub use config::{Family, ModelConfig, TensorSpec};
pub use error::WeightsError;
pub use gguf::{Gguf, MetadataValue, TensorInfo, TensorType};
pub use hf_directory::write_hf_directory;
pub use inspect::{Inspection, inspect};
pub use model_file::{ModelFile, Outline};
pub use safetensors_file::SafetensorsFile;
pub use safetensors_writer::write_safetensors;
