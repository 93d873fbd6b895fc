//! What every operation works with: the GPU, its kernels and products, and memory.
//!
//! Operations are methods of the engine, which is used by one thread at a time. Work is launched at once, or, while a
//! series is repeated, when a result is read: then as a graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use azr_transformer::{DeviceError, DeviceResult};

use crate::arguments::Arguments;
use crate::attention::Plans;
use crate::blas::{Blas, Product, WORKSPACE_BYTES};
use crate::driver::{Driver, Launch};
use crate::error::OpenError;
use crate::graphs::{Command, Graphs};
use crate::kernels::{Kernels, Name};
use crate::memory::{Garbage, Memory};
use crate::stage::{STAGE_BYTES, Stage};

/// Most blocks of a grid's second and third dimension.
const MAX_GRID: usize = 65_535;

#[derive(Debug)]
pub(crate) struct Engine {
    driver: Arc<Driver>,
    kernels: Kernels,
    blas: Blas,
    stage: Stage,
    garbage: Garbage,
    /// Working memory by what it is for; it grows to the most that was ever needed. Stream order keeps one operation's
    /// from the next one's.
    scratch: BTreeMap<&'static str, Memory>,
    /// Rotary frequencies, by the number of pairs and the bits of the base.
    tables: BTreeMap<(usize, u64), Memory>,
    /// Commands that wait, while a series is repeated.
    waiting: Option<Vec<Command>>,
    graphs: Graphs,
    failure: Option<DeviceError>,
    /// What attention was last asked for.
    pub(crate) plans: Plans,
}

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: [usize; 3],
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
}

impl Grid {
    /// One-dimensional, without dynamic shared memory.
    pub(crate) fn blocks(blocks: usize, threads: u32) -> Self {
        Self { blocks: [blocks, 1, 1], threads, shared_bytes: 0 }
    }

    /// A thread for each of `n` items.
    pub(crate) fn items(n: usize, threads: u32) -> Self {
        Self::blocks(n.div_ceil(threads as usize), threads)
    }
}

