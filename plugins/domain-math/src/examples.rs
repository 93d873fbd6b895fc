//! Our own small definitions: worked examples of prompts, and what fills a proposal prompt while references are few.

/// A definition with a description and ten points, the first of which is its puzzle.
#[derive(Debug)]
pub(crate) struct Example {
    /// Canonical text.
    pub(crate) definition: &'static str,
    /// What it does, in words that give no formula away.
    pub(crate) message: &'static str,
    /// Arguments and values in canonical text.
    pub(crate) points: [(&'static str, &'static str); 10],
}

/// From easy to less easy. The first three are the worked examples of solver prompts.
pub(crate) const EXAMPLES: &[Example] = &[
    Example {
        definition: "f(x, y) = x^2 - y",
        message: "square the first number and take the second one away",
        points: [
            ("7, 9", "40"),
            ("0, 0", "0"),
            ("-3, 2", "7"),
            ("1/2, 1", "-3/4"),
            ("10, 1", "99"),
            ("4, 20", "-4"),
            ("12, -6", "150"),
            ("5, 5", "20"),
            ("2, 1/3", "11/3"),
            ("-1, -1", "2"),
        ],
    },
    Example {
        definition: "f(n) = n // 10 + n mod 10",
        message: "add the last digit to what stands before it",
        points: [
            ("47", "11"),
            ("8", "8"),
            ("100", "10"),
            ("999", "108"),
            ("1234", "127"),
            ("60", "6"),
            ("15", "6"),
            ("-1", "8"),
            ("30303", "3033"),
            ("72", "9"),
        ],
    },
    Example {
        definition: "f(a, b) = gcd(a, b) + lcm(a, b)",
        message: "add the largest number that divides both to the smallest one that both divide",
        points: [
            ("4, 6", "14"),
            ("5, 7", "36"),
            ("12, 18", "42"),
            ("9, 9", "18"),
            ("1, 8", "9"),
            ("10, 15", "35"),
            ("21, 14", "49"),
            ("0, 3", "3"),
            ("16, 40", "88"),
            ("2, 3", "7"),
        ],
    },
    Example {
        definition: "f(n) = sum(k, 1, n, k^2)",
        message: "count the little squares of a square tower",
        points: [
            ("4", "30"),
            ("1", "1"),
            ("2", "5"),
            ("0", "0"),
            ("5", "55"),
            ("10", "385"),
            ("7", "140"),
            ("3", "14"),
            ("20", "2870"),
            ("-5", "0"),
        ],
    },
    Example {
        definition: "f(n) = if n mod 2 = 0 then n / 2 else 3 * n + 1",
        message: "halve what can be halved and blow up the rest",
        points: [
            ("7", "22"),
            ("10", "5"),
            ("1", "4"),
            ("0", "0"),
            ("-4", "-2"),
            ("27", "82"),
            ("64", "32"),
            ("-3", "-8"),
            ("99", "298"),
            ("2", "1"),
        ],
    },
    Example {
        definition: "f(n, m) = 2^n mod m",
        message: "keep doubling and say what is left over",
        points: [
            ("10, 7", "2"),
            ("5, 33", "32"),
            ("0, 5", "1"),
            ("6, 10", "4"),
            ("20, 9", "4"),
            ("7, 13", "11"),
            ("3, 8", "0"),
            ("100, 3", "1"),
            ("12, 100", "96"),
            ("9, 11", "6"),
        ],
    },
    Example {
        definition: "f(x) = (x - 1) * (x - 3) / 2",
        message: "a curve that touches the ground at one and at three",
        points: [
            ("5", "4"),
            ("1", "0"),
            ("3", "0"),
            ("2", "-1/2"),
            ("0", "3/2"),
            ("-1", "4"),
            ("7", "12"),
            ("1/2", "5/8"),
            ("11", "40"),
            ("4", "3/2"),
        ],
    },
    Example {
        definition: "f(a, b, n) = a + (n - 1) * b",
        message: "start somewhere and climb stairs of one height",
        points: [
            ("3, 4, 5", "19"),
            ("1, 1, 10", "10"),
            ("0, 7, 3", "14"),
            ("5, -2, 4", "-1"),
            ("2, 0, 9", "2"),
            ("10, 10, 1", "10"),
            ("1/2, 1/2, 6", "3"),
            ("-3, 3, 2", "0"),
            ("100, -25, 5", "0"),
            ("6, 5, 8", "41"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::list;
    use crate::gate;
    use crate::options::MathOptions;

    #[test]
    fn every_example_passes_as_a_proposal_and_has_the_values_it_says() {
        let options = MathOptions::default();
        for example in EXAMPLES {
            let definition = gate::subject(&options, example.definition).unwrap();
            assert_eq!(definition.text(), example.definition);
            gate::message(&options, example.message).unwrap();
            let texts = example.points.map(|(input, _)| input.to_owned());
            let inputs = gate::distinct_inputs(&options, &definition, &texts).unwrap();
            for (input, point) in inputs.iter().zip(example.points) {
                let (value, _) = gate::output(&options, &definition, input).unwrap();
                assert_eq!(
                    (list(input), value.to_string()),
                    (point.0.to_owned(), point.1.to_owned())
                );
            }
        }
    }
}
