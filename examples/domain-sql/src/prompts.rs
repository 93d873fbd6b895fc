//! Prompts: short texts that a model without instructions continues, one or a few lines at a time.

use azr_plugin::{Prompt, ProposeRequest, Result, Task};

use crate::database::TABLE;
use crate::puzzle::{Examples, Puzzle, people_text};
use crate::{ABDUCTION, DEDUCTION, INDUCTION, unknown_kind};

/// Longest answers in tokens: a result, a row or a query.
const MAX_ANSWER_TOKENS: u32 = 96;
/// Longest proposals in tokens: a table and a query, or some tables.
const MAX_PROPOSAL_TOKENS: u32 = 256;

/// What an induction proposal is about where nothing was drawn.
const DEFAULT_QUERY: &str = "SELECT name FROM people WHERE age > 26";

/// What every request for a proposal ends with, so that small models keep to the form.
const OPENING: &str = "('";

/// A proposal with the opening that the prompt has, unless the model has repeated it.
pub(crate) fn completed(response: &str) -> String {
    let opening = if response.trim_start().starts_with(OPENING) { "" } else { OPENING };
    format!("{opening}{response}")
}

pub(crate) fn propose(request: &ProposeRequest) -> Result<Prompt> {
    let text = match request.kind.as_str() {
        DEDUCTION => format!(
            "-- Contents of the table {TABLE}, each with another query.\n\n{}{OPENING}",
            puzzles(&request.references)?
        ),
        ABDUCTION => format!(
            "-- Contents of the table {TABLE}, each with another query whose result the last row changes.\n\n{}{OPENING}",
            puzzles(&request.references)?
        ),
        INDUCTION => {
            let query = shown_query(&request.references)?;
            format!(
                "-- Contents of the table {TABLE} that tell queries apart, four for each.\n\n\
                 SELECT count(*) FROM people WHERE city = 'rome'\n\
                 ('ann', 30, 'rome')\n('bob', 25, 'oslo')\n('eve', 41, 'rome'), ('kim', 7, 'rome')\n\
                 ('dan', 50, 'rome'), ('liz', 18, 'bern')\n\n{query}\n{OPENING}"
            )
        }
        kind => return Err(unknown_kind(kind)),
    };
    Ok(Prompt::completion(text, &["\n\n"], MAX_PROPOSAL_TOKENS))
}

pub(crate) fn solve(task: &Task) -> Result<Prompt> {
    let text = match task.kind.as_str() {
        DEDUCTION => {
            let Puzzle { people, query } = task.read()?;
            format!(
                "-- Results of queries on the table {TABLE}.\n\n\
                 ('joe', 52, 'oslo'), ('amy', 19, 'bern')\nSELECT name, age FROM people WHERE age < 50\n\
                 = ('amy', 19)\n\n{}\n{query}\n=",
                people_text(&people)
            )
        }
        ABDUCTION => {
            let puzzle: Puzzle = task.read()?;
            let result = puzzle.result().map(|table| table.text()).unwrap_or_default();
            format!(
                "-- One more row of the table {TABLE} with which a query has the given result.\n\n\
                 ('joe', 52, 'oslo')\nSELECT min(age) FROM people\n= (19)\nrow: ('amy', 19, 'bern')\n\n\
                 {}\n{}\n= {result}\nrow:",
                people_text(puzzle.shown()),
                puzzle.query
            )
        }
        INDUCTION => {
            let examples: Examples = task.read()?;
            let shown: String = examples
                .shown()
                .iter()
                .map(|(people, result)| format!("{}\n= {}\n", people_text(people), result.text()))
                .collect();
            format!(
                "-- The query on the table {TABLE} that has these results.\n\n\
                 ('joe', 52, 'oslo'), ('amy', 19, 'bern')\n= ('oslo')\n('tom', 61, 'rome')\n= ('rome')\n\
                 query: SELECT city FROM people WHERE age > 50\n\n{shown}query:"
            )
        }
        kind => return Err(unknown_kind(kind)),
    };
    Ok(Prompt::completion(text, &["\n"], MAX_ANSWER_TOKENS))
}

/// The query that an induction proposal is about: that of its reference.
pub(crate) fn shown_query(references: &[Task]) -> Result<String> {
    match references.first() {
        Some(reference) => Ok(reference.read::<Puzzle>()?.query),
        None => Ok(DEFAULT_QUERY.to_owned()),
    }
}

fn puzzles(references: &[Task]) -> Result<String> {
    let puzzle = |task: &Task| {
        let Puzzle { people, query } = task.read()?;
        Ok(format!("{}\n{query}\n\n", people_text(&people)))
    };
    references.iter().map(puzzle).collect()
}
