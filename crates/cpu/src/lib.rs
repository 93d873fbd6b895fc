//! The CPU as a [`Device`](azr_transformer::Device): float32 kernels for AVX-512, AVX2 and, in plain Rust,
//! everything else, on a thread pool of the device's own.
//!
//! Results depend neither on the number of threads nor on how many rows an operation is given; AVX2 and AVX-512
//! give the same bits. Products with int8 weights are the same bits on all of them, and those with bfloat16 weights are
//! the bits of products with float32 matrices of the same values.

mod attention;
mod checks;
mod copies;
mod device;
mod gemm;
mod head;
mod layers;
mod matrix;
mod optim;
mod pack;
mod pool;
mod quantised;
mod rope;
mod rows;
mod sample;
mod scratch;
mod simd;
mod split;
mod state;
mod storage;
mod tile;
mod vectors;

use azr_transformer::{DeviceError, DeviceResult};

pub use copies::WeightCopy;
pub use device::Buffer;
pub use matrix::Matrix;
pub use simd::InstructionSet;
pub use state::State;

/// The CPU.
#[derive(Debug)]
pub struct Cpu {
    instruction_set: InstructionSet,
    backend: simd::Backend,
    pool: pool::Pool,
    scratch: scratch::Scratch,
    rope: rope::Rope,
}

impl Cpu {
    /// The CPU with `threads` threads (as many as there are cores for `None`) and its best instruction set.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Failed`] when the threads cannot be started.
    pub fn new(threads: Option<usize>) -> DeviceResult<Self> {
        let best = InstructionSet::available().last().copied().unwrap_or(InstructionSet::Portable);
        Self::with_instruction_set(threads, best)
    }

    /// About how many bytes of working memory stay with the device once it has worked on `n_rows` rows of at most
    /// `widest` values and a head of `vocab_size` outputs: a chunk of logits, and packed operands of products.
    pub const fn working_bytes(n_rows: usize, widest: usize, vocab_size: usize) -> u64 {
        let logits = head::n_chunk_values(n_rows, vocab_size) as u64;
        4 * (logits + 2 * n_rows as u64 * widest as u64)
    }

    /// As [`Cpu::new`], with an instruction set of the caller's choice: for tests and measurements.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Failed`] when the machine lacks the instruction set or the threads cannot be started.
    pub fn with_instruction_set(
        threads: Option<usize>,
        instruction_set: InstructionSet,
    ) -> DeviceResult<Self> {
        let name = instruction_set.as_str();
        let backend = instruction_set.backend();
        let backend = backend
            .ok_or_else(|| DeviceError::Failed(format!("this machine does not have {name}")))?;
        let n_threads =
            threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
        let pool = pool::Pool::new(n_threads.max(1)).map_err(|error| {
            DeviceError::Failed(format!("cannot start {n_threads} threads: {error}"))
        })?;
        let (scratch, rope) = (scratch::Scratch::default(), rope::Rope::default());
        Ok(Self { instruction_set, backend, pool, scratch, rope })
    }
}
