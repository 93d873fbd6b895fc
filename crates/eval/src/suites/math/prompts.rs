//! What a model is shown of a problem. The worked examples are our own and in no benchmark.

use azr_plugin::{Message, Prompt, PromptBody};

use crate::PromptStyle;

/// Longest answer to a word problem, in tokens.
const WORD_PROBLEM_TOKENS: u32 = 1024;
/// Longest answer to a problem of a competition.
const COMPETITION_TOKENS: u32 = 4096;

/// Problems and solutions that are shown before the problem.
type Examples = [(&'static str, &'static str); 4];

const WORD_PROBLEMS: Examples = [
    (
        "A baker fills 7 trays with 12 rolls each and sells all but 9 of the rolls. How many rolls does she sell?",
        "She bakes 7 * 12 = 84 rolls. She sells 84 - 9 = 75 of them. The answer is \\boxed{75}.",
    ),
    (
        "Tickets to the museum cost $8 for adults and half of that for children. What do 2 adults and 5 children pay \
         together, in dollars?",
        "A child pays 8 / 2 = 4 dollars. The adults pay 2 * 8 = 16 dollars and the children 5 * 4 = 20 dollars. \
         Together that is 16 + 20 = 36 dollars. The answer is \\boxed{36}.",
    ),
    (
        "A tank holds 240 liters. A pump fills it at 15 liters a minute while a leak loses 3 liters a minute. After how \
         many minutes is the empty tank full?",
        "Every minute 15 - 3 = 12 liters are added. That takes 240 / 12 = 20 minutes. The answer is \\boxed{20}.",
    ),
    (
        "Of 150 plants on a field, 40% are beans. A third of the others are peas and the rest is corn. How many corn \
         plants are there?",
        "There are 150 * 0.4 = 60 beans, so 150 - 60 = 90 others. Of these 90 / 3 = 30 are peas. The rest is \
         90 - 30 = 60 corn plants. The answer is \\boxed{60}.",
    ),
];

const COMPETITION: Examples = [
    (
        "Find the sum of all real $x$ with $x^2 - 5x - 14 = 0$.",
        "We factor $x^2 - 5x - 14 = (x - 7)(x + 2)$, so $x = 7$ or $x = -2$. Their sum is $7 - 2 = 5$. The answer is \
         $\\boxed{5}$.",
    ),
    (
        "Two fair six-sided dice are rolled. What is the probability that the product of the numbers is odd?",
        "The product is odd just when both numbers are odd. Each is odd with probability $\\frac{3}{6} = \\frac{1}{2}$, \
         and the dice are independent, so the probability is $\\frac{1}{2} \\cdot \\frac{1}{2} = \\frac{1}{4}$. The \
         answer is $\\boxed{\\frac{1}{4}}$.",
    ),
    (
        "A right triangle has legs of lengths $4$ and $8$. What is the length of its hypotenuse?",
        "By the theorem of Pythagoras it is $\\sqrt{4^2 + 8^2} = \\sqrt{80} = 4\\sqrt{5}$. The answer is \
         $\\boxed{4\\sqrt{5}}$.",
    ),
    (
        "For which real $t$ is $|2t - 1| < 5$? Give an interval.",
        "The inequality means $-5 < 2t - 1 < 5$, so $-4 < 2t < 6$ and $-2 < t < 3$. The answer is $\\boxed{(-2, 3)}$.",
    ),
];

const INSTRUCTION: &str = "Reason step by step, and put your final answer within \\boxed{}.";

/// The name of the prompts.
pub(super) fn template(style: PromptStyle, is_word_problem: bool) -> &'static str {
    match (style, is_word_problem) {
        (PromptStyle::Completion, true) => "4-shot word problems, boxed",
        (PromptStyle::Completion, false) => "4-shot competition, boxed",
        (PromptStyle::Chat, _) => "zero-shot chat, boxed",
    }
}

pub(super) fn prompt(problem: &str, style: PromptStyle, is_word_problem: bool) -> Prompt {
    let max_new_tokens = if is_word_problem { WORD_PROBLEM_TOKENS } else { COMPETITION_TOKENS };
    let problem = problem.trim();
    match style {
        PromptStyle::Completion => {
            let examples = if is_word_problem { &WORD_PROBLEMS } else { &COMPETITION };
            let mut text = String::new();
            for (problem, solution) in examples {
                text.push_str(&format!("Problem: {problem}\nSolution: {solution}\n\n"));
            }
            text.push_str(&format!("Problem: {problem}\nSolution:"));
            let stop = vec!["\nProblem:".to_owned()];
            Prompt { body: PromptBody::Text(text), stop, max_new_tokens }
        }
        PromptStyle::Chat => {
            let content = format!("{problem}\n\n{INSTRUCTION}");
            let message = Message { role: "user".into(), content };
            Prompt { body: PromptBody::Chat(vec![message]), stop: Vec::new(), max_new_tokens }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_examples_end_with_their_answers() {
        for (problem, solution) in WORD_PROBLEMS.iter().chain(&COMPETITION) {
            assert!(azr_answers::extract(solution).is_some(), "{problem}");
            assert!(!problem.contains('\n') && !solution.contains('\n'), "{problem}");
        }
    }
}
