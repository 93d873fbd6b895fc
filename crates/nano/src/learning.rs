//! The learning experiment: the default run beside four controls, several seeds each, as a table and a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use azr_run::{Curve, MetricsLine, Panel, svg};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

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
        what: "everything but the update: the change must be exactly 0",
        overrides: &["optimizer.options.learning_rate=0.0"],
    },
    Setting {
        name: "shuffled rewards",
        what: "rewards exchanged at random among the answers to one task, and among the proposals of one kind: updates about nothing",
        overrides: &["selfplay.shuffle_rewards=true"],
    },
    Setting {
        name: "solver only",
        what: "tasks are proposed once, before training, and never again",
        overrides: &["selfplay.solver_only_steps=1000000", "selfplay.seed_tasks=256"],
    },
    Setting {
        name: "frozen proposer",
        what: "tasks are proposed at every step, but proposals are not trained (the weights are the solver's too, and move)",
        overrides: &["selfplay.train_proposer=false"],
    },
];

/// Marks of the part of the page that is made.
const BEGIN: &str = "<!-- made by `cargo xtask bench learning` -->";
const END: &str = "<!-- end of what is made -->";
const PLOT: &str = "learning.svg";
/// Of evaluations on all tasks, which are those at the ends.
const WHOLE: &str = "heldout/solve_rate_";
/// Of evaluations on some tasks, the same at every one.
const PART: &str = "heldout/part/solve_rate_";
/// From and to what the change in percentage points must be on every seed, by setting.
const GOALS: [(usize, f64, f64); 3] = [(0, 15.0, 100.0), (1, -3.0, 3.0), (2, -3.0, 3.0)];
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
    /// Where the runs lie; finished ones are not repeated, unfinished ones go on, those of other commands or of another
    /// binary are refused.
    pub runs: PathBuf,
    /// The folder of `learning.md` and its plot.
    pub docs: PathBuf,
}

/// A run's evaluations, by step: solve rates in percent by kind, and their mean under the name `mean`.
type Evaluations = BTreeMap<u64, BTreeMap<String, f64>>;

/// What is known of one run.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// On all tasks: the first and the last are compared.
    whole: Evaluations,
    /// On the same some tasks at every evaluation, for the plot.
    part: Evaluations,
}

/// By setting and seed.
type Outcomes = BTreeMap<(usize, u64), Outcome>;

/// Runs what is missing and writes the page.
pub fn learning(experiment: &Experiment) -> Result<()> {
    fs::create_dir_all(&experiment.runs)?;
    let runs: Vec<(usize, u64)> = (1..=experiment.n_seeds)
        .flat_map(|seed| (0..SETTINGS.len()).map(move |setting| (setting, seed)))
        .collect();
    let bar = ProgressBar::new(runs.len() as u64);
    bar.set_style(ProgressStyle::with_template("{pos}/{len} runs {elapsed} ETA {eta} {msg}")?);
    bar.tick();
    let binary = digest(&experiment.azr)?;
    let queue = Mutex::new(runs.iter());
    let results = thread::scope(|scope| {
        let work = || -> Result<Vec<((usize, u64), Outcome)>> {
            let mut done = Vec::new();
            loop {
                let next = queue.lock().map(|mut queue| queue.next().copied());
                let Ok(Some((setting, seed))) = next else { return Ok(done) };
                bar.set_message(format!("{} {seed}", SETTINGS[setting].name));
                let outcome = run(experiment, &binary, &SETTINGS[setting], seed)?;
                bar.inc(1);
                done.push(((setting, seed), outcome));
            }
        };
        let workers: Vec<_> = (0..experiment.n_jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join()).collect::<Vec<_>>()
    });
    bar.finish();
    let mut found = Outcomes::new();
    for result in results {
        match result {
            Ok(done) => found.extend(done?),
            Err(_) => bail!("a worker of the experiment panicked"),
        }
    }
    write_page(&experiment.docs, &found)
}

