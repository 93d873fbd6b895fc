//! The CUDA driver: one GPU, one stream, each call's return code checked.
//!
//! All work goes to one stream, so that it happens in the order in which it was asked for and memory can be freed while
//! what uses it still waits its turn.

#![expect(unsafe_code, reason = "the driver's interface is one of raw pointers")]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use azr_transformer::{DeviceError, DeviceResult};
use cudarc::driver::sys::{
    CUdevice_attribute_enum, CUfunction, CUfunction_attribute_enum, CUmemPool_attribute_enum,
    CUmemoryPool, CUmodule, CUstreamCaptureMode,
};
use cudarc::driver::{CudaContext, CudaEvent, CudaGraph, CudaStream, DriverError, result, sys};

use crate::about::About;
use crate::arguments::Arguments;
use crate::error::{OpenError, driver};

/// The oldest driver that loads our binaries, as it counts CUDA's versions.
const MIN_DRIVER: i32 = 13_000;
/// The least compute capability: bfloat16 products and asynchronous copies.
const MIN_CAPABILITY: (u32, u32) = (8, 0);
/// Dynamic shared memory that every kernel may have; more has to be asked for.
const PLAIN_SHARED_BYTES: u32 = 48 << 10;

/// A GPU and its stream.
#[derive(Debug)]
pub(crate) struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    pool: CUmemoryPool,
    name: String,
    capability: (u32, u32),
}

// SAFETY: handles of the driver may be used from any thread; `bind` makes the context the thread's own first.
unsafe impl Send for Driver {}
// SAFETY: as above.
unsafe impl Sync for Driver {}

/// A kernel that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function(usize);

/// A launch of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) function: Function,
    /// Blocks.
    pub(crate) grid: [u32; 3],
    /// Threads of a block.
    pub(crate) block: u32,
    /// Bytes of dynamic shared memory.
    pub(crate) shared_bytes: u32,
    pub(crate) arguments: Arguments,
}

/// Launches that were recorded, to be run as one.
pub(crate) struct Graph(CudaGraph);

// SAFETY: as of `Driver`; the graph is used under the engine's lock only.
unsafe impl Send for Graph {}

