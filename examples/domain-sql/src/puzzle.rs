//! What tasks hold, how proposals become tasks and how answers are checked.

use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{KnownAnswers, Result, Task};

use crate::cell::{Cell, row_text, rows, rows_text};
use crate::database::{Person, Reason, Table, reads_the_table, run};
use crate::{ABDUCTION, DEDUCTION, INDUCTION, unknown_kind};

/// Most rows of a table.
const MAX_PEOPLE: usize = 8;
/// Fewest and most tables of an induction task.
const N_TABLES: std::ops::RangeInclusive<usize> = 4..=8;

/// The words between `SELECT` and its end, without the blanks that mean nothing.
fn normal(query: &str) -> String {
    let words: Vec<&str> = query.trim().trim_end_matches(';').split_whitespace().collect();
    words.join(" ")
}

/// The table that `line` spells.
fn people(line: &str) -> std::result::Result<Vec<Person>, Reason> {
    let rows = rows(line).ok_or("no_rows_written")?;
    if rows.len() > MAX_PEOPLE {
        return Err("large_table");
    }
    rows.iter().map(|row| Person::of(row).ok_or("bad_row")).collect()
}

pub(crate) fn people_text(people: &[Person]) -> String {
    let rows: Vec<Vec<Cell>> = people.iter().map(Person::cells).collect();
    rows_text(&rows)
}

/// A table and a query: a deduction or, without its last row, an abduction task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
pub(crate) struct Puzzle {
    pub(crate) people: Vec<Person>,
    pub(crate) query: String,
}

/// A task, or why there is none. The inner result is a defect of ours.
type Made = std::result::Result<Result<Task>, Reason>;

impl Puzzle {
    /// Reads a line of rows and a line with a query.
    pub(crate) fn of(response: &str) -> std::result::Result<Self, Reason> {
        match response.trim().lines().collect::<Vec<_>>()[..] {
            [rows, query, ..] => Ok(Self { people: people(rows)?, query: normal(query) }),
            _ => Err("not_two_lines"),
        }
    }

    /// The query has to have a result in which the table has a say.
    pub(crate) fn deduction(self) -> Made {
        self.result()?;
        match reads_the_table(&self.query, &self.people) {
            true => Ok(self.task(DEDUCTION)),
            false => Err("constant_query"),
        }
    }

    /// The last row has to change the result: it is what will be asked for.
    pub(crate) fn abduction(self) -> Made {
        let result = self.result()?;
        match self.shown() {
            [] => Err("one_row"),
            shown if run(&self.query, shown).as_ref() == Ok(&result) => Err("idle_row"),
            _ => Ok(self.task(ABDUCTION)),
        }
    }

    /// The result of the query on the whole table.
    pub(crate) fn result(&self) -> std::result::Result<Table, Reason> {
        run(&self.query, &self.people)
    }

    /// The rows of an abduction task that the solver sees.
    pub(crate) fn shown(&self) -> &[Person] {
        self.people.split_last().map_or(&[], |(_, shown)| shown)
    }

    fn task(&self, kind: &str) -> Result<Task> {
        task(kind, &self.query, &[people_text(&self.people)], self)
    }

    pub(crate) fn is_deduced(&self, answer: &str) -> bool {
        rows(answer).is_some_and(|rows| self.result() == Ok(Table::of(&rows)))
    }

    /// Any row will do with which the query comes to the same.
    pub(crate) fn is_abduced(&self, answer: &str) -> bool {
        let row = match people(answer) {
            Ok(row) if row.len() == 1 => row,
            _ => return false,
        };
        let table = [self.shown(), &row].concat();
        self.result().is_ok_and(|result| run(&self.query, &table) == Ok(result))
    }
}

/// A query and tables: an induction task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
pub(crate) struct Examples {
    pub(crate) query: String,
    tables: Vec<Vec<Person>>,
}

impl Examples {
    /// Reads lines of rows, a table each, for `query`.
    pub(crate) fn of(query: String, response: &str) -> std::result::Result<Self, Reason> {
        let tables: Vec<_> = response
            .trim()
            .lines()
            .take(N_TABLES.end() + 1)
            .map(people)
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { query, tables })
    }

    /// There have to be different tables with results that are not all the same.
    pub(crate) fn induction(self) -> Made {
        if !N_TABLES.contains(&self.tables.len()) {
            return Err("number_of_tables");
        }
        if self.tables.iter().enumerate().any(|(at, table)| self.tables[..at].contains(table)) {
            return Err("repeated_table");
        }
        let results = self.results(&self.query)?;
        if results.windows(2).all(|pair| pair[0] == pair[1]) {
            return Err("same_results");
        }
        let tables: Vec<String> = self.tables.iter().map(|people| people_text(people)).collect();
        Ok(task(INDUCTION, &self.query, &tables, &self))
    }

    /// What the solver sees: the first half of the tables with their results.
    pub(crate) fn shown(&self) -> Vec<(&[Person], Table)> {
        let half = &self.tables[..self.tables.len() / 2];
        let result = |people: &'_ Vec<Person>| run(&self.query, people).ok();
        half.iter().filter_map(|people| Some((&people[..], result(people)?))).collect()
    }

    /// Whether `answer` gives the same results on all tables, those that were not shown among them.
    pub(crate) fn is_induced(&self, answer: &str) -> bool {
        let results = self.results(&self.query);
        results.is_ok() && self.results(answer) == results
    }

    fn results(&self, query: &str) -> std::result::Result<Vec<Table>, Reason> {
        self.tables.iter().map(|people| run(query, people)).collect()
    }
}