impl Engine {
    pub(crate) fn open(ordinal: usize) -> Result<Self, OpenError> {
        let driver = Arc::new(Driver::open(ordinal)?);
        let blas = Blas::open()?;
        let garbage = Garbage::new(&driver);
        let failed = |error: DeviceError| OpenError::Failed(error.to_string());
        let pointer = driver.allocate(STAGE_BYTES, "arrays for kernels").map_err(failed)?;
        let staged = Memory::new(pointer, STAGE_BYTES, &garbage);
        let stage = Stage::new(&driver, pointer).map_err(failed)?;
        Ok(Self {
            driver,
            kernels: Kernels::default(),
            blas,
            stage,
            garbage,
            scratch: BTreeMap::from([("stage", staged)]),
            tables: BTreeMap::new(),
            waiting: None,
            graphs: Graphs::default(),
            failure: None,
            plans: Plans::default(),
        })
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(crate) fn n_replays(&self) -> u64 {
        self.graphs.n_replays
    }

    // ---- memory --------------------------------------------------------------------------------------------------

    /// `bytes` bytes with anything in them.
    pub(crate) fn allocate(&mut self, bytes: usize, purpose: &'static str) -> DeviceResult<Memory> {
        self.collect_garbage()?;
        let pointer = match self.driver.allocate(bytes, purpose) {
            // What was freed may still be in use by work that waits.
            Err(DeviceError::OutOfMemory { .. }) => {
                self.synchronize()?;
                self.collect_garbage()?;
                self.driver.synchronize()?;
                self.driver.allocate(bytes, purpose)?
            }
            other => other?,
        };
        Ok(Memory::new(pointer, bytes, &self.garbage))
    }

    /// `bytes` zeros.
    pub(crate) fn zeros(&mut self, bytes: usize, purpose: &'static str) -> DeviceResult<Memory> {
        let memory = self.allocate(bytes, purpose)?;
        self.fill_zero(memory.pointer(), bytes)?;
        Ok(memory)
    }

    /// At least `bytes` bytes of working memory, with anything in them; the operation's own until its last launch.
    pub(crate) fn scratch(&mut self, purpose: &'static str, bytes: usize) -> DeviceResult<u64> {
        if let Some(memory) = self.scratch.get(purpose)
            && memory.bytes() >= bytes
        {
            return Ok(memory.pointer());
        }
        self.scratch.remove(purpose);
        let memory = self.allocate(bytes, purpose)?;
        let pointer = memory.pointer();
        self.scratch.insert(purpose, memory);
        Ok(pointer)
    }

    /// A table of numbers that never changes, made by `values` when it is first asked for.
    pub(crate) fn table(
        &mut self,
        key: (usize, u64),
        values: impl FnOnce() -> Vec<f64>,
    ) -> DeviceResult<u64> {
        if let Some(memory) = self.tables.get(&key) {
            return Ok(memory.pointer());
        }
        let values = values();
        let memory = self.allocate(size_of_val(&*values), "a table")?;
        self.upload(memory.pointer(), bytemuck::cast_slice(&values))?;
        let pointer = memory.pointer();
        self.tables.insert(key, memory);
        Ok(pointer)
    }

    fn collect_garbage(&mut self) -> DeviceResult<()> {
        if self.waiting.as_ref().is_none_or(Vec::is_empty) {
            for pointer in self.garbage.take() {
                self.driver.free(pointer)?;
            }
        }
        Ok(())
    }

    /// Puts an array where kernels find it, until the next one that does not fit beside it.
    pub(crate) fn stage<T: bytemuck::NoUninit>(&mut self, values: &[T]) -> DeviceResult<u64> {
        let bytes = bytemuck::cast_slice(values);
        self.make_room(bytes.len())?;
        let pointer = self.stage.push(bytes);
        self.copy_staged()?;
        Ok(pointer)
    }

    /// As [`Self::stage`], of an array that is likely to be that of the last call for `purpose`.
    pub(crate) fn stage_once<T: bytemuck::NoUninit>(
        &mut self,
        purpose: &'static str,
        values: &[T],
    ) -> DeviceResult<u64> {
        let bytes = bytemuck::cast_slice(values);
        self.make_room(bytes.len())?;
        let pointer = self.stage.push_once(purpose, bytes);
        self.copy_staged()?;
        Ok(pointer)
    }

    fn make_room(&mut self, len: usize) -> DeviceResult<()> {
        if !self.stage.has_room(len) {
            self.synchronize()?;
            self.stage.clear();
        }
        match self.stage.has_room(len) {
            true => Ok(()),
            false => {
                let message = format!("an array of {len} bytes is too long for one call");
                Err(DeviceError::Failed(message))
            }
        }
    }

    fn copy_staged(&mut self) -> DeviceResult<()> {
        if self.waiting.is_none() { self.stage.copy(&self.driver) } else { Ok(()) }
    }

    /// As [`Self::stage`], of an array that may be longer than the stage: it takes the place of the last one of `purpose`.
    pub(crate) fn stage_table<T: bytemuck::NoUninit>(
        &mut self,
        purpose: &'static str,
        values: &[T],
    ) -> DeviceResult<u64> {
        if size_of_val(values) <= STAGE_BYTES / 8 {
            return self.stage(values);
        }
        let table = self.scratch(purpose, size_of_val(values))?;
        self.upload(table, bytemuck::cast_slice(values))?;
        Ok(table)
    }

    /// Gives back what nobody holds any more and counts the most that is held from here.
    pub(crate) fn forget_peak(&mut self) -> DeviceResult<()> {
        self.synchronize()?;
        self.collect_garbage()?;
        self.driver.synchronize()?;
        self.driver.forget_peak()
    }

    // ---- work ----------------------------------------------------------------------------------------------------

    /// Launches a kernel over `grid`; nothing where that is empty.
    pub(crate) fn launch(
        &mut self,
        name: Name<'_>,
        grid: Grid,
        arguments: Arguments,
    ) -> DeviceResult<()> {
        let Grid { blocks, threads, shared_bytes } = grid;
        if blocks.contains(&0) {
            return Ok(());
        }
        let [x, y, z] = blocks.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        if x > i32::MAX as u32 || y.max(z) as usize > MAX_GRID || !arguments.fit() {
            let message =
                format!("kernel `{}` has too much to do at once: {blocks:?}", name.kernel);
            return Err(DeviceError::Failed(message));
        }
        let function = self.kernels.get(&self.driver, name, shared_bytes)?;
        let launch = Launch { function, grid: [x, y, z], block: threads, shared_bytes, arguments };
        self.submit(Command::Launch(launch))
    }

    /// Computes a product; nothing where a side is 0, but a depth of 0 clears what it does not add to.
    pub(crate) fn product(&mut self, product: Product) -> DeviceResult<()> {
        if product.rows == 0 || product.columns == 0 {
            return Ok(());
        }
        self.scratch("workspace of products", WORKSPACE_BYTES)?;
        self.blas.prepare(&product)?;
        self.submit(Command::Product(product))
    }

    pub(crate) fn fill_zero(&mut self, pointer: u64, bytes: usize) -> DeviceResult<()> {
        if bytes == 0 { Ok(()) } else { self.submit(Command::FillZero { pointer, bytes }) }
    }

    /// Copies bytes that do not overlap.
    pub(crate) fn copy(&mut self, from: u64, to: u64, bytes: usize) -> DeviceResult<()> {
        if bytes == 0 { Ok(()) } else { self.submit(Command::Copy { from, to, bytes }) }
    }

    /// Copies `bytes` to the GPU.
    pub(crate) fn upload(&mut self, to: u64, bytes: &[u8]) -> DeviceResult<()> {
        self.flush()?;
        if bytes.is_empty() { Ok(()) } else { self.driver.upload(to, bytes) }
    }

    /// Copies to `out` what is there after all work before.
    pub(crate) fn download(&mut self, from: u64, out: &mut [u8]) -> DeviceResult<()> {
        self.flush()?;
        if out.is_empty() { Ok(()) } else { self.driver.download(from, out) }
    }

    fn submit(&mut self, command: Command) -> DeviceResult<()> {
        match &mut self.waiting {
            Some(waiting) => {
                waiting.push(command);
                Ok(())
            }
            None => self.run(&command),
        }
    }

    fn run(&self, command: &Command) -> DeviceResult<()> {
        match command {
            Command::Launch(launch) => self.driver.launch(launch),
            Command::Product(product) => {
                let workspace = self.scratch.get("workspace of products");
                self.blas.run(&self.driver, product, workspace.map_or(0, Memory::pointer))
            }
            &Command::FillZero { pointer, bytes } => self.driver.fill_zero(pointer, bytes),
            &Command::Copy { from, to, bytes } => self.driver.copy(from, to, bytes),
        }
    }

    /// Launches what waits.
    fn flush(&mut self) -> DeviceResult<()> {
        self.stage.copy(&self.driver)?;
        let Some(waiting) = self.waiting.as_mut().map(std::mem::take).filter(|w| !w.is_empty())
        else {
            return Ok(());
        };
        let mut graphs = std::mem::take(&mut self.graphs);
        let result = graphs.run(&self.driver, waiting, |command| self.run(command));
        self.graphs = graphs;
        result
    }

    /// Waits until all work is done.
    pub(crate) fn synchronize(&mut self) -> DeviceResult<()> {
        self.flush()?;
        self.driver.synchronize()
    }

    /// From here on, work waits.
    pub(crate) fn begin_series(&mut self) -> DeviceResult<()> {
        // The same series has to find its arrays in the same places.
        self.synchronize()?;
        self.stage.clear();
        self.waiting = Some(Vec::new());
        Ok(())
    }

    /// From here on, work is launched at once.
    pub(crate) fn end_series(&mut self) {
        self.failure = self.flush().err();
        self.waiting = None;
    }

    /// Launches what waits and returns how many seconds the GPU took for it. Arrays are copied before.
    pub(crate) fn time_series(&mut self) -> DeviceResult<f64> {
        self.stage.copy(&self.driver)?;
        let start = self.driver.mark()?;
        self.flush()?;
        let end = self.driver.mark()?;
        self.driver.seconds_between(&start, &end)
    }

    /// Fails with what went wrong when nobody asked for a result.
    pub(crate) fn check(&self) -> DeviceResult<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What waits will not be asked for any more. Buffers may outlive the engine, and then free themselves.
        self.scratch.clear();
        self.tables.clear();
        self.garbage.close();
    }
}
