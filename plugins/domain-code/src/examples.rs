//! Our own small programs: worked examples of prompts, and what fills a proposal prompt while references are few.

/// A program with a description and ten calls, the first of which is its puzzle.
#[derive(Debug)]
pub(crate) struct Example {
    /// Source text without a final line feed.
    pub(crate) program: &'static str,
    /// What it does, in words that give no code away.
    pub(crate) message: &'static str,
    /// Argument texts and the representations of what the calls return.
    pub(crate) calls: [(&'static str, &'static str); 10],
}

/// From easy to less easy. The first three are the worked examples of solver prompts.
pub(crate) const EXAMPLES: &[Example] = &[
    Example {
        program: concat!("def f(xs):\n", "    return xs[0] + xs[-1]"),
        message: "add the first item to the last one",
        calls: [
            ("[2, 9, 4]", "6"),
            ("[5]", "10"),
            ("[-1, 1]", "0"),
            ("[10, 20, 30, 40]", "50"),
            ("['a', 'b', 'c']", "'ac'"),
            ("[0.5, 7, 1.5]", "2.0"),
            ("[0, 0]", "0"),
            ("[100, -100, 3]", "103"),
            ("[[1], [2], [3]]", "[1, 3]"),
            ("['end']", "'endend'"),
        ],
    },
    Example {
        program: concat!("def f(s):\n", "    return s.capitalize() + '.'"),
        message: "make a text look like a sentence",
        calls: [
            ("'good day'", "'Good day.'"),
            ("'rain'", "'Rain.'"),
            ("''", "'.'"),
            ("'ALL LOUD'", "'All loud.'"),
            ("'a'", "'A.'"),
            ("'one two three'", "'One two three.'"),
            ("'mIxEd'", "'Mixed.'"),
            ("'7 of 9'", "'7 of 9.'"),
            ("'done.'", "'Done..'"),
            ("'été'", "'Été.'"),
        ],
    },
    Example {
        program: concat!(
            "def f(n):\n",
            "    r = 1\n",
            "    while n > 1:\n",
            "        r *= n\n",
            "        n -= 2\n",
            "    return r",
        ),
        message: "multiply every second number on the way down",
        calls: [
            ("7", "105"),
            ("1", "1"),
            ("2", "2"),
            ("6", "48"),
            ("0", "1"),
            ("-3", "1"),
            ("9", "945"),
            ("10", "3840"),
            ("4", "8"),
            ("5", "15"),
        ],
    },
    Example {
        program: concat!(
            "def f(n, base):\n",
            "    out = []\n",
            "    while n > 0:\n",
            "        out.append(n % base)\n",
            "        n //= base\n",
            "    return out[::-1]",
        ),
        message: "write a number in another base",
        calls: [
            ("13, 2", "[1, 1, 0, 1]"),
            ("255, 16", "[15, 15]"),
            ("0, 10", "[]"),
            ("81, 3", "[1, 0, 0, 0, 0]"),
            ("7, 8", "[7]"),
            ("100, 10", "[1, 0, 0]"),
            ("64, 4", "[1, 0, 0, 0]"),
            ("5, 5", "[1, 0]"),
            ("1, 2", "[1]"),
            ("999, 7", "[2, 6, 2, 5]"),
        ],
    },
    Example {
        program: concat!(
            "def f(s):\n",
            "    best = run = 0\n",
            "    for i, c in enumerate(s):\n",
            "        run = run + 1 if i and c == s[i - 1] else 1\n",
            "        best = max(best, run)\n",
            "    return best",
        ),
        message: "find how long something repeats without a break",
        calls: [
            ("'aabbbc'", "3"),
            ("''", "0"),
            ("'x'", "1"),
            ("'abab'", "1"),
            ("'zzzz'", "4"),
            ("'112221'", "3"),
            ("'hello'", "2"),
            ("'a  b'", "2"),
            ("'Mississippi'", "2"),
            ("'ooOo'", "2"),
        ],
    },
    Example {
        program: concat!(
            "def f(words):\n",
            "    groups = {}\n",
            "    for w in words:\n",
            "        groups.setdefault(len(w), []).append(w)\n",
            "    return {k: groups[k] for k in sorted(groups)}",
        ),
        message: "sort words into drawers by their size",
        calls: [
            ("['tea', 'milk', 'ale']", "{3: ['tea', 'ale'], 4: ['milk']}"),
            ("[]", "{}"),
            ("['a']", "{1: ['a']}"),
            ("['on', 'in', 'at']", "{2: ['on', 'in', 'at']}"),
            ("['one', 'three', 'five']", "{3: ['one'], 4: ['five'], 5: ['three']}"),
            ("['', 'b']", "{0: [''], 1: ['b']}"),
            ("['same', 'same']", "{4: ['same', 'same']}"),
            ("['zz', 'y', 'xxx']", "{1: ['y'], 2: ['zz'], 3: ['xxx']}"),
            ("['river', 'sea']", "{3: ['sea'], 5: ['river']}"),
            ("['no', 'yes', 'maybe']", "{2: ['no'], 3: ['yes'], 5: ['maybe']}"),
        ],
    },
    Example {
        program: concat!(
            "def f(steps):\n",
            "    x, y = 0, 0\n",
            "    for d in steps:\n",
            "        if d in 'LR':\n",
            "            x += 1 if d == 'R' else -1\n",
            "        elif d in 'UD':\n",
            "            y += 1 if d == 'U' else -1\n",
            "    return x, y",
        ),
        message: "follow the arrows and say where you stand",
        calls: [
            ("'RRU'", "(2, 1)"),
            ("''", "(0, 0)"),
            ("'LLDD'", "(-2, -2)"),
            ("'UDUD'", "(0, 0)"),
            ("'R?L'", "(0, 0)"),
            ("'UUUUR'", "(1, 4)"),
            ("'LRLR'", "(0, 0)"),
            ("'DDDL'", "(-1, -3)"),
            ("'xyz'", "(0, 0)"),
            ("'RURU'", "(2, 2)"),
        ],
    },
    Example {
        program: concat!(
            "def f(xs, k):\n",
            "    return [max(xs[i:i + k]) for i in range(len(xs) - k + 1)]",
        ),
        message: "slide a frame along and keep the peak",
        calls: [
            ("[1, 3, 2, 5, 4], 2", "[3, 3, 5, 5]"),
            ("[4, 4, 4], 3", "[4]"),
            ("[9], 1", "[9]"),
            ("[1, 2], 5", "[]"),
            ("[7, 1, 7, 1], 3", "[7, 7]"),
            ("[-1, -2, -3], 2", "[-1, -2]"),
            ("[0, 5, 0, 5], 2", "[5, 5, 5]"),
            ("[8, 6, 7, 5, 3], 4", "[8, 7]"),
            ("[], 1", "[]"),
            ("[2, 1], 1", "[2, 1]"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use azr_executor::Value;
    use azr_executor_cpython::{CpythonExecutor, CpythonOptions};
    use azr_plugin::{Engine, ErrorCode, Executor, Job, Limits, Outcome, Purpose, Quiet, Services};

    use super::*;
    use crate::gate;
    use crate::options::{CodeOptions, MAX_INDUCTION_INPUTS};

    #[test]
    fn every_example_passes_as_a_proposal() {
        for example in EXAMPLES {
            let options = CodeOptions::default();
            let program = gate::showable(&options, example.program).unwrap();
            assert_eq!(gate::source_of(&program), example.program);
            gate::message(&options, example.message).unwrap();
            let options = CodeOptions { induction_inputs: MAX_INDUCTION_INPUTS, ..options };
            let texts = example.calls.map(|(input, _)| input.to_owned());
            let inputs = gate::distinct_inputs(&options, &texts).unwrap();
            assert_eq!(inputs.iter().map(|input| input.repr()).collect::<Vec<_>>(), texts);
        }
    }

    #[test]
    fn every_example_returns_what_it_says() {
        let executor = match CpythonExecutor::create(CpythonOptions::default(), Services::default())
        {
            Err(error) if error.code == ErrorCode::Unavailable => {
                eprintln!("skipped: {error}");
                return;
            }
            created => created.unwrap(),
        };
        let job = |example: &Example| Job {
            program: example.program.to_owned(),
            calls: example
                .calls
                .iter()
                .map(|(input, _)| crate::testing::arguments(input).canonical)
                .collect(),
            purpose: Purpose::Gold,
            limits: Limits::default(),
            pinned: None,
        };
        let jobs: Vec<_> = EXAMPLES.iter().map(job).collect();
        let reports = executor.run(&jobs, &Quiet).unwrap();
        for (example, report) in EXAMPLES.iter().zip(reports) {
            for ((input, output), outcome) in example.calls.iter().zip(report.outcomes) {
                let Outcome::Value(canonical) = outcome else {
                    panic!("f({input}) of {example:?} is {outcome:?}")
                };
                assert_eq!(
                    Value::from_canonical(&canonical).unwrap().repr(),
                    *output,
                    "f({input}) of {example:?}"
                );
            }
        }
    }
}
