//! Runs that grow, are cut, damaged, locked and changed.

use azr_plugin::{ErrorCode, Task};

use super::*;
use crate::Profile;

fn config() -> RunConfig {
    RunConfig::of_profile(Profile::Robust)
}

fn output(step: u64) -> StepOutput {
    let task = Task {
        kind: "deduction".into(),
        key: format!("key {step}"),
        subject: format!("subject {step}"),
        payload: "{}".into(),
    };
    StepOutput {
        step,
        metrics: BTreeMap::from([("update/loss".to_owned(), step as f64)]),
        timings: BTreeMap::from([("time/step_s".to_owned(), 0.5)]),
        admitted: vec![BufferEntry { domain: "code".into(), kind: "deduction".into(), step, task }],
        ..StepOutput::default()
    }
}

fn steps(run: &RunDir) -> Vec<u64> {
    run.metrics().unwrap().iter().map(|line| line.step).collect()
}

/// Saves a checkpoint whose model is the step's number.
fn save(run: &RunDir, step: u64) {
    run.save_checkpoint(step, &Health::default(), |folder| {
        std::fs::write(folder.join("model"), step.to_string()).unwrap();
        Ok(())
    })
    .unwrap();
}

#[test]
fn answers_to_benchmarks_are_taken_back_with_their_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(folder.path(), &config()).unwrap();
    run.record_seeds(&output(0), 7.0).unwrap();
    for step in 1..=2 {
        run.record_answers(step, "gsm8k", &[step]).unwrap();
        run.record_step(&output(step), None, 7.0).unwrap();
        save(&run, step);
    }
    let name = |step| folder.path().join(format!("evaluations/step_00000{step}.gsm8k.jsonl"));
    assert_eq!(std::fs::read_to_string(name(2)).unwrap(), "2\n");
    // Whoever only looks needs no lock.
    let (looked, newest) = RunDir::look(folder.path()).unwrap();
    assert_eq!((looked, newest.map(|(state, _)| state.step)), (config(), Some(2)));
    let mut state = run.latest_checkpoint().unwrap().unwrap().0;
    (state.step, state.n_tasks) = (1, 2);
    run.rewind(&state).unwrap();
    assert!(name(1).exists() && !name(2).exists());
}

#[test]
fn a_step_is_recorded_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
    run.record_seeds(&output(0), 7.0).unwrap();
    run.record_step(&output(1), None, 7.0).unwrap();
    save(&run, 1);
    for step in 2..=3 {
        run.record_step(&output(step), None, 7.0).unwrap();
    }
    assert_eq!(steps(&run), [0, 1, 2, 3]);
    assert_eq!(run.metrics().unwrap()[2].metrics["time/step_s"], 0.5);
    let (state, _) = run.latest_checkpoint().unwrap().unwrap();
    let tasks = run.rewind(&state).unwrap();
    assert_eq!(steps(&run), [0, 1]);
    assert_eq!(tasks.iter().map(|t| t.step).collect::<Vec<_>>(), [0, 1]);
    let rollouts: Vec<_> = fs::read_dir(run.path().join("rollouts")).unwrap().collect();
    assert_eq!(rollouts.len(), 2);
    fs::remove_file(run.path().join(TASKS)).unwrap();
    assert!(run.rewind(&state).unwrap_err().to_string().contains("the checkpoint knows 2"));
}

#[test]
fn evaluations_and_alarms_are_taken_back_with_their_steps_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
    let evaluation = |step, rate| Evaluation {
        step,
        metrics: BTreeMap::from([
            ("heldout/solve_rate_mean".to_owned(), rate),
            ("heldout/n_tasks".to_owned(), 3.0),
            ("heldout/part/solve_rate_mean".to_owned(), rate),
            ("heldout/part/n_tasks".to_owned(), 3.0),
        ]),
        ..Evaluation::default()
    };
    run.record_seeds(&output(0), 7.0).unwrap();
    run.record_evaluation(&evaluation(0, 0.125), 7.0).unwrap();
    for step in 1..=3 {
        let alarm = Alarm { step, name: "validity".into(), message: format!("alarm {step}") };
        let output = StepOutput { alarms: vec![alarm], ..output(step) };
        run.record_step(&output, Some(&evaluation(step, 0.5)), 7.0).unwrap();
        if step == 1 {
            save(&run, 1);
        }
    }
    let report = || fs::read_to_string(run.write_report(&config()).unwrap()).unwrap();
    assert!(report().contains("alarm 3") && report().contains("| 3 | 3 | 50.0 % |"));
    let (state, _) = run.latest_checkpoint().unwrap().unwrap();
    run.rewind(&state).unwrap();
    assert_eq!(steps(&run), [0, 0, 1], "seeding and the evaluation before the first step stay");
    assert_eq!(fs::read_dir(run.path().join("evaluations")).unwrap().count(), 2);
    let report = fs::read_to_string(run.write_report(&config()).unwrap()).unwrap();
    assert!(report.contains("alarm 1") && !report.contains("alarm 2"), "{report}");
    assert!(report.contains("| 0 | 3 | 12.5 % |"), "{report}");
    assert!(run.path().join(PLOT).is_file());
}

