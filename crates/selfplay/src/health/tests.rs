//! Alarms and bounds of made-up metrics.

use super::*;

/// Proposals of a step.
const N_PROPOSALS: usize = 48;

fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

fn update(loss: f64, norm: f64, applied: f64) -> BTreeMap<String, f64> {
    metrics(&[("update/loss", loss), ("update/grad_norm", norm), ("update/applied", applied)])
}

/// The names of the alarms of each step's metrics.
fn alarms(health: &mut Health, steps: &[BTreeMap<String, f64>]) -> Vec<Vec<String>> {
    let config = HealthConfig::default();
    let names = |metrics| {
        let (alarms, _) = health.observe(0, metrics, N_PROPOSALS, &config);
        alarms.into_iter().map(|alarm| alarm.name).collect()
    };
    steps.iter().map(names).collect()
}

#[test]
fn running_moments_are_exact_at_first() {
    let mut running = Running::default();
    [1.0, 3.0].into_iter().for_each(|value| running.fold(value));
    assert_eq!((running.mean, running.variance), (2.0, 1.0));
}

#[test]
fn the_guard_bounds_what_differs_from_all_before_and_follows_a_lasting_change() {
    let (mut health, config) = (Health::default(), HealthConfig::default());
    for n in 0..10 {
        assert_eq!(health.bounds(&config), UpdateBounds::default());
        let quiet = health.observe(n, &update(0.01, 1.0 + 0.1 * (n % 2) as f64, 1.0), 0, &config);
        assert!(quiet.0.is_empty());
    }
    let bounds = health.bounds(&config);
    assert!(bounds.admits(0.3, 2.0) && !bounds.admits(0.0, 4.0) && !bounds.admits(-2.0, 1.0));
    let (raised, lasting) = health.observe(11, &update(0.0, 40.0, 0.0), 0, &config);
    assert!(lasting.into_iter().eq(["update-skipped"]));
    assert!(raised[0].message.contains("gradient norm is 40.0000"), "{raised:?}");
    let loss = health.observe(12, &update(9.0, 1.0, 0.0), 0, &config).0;
    assert!(loss[0].message.contains("the loss is 9.0000"), "{loss:?}");
    let n_left_out = (0..).take_while(|_| {
        let is_left_out = !health.bounds(&config).admits(0.0, 40.0);
        let applied = if is_left_out { 0.0 } else { 1.0 };
        health.observe(13, &update(0.0, 40.0, applied), 0, &config);
        is_left_out
    });
    assert!((1..20).contains(&n_left_out.count()));
    let off = HealthConfig { guard_z: 0.0, ..config };
    assert_eq!(health.bounds(&off), UpdateBounds::default());
}

#[test]
fn updates_without_a_gradient_do_not_narrow_the_bounds() {
    let mut health = Health::default();
    alarms(&mut health, &vec![update(0.0, 0.0, 1.0); 30]);
    assert_eq!(health.bounds(&HealthConfig::default()), UpdateBounds::default());
}

#[test]
fn a_spike_among_the_first_updates_does_not_blind_the_guard() {
    for spike_at in [0, 4, 9] {
        let (mut health, config) = (Health::default(), HealthConfig::default());
        for n in 0..10 {
            let norm = if n == spike_at { 1_000.0 } else { 1.0 };
            health.observe(n, &update(0.0, norm, 1.0), 0, &config);
        }
        let bounds = health.bounds(&config);
        assert!(bounds.admits(0.0, 2.0) && !bounds.admits(0.0, 4.0), "{spike_at}: {bounds:?}");
    }
}

#[test]
fn medians() {
    for (values, expected) in [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0)] {
        assert_eq!(median(values), expected);
    }
    assert_eq!(median(vec![4.0, 1.0, 3.0, 100.0]), 3.5);
}

/// A step's proposals of a kind, of which this share is solved sometimes.
fn proposals(kind: &str, informative: f64) -> BTreeMap<String, f64> {
    let name = |what: &str| format!("propose/code/{kind}/{what}");
    let learnability = (name("learnability_mean"), 1.0);
    [(name("valid_rate"), 0.5), (name("informative_rate"), informative), learnability].into()
}

#[test]
fn an_alarm_is_told_once_until_it_ceases() {
    // A task that is never solved may have the highest learnability; it teaches nothing all the same.
    let (dead, alive) = (proposals("deduction", 0.0), proposals("deduction", 0.1));
    let steps = [&dead, &dead, &dead, &dead, &alive, &dead, &dead, &dead].map(Clone::clone);
    let counts: Vec<usize> = alarms(&mut Health::default(), &steps).iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 0, 1, 0, 0, 0, 0, 1]);
}

