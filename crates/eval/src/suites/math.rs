//! Benchmarks of problems whose answer is a mathematical object: GSM8K, MATH-500, AMC, AIME, Minerva, OlympiadBench.

mod prompts;

use std::collections::BTreeSet;
use std::path::Path;

use azr_answers::{Verdict as Equivalence, compare, extract};
use azr_plugin::{CallContext, Executor, Prompt};
use serde::Deserialize;

use crate::{Answer, EvalError, PromptStyle, Result, Suite, Verdict, read_lines};

/// Problems with free-text answers. Graded by `azr-answers`; nothing is executed.
#[derive(Debug)]
pub struct MathSuite {
    name: &'static str,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    id: String,
    problem: String,
    answer: String,
    /// The data's own solution, where it ends with the answer in a form that responses have.
    solution: Option<String>,
}

/// A line of a file. The names are those of GSM8K, MATH-500, OlympiadBench and the `test.jsonl` files of the evaluation
/// of Qwen2.5-Math.
#[derive(Deserialize)]
struct Line {
    problem: Option<String>,
    question: Option<String>,
    answer: Option<Text>,
    final_answer: Option<Text>,
    solution: Option<Text>,
    id: Option<Text>,
    unique_id: Option<Text>,
    idx: Option<Text>,
}

/// A field that is text, a number or a list of texts, which are then one text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Number(serde_json::Number),
    List(Vec<String>),
}

impl Text {
    fn joined(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Number(number) => number.to_string(),
            Self::List(texts) => texts.join(", "),
        }
    }
}

impl MathSuite {
    /// Reads the file of the benchmark `name`: JSON lines with the problem in `problem` or `question`; the answer in
    /// `answer` (after `####` where that occurs) or `final_answer`, or in the last `\boxed{…}` of `solution`; and its id
    /// in `id`, `unique_id` or `idx`, else the line's number.
    ///
    /// # Errors
    /// The file cannot be read; a line is broken, lacks a field or has another's id: it is named.
    pub fn open(name: &'static str, path: &Path) -> Result<Self> {
        let mut ids = BTreeSet::new();
        let mut items = Vec::new();
        for located in read_lines::<Line>(path)? {
            let wrong = |reason| EvalError::Line { path: path.into(), line: located.line, reason };
            let item = Item::new(located.value, located.line).map_err(wrong)?;
            if !ids.insert(item.id.clone()) {
                return Err(wrong(format!("an earlier line has the id `{}` too", item.id)));
            }
            items.push(item);
        }
        if items.is_empty() {
            let reason = "the file has no items".to_owned();
            return Err(EvalError::Line { path: path.into(), line: 1, reason });
        }
        Ok(Self { name, items })
    }

    fn is_of_word_problems(&self) -> bool {
        self.name == "gsm8k"
    }
}

impl Item {
    fn new(line: Line, number: usize) -> std::result::Result<Self, String> {
        let Line { problem, question, answer, final_answer, solution, id, unique_id, idx } = line;
        let Some(problem) = problem.or(question) else {
            return Err("it has neither `problem` nor `question`".into());
        };
        let answer = answer.or(final_answer).map(Text::joined);
        let mut solution = solution.map(Text::joined);
        let answer = match answer {
            Some(text) => match text.rsplit_once("####") {
                Some((_, answer)) => {
                    let answer = answer.trim().to_owned();
                    solution = Some(text);
                    answer
                }
                None => text,
            },
            None => {
                let boxed = solution.as_ref().filter(|solution| solution.contains("\\boxed"));
                let Some(answer) = boxed.and_then(|solution| extract(solution)) else {
                    return Err(
                        "it has neither `answer` nor `final_answer` nor a `solution` with `\\boxed{…}`".into()
                    );
                };
                answer
            }
        };
        if answer.trim().is_empty() {
            return Err("its answer is empty".into());
        }
        let is_shown =
            |solution: &String| solution.contains("\\boxed") || solution.contains("####");
        let solution = solution.filter(is_shown);
        let id = id.or(unique_id).or(idx).map_or_else(|| number.to_string(), Text::joined);
        Ok(Self { id, problem, answer, solution })
    }
}

impl Suite for MathSuite {
    fn name(&self) -> &str {
        self.name
    }

    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|item| item.id.clone()).collect()
    }

    fn template(&self, style: PromptStyle) -> String {
        prompts::template(style, self.is_of_word_problems()).to_owned()
    }

    fn prompt(&self, item: usize, style: PromptStyle) -> Prompt {
        prompts::prompt(&self.items[item].problem, style, self.is_of_word_problems())
    }

    fn grade(
        &self,
        answers: &[Answer<'_>],
        _: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        for answer in answers {
            if context.is_cancelled() {
                return Err(EvalError::cancelled());
            }
            let found = extract(answer.response);
            let gold = &self.items[answer.item].answer;
            let equivalence = found.as_ref().map(|found| compare(gold, found));
            let is_right = equivalence == Some(Equivalence::Ok);
            let reason = match equivalence {
                Some(Equivalence::Ok) => "ok",
                Some(Equivalence::Different) => "wrong",
                Some(Equivalence::Unparsable) => "unreadable",
                None => "no_answer",
            };
            verdicts.push(Verdict { is_right, reason: reason.into(), answer: found });
            context.progress(verdicts.len() as u64, answers.len() as u64);
        }
        Ok(verdicts)
    }

    fn gold(&self, item: usize, _: PromptStyle) -> Option<String> {
        let Item { answer, solution, .. } = &self.items[item];
        Some(solution.clone().unwrap_or_else(|| format!("The answer is \\boxed{{{answer}}}.")))
    }
}