/// One run, from where it stands to its end.
fn run(experiment: &Experiment, binary: &str, setting: &Setting, seed: u64) -> Result<Outcome> {
    let folder = experiment.runs.join(format!("{}-{seed}", setting.name.replace(' ', "-")));
    let mut overrides = vec![format!("selfplay.seed={seed}")];
    if experiment.n_jobs > 1 {
        overrides.push("backend.options.threads=1".to_owned());
    }
    overrides.extend(setting.overrides.iter().map(|text| (*text).to_owned()));
    overrides.extend(experiment.overrides.iter().cloned());
    check_origin(&folder, &format!("azr {binary}\n{}\n", overrides.join("\n")))?;
    let mut command = Command::new(&experiment.azr);
    command.arg("train");
    if folder.join("config.toml").exists() {
        command.arg("--resume").arg(&folder);
    } else {
        command.arg("--run-dir").arg(&folder);
        command.args(overrides.iter().flat_map(|text| ["--set", text]));
    }
    let path = folder.with_extension("log");
    let log = fs::File::options().create(true).append(true).open(&path)?;
    let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status();
    let status = status.with_context(|| format!("cannot start {}", experiment.azr.display()))?;
    ensure!(status.success(), "the run failed ({status}); its output is in {}", path.display());
    outcome(&folder.join("metrics.jsonl"))
}

/// Notes beside a run what made it, or refuses it when that was something else.
fn check_origin(folder: &Path, origin: &str) -> Result<()> {
    let file = folder.with_extension("origin");
    match fs::read_to_string(&file) {
        Ok(found) => ensure!(
            found == origin,
            "{} was made by another binary or other settings; remove it, or choose another --runs",
            folder.display()
        ),
        Err(_) => fs::write(&file, origin)?,
    }
    Ok(())
}

fn digest(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn outcome(file: &Path) -> Result<Outcome> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut outcome = Outcome::default();
    for line in text.lines() {
        let line: MetricsLine = serde_json::from_str(line)?;
        for (prefix, found) in [(WHOLE, &mut outcome.whole), (PART, &mut outcome.part)] {
            let rates = line.metrics.iter().filter_map(|(name, rate)| {
                name.strip_prefix(prefix).map(|kind| (kind.to_owned(), 100.0 * rate))
            });
            let rates: BTreeMap<String, f64> = rates.collect();
            if !rates.is_empty() {
                found.insert(line.step, rates);
            }
        }
    }
    let n = outcome.whole.len();
    ensure!(n > 1, "{} holds {n} evaluations on all tasks; two are needed", file.display());
    Ok(outcome)
}

