//! `tests/data/pairs.tsv`: `=` before pairs that are the same, `!` before pairs that are not; `>` and `|` are the
//! same two for pairs of which only this order is judged.

use azr_answers::{Tolerance, Verdict, compare, compare_all, compare_within};

const PAIRS: &str = include_str!("../data/pairs.tsv");

struct Pair {
    line: usize,
    sign: char,
    gold: &'static str,
    answer: &'static str,
}

fn pairs() -> Vec<Pair> {
    let lines = PAIRS.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, text)| {
            let line = index + 1;
            let (sign, rest) = text.split_once(' ').unwrap_or_else(|| panic!("line {line}"));
            let (gold, answer) = rest.split_once('\t').unwrap_or_else(|| panic!("line {line}"));
            let sign = sign.chars().next().unwrap();
            Pair { line, sign, gold: gold.trim(), answer: answer.trim() }
        })
        .collect()
}

#[test]
fn every_pair_is_judged_as_the_table_says() {
    let mut wrong = Vec::new();
    for Pair { line, sign, gold, answer } in pairs() {
        let same = match sign {
            '=' | '>' => true,
            '!' | '|' => false,
            other => panic!("line {line} begins with {other}"),
        };
        let one_way = matches!(sign, '>' | '|');
        for (gold, answer) in
            [(gold, answer), (answer, gold)].into_iter().take(2 - usize::from(one_way))
        {
            let verdict = compare(gold, answer);
            if (verdict == Verdict::Ok) != same {
                wrong.push(format!(
                    "line {line}: {sign} {gold}   {answer}   -> {}",
                    verdict.as_str()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_answer_of_the_table_is_itself() {
    for Pair { line, gold, answer, .. } in pairs() {
        for text in [gold, answer] {
            assert_eq!(compare(text, text), Verdict::Ok, "line {line}: {text}");
            let spaced = format!(" ${text}$ ");
            assert_eq!(compare(text, &spaced), Verdict::Ok, "line {line}: {spaced}");
        }
    }
}

#[test]
fn the_table_has_enough_pairs_of_both_kinds() {
    let all = pairs();
    let different = all.iter().filter(|pair| matches!(pair.sign, '!' | '|')).count();
    assert!(all.len() >= 260, "{}", all.len());
    assert!(different * 5 >= all.len() * 2, "{different} of {}", all.len());
}

#[test]
fn a_tolerance_is_relative_or_absolute_where_it_is_asked_for() {
    let within = |gold, answer, tolerance| compare_within(gold, answer, tolerance) == Verdict::Ok;
    assert!(within("1.25", "1.251", Tolerance::Rounded));
    assert!(!within("1.25", "1.251", Tolerance::Exact));
    assert!(within("1.25", "5/4", Tolerance::Exact));
    assert!(within("4.2", "4.15", Tolerance::Absolute(0.1)));
    assert!(!within("4.2", "4.05", Tolerance::Absolute(0.1)));
    assert!(within("1.5e10", "1.51 \\times 10^{10}", Tolerance::Relative(0.01)));
    assert!(!within("1.5e10", "1.52 \\times 10^{10}", Tolerance::Relative(0.01)));
    assert!(!within("0", "0.001", Tolerance::Relative(0.01)));
    assert!(within("(1, 2)", "(1.001, 2)", Tolerance::Absolute(0.01)));
    assert!(!within("1", "2", Tolerance::Absolute(f64::NAN)));
}

#[test]
fn several_gold_answers_must_all_be_named() {
    let all = |golds: &[&str], answer| compare_all(golds, answer, Tolerance::Rounded);
    assert_eq!(all(&["$8$", "$4$"], "4, 8"), Verdict::Ok);
    assert_eq!(all(&["$8$,$4$"], "x = 4 or x = 8"), Verdict::Ok);
    assert_eq!(all(&["$8$", "$4$"], "8"), Verdict::Different);
    assert_eq!(all(&["$8$", "$4$"], "8, 4, 2"), Verdict::Different);
    assert_eq!(all(&["$(1,1), (3,2)$"], "(3, 2), (1, 1)"), Verdict::Ok);
    assert_eq!(all(&["$(1,1), (3,2)$"], "(2, 3), (1, 1)"), Verdict::Different);
}

#[test]
fn what_is_not_understood_is_told_apart_from_what_is_wrong() {
    assert_eq!(compare("1", "2"), Verdict::Different);
    assert_eq!(compare("1", "\\frac{1}{"), Verdict::Unparsable);
    assert_eq!(compare("1", ""), Verdict::Unparsable);
    assert_eq!(compare("", ""), Verdict::Unparsable);
    assert_eq!(compare("1", &"1+".repeat(5000)), Verdict::Unparsable);
}