#[test]
fn a_dead_kind_is_not_hidden_by_another() {
    let step: BTreeMap<_, _> =
        proposals("deduction", 0.9).into_iter().chain(proposals("abduction", 0.0)).collect();
    let (mut health, config) = (Health::default(), HealthConfig::default());
    let raised: Vec<Alarm> =
        (1..=4).flat_map(|n| health.observe(n, &step, N_PROPOSALS, &config).0).collect();
    assert_eq!((raised.len(), raised[0].name.as_str()), (1, "learnability"));
    assert!(raised[0].message.contains("kind code/abduction"), "{raised:?}");
}

#[test]
fn a_step_without_proposals_clears_no_alarm() {
    let (mut health, config) = (Health::default(), HealthConfig::default());
    let mut lasting = |metrics| health.observe(1, &metrics, N_PROPOSALS, &config).1.len();
    assert_eq!([0, 1, 2].map(|_| lasting(proposals("deduction", 0.0))), [0, 0, 1]);
    assert_eq!(lasting(metrics(&[("solve/code/deduction/entropy", 1.0)])), 1);
    assert_eq!(lasting(proposals("deduction", 0.1)), 0);
}

#[test]
fn steps_that_propose_nothing_raise_nothing() {
    let solver_only = metrics(&[("solve/code/deduction/entropy", 1.0)]);
    assert!(alarms(&mut Health::default(), &vec![solver_only; 9]).iter().all(Vec::is_empty));
}

fn collapse(entropy: f64, valid: f64) -> BTreeMap<String, f64> {
    metrics(&[
        ("solve/code/deduction/entropy", entropy),
        ("propose/code/deduction/entropy", 1.0),
        ("propose/code/deduction/valid_rate", valid),
        ("propose/code/deduction/informative_rate", 0.5),
    ])
}

#[test]
fn collapse_is_relative_to_the_start_and_validity_to_its_best() {
    let mut health = Health::default();
    let quiet = alarms(&mut health, &vec![collapse(1.0, 0.8); 4]);
    assert!(quiet.iter().all(Vec::is_empty));
    // One low step is chance; values around the floor are not told at every other step.
    assert!(alarms(&mut health, &[collapse(0.1, 0.8), collapse(1.0, 0.8)]).concat().is_empty());
    let around: Vec<_> = (0..40).map(|n| collapse(0.3 * f64::from(n % 2), 0.8)).collect();
    assert!((1..=2).contains(&alarms(&mut health, &around).concat().len()));
    assert_eq!(alarms(&mut health, &vec![collapse(0.0, 0.1); 9]).concat(), ["validity"]);
}

#[test]
fn luck_at_the_start_does_not_make_later_steps_look_bad() {
    // Twelve proposals of which a fifth is valid, five in the first step.
    let (mut health, config) = (Health::default(), HealthConfig::default());
    let n_valid = [5, 2, 3, 2, 1, 4, 2, 3, 1, 2, 3, 2, 4, 1, 2, 3, 2, 2, 1, 4];
    for (step, n) in n_valid.into_iter().cycle().take(200).enumerate() {
        let metrics = collapse(1.0, f64::from(n) / 12.0);
        let (raised, _) = health.observe(step as u64, &metrics, 12, &config);
        assert!(raised.is_empty(), "{step}: {raised:?}");
    }
}

#[test]
fn what_is_remembered_reads_back_to_the_bit() {
    let mut health = Health::default();
    alarms(&mut health, &[update(0.1 / 3.0, 1.0 / 7.0, 1.0), update(0.2 / 3.0, 0.3, 1.0)]);
    let text = serde_json::to_string(&health).unwrap();
    assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health);
}

#[test]
fn impossible_settings_are_named() {
    for config in [
        HealthConfig { guard_z: -1.0, ..HealthConfig::default() },
        HealthConfig { entropy_floor: f64::NAN, ..HealthConfig::default() },
        HealthConfig { validity_floor: 1.5, ..HealthConfig::default() },
        HealthConfig { unlearnable_steps: 0, ..HealthConfig::default() },
    ] {
        assert!(config.validate().unwrap_err().to_string().contains("health."));
    }
    HealthConfig::default().validate().unwrap();
}
