//! The learning experiment: the default run beside four controls, several seeds each, as a table and a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use azr_run::{Curve, MetricsLine, Panel, svg};
use indicatif::{ProgressBar, ProgressStyle};

/// A way to run, by what differs from the default.
struct Setting {
    name: &'static str,
    what: &'static str,
    overrides: &'static [&'static str],
}

const SETTINGS: [Setting; 5] = [
    Setting { name: "default", what: "`cargo xtask train` as it is", overrides: &[] },
    Setting {
        name: "learning rate 0",
        what: "everything but the update: the noise of the measurement",
        overrides: &["optimizer.options.learning_rate=0.0"],
    },
    Setting {
        name: "shuffled rewards",
        what: "rewards exchanged at random within each kind and role: updates as large, about nothing",
        overrides: &["selfplay.shuffle_rewards=true"],
    },
    Setting {
        name: "solver only",
        what: "tasks are proposed once, before training, and never again",
        overrides: &["selfplay.solver_only_steps=1000000", "selfplay.seed_tasks=256"],
    },
    Setting {
        name: "frozen proposer",
        what: "tasks are proposed at every step, but proposals are not trained",
        overrides: &["selfplay.train_proposer=false"],
    },
];

/// Marks of the part of the page that is made.
const BEGIN: &str = "<!-- made by `cargo xtask bench learning` -->";
const END: &str = "<!-- end of what is made -->";
const PLOT: &str = "learning.svg";
const METRIC: &str = "heldout/solve_rate_";
const KINDS: [&str; 3] = ["abduction", "deduction", "induction"];

/// What to run and where.
#[derive(Debug)]
pub struct Experiment {
    /// The `azr` binary.
    pub azr: PathBuf,
    /// Seeds 1 to this.
    pub n_seeds: u64,
    /// Runs at once; with more than one, each computes with one thread, which changes no result.
    pub n_jobs: usize,
    /// Overrides for every run, as for `azr train --set`.
    pub overrides: Vec<String>,
    /// Where the runs lie; finished ones are not repeated, unfinished ones go on.
    pub runs: PathBuf,
    /// The folder of `learning.md` and its plot.
    pub docs: PathBuf,
}

/// A run's evaluations, by step: solve rates by kind, and their mean under the name `mean`.
type Evaluations = BTreeMap<u64, BTreeMap<String, f64>>;

/// Runs what is missing and writes the page.
pub fn learning(experiment: &Experiment) -> Result<()> {
    fs::create_dir_all(&experiment.runs)?;
    let runs: Vec<(usize, u64)> = (1..=experiment.n_seeds)
        .flat_map(|seed| (0..SETTINGS.len()).map(move |setting| (setting, seed)))
        .collect();
    let bar = ProgressBar::new(runs.len() as u64);
    bar.set_style(ProgressStyle::with_template("{pos}/{len} runs {elapsed} ETA {eta} {msg}")?);
    bar.tick();
    let queue = Mutex::new(runs.iter());
    let results = thread::scope(|scope| {
        let work = || -> Result<Vec<((usize, u64), Evaluations)>> {
            let mut done = Vec::new();
            loop {
                let next = queue.lock().map(|mut queue| queue.next().copied());
                let Ok(Some((setting, seed))) = next else { return Ok(done) };
                bar.set_message(format!("{} {seed}", SETTINGS[setting].name));
                let evaluations = run(experiment, &SETTINGS[setting], seed)?;
                bar.inc(1);
                done.push(((setting, seed), evaluations));
            }
        };
        let workers: Vec<_> = (0..experiment.n_jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>()
    });
    bar.finish();
    let mut found = BTreeMap::new();
    for result in results {
        match result {
            Ok(done) => found.extend(done?),
            Err(_) => bail!("a worker of the experiment panicked"),
        }
    }
    write_page(&experiment.docs, &found)
}

/// One run, from where it stands to its end.
fn run(experiment: &Experiment, setting: &Setting, seed: u64) -> Result<Evaluations> {
    let folder = experiment.runs.join(format!("{}-{seed}", setting.name.replace(' ', "-")));
    let mut command = Command::new(&experiment.azr);
    command.arg("train");
    if folder.join("config.toml").exists() {
        command.arg("--resume").arg(&folder);
    } else {
        command.arg("--run-dir").arg(&folder).args(["--set", &format!("selfplay.seed={seed}")]);
        if experiment.n_jobs > 1 {
            command.args(["--set", "backend.options.threads=1"]);
        }
        let overrides = setting.overrides.iter().map(|text| (*text).to_owned());
        for text in overrides.chain(experiment.overrides.iter().cloned()) {
            command.args(["--set", &text]);
        }
    }
    let log = fs::File::create(folder.with_extension("log"))?;
    let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status();
    let status = status.with_context(|| format!("cannot start {}", experiment.azr.display()))?;
    let log = folder.with_extension("log");
    ensure!(status.success(), "the run failed ({status}); its output is in {}", log.display());
    evaluations(&folder.join("metrics.jsonl"))
}

fn evaluations(file: &Path) -> Result<Evaluations> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut found = Evaluations::new();
    for line in text.lines() {
        let line: MetricsLine = serde_json::from_str(line)?;
        let rates = line.metrics.iter().filter_map(|(name, rate)| {
            name.strip_prefix(METRIC).map(|kind| (kind.to_owned(), 100.0 * rate))
        });
        let rates: BTreeMap<String, f64> = rates.collect();
        if !rates.is_empty() {
            found.insert(line.step, rates);
        }
    }
    ensure!(found.len() > 1, "{} holds fewer than two evaluations", file.display());
    Ok(found)
}

