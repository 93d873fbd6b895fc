//! Spreads jobs over workers. Results come in job order, whatever the number of workers.
//!
//! Workers take jobs from one counter, so that none waits while there is work: many at once where many are left, which
//! costs less per job, and one by one towards the end, so that all finish together.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use azr_plugin::{CallContext, ErrorCode, PluginError};

use crate::program::STACK_BYTES;

/// Stack of a worker's thread: with room for the static gate, which would otherwise make itself one for every program.
const GATE_STACK_BYTES: usize = STACK_BYTES + (1 << 20);

/// The first job of a range and what became of the range.
type Finished<R, E> = (usize, Result<Vec<R>, E>);

/// How often a call that waits for the workers looks whether it was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(5);

/// The workers, as soon as no other call uses them.
///
/// # Errors
/// [`cancelled`], when the context is cancelled before.
pub fn lock<'a, W>(
    workers: &'a Mutex<W>,
    context: &dyn CallContext,
) -> Result<MutexGuard<'a, W>, PluginError> {
    loop {
        match workers.try_lock() {
            Ok(workers) => return Ok(workers),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) if context.is_cancelled() => return Err(cancelled()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(CANCEL_INTERVAL),
        }
    }
}

/// What a cancelled call answers.
pub fn cancelled() -> PluginError {
    PluginError::new(ErrorCode::Cancelled, "cancelled")
}

/// Runs `work(worker, job)` for every job in `0..n_jobs`, each worker on a thread of its own.
/// After each job `progress` is called with the number of finished jobs, in any order.
///
/// # Errors
/// The first error in job order among those that occurred; the other workers stop after their current job.
pub fn run_in_order<W: Send, R: Send, E: Send>(
    workers: &mut [W],
    n_jobs: usize,
    work: impl Fn(&mut W, usize) -> Result<R, E> + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<R>, E> {
    let one = |worker: &mut W, jobs: Range<usize>| jobs.map(|job| work(worker, job)).collect();
    run_chunks_in_order(workers, n_jobs, 1, one, progress)
}

/// Runs `work(worker, jobs)` until every job in `0..n_jobs` was in one of the ranges, each worker on a thread of its
/// own. A range has at most `longest` jobs; `work` returns one result per job, in order.
/// After each range `progress` is called with the number of finished jobs, in any order.
///
/// # Errors
/// The first error in job order among those that occurred; the other workers stop after their current range.
pub fn run_chunks_in_order<W: Send, R: Send, E: Send>(
    workers: &mut [W],
    n_jobs: usize,
    longest: usize,
    work: impl Fn(&mut W, Range<usize>) -> Result<Vec<R>, E> + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<R>, E> {
    let n_workers = workers.len().max(1);
    let next = AtomicUsize::new(0);
    let n_done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let finished: Mutex<Vec<Finished<R, E>>> = Mutex::new(Vec::new());
    let serve = |worker: &mut W| {
        while !failed.load(Ordering::Relaxed) {
            let Some(jobs) = take(&next, n_jobs, n_workers, longest) else { return };
            let (first, length) = (jobs.start, jobs.len());
            let result = work(worker, jobs);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            finished
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((first, result));
            progress(n_done.fetch_add(length, Ordering::Relaxed) + length);
        }
    };
    std::thread::scope(|scope| {
        for worker in workers.iter_mut().take(n_jobs) {
            scope.spawn(|| stacker::grow(GATE_STACK_BYTES, || serve(worker)));
        }
    });
    let mut finished = finished.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    finished.sort_by_key(|(first, _)| *first);
    let chunks = finished.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, E>>()?;
    Ok(chunks.into_iter().flatten().collect())
}

/// The next jobs: at most `longest`, and at most half of a worker's share of what is left.
fn take(
    next: &AtomicUsize,
    n_jobs: usize,
    n_workers: usize,
    longest: usize,
) -> Option<Range<usize>> {
    let length = |first: usize| ((n_jobs - first) / (2 * n_workers)).clamp(1, longest.max(1));
    let after = |first: usize| (first < n_jobs).then(|| first + length(first));
    let first = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
    Some(first..first + length(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_job_order() {
        for n_workers in [1, 2, 7] {
            let mut workers = vec![0_usize; n_workers];
            let work = |served: &mut usize, job: usize| {
                *served += 1;
                std::thread::yield_now();
                Ok::<_, ()>(job * job)
            };
            let results = run_in_order(&mut workers, 100, work, |_| {}).unwrap();
            assert_eq!(results, (0..100).map(|job| job * job).collect::<Vec<_>>());
            assert_eq!(workers.iter().sum::<usize>(), 100);
        }
    }

    #[test]
    fn an_error_ends_the_run() {
        let work = |_: &mut (), job: usize| if job == 3 { Err(job) } else { Ok(job) };
        assert_eq!(run_in_order(&mut [(), ()], 1_000_000, work, |_| {}), Err(3));
    }

    #[test]
    fn chunks_shrink_and_cover_every_job_once() {
        for (n_jobs, n_workers) in [(0, 1), (1, 2), (100, 1), (1_000, 3), (7, 16)] {
            let next = AtomicUsize::new(0);
            let chunks: Vec<Range<usize>> =
                std::iter::from_fn(|| take(&next, n_jobs, n_workers, 16)).collect();
            assert!(chunks.iter().cloned().flatten().eq(0..n_jobs));
            assert!(chunks.iter().all(|chunk| (1..=16).contains(&chunk.len())));
            assert!(chunks.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
            let mut workers = vec![(); n_workers];
            let work = |_: &mut (), jobs: Range<usize>| Ok::<_, ()>(jobs.collect());
            let results = run_chunks_in_order(&mut workers, n_jobs, 16, work, |_| {}).unwrap();
            assert!(results.into_iter().eq(0..n_jobs));
        }
    }
}
