//! Checks beside the wave that they belong to: what is finished is checked while the rest is being sampled.
//!
//! A thread takes the completions that the policy tells of and asks the domains about all that are waiting, call by
//! call. Once the wave has ended it finishes the call that it is in; whatever was not checked by then is checked as if
//! it had not been told. A domain's verdict does not depend on how items are spread over calls, and verdicts stand in
//! the samples' order: so no result depends on what was told or when.

use std::collections::BTreeMap;
use std::iter::once;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, scope};
use std::time::Duration;

use azr_plugin::{CallContext, Completion, CompletionSink, Domain};

use crate::channel::Channel;
use crate::stage::{Stage, by_domain};
use crate::wave::Wave;
use crate::{Clock, Observer, Result, SelfPlayError};

/// The completions of a wave and the verdicts on them, both in the order of the asks and their seeds.
///
/// The phase of the checks begins when the wave has ended and has what is left to check then; its seconds are what the
/// checks add to the step. Those that they took before that are noted as overlapped.
pub(crate) fn overlapped<I: Send, O: Send>(
    stage: &mut Stage<'_>,
    wave: &Wave<'_, I, O>,
) -> Result<(Vec<Vec<Completion>>, Vec<O>)> {
    let shared = Shared::default();
    // The policy needs the engines for itself meanwhile.
    let domains = stage.engines.domains.clone();
    let (channels, observer, clock) = (stage.channels, stage.observer, stage.clock);
    let side = Side { wave, shared: &shared, domains: &domains, channels, observer, clock };
    let (teller, told) = channel();
    scope(|scope| {
        let thread = Builder::new().name("azr-checks".to_owned());
        // Without a thread nobody hears what is told.
        let thread = thread.spawn_scoped(scope, move || side.run(&told)).ok();
        let early = move || match thread.map(|thread| thread.join()) {
            None => Ok(Early::default()),
            Some(Ok(early)) => early,
            // As if the domain had panicked on this thread.
            Some(Err(panic)) => resume_unwind(panic),
        };
        let sampled = stage.generate(wave, &Teller(teller), Some(&shared.is_given_up));
        let end = clock.now();
        shared.is_over.store(true, Ordering::Relaxed);
        let completions = match sampled {
            Ok(completions) => completions,
            Err(error) => {
                shared.is_given_up.store(true, Ordering::Relaxed);
                return Err(match (error, early()) {
                    // It was cancelled because of this.
                    (SelfPlayError::Cancelled, Err(cause)) => cause,
                    (error, _) => error,
                });
            }
        };
        let n_checked = shared.n_checked.load(Ordering::Relaxed);
        let (phase, n_left) = (wave.check.phase, (wave.n_samples() - n_checked) as u64);
        stage.seconds.entry(phase).or_default();
        let finish = |stage: &mut Stage<'_>| {
            let early = early()?;
            *stage.overlapped.entry(phase).or_default() += early.seconds_until(end);
            let texts = completions.iter().flatten().map(|completion| completion.text.as_str());
            finish(stage, wave, early, &texts.collect::<Vec<_>>(), n_left)
        };
        let verdicts =
            if n_left == 0 { finish(stage)? } else { stage.phase(phase, n_left, finish)? };
        Ok((completions, verdicts))
    })
}

/// All verdicts on the responses `texts`: the early ones, and new ones where there are none. `n_left` were missing when
/// the wave ended.
fn finish<I, O>(
    stage: &Stage<'_>,
    wave: &Wave<'_, I, O>,
    early: Early<O>,
    texts: &[&str],
    n_left: u64,
) -> Result<Vec<O>> {
    let Early { told, mut verdicts, .. } = early;
    if told.iter().any(|(&position, response)| texts.get(position) != Some(&response.as_str())) {
        return Err(contract("it told another completion than it returned"));
    }
    let rest: Vec<usize> = (0..texts.len()).filter(|at| !verdicts.contains_key(at)).collect();
    let items = rest.iter().map(|&position| wave.item(position, texts[position])).collect();
    let n_done = n_left.saturating_sub(rest.len() as u64);
    let phase = wave.check.phase;
    if n_done > 0 {
        stage.observer.progress(phase, n_done, n_left, phase.unit());
    }
    let others = stage.call(wave.check, items, n_done, n_left)?;
    verdicts.extend(rest.into_iter().zip(others));
    Ok(verdicts.into_values().collect())
}