/// Replaces the made part of the page, or begins a page.
fn write_page(docs: &Path, found: &BTreeMap<(usize, u64), Evaluations>) -> Result<()> {
    fs::create_dir_all(docs)?;
    fs::write(docs.join(PLOT), plot(found))?;
    let file = docs.join("learning.md");
    let page =
        fs::read_to_string(&file).unwrap_or_else(|_| format!("# Learning\n\n{BEGIN}\n{END}\n"));
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no `{END}`"))?;
    let table = table(found);
    let page =
        format!("{before}{BEGIN}\n\n{table}\n![solve rates over steps]({PLOT})\n\n{END}{after}");
    Ok(fs::write(file, page)?)
}

fn table(found: &BTreeMap<(usize, u64), Evaluations>) -> String {
    let mut out = String::from(
        "Greedy solve rate on the held-out set in percent: mean over seeds, in brackets the lowest and the highest.\n\n\
         | setting | before | after | change | abduction | deduction | induction |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (number, setting) in SETTINGS.iter().enumerate() {
        let runs: Vec<&Evaluations> = (found.iter())
            .filter(|((of, _), _)| *of == number)
            .map(|(_, evaluations)| evaluations)
            .collect();
        let ends = |kind: &str| -> Vec<(f64, f64)> {
            let ends = runs.iter().filter_map(|run| {
                let (first, last) = (run.values().next()?, run.values().next_back()?);
                Some((*first.get(kind)?, *last.get(kind)?))
            });
            ends.collect()
        };
        let means = ends("mean");
        let _ = write!(
            out,
            "| {} | {} | {} | {} |",
            setting.name,
            range(means.iter().map(|(before, _)| *before), false),
            range(means.iter().map(|(_, after)| *after), false),
            range(means.iter().map(|(before, after)| after - before), true),
        );
        for kind in KINDS {
            let change = range(ends(kind).iter().map(|(before, after)| after - before), true);
            let _ = write!(out, " {change} |");
        }
        out.push('\n');
    }
    out.push('\n');
    for Setting { name, what, overrides } in &SETTINGS {
        let _ = write!(out, "* *{name}*: {what}");
        if !overrides.is_empty() {
            let _ = write!(out, " (`{}`)", overrides.join("`, `"));
        }
        out.push_str(".\n");
    }
    out
}

/// `mean (lowest to highest)`.
fn range(values: impl Iterator<Item = f64>, signed: bool) -> String {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match signed {
        true => format!("{mean:+.1} ({low:+.1} to {high:+.1})"),
        false => format!("{mean:.1} ({low:.1} to {high:.1})"),
    }
}

/// The mean over seeds of each setting, step by step.
fn plot(found: &BTreeMap<(usize, u64), Evaluations>) -> String {
    let panel = |kind: &str, title: &str| {
        let curves = SETTINGS.iter().enumerate().map(|(number, setting)| {
            let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for (_, evaluations) in found.iter().filter(|((of, _), _)| *of == number) {
                for (step, rates) in evaluations {
                    by_step.entry(*step).or_default().extend(rates.get(kind));
                }
            }
            let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
            let points = by_step.iter().map(|(step, rates)| (*step as f64, mean(rates)));
            Curve { name: setting.name.to_owned(), points: points.collect() }
        });
        Panel {
            title: title.to_owned(),
            x_label: "step".to_owned(),
            y_label: "held-out solve rate, percent".to_owned(),
            curves: curves.collect(),
        }
    };
    let mut panels = vec![panel("mean", "mean of the kinds")];
    panels.extend(KINDS.map(|kind| panel(kind, kind)));
    svg(&panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> BTreeMap<(usize, u64), Evaluations> {
        let rates = |mean: f64| {
            let kinds = KINDS.iter().map(|kind| ((*kind).to_owned(), mean));
            kinds.chain([("mean".to_owned(), mean)]).collect::<BTreeMap<_, _>>()
        };
        let run = |seed: u64, after: f64| {
            ((0, seed), BTreeMap::from([(0, rates(20.0)), (5, rates(25.0)), (10, rates(after))]))
        };
        BTreeMap::from([run(1, 40.0), run(2, 44.0)])
    }

    #[test]
    fn the_table_has_means_and_ranges_of_first_and_last() {
        let table = table(&found());
        let row = table.lines().find(|line| line.starts_with("| default |")).unwrap();
        assert!(
            row.contains("| 20.0 (20.0 to 20.0) | 42.0 (40.0 to 44.0) | +22.0 (+20.0 to +24.0) |"),
            "{row}"
        );
    }

    #[test]
    fn what_people_wrote_on_the_page_stays() {
        let docs = tempfile::tempdir().unwrap();
        let file = docs.path().join("learning.md");
        fs::write(&file, format!("# Before\n{BEGIN}\nold\n{END}\n# After\n")).unwrap();
        write_page(docs.path(), &found()).unwrap();
        write_page(docs.path(), &found()).unwrap();
        let page = fs::read_to_string(&file).unwrap();
        assert!(page.starts_with("# Before\n") && page.ends_with("# After\n"), "{page}");
        assert!(!page.contains("old") && page.matches("| default |").count() == 1, "{page}");
        assert!(fs::read_to_string(docs.path().join(PLOT)).unwrap().contains("<svg"));
    }
}