#[test]
fn seeds_that_are_not_complete_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
    run.record_results(&output(0)).unwrap();
    assert!(!run.is_seeded());
    assert!(run.restart().unwrap().is_empty());
    run.record_seeds(&output(0), 7.0).unwrap();
    run.record_step(&output(1), None, 7.0).unwrap();
    assert_eq!(run.restart().unwrap().len(), 1);
    assert_eq!(steps(&run), [0], "what seeding took");
}

#[test]
fn a_checkpoint_that_latest_does_not_name_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let one = RunConfig { keep_checkpoints: 1, ..config() };
    let mut run = RunDir::create(&folder.path().join("run"), &one).unwrap();
    save(&run, 2);
    // A kill between the rename and the change of `latest` leaves this.
    fs::create_dir(run.checkpoints().join("global_step_5")).unwrap();
    save(&run, 3);
    assert_eq!(run.latest_checkpoint().unwrap().unwrap().0.step, 3);
    let (state, _) = run.latest_checkpoint().unwrap().unwrap();
    run.rewind(&state).unwrap();
    assert_eq!(run.checkpoint_steps().unwrap(), [3]);
}

#[test]
fn a_run_may_grow_but_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = RunDir::create(&path, &config()).unwrap();
    run.save_config(&RunConfig { steps: 99, ..config() }).unwrap();
    assert!(run.save_config(&RunConfig { steps: 0, ..config() }).is_err());
    assert!(run.save_config(&RunConfig { model: "other".into(), ..config() }).is_err());
    drop(run);
    assert_eq!(RunDir::open(&path).unwrap().1.steps, 99);
}

#[test]
fn what_a_run_is_made_of_cannot_change() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
    let sums = |model: &str| {
        let sums = [("model", model), ("held-out set heldout", "22")];
        sums.map(|(what, sum)| (what.to_owned(), sum.to_owned())).into()
    };
    run.pin(&sums("11")).unwrap();
    run.pin(&sums("11")).unwrap();
    let error = run.pin(&sums("12")).unwrap_err().to_string();
    assert!(error.contains("run` was started with another model\n"), "{error}");
}

#[test]
fn the_newest_checkpoints_are_kept_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = RunDir::create(&path, &config()).unwrap();
    assert!(run.latest_checkpoint().unwrap().is_none());
    for step in [2, 4, 10] {
        save(&run, step);
    }
    let (state, folder) = run.latest_checkpoint().unwrap().unwrap();
    assert_eq!(state.step, 10);
    assert_eq!(fs::read_to_string(folder.join("model")).unwrap(), "10");
    assert!(!path.join("checkpoints/global_step_2").exists());
    assert!(path.join("checkpoints/global_step_4").exists());
}

#[test]
fn a_failed_save_leaves_the_earlier_checkpoint_and_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::create(&folder.path().join("run"), &config()).unwrap();
    save(&run, 1);
    let error = run
        .save_checkpoint(2, &Health::default(), |folder| {
            std::fs::write(folder.join("model"), "half").unwrap();
            Err(PluginError::new(ErrorCode::Io, "no space left on device"))
        })
        .unwrap_err();
    assert!(error.to_string().contains("earlier checkpoints"), "{error}");
    assert_eq!(run.latest_checkpoint().unwrap().unwrap().0.step, 1);
    let left: Vec<_> = fs::read_dir(run.path().join("checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_folder_belongs_to_one_process_and_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = RunDir::create(&path, &config()).unwrap();
    assert!(matches!(RunDir::create(&path, &config()), Err(RunError::Exists { .. })));
    assert!(matches!(RunDir::open(&path), Err(RunError::Locked { .. })));
    drop(run);
    assert_eq!(RunDir::open(&path).unwrap().1, config());
    assert!(matches!(RunDir::open(folder.path()), Err(RunError::NotARun { .. })));
}