/// A task about `query` of which `asked` makes it one of its own.
fn task(kind: &str, query: &str, asked: &[String], payload: &impl Serialize) -> Result<Task> {
    let task = Task::new(kind, format!("{query}\n{}", asked.join("\n")), payload)?;
    Ok(Task { subject: query.to_owned(), ..task })
}

/// The tasks that a run starts from.
pub(crate) fn seeds(kind: &str) -> Result<Vec<Task>> {
    let puzzle = |text: &str| Puzzle::of(text);
    let made: Vec<Made> = match kind {
        DEDUCTION => [
            "('ann', 30, 'rome'), ('bob', 25, 'oslo')\nSELECT name FROM people WHERE age > 26",
            "('eve', 41, 'bern'), ('dan', 41, 'bern'), ('kim', 7, 'rome')\n\
             SELECT city, count(*) FROM people GROUP BY city",
        ]
        .map(|text| puzzle(text).and_then(Puzzle::deduction))
        .into(),
        ABDUCTION => [
            "('ann', 30, 'rome'), ('bob', 25, 'oslo')\nSELECT count(*) FROM people WHERE age < 30",
            "('eve', 41, 'bern'), ('kim', 7, 'rome')\nSELECT max(age) - min(age) FROM people",
        ]
        .map(|text| puzzle(text).and_then(Puzzle::abduction))
        .into(),
        INDUCTION => [(
            "SELECT name FROM people WHERE age > 26",
            "('ann', 30, 'rome'), ('bob', 25, 'oslo')\n('eve', 41, 'bern'), ('kim', 27, 'oslo')\n\
             ('dan', 26, 'rome'), ('liz', 80, 'rome')\n('tom', 99, 'bern'), ('ann', 1, 'bern')",
        )]
        .map(|(query, tables)| Examples::of(query.into(), tables).and_then(Examples::induction))
        .into(),
        kind => return Err(unknown_kind(kind)),
    };
    made.into_iter().flatten().collect()
}

/// The answers that the proposer gave along with the task, and some that miss it.
pub(crate) fn known_answers(task: &Task) -> Result<KnownAnswers> {
    let (gold, wrong) = match task.kind.as_str() {
        DEDUCTION => {
            let result =
                task.read::<Puzzle>()?.result().map(|table| table.text()).unwrap_or_default();
            let more = format!("{result}, ('nobody')");
            (result, more)
        }
        ABDUCTION => {
            let puzzle: Puzzle = task.read()?;
            let row =
                puzzle.people.last().map(|person| row_text(&person.cells())).unwrap_or_default();
            let twice = format!("{row}, {row}");
            (row, twice)
        }
        INDUCTION => (task.read::<Examples>()?.query, "SELECT 0".to_owned()),
        kind => return Err(unknown_kind(kind)),
    };
    Ok(KnownAnswers { right: vec![format!(" {gold}\n"), gold], wrong: vec![wrong, "(".into()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "('ann', 30, 'rome'), ('bob', 25, 'oslo')";

    #[test]
    fn only_puzzles_become_tasks() {
        let deduction =
            |query: &str| Puzzle::of(&format!("{ROWS}\n{query}")).and_then(Puzzle::deduction).err();
        assert_eq!(deduction("SELECT name FROM people"), None);
        assert_eq!(deduction("SELECT 1"), Some("constant_query"));
        assert_eq!(deduction("SELECT nothing FROM people"), Some("failed_query"));
        let abduction =
            |query: &str| Puzzle::of(&format!("{ROWS}\n{query}")).and_then(Puzzle::abduction).err();
        assert_eq!(abduction("SELECT count(*) FROM people"), None);
        assert_eq!(abduction("SELECT max(age) FROM people"), Some("idle_row"));
        assert_eq!(Puzzle::of("('ann', 30)\nSELECT 1").err(), Some("bad_row"));
        assert_eq!(Puzzle::of("SELECT 1").err(), Some("not_two_lines"));
        let one = Puzzle::of("('ann', 30, 'rome')\nSELECT count(*) FROM people").unwrap();
        assert_eq!(one.abduction().err(), Some("one_row"));
    }

    #[test]
    fn any_row_that_makes_it_so_is_an_answer() {
        let puzzle =
            Puzzle::of(&format!("{ROWS}\nSELECT count(*) FROM people WHERE age < 30")).unwrap();
        for (answer, is_right) in [
            ("('bob', 25, 'oslo')", true),
            ("('x', 0, 'y')", true),
            ("('x', 30, 'y')", false),
            ("('x', 0)", false),
            ("('x', 0, 'y'), ('z', 40, 'y')", false),
        ] {
            assert_eq!(puzzle.is_abduced(answer), is_right, "{answer}");
        }
    }

    #[test]
    fn a_query_that_lists_what_was_shown_fails_on_what_was_not() {
        let task = seeds(INDUCTION).unwrap().remove(0);
        let examples: Examples = task.read().unwrap();
        let shown: Vec<String> = examples.shown().iter().map(|(_, result)| result.text()).collect();
        assert_eq!(shown, ["('ann')", "('eve'), ('kim')"]);
        assert!(examples.is_induced("select name from people where age >= 27"));
        assert!(
            !examples.is_induced("SELECT name FROM people WHERE name IN ('ann', 'eve', 'kim')")
        );
        assert!(!examples.is_induced("SELECT nothing"));
    }
}
