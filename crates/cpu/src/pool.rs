//! The device's threads: fork and join in about a microsecond.
//!
//! Workers spin for a moment after each job, because the next one usually follows at once, and then sleep, because
//! the machine may be shared. Tasks are handed out one by one, so that a worker that lost its core does not hold up
//! the others. What a task computes must not depend on which thread runs it.
#![expect(
    unsafe_code,
    reason = "a job borrows from its caller, which the threads' lifetimes cannot express"
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A job may be joined while this bit of the gate is set.
const OPEN: u64 = 1 << 32;
/// Added to the gate for each job, so that no worker mistakes one for another.
const GENERATION: u64 = 1 << 33;
/// The low bits count the workers inside the job.
const WORKERS: u64 = OPEN - 1;
/// How long an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(30);

/// A task of a job: its index and the index of the thread that runs it.
type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A fixed set of threads, the caller's included.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a job runs: jobs of several callers do not mix.
    caller: Mutex<()>,
}

#[derive(Default)]
struct Shared {
    gate: AtomicU64,
    job: Mutex<Option<Job>>,
    next_task: AtomicUsize,
    n_sleeping: AtomicUsize,
    shutdown: AtomicBool,
    bed: Mutex<()>,
    alarm: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// The job in progress. The lifetime of the task is erased: see the safety comment of [`Pool::run`].
#[derive(Clone, Copy)]
struct Job {
    task: &'static Task<'static>,
    n_tasks: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of `n_threads` threads, the caller's among them.
    pub(crate) fn new(n_threads: usize) -> std::io::Result<Self> {
        let mut pool = Self {
            shared: Arc::new(Shared::default()),
            workers: Vec::new(),
            caller: Mutex::new(()),
        };
        for index in 1..n_threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("azr-cpu-{index}"))
                .spawn(move || shared.work(index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub(crate) fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(index, thread)` for each index below `n_tasks` and returns when all are done; `thread` is below
    /// [`Pool::n_threads`] and no two tasks of one job run at the same time with the same one.
    /// A panic of a task is raised here once no thread runs the job any more.
    pub(crate) fn run(&self, n_tasks: usize, task: &Task<'_>) {
        // Tasks do not start jobs; were one to, or another caller to come at the same time, it runs on its own
        // thread, which changes no result.
        let guard = self.caller.try_lock();
        if n_tasks <= 1 || self.workers.is_empty() || guard.is_err() {
            for index in 0..n_tasks {
                task(index, 0);
            }
            return;
        }
        // SAFETY: only the lifetime changes. Workers reach the task through `job` and only while they are counted
        // in the gate; `close` returns after the gate was shut and the count fell to 0, and it runs before this
        // function returns or unwinds, as the caller's own tasks are run under `catch_unwind`.
        let task: &'static Task<'static> = unsafe { std::mem::transmute(task) };
        let job = Job { task, n_tasks };
        self.shared.open(job);
        self.shared.run_tasks(job, 0);
        self.shared.close();
        let panic = lock(&self.shared.panic).take();
        drop(guard);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        drop(lock(&self.shared.bed));
        self.shared.alarm.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to learn from its result.
            drop(worker.join());
        }
    }
}

impl Shared {
    fn open(&self, job: Job) {
        *lock(&self.job) = Some(job);
        self.next_task.store(0, SeqCst);
        self.gate.fetch_add(GENERATION | OPEN, SeqCst);
        if self.n_sleeping.load(SeqCst) > 0 {
            drop(lock(&self.bed));
            self.alarm.notify_all();
        }
    }

    fn close(&self) {
        self.gate.fetch_and(!OPEN, SeqCst);
        let mut n_spins = 0_u32;
        while self.gate.load(SeqCst) & WORKERS > 0 {
            n_spins += 1;
            if n_spins < 200 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        *lock(&self.job) = None;
    }

    fn run_tasks(&self, job: Job, thread: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next_task.fetch_add(1, SeqCst);
                if index >= job.n_tasks {
                    break;
                }
                (job.task)(index, thread);
            }
        }));
        if let Err(panic) = result {
            self.next_task.store(job.n_tasks, SeqCst);
            lock(&self.panic).get_or_insert(panic);
        }
    }

    /// The life of a worker.
    fn work(&self, thread: usize) {
        let mut last_generation = 0;
        loop {
            let gate = self.gate.load(SeqCst);
            if self.shutdown.load(SeqCst) {
                return;
            }
            if gate & OPEN == 0 || gate / GENERATION == last_generation {
                self.wait_for_job(last_generation);
                continue;
            }
            if self.gate.compare_exchange(gate, gate + 1, SeqCst, SeqCst).is_err() {
                continue;
            }
            last_generation = gate / GENERATION;
            let job = *lock(&self.job);
            if let Some(job) = job {
                self.run_tasks(job, thread);
            }
            self.gate.fetch_sub(1, SeqCst);
        }
    }

    fn has_job_after(&self, last_generation: u64) -> bool {
        let gate = self.gate.load(SeqCst);
        (gate & OPEN > 0 && gate / GENERATION != last_generation) || self.shutdown.load(SeqCst)
    }

    fn wait_for_job(&self, last_generation: u64) {
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..8 {
                if self.has_job_after(last_generation) {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let mut bed = lock(&self.bed);
        // Counted before the last look at the gate: the caller opens the gate before it looks at the count, so
        // one of the two sees the other.
        self.n_sleeping.fetch_add(1, SeqCst);
        while !self.has_job_after(last_generation) {
            bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.n_sleeping.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_in_every_job() {
        let pool = Pool::new(3).unwrap();
        for n_tasks in [0, 1, 2, 7, 1000] {
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(n_tasks, &|task, thread| {
                    assert!(thread < 3);
                    counts[task].fetch_add(1, SeqCst);
                });
                assert!(counts.iter().all(|count| count.load(SeqCst) == 1));
            }
        }
    }

    #[test]
    fn a_sleeping_pool_wakes_up() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(2));
            let count = AtomicUsize::new(0);
            pool.run(2, &|_, _| {
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.load(SeqCst), 2);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        for bad in [0, 13, 99] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(100, &|task, _| assert!(task != bad, "task {bad}"));
            }));
            let payload = result.unwrap_err();
            assert_eq!(payload.downcast_ref::<String>(), Some(&format!("task {bad}")));
            pool.run(10, &|_, _| {});
        }
    }

    #[test]
    fn jobs_inside_jobs_and_jobs_of_two_callers_finish() {
        let pool = Pool::new(2).unwrap();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        pool.run(4, &|_, _| {
                            pool.run(3, &|_, _| {
                                count.fetch_add(1, SeqCst);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(SeqCst), 2 * 20 * 4 * 3);
    }
}