/// Replaces the made part of the page, or begins a page.
fn write_page(docs: &Path, found: &Outcomes) -> Result<()> {
    fs::create_dir_all(docs)?;
    fs::write(docs.join(PLOT), plot(found))?;
    let file = docs.join("learning.md");
    let page = match fs::read_to_string(&file) {
        Ok(page) => page,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("# Learning\n\n{BEGIN}\n{END}\n")
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no `{END}`"))?;
    let table = table(found);
    let page =
        format!("{before}{BEGIN}\n\n{table}\n![solve rates over steps]({PLOT})\n\n{END}{after}");
    Ok(fs::write(file, page)?)
}

fn table(found: &Outcomes) -> String {
    let mut out = String::from(
        "Greedy solve rate on all held-out tasks in percent: mean over seeds, in brackets the lowest and the highest.\n\n\
         | setting | before | after | change | abduction | deduction | induction |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (number, setting) in SETTINGS.iter().enumerate() {
        let means = ends(found, number, "mean");
        let _ = write!(
            out,
            "| {} | {} | {} | {} |",
            setting.name,
            range(means.iter().map(|(before, _)| *before), false),
            range(means.iter().map(|(_, after)| *after), false),
            range(means.iter().map(|(before, after)| after - before), true),
        );
        for kind in KINDS {
            let ends = ends(found, number, kind);
            let _ = write!(
                out,
                " {} |",
                range(ends.iter().map(|(before, after)| after - before), true)
            );
        }
        out.push('\n');
    }
    out.push('\n');
    for (number, low, high) in GOALS {
        let ends = ends(found, number, "mean");
        let is_met = ends.iter().all(|(before, after)| (low..=high).contains(&(after - before)));
        let verdict = if is_met { "met" } else { "missed" };
        let name = SETTINGS[number].name;
        let _ = writeln!(
            out,
            "* Goal for *{name}*, a change of {low:+} to {high:+} points on every seed: **{verdict}**."
        );
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

/// First and last rate of each seed.
fn ends(found: &Outcomes, setting: usize, kind: &str) -> Vec<(f64, f64)> {
    let runs = found.iter().filter(|((of, _), _)| *of == setting);
    let ends = runs.filter_map(|(_, Outcome { whole, .. })| {
        let (first, last) = (whole.values().next()?, whole.values().next_back()?);
        Some((*first.get(kind)?, *last.get(kind)?))
    });
    ends.collect()
}

/// `mean (lowest to highest)`.
fn range(values: impl Iterator<Item = f64>, signed: bool) -> String {
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return "–".to_owned();
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match signed {
        true => format!("{mean:+.1} ({low:+.1} to {high:+.1})"),
        false => format!("{mean:.1} ({low:.1} to {high:.1})"),
    }
}

/// The mean over seeds of each setting, step by step.
fn plot(found: &Outcomes) -> String {
    let panel = |kind: &str, title: &str| {
        let curves = SETTINGS.iter().enumerate().map(|(number, setting)| {
            let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for (_, outcome) in found.iter().filter(|((of, _), _)| *of == number) {
                for (step, rates) in &outcome.part {
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

    fn found() -> Outcomes {
        let rates = |mean: f64| {
            let kinds = KINDS.iter().map(|kind| ((*kind).to_owned(), mean));
            kinds.chain([("mean".to_owned(), mean)]).collect::<BTreeMap<_, _>>()
        };
        let run = |setting, seed, after: f64| {
            let whole = BTreeMap::from([(0, rates(20.0)), (10, rates(after))]);
            let part = BTreeMap::from([(0, rates(21.0)), (5, rates(25.0)), (10, rates(after))]);
            ((setting, seed), Outcome { whole, part })
        };
        BTreeMap::from([run(0, 1, 40.0), run(0, 2, 44.0), run(2, 1, 20.0), run(2, 2, 16.5)])
    }

    #[test]
    fn the_table_has_means_and_ranges_of_first_and_last_and_says_whether_the_goals_are_met() {
        let table = table(&found());
        let row = table.lines().find(|line| line.starts_with("| default |")).unwrap();
        assert!(
            row.contains("| 20.0 (20.0 to 20.0) | 42.0 (40.0 to 44.0) | +22.0 (+20.0 to +24.0) |"),
            "{row}"
        );
        assert!(
            table.contains("*default*, a change of +15 to +100 points on every seed: **met**"),
            "{table}"
        );
        assert!(
            table.contains(
                "*shuffled rewards*, a change of -3 to +3 points on every seed: **missed**"
            )
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

    #[test]
    fn a_page_that_cannot_be_read_is_not_written_over() {
        let docs = tempfile::tempdir().unwrap();
        fs::write(docs.path().join("learning.md"), [0xff, 0xfe]).unwrap();
        assert!(write_page(docs.path(), &found()).is_err());
        assert_eq!(fs::read(docs.path().join("learning.md")).unwrap(), [0xff, 0xfe]);
    }

    #[test]
    fn a_run_of_another_command_is_refused() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("default-1");
        check_origin(&folder, "azr 1\nselfplay.seed=1\n").unwrap();
        check_origin(&folder, "azr 1\nselfplay.seed=1\n").unwrap();
        let error = check_origin(&folder, "azr 2\nselfplay.seed=1\n").unwrap_err();
        assert!(error.to_string().contains("default-1"), "{error}");
    }
}