#[cfg(test)]
mod tests {
    use azr_plugin::{PromptBody, Quiet};

    use super::*;
    use crate::testing::NoExecutor;

    fn opened(name: &'static str, text: &str) -> Result<MathSuite> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.jsonl");
        std::fs::write(&path, text).unwrap();
        MathSuite::open(name, &path)
    }

    fn verdict(suite: &MathSuite, item: usize, response: &str) -> Verdict {
        let answer = Answer { item, style: PromptStyle::Chat, response };
        suite.grade(&[answer], &NoExecutor, &Quiet).unwrap().remove(0)
    }

    /// One item in the form of each benchmark, and its answer.
    const FORMS: [(&str, &str, &str); 5] = [
        ("gsm8k", r#"{"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}"#, "4"),
        (
            "math500",
            r#"{"problem": "Half of one?", "solution": "It is $\\boxed{\\frac12}$.", "answer": "\\frac{1}{2}",
                "subject": "Algebra", "level": 1, "unique_id": "test/algebra/1.json"}"#,
            "0.5",
        ),
        ("amc23", r#"{"id": 0, "question": "Three cubed?", "answer": 27.0, "url": ""}"#, "27"),
        (
            "minerva",
            r#"{"problem": "How far?", "solution": "So $\\boxed{2}$ or rather \\boxed{3}.", "idx": 7}"#,
            "3",
        ),
        (
            "olympiadbench",
            r#"{"id": 1606, "question": "Which?", "solution": ["Thus 1 and 2."], "final_answer": ["$1,2$"],
                "context": null, "is_multiple_answer": true}"#,
            "2, 1",
        ),
    ];

    #[test]
    fn the_form_of_each_benchmark_is_read_and_its_own_solution_is_right() {
        for (name, text, answer) in FORMS {
            let suite = opened(name, &text.replace('\n', " ")).unwrap();
            for style in [PromptStyle::Completion, PromptStyle::Chat] {
                let gold = suite.gold(0, style).unwrap();
                assert!(verdict(&suite, 0, &gold).is_right, "{name}: {gold}");
            }
            let right = verdict(&suite, 0, &format!("So it is \\boxed{{{answer}}}."));
            assert!(right.is_right && right.reason == "ok", "{name}: {right:?}");
            let wrong = verdict(&suite, 0, "So it is \\boxed{1234}.");
            assert!(!wrong.is_right && wrong.reason == "wrong", "{name}: {wrong:?}");
            assert_eq!(wrong.answer.as_deref(), Some("1234"));
            let none = verdict(&suite, 0, "");
            assert_eq!(
                (none.is_right, none.reason.as_str(), none.answer),
                (false, "no_answer", None)
            );
        }
        let ids =
            FORMS.map(|(name, text, _)| opened(name, &text.replace('\n', " ")).unwrap().ids());
        assert_eq!(ids.concat(), ["1", "test/algebra/1.json", "0", "7", "1606"]);
    }

    #[test]
    fn what_a_line_lacks_is_named_with_the_line() {
        let sound = r#"{"id": 1, "problem": "p", "answer": "1"}"#;
        for (line, reason) in [
            (r#"{"answer": "1"}"#, "neither `problem` nor `question`"),
            (r#"{"problem": "p"}"#, "neither `answer` nor `final_answer`"),
            (r#"{"problem": "p", "solution": "no box"}"#, "neither `answer`"),
            (r#"{"problem": "p", "answer": " "}"#, "answer is empty"),
            (r#"{"problem": "p", "answer": "1", "id": "1"}"#, "id `1` too"),
            (r#"{"problem": "p", "answer": {}}"#, ""),
            (r#"{"problem": "p", "#, ""),
        ] {
            let error = opened("aime24", &format!("{sound}\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("test.jsonl` line 2: ") && error.contains(reason), "{error}");
        }
        assert!(opened("aime24", "\n").unwrap_err().to_string().contains("no items"));
    }

    #[test]
    fn a_prompt_shows_the_problem_and_not_the_answer() {
        let text = r#"{"problem": "What is {braced} \\frac{1}{2}?", "answer": "987654"}"#;
        for name in ["gsm8k", "aime24"] {
            let suite = opened(name, text).unwrap();
            for style in [PromptStyle::Completion, PromptStyle::Chat] {
                let shown = match suite.prompt(0, style).body {
                    PromptBody::Text(text) => text,
                    PromptBody::Chat(messages) => messages[0].content.clone(),
                };
                assert!(shown.contains("What is {braced} \\frac{1}{2}?"), "{shown}");
                assert!(!shown.contains("987654") && shown.contains("\\boxed"), "{shown}");
            }
        }
    }
}