/// What the two sides know of each other. Results do not depend on when they learn it.
#[derive(Default)]
struct Shared {
    n_checked: AtomicUsize,
    /// Whether the wave has ended, so that no further call is begun beside it.
    is_over: AtomicBool,
    /// Whether one side failed, so that nobody needs the other's work.
    is_given_up: AtomicBool,
}

/// A completion that the policy told of, wherever it says that it belongs.
struct Told {
    request: usize,
    sample: usize,
    response: String,
}

struct Teller(Sender<Told>);

impl CompletionSink for Teller {
    fn completed(&self, request: usize, sample: usize, completion: &Completion) {
        let told = Told { request, sample, response: completion.text.clone() };
        // Nobody listens once a check has failed.
        let _ = self.0.send(told);
    }
}

/// What was heard and done beside a wave, by the samples' positions.
struct Early<O> {
    told: BTreeMap<usize, String>,
    verdicts: BTreeMap<usize, O>,
    /// When each call began and ended.
    times: Vec<(Duration, Duration)>,
}

impl<O> Default for Early<O> {
    fn default() -> Self {
        Self { told: BTreeMap::new(), verdicts: BTreeMap::new(), times: Vec::new() }
    }
}

impl<O> Early<O> {
    fn seconds_until(&self, end: Duration) -> f64 {
        let time = |(from, to): &(Duration, Duration)| (*to).min(end).saturating_sub(*from);
        self.times.iter().map(time).sum::<Duration>().as_secs_f64()
    }
}

/// The side that checks.
struct Side<'a, I, O> {
    wave: &'a Wave<'a, I, O>,
    shared: &'a Shared,
    domains: &'a [(String, Arc<dyn Domain>)],
    channels: &'a [Channel],
    observer: &'a dyn Observer,
    clock: &'a dyn Clock,
}

impl<I, O> Side<'_, I, O> {
    fn run(&self, told: &Receiver<Told>) -> Result<Early<O>> {
        let early = self.listen(told);
        self.shared.is_given_up.fetch_or(early.is_err(), Ordering::Relaxed);
        early
    }

    /// Hears all that is told and checks it, until the wave has ended.
    fn listen(&self, told: &Receiver<Told>) -> Result<Early<O>> {
        let mut early = Early::default();
        while let Ok(first) = told.recv() {
            let mut items = Vec::new();
            let mut positions = Vec::new();
            for Told { request, sample, response } in once(first).chain(told.try_iter()) {
                let Some(position) = self.wave.position(request, sample) else {
                    return Err(contract("it told a completion that nobody asked for"));
                };
                items.push(self.wave.item(position, &response));
                positions.push(position);
                if early.told.insert(position, response).is_some() {
                    return Err(contract("it told a completion twice"));
                }
            }
            if self.shared.is_over.load(Ordering::Relaxed) {
                continue;
            }
            let (check, start) = (self.wave.check, self.clock.now());
            let call = |domain: &dyn Domain, items: &[I], _| (check.call)(domain, items, self);
            let verdicts = by_domain(self.domains, self.channels, check.action, items, call)?;
            early.times.push((start, self.clock.now()));
            early.verdicts.extend(positions.into_iter().zip(verdicts));
            self.shared.n_checked.store(early.verdicts.len(), Ordering::Relaxed);
        }
        Ok(early)
    }
}

/// Of what happens beside the wave nothing is shown: the phase that is under way is the wave's.
impl<I, O> CallContext for Side<'_, I, O> {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled() || self.shared.is_given_up.load(Ordering::Relaxed)
    }
}

fn contract(message: &str) -> SelfPlayError {
    SelfPlayError::contract("policy", message)
}
