use crate::*;
#[test]
fn explore() {
    for policy in [Policy::Open, Policy::Strict] {
        let e = executor(policy, 1);
        for p in e.protections() { println!("{p:?}"); }
        let mut names: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for n in names {
            let t = std::time::Instant::now();
            let o = run_one(&e, &data(&format!("hostile/{n}")), "1", Purpose::Check);
            println!("{policy:?} {n} {o:?} {:?}", t.elapsed());
        }
    }
}
