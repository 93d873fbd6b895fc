//! Results as a table for people: ours beside theirs and beside the floors, and the goals.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::report::{Line, OURS};

/// What the GPU of most measurements does at most by its maker's figures: bfloat16, dense.
const DATASHEET: [(&str, f64); 3] = [("H200", 989e12), ("H100", 989e12), ("A100", 312e12)];
/// Goals, as ratios.
const DECODE_RATIO: f64 = 3.0;
const DECODE_OF_FLOOR: f64 = 0.70;
const TRAIN_RATIO: f64 = 1.3;
const MFU: f64 = 0.50;
const KERNEL_OF_FLOOR: f64 = 0.80;

/// All results in Markdown.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let results = Results(lines);
    let parts = [
        results.machine(),
        results.goals(),
        results.conformance(),
        results.against_peers("decode", "Decoding"),
        results.against_peers("train", "Updates"),
        results.selfplay(),
        results.kernels(),
        results.problems(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

struct Results<'a>(&'a [Line]);

impl<'a> Results<'a> {
    /// Results of a part; of several of one name the first.
    fn part(&self, part: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        let mut seen = BTreeSet::new();
        let lines = self.0.iter().filter(move |line| line.part == part && line.problem.is_none());
        lines.filter(move |line| seen.insert((&line.model, &line.case, &line.by)))
    }

    /// The rate of large products that model operations are counted against: ours, or a peer's where there is none.
    fn gemm_flops_per_s(&self) -> Option<f64> {
        let all: Vec<f64> = self.part("limits").filter_map(|line| line.gemm_flops_per_s).collect();
        all.into_iter().reduce(f64::max)
    }

    /// What the maker says of the GPU, if it is known.
    fn datasheet_flops_per_s(&self) -> Option<f64> {
        let texts =
            || self.part("facts").chain(self.part("limits")).filter_map(|l| l.text.as_ref());
        let known = DATASHEET.iter().find(|(name, _)| texts().any(|text| text.contains(name)));
        known.map(|&(_, flops)| flops)
    }

    fn machine(&self) -> Option<String> {
        let mut text = "## Machine\n\n".to_owned();
        let mut facts: Vec<String> = Vec::new();
        for line in self.part("facts") {
            facts.extend(line.text.clone());
        }
        for line in self.part("limits") {
            let (Some(copy), Some(gemm)) = (line.copy_bytes_per_s, line.gemm_flops_per_s) else {
                continue;
            };
            let words = line.text.as_deref().unwrap_or_default();
            facts.push(format!(
                "{}: copy {:.2} TB/s read and written, bf16 product {:.0} TFLOP/s; {words}",
                line.by,
                copy / 1e12,
                gemm / 1e12
            ));
        }
        if facts.is_empty() {
            return None;
        }
        facts.iter().for_each(|fact| text += &format!("* {fact}\n"));
        Some(text)
    }

    fn goals(&self) -> Option<String> {
        let mut rows = Vec::new();
        for line in self.part("conformance") {
            let words = line.text.clone().unwrap_or_default();
            rows.push(goal("conformance", &line.case, "no failures", words, Some(true)));
        }
        for (ours, peer) in self.pairs("decode").filter(|(ours, _)| ours.case == "batch 32") {
            let ratio = ratio(ours.rate, peer.rate);
            let name = format!("decode, batch 32, against {}", peer.by);
            rows.push(at_least(&name, &ours.model, ratio, DECODE_RATIO, "x"));
        }
        for ours in self.ours("decode").filter(|line| line.case == "batch 256") {
            let name = "decode, batch 256, of the floor";
            rows.push(at_least(name, &ours.model, ours.of_floor(), DECODE_OF_FLOOR, ""));
        }
        for (ours, peer) in self.pairs("train") {
            let ratio = ratio(ours.rate, peer.rate);
            let name = format!("update, against {}", peer.by);
            rows.push(at_least(&name, &ours.model, ratio, TRAIN_RATIO, "x"));
            if let (Some(bytes), Some(theirs)) = (ours.peak_bytes, peer.peak_bytes) {
                let words = format!("{} of {}", gigabytes(bytes), gigabytes(theirs));
                let name = format!("update, memory of {}", peer.by);
                rows.push(goal(&name, &ours.model, "less", words, Some(bytes < theirs)));
            }
        }
        for line in self.ours("train").filter(|line| line.model.ends_with("7b")) {
            let mfu = |peak: Option<f64>| ratio(line.model_flops_per_s, peak);
            let (sheet, measured) =
                (mfu(self.datasheet_flops_per_s()), mfu(self.gemm_flops_per_s()));
            rows.push(at_least("update, of the datasheet's rate", &line.model, sheet, MFU, ""));
            rows.push(at_least("update, of the measured rate", &line.model, measured, MFU, ""));
        }
        let kernels: Vec<&Line> = self.part("kernels").filter(|line| is_bound(line)).collect();
        if !kernels.is_empty() {
            let good = kernels.iter().filter(|line| line.of_floor() >= Some(KERNEL_OF_FLOOR));
            let n_good = good.count();
            let words = format!("{n_good} of {}", kernels.len());
            let wanted = format!("all ≥ {KERNEL_OF_FLOOR:.2}");
            let is_met = Some(n_good == kernels.len());
            rows.push(goal(
                "operations bound by memory, of their floor",
                "",
                &wanted,
                words,
                is_met,
            ));
        }
        let steps: Vec<&Line> = self.part("selfplay").collect();
        if let Some(last) = steps.last() {
            let n_updates = steps.iter().filter(|line| line.case.ends_with("update")).count();
            let peak = steps.iter().filter_map(|line| line.peak_bytes).max().unwrap_or(0);
            let words = format!("{n_updates} steps, {}", gigabytes(peak));
            rows.push(goal("self-play", &last.model, "2 steps", words, Some(n_updates >= 2)));
        }
        if rows.is_empty() {
            return None;
        }
        let head = "## Goals\n\n| goal | model | wanted | measured | |\n|---|---|---|---|---|\n";
        Some(head.to_owned() + &rows.concat())
    }

    /// Our results of a part.
    fn ours(&self, part: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        self.part(part).filter(|line| line.by == OURS)
    }

    /// Our results with each peer's of the same name.
    fn pairs(&self, part: &'a str) -> impl Iterator<Item = (&'a Line, &'a Line)> + 'a {
        let peers: Vec<&Line> = self.part(part).filter(|line| line.by != OURS).collect();
        self.ours(part).flat_map(move |ours| {
            let same = |peer: &&Line| (&peer.model, &peer.case) == (&ours.model, &ours.case);
            peers.clone().into_iter().filter(same).map(move |peer| (ours, peer))
        })
    }

    fn conformance(&self) -> Option<String> {
        let lines: Vec<String> = self
            .part("conformance")
            .map(|line| format!("* {}: {}\n", line.case, line.text.as_deref().unwrap_or_default()))
            .collect();
        (!lines.is_empty()).then(|| format!("## Conformance\n\n{}", lines.concat()))
    }

    /// A line for each case of a part, with everyone's rates.
    fn against_peers(&self, part: &'a str, title: &str) -> Option<String> {
        let lines: Vec<&Line> = self.part(part).collect();
        let mut peers: Vec<&str> = Vec::new();
        let mut cases: Vec<(&str, &str)> = Vec::new();
        for line in &lines {
            if line.by != OURS && !peers.contains(&&*line.by) {
                peers.push(&line.by);
            }
            if !cases.contains(&(&line.model, &line.case)) {
                cases.push((&line.model, &line.case));
            }
        }
        if lines.is_empty() {
            return None;
        }
        let mut text = format!(
            "## {title}\n\nTokens per second; of the floor, and model operations of the measured and of the \
             datasheet's rate; most memory held.\n\n| model | case | azr | of its floor | MFU | memory |"
        );
        peers.iter().for_each(|peer| text += &format!(" {peer} | memory | azr / {peer} |"));
        text += &format!("\n{}|\n", "|---".repeat(6 + 3 * peers.len()));
        for (model, case) in cases {
            let by = |who: &str| {
                let same = |line: &&&Line| (&*line.model, &*line.case) == (model, case);
                lines.iter().filter(same).find(|line| line.by == who).copied()
            };
            let ours = by(OURS);
            let rate = |line: Option<&Line>| {
                number(line.and_then(|line| line.rate), |rate| format!("{rate:.0}"))
            };
            let memory =
                |line: Option<&Line>| number(line.and_then(|line| line.peak_bytes), gigabytes);
            let of_floor = two_digits(ours.and_then(Line::of_floor));
            let flops = ours.and_then(|line| line.model_flops_per_s);
            let mfu = match flops {
                None => "–".to_owned(),
                Some(_) => format!(
                    "{}, {}",
                    two_digits(ratio(flops, self.gemm_flops_per_s())),
                    two_digits(ratio(flops, self.datasheet_flops_per_s()))
                ),
            };
            let (our_rate, our_memory) = (rate(ours), memory(ours));
            text +=
                &format!("| {model} | {case} | {our_rate} | {of_floor} | {mfu} | {our_memory} |");
            for peer in &peers {
                let theirs = by(peer);
                let times = ratio(ours.and_then(|l| l.rate), theirs.and_then(|l| l.rate));
                let times = two_digits(times);
                text += &format!(" {} | {} | {times} |", rate(theirs), memory(theirs));
            }
            text.push('\n');
        }
        text += &notes(&lines);
        Some(text)
    }

    fn selfplay(&self) -> Option<String> {
        let mut text = "## Self-play\n\n| model | step | time | tokens/s | of the measured rate | memory | |\n\
                        |---|---|---|---|---|---|---|\n"
            .to_owned();
        let mut is_empty = true;
        for line in self.part("selfplay") {
            is_empty = false;
            let mfu = ratio(line.model_flops_per_s, self.gemm_flops_per_s());
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                line.model,
                line.case,
                number(line.seconds, duration),
                number(line.rate, |rate| format!("{rate:.0}")),
                two_digits(mfu),
                number(line.peak_bytes, gigabytes),
                line.text.as_deref().unwrap_or_default()
            );
        }
        (!is_empty).then_some(text)
    }

    fn kernels(&self) -> Option<String> {
        let lines: Vec<&Line> = self.part("kernels").collect();
        if lines.is_empty() {
            return None;
        }
        let mut text = "## Operations\n\n| model | operation | median | floor | floor / median |\n\
                        |---|---|---|---|---|\n"
            .to_owned();
        for line in lines {
            let limit = if is_bound(line) { " (memory)" } else { "" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {}{limit} | {} |",
                line.model,
                line.case,
                number(line.seconds, duration),
                number(line.floor_s, duration),
                two_digits(line.of_floor())
            );
        }
        Some(text)
    }

    fn problems(&self) -> Option<String> {
        let mut text = "## Not measured\n\n".to_owned();
        let mut is_empty = true;
        for line in self.0 {
            let Some(problem) = &line.problem else { continue };
            is_empty = false;
            let names = [&line.by, &line.part, &line.model, &line.case];
            let names: Vec<&str> =
                names.into_iter().map(|name| &**name).filter(|name| !name.is_empty()).collect();
            text += &format!("* {}: {problem}\n", names.join(", "));
        }
        (!is_empty).then_some(text)
    }
}

fn is_bound(line: &Line) -> bool {
    line.is_memory_bound == Some(true)
}

/// What is said of results, each once.
fn notes(lines: &[&Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let Some(words) = &line.text else { continue };
        let _ = write!(text, "\n* {}, {}, {}: {words}", line.by, line.model, line.case);
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    Some(ours? / theirs?)
}

fn at_least(name: &str, model: &str, found: Option<f64>, wanted: f64, unit: &str) -> String {
    let words = format!("{}{unit}", two_digits(found));
    let is_met = found.map(|found| found >= wanted);
    goal(name, model, &format!("≥ {wanted:.2}{unit}"), words, is_met)
}

fn goal(name: &str, model: &str, wanted: &str, found: String, is_met: Option<bool>) -> String {
    let verdict = match is_met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "unknown",
    };
    format!("| {name} | {model} | {wanted} | {found} | {verdict} |\n")
}

fn number<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

fn two_digits(value: Option<f64>) -> String {
    number(value, |value| format!("{value:.2}"))
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(part: &str, case: &str, by: &str, rate: f64) -> Line {
        Line {
            part: part.to_owned(),
            model: "qwen2.5-7b".to_owned(),
            case: case.to_owned(),
            by: by.to_owned(),
            rate: Some(rate),
            ..Line::default()
        }
    }

    #[test]
    fn goals_are_held_against_results() {
        let limits = Line {
            copy_bytes_per_s: Some(4.3e12),
            gemm_flops_per_s: Some(790e12),
            text: Some("cuda (NVIDIA H200, sm_90, bfloat16)".to_owned()),
            ..Line::ours("limits", "", "")
        };
        let decode = Line {
            seconds: Some(0.02),
            floor_s: Some(0.015),
            ..line("decode", "batch 256", OURS, 12_800.0)
        };
        let update = Line {
            model_flops_per_s: Some(395e12),
            peak_bytes: Some(90_000_000_000),
            ..line("train", "16 x 1024 tokens", OURS, 9000.0)
        };
        let torch = Line {
            peak_bytes: Some(80_000_000_000),
            ..line("train", "16 x 1024 tokens", "PyTorch", 6000.0)
        };
        let kernel = |case, seconds| Line {
            seconds: Some(seconds),
            floor_s: Some(1e-4),
            is_memory_bound: Some(true),
            ..Line::ours("kernels", "qwen2.5-7b", case)
        };
        let failed = Line {
            problem: Some("out of memory".to_owned()),
            ..line("train", "16 x 1024 tokens", "PyTorch, no master", 1.0)
        };
        let text = markdown(&[
            limits,
            line("decode", "batch 32", OURS, 700.0),
            line("decode", "batch 32", OURS, 1.0),
            line("decode", "batch 32", "transformers", 200.0),
            decode,
            update,
            torch,
            kernel("swiglu", 1.1e-4),
            kernel("add", 2e-4),
            failed,
        ]);
        for wanted in [
            "| decode, batch 32, against transformers | qwen2.5-7b | ≥ 3.00x | 3.50x | met |",
            "| decode, batch 256, of the floor | qwen2.5-7b | ≥ 0.70 | 0.75 | met |",
            "| update, against PyTorch | qwen2.5-7b | ≥ 1.30x | 1.50x | met |",
            "| update, memory of PyTorch | qwen2.5-7b | less | 90.0 GB of 80.0 GB | missed |",
            "| update, of the datasheet's rate | qwen2.5-7b | ≥ 0.50 | 0.40 | missed |",
            "| update, of the measured rate | qwen2.5-7b | ≥ 0.50 | 0.50 | met |",
            "| operations bound by memory, of their floor |  | all ≥ 0.80 | 1 of 2 | missed |",
            "| qwen2.5-7b | batch 32 | 700 | – | – | – | 200 | – | 3.50 |",
            "| qwen2.5-7b | swiglu | 110.0 µs | 100.0 µs (memory) | 0.91 |",
            "* azr: copy 4.30 TB/s read and written, bf16 product 790 TFLOP/s; cuda (NVIDIA H200",
            "* PyTorch, no master, train, qwen2.5-7b, 16 x 1024 tokens: out of memory",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
        }
        assert!(!text.contains("## Self-play"), "{text}");
        assert_eq!(text.matches("| decode, batch 32, against").count(), 1, "{text}");
        assert_eq!(markdown(&[]), "");
    }
}