impl Driver {
    /// Opens GPU number `ordinal`.
    pub(crate) fn open(ordinal: usize) -> Result<Self, OpenError> {
        // SAFETY: loads a library by name; nothing else has a say before that.
        if !unsafe { sys::is_culib_present() } {
            return Err(OpenError::NoDriver);
        }
        let found = driver_version()?;
        if found < MIN_DRIVER {
            return Err(OpenError::OldDriver { found });
        }
        let no_device = |n_devices| OpenError::NoDevice { ordinal, n_devices };
        match result::init() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(no_device(0)),
            other => other?,
        }
        let n_devices = usize::try_from(result::device::get_count()?).unwrap_or(0);
        if ordinal >= n_devices {
            return Err(no_device(n_devices));
        }
        let context = CudaContext::new(ordinal)?;
        // SAFETY: there is one stream, whose order is all the tracking that memory needs.
        unsafe { context.disable_event_tracking() };
        let number = |attribute| -> Result<u32, OpenError> {
            Ok(u32::try_from(context.attribute(attribute)?).unwrap_or(0))
        };
        use CUdevice_attribute_enum as Attribute;
        let capability = (
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let name = context.name()?;
        if capability < MIN_CAPABILITY {
            return Err(OpenError::Unsupported { name, capability });
        }
        // Capturing is not allowed on the default stream.
        let stream = context.new_stream()?;
        // SAFETY: the device is the context's.
        let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }?;
        let mut keep = u64::MAX;
        // SAFETY: the attribute is a 64-bit number. What was freed stays with the pool and is handed out again, instead of
        // going back to the system and coming from there, which takes milliseconds.
        unsafe {
            result::mem_pool::set_attribute(
                pool,
                CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut keep).cast(),
            )
        }?;
        Ok(Self { context, stream, pool, name, capability })
    }

    /// What is known of the GPU.
    pub(crate) fn about(&self) -> Result<About, OpenError> {
        let failed = |error: DeviceError| OpenError::Failed(error.to_string());
        self.bind().map_err(failed)?;
        let (_, total) = result::mem_get_info()?;
        let version = u32::try_from(driver_version()?).unwrap_or(0);
        Ok(About {
            name: self.name.clone(),
            capability: self.capability,
            total_bytes: total as u64,
            free_bytes: self.free_bytes().map_err(failed)?,
            driver: (version / 1000, version % 1000 / 10),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Bytes that allocations can still have: free ones, and those of the pool that nobody holds.
    pub(crate) fn free_bytes(&self) -> DeviceResult<u64> {
        self.bind()?;
        let (free, _) = result::mem_get_info().map_err(driver)?;
        use CUmemPool_attribute_enum as Attribute;
        let reserved = self.pooled(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let used = self.pooled(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        Ok(free as u64 + reserved.saturating_sub(used))
    }

    /// Most bytes that allocations held at once since [`Self::forget_peak`].
    pub(crate) fn peak_bytes(&self) -> DeviceResult<u64> {
        self.bind()?;
        self.pooled(CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH)
    }

    /// Counts [`Self::peak_bytes`] from here.
    pub(crate) fn forget_peak(&self) -> DeviceResult<()> {
        self.bind()?;
        let attribute = CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        let mut zero = 0_u64;
        // SAFETY: the attribute is a 64-bit number, which may be set to 0.
        unsafe { result::mem_pool::set_attribute(self.pool, attribute, (&raw mut zero).cast()) }
            .map_err(driver)
    }

    /// An attribute of the pool that is a number of bytes.
    fn pooled(&self, attribute: CUmemPool_attribute_enum) -> DeviceResult<u64> {
        let mut bytes = 0_u64;
        // SAFETY: the attributes are 64-bit numbers.
        unsafe { result::mem_pool::get_attribute(self.pool, attribute, (&raw mut bytes).cast()) }
            .map_err(driver)?;
        Ok(bytes)
    }

    /// Makes the GPU this thread's. Every entry into the driver begins with it.
    pub(crate) fn bind(&self) -> DeviceResult<()> {
        self.context.bind_to_thread().map_err(driver)
    }

    pub(crate) fn raw_stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    /// `bytes` bytes with anything in them, at least one; aligned to 256.
    pub(crate) fn allocate(&self, bytes: usize, purpose: &'static str) -> DeviceResult<u64> {
        // SAFETY: all uses of the memory are on this stream.
        match unsafe { result::malloc_async(self.raw_stream(), bytes.max(1)) } {
            Ok(pointer) => Ok(pointer),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(DeviceError::OutOfMemory { requested_bytes: bytes as u64, purpose })
            }
            Err(error) => Err(driver(error)),
        }
    }

    /// Gives memory back once the work before is done.
    pub(crate) fn free(&self, pointer: u64) -> DeviceResult<()> {
        // SAFETY: the pointer came from `allocate` and its owner is gone.
        unsafe { result::free_async(pointer, self.raw_stream()) }.map_err(driver)
    }

    /// Sets bytes to 0. The caller owns them.
    pub(crate) fn fill_zero(&self, pointer: u64, bytes: usize) -> DeviceResult<()> {
        // SAFETY: pointer and length are of memory that the caller holds; the driver checks them as well.
        unsafe { result::memset_d8_async(pointer, 0, bytes, self.raw_stream()) }.map_err(driver)
    }

    /// Copies from pageable memory; the source may change when this returns.
    pub(crate) fn upload(&self, to: u64, bytes: &[u8]) -> DeviceResult<()> {
        // SAFETY: as of `fill_zero`; of pageable memory the driver takes a copy before it returns.
        unsafe { result::memcpy_htod_async(to, bytes, self.raw_stream()) }.map_err(driver)
    }

    /// Copies from page-locked memory.
    ///
    /// # Safety
    /// `bytes` must not change before the copy is done.
    pub(crate) unsafe fn upload_pinned(&self, to: u64, bytes: &[u8]) -> DeviceResult<()> {
        // SAFETY: as of `fill_zero`, and the caller's promise.
        unsafe { result::memcpy_htod_async(to, bytes, self.raw_stream()) }.map_err(driver)
    }

    /// Copies to `out` when all work before is done.
    pub(crate) fn download(&self, from: u64, out: &mut [u8]) -> DeviceResult<()> {
        // SAFETY: as of `fill_zero`; the wait below ends the copy before `out` is used.
        unsafe { result::memcpy_dtoh_async(out, from, self.raw_stream()) }.map_err(driver)?;
        self.synchronize()
    }

    /// Copies within the GPU's memory; the two must not overlap.
    pub(crate) fn copy(&self, from: u64, to: u64, bytes: usize) -> DeviceResult<()> {
        // SAFETY: as of `fill_zero`.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.raw_stream()) }.map_err(driver)
    }

    /// Waits until all work is done.
    pub(crate) fn synchronize(&self) -> DeviceResult<()> {
        self.stream.synchronize().map_err(driver)
    }

    /// Marks a time behind all work so far.
    pub(crate) fn mark(&self) -> DeviceResult<CudaEvent> {
        self.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).map_err(driver)
    }

    /// Waits for two marks and returns the seconds between them, to about half a microsecond.
    pub(crate) fn seconds_between(&self, start: &CudaEvent, end: &CudaEvent) -> DeviceResult<f64> {
        start.elapsed_ms(end).map(|ms| f64::from(ms) / 1e3).map_err(driver)
    }

    /// Page-locked zeros.
    pub(crate) fn allocate_pinned(self: &Arc<Self>, bytes: usize) -> DeviceResult<Pinned> {
        self.bind()?;
        // SAFETY: the flags are none.
        let pointer = unsafe { result::malloc_host(bytes, 0) }.map_err(driver)?.cast::<u8>();
        // SAFETY: the driver gave this many bytes.
        unsafe { pointer.write_bytes(0, bytes) };
        Ok(Pinned { pointer, bytes, driver: self.clone() })
    }

    /// Loads a module from an image of machine code, for the life of the context.
    pub(crate) fn load_module(&self, image: &[u8]) -> DeviceResult<Module> {
        // The driver reads headers as words.
        let mut words = vec![0_u64; image.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..image.len()].copy_from_slice(image);
        // SAFETY: the image is one that a compiler made, and says itself how long it is.
        let module = unsafe { result::module::load_data(words.as_ptr().cast::<c_void>()) };
        module.map(Module).map_err(driver)
    }

    /// A kernel of a module, ready for launches with `shared_bytes` of dynamic shared memory.
    pub(crate) fn function(
        &self,
        module: &Module,
        name: &str,
        shared_bytes: u32,
    ) -> DeviceResult<Function> {
        let c_name = std::ffi::CString::new(name).unwrap_or_default();
        // SAFETY: modules are never unloaded.
        let function = unsafe { result::module::get_function(module.0, c_name) }
            .map_err(|error| DeviceError::Failed(format!("kernel `{name}`: {error}")))?;
        if shared_bytes > PLAIN_SHARED_BYTES {
            use CUfunction_attribute_enum as Attribute;
            let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
            // SAFETY: the function is the one just found.
            unsafe { result::function::set_function_attribute(function, attribute, bytes) }
                .map_err(driver)?;
        }
        Ok(Function(function as usize))
    }

    /// Launches a kernel. What its arguments point to is held by the caller until the work is done or replaced by work
    /// behind it; that the arguments are those that the kernel has is for the kernels' tests to show.
    pub(crate) fn launch(&self, launch: &Launch) -> DeviceResult<()> {
        let [x, y, z] = launch.grid;
        let mut pointers = launch.arguments.as_pointers();
        // SAFETY: the function is of a loaded module; the pointers are to words that live until the driver has copied them.
        unsafe {
            result::launch_kernel(
                launch.function.0 as CUfunction,
                (x, y, z),
                (launch.block, 1, 1),
                launch.shared_bytes,
                self.raw_stream(),
                &mut pointers,
            )
        }
        .map_err(driver)
    }

    /// Records what `work` launches instead of running it.
    pub(crate) fn capture(&self, work: impl FnOnce() -> DeviceResult<()>) -> DeviceResult<Graph> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(driver)?;
        let worked = work();
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).map_err(driver);
        worked?;
        graph?.map(Graph).ok_or_else(|| DeviceError::Failed("nothing was captured".to_owned()))
    }

    /// Runs what was recorded.
    pub(crate) fn replay(&self, graph: &Graph) -> DeviceResult<()> {
        graph.0.launch().map_err(driver)
    }
}

/// The CUDA version that the driver is for, as it counts them. It answers before it is initialised.
fn driver_version() -> Result<i32, OpenError> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}

/// Page-locked memory of the host, from which copies to the GPU need not be waited for.
#[derive(Debug)]
pub(crate) struct Pinned {
    pointer: *mut u8,
    bytes: usize,
    driver: Arc<Driver>,
}

// SAFETY: the memory is this value's alone.
unsafe impl Send for Pinned {}

impl Deref for Pinned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: that many bytes were allocated and written, and live as long as this.
        unsafe { std::slice::from_raw_parts(self.pointer, self.bytes) }
    }
}

impl DerefMut for Pinned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and there is no other reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Copies from here may still be under way. There is nobody to tell of an error.
        let _ = self.driver.bind().and_then(|()| self.driver.synchronize());
        // SAFETY: the pointer came from `malloc_host`, and no copy reads from it any more.
        let _ = unsafe { result::free_host(self.pointer.cast()) };
    }
}

/// A loaded module; unloaded with the context.
#[derive(Debug)]
pub(crate) struct Module(CUmodule);

// SAFETY: as of `Driver`.
unsafe impl Send for Module {}
