//! Answers and proposals that try to win, or to do harm, without being right.

use std::time::{Duration, Instant};

use azr_domain_math::MathOptions;
use azr_plugin::{Domain, Quiet};

use crate::setup::{domain, grade, propose, task};

#[test]
fn an_answer_that_computes_is_no_answer() {
    let domain = domain(MathOptions::default());
    let deduction = task(&domain, "deduction", "x) = x^2 mod 7\nf(5)");
    let answers = [
        " 5^2 mod 7",
        " f(5)",
        " 2 + 2",
        " 4 or 5",
        " if true then 4 else 5",
        " x",
        " gcd(4, 8)",
        " (4)",
        " 4, 5",
        " [4",
        " 4/1/1",
        " 4.0.0",
        " 0x4",
        " 4e0",
        " ४",
    ];
    for (grade, answer) in grade(&domain, &deduction, &answers).iter().zip(answers) {
        assert_eq!((grade.score, grade.reason.as_str()), (0.0, "answer_not_literal"), "{answer}");
        assert!(!grade.well_formed);
    }
    let abduction = task(&domain, "abduction", "x) = x^2 mod 7\nf(5)");
    for (grade, answer) in grade(
        &domain,
        &abduction,
        &[
            "2 + 0)",
            "5) = f(5)",
            "1) or f(5",
            "f(5))",
            "x)",
            "x = x)",
            "x = 2, x = 5)",
            "2, 5)",
            ")",
        ],
    )
    .iter()
    .zip(0..)
    {
        assert_eq!((grade.score, grade.reason.as_str()), (0.0, "answer_not_literal"), "{answer}");
    }
}

#[test]
fn hostile_waves_end_soon() {
    let domain = domain(MathOptions::default());
    let start = Instant::now();
    let responses = [
        "x) = 9^9^9^9^x\nf(9)",
        "x) = sum(i, 1, 10^9, sum(j, 1, 10^9, x))\nf(1)",
        "x) = prod(i, 1, 10^9, x)\nf(123456789)",
        "x) = factorial(factorial(x))\nf(99)",
        "x) = next_prime(x)\nf(18446744073709551615)",
        "x) = sum(k, 1, 10^6, phi(x + k))\nf(1000000000000)",
    ];
    for validation in propose(&domain, "deduction", &[], &responses) {
        assert_eq!((validation.reason.as_str(), validation.task), ("limit", None));
    }
    let deep = format!("x) = {}x\nf(1)", "(".repeat(3000));
    let long = format!("x) = {}1\nf(1)", "x + ".repeat(3000));
    let endless = "((((".repeat(60_000);
    let texts = [deep.as_str(), &long, &endless, "\0\0\0", "x) = x\u{202e}\nf(1)", "x) = 𝟗\nf(1)"];
    assert!(propose(&domain, "abduction", &[], &texts).iter().all(|found| found.task.is_none()));
    let induction = domain.seed_tasks("induction").unwrap().remove(0);
    let answers: Vec<_> = responses.iter().chain(&texts).copied().collect();
    assert!(grade(&domain, &induction, &answers).iter().all(|grade| grade.score == 0.0));
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[test]
fn a_table_of_the_shown_points_does_not_pass_the_hidden_ones() {
    let domain = domain(MathOptions::default());
    let reference = task(&domain, "deduction", "n) = n * (n + 1) / 2\nf(3)");
    let response = " staircase\nf(0)\nf(1)\nf(2)\nf(3)\nf(4)\nf(5)\nf(6)\nf(7)\nf(8)\nf(9)";
    let item = propose(&domain, "induction", &[reference], &[response]).remove(0).task.unwrap();
    let table = "n) = if n = 0 then 0 else if n = 1 then 1 else if n = 2 then 3 else if n = 3 then 6 else 10";
    let scores: Vec<_> = grade(&domain, &item, &[table, "n) = sum(k, 0, n, k)"])
        .iter()
        .map(|grade| grade.score)
        .collect();
    assert_eq!(scores, [0.0, 1.0]);
    let shown = domain.solve_prompts(std::slice::from_ref(&item)).unwrap();
    assert!(!format!("{shown:?}").contains("f(5) = 15"));
    assert!(domain.grade(&[], &Quiet).unwrap().is_empty());
}
