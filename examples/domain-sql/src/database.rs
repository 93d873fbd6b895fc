//! Running a query that a model wrote on a table of a few rows, in memory and under limits.
//!
//! A query is one short `SELECT`. SQLite asks us about everything it compiles (`authorizer`): reading the one table and
//! calling harmless functions is allowed, all else is not, so there is no `ATTACH`, no `PRAGMA`, no extension, no schema
//! table, no function of chance or time. Work is counted in instructions of SQLite's machine, not in seconds, so that a
//! verdict never depends on how busy a computer is; strings are short, so what is counted bounds memory too.

use azr_plugin::serde::{Deserialize, Serialize};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::cell::{Cell, is_plain, row_text};

/// The table, as the database and the model know it.
pub(crate) const TABLE: &str = "people(name TEXT, age INTEGER, city TEXT)";

/// Longest query in bytes.
const MAX_QUERY: usize = 200;
/// Longest string that may come up while a query runs, in bytes; also the longest row.
const MAX_STRING: i32 = 256;
/// Most instructions of a query, in hundreds.
const MAX_HUNDREDS: u32 = 1000;
/// Most rows and columns of a result.
const MAX_ROWS: usize = 8;
const MAX_COLUMNS: usize = 4;

/// Functions that a query may call: all of them harmless, and the same today as tomorrow.
const FUNCTIONS: [&str; 26] = [
    "abs",
    "avg",
    "coalesce",
    "count",
    "dense_rank",
    "ifnull",
    "iif",
    "instr",
    "length",
    "like",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "rank",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "substr",
    "substring",
    "sum",
    "total",
    "trim",
    "upper",
];

/// Why a query has no result here; a reason as metrics count it.
pub(crate) type Reason = &'static str;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde")]
pub(crate) struct Person(pub(crate) String, pub(crate) i64, pub(crate) String);

impl Person {
    /// The row that has these values, if it fits the table: short texts and a number of at most three digits.
    pub(crate) fn of(cells: &[Cell]) -> Option<Self> {
        match cells {
            [Cell::Text(name), Cell::Integer(age), Cell::Text(city)] => {
                let is_short = |text: &str| (1..=12).contains(&text.len());
                let fits = is_short(name) && is_short(city) && (0..1000).contains(age);
                fits.then(|| Self(name.clone(), *age, city.clone()))
            }
            _ => None,
        }
    }

    pub(crate) fn cells(&self) -> Vec<Cell> {
        vec![Cell::Text(self.0.clone()), Cell::Integer(self.1), Cell::Text(self.2.clone())]
    }
}

/// A query's result, its rows in the order of their texts: that of SQL is free where a query does not say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table(Vec<String>);

impl Table {
    pub(crate) fn of(rows: &[Vec<Cell>]) -> Self {
        let mut rows: Vec<String> = rows.iter().map(|row| row_text(row)).collect();
        rows.sort();
        Self(rows)
    }

    pub(crate) fn text(&self) -> String {
        self.0.join(", ")
    }
}

/// The result of `query` on a table of `people`: one to eight rows.
pub(crate) fn run(query: &str, people: &[Person]) -> Result<Table, Reason> {
    match rows(query, people)? {
        rows if rows.is_empty() => Err("no_rows"),
        rows => Ok(Table::of(&rows)),
    }
}

/// Whether the table has a say in the result of `query`.
pub(crate) fn reads_the_table(query: &str, people: &[Person]) -> bool {
    rows(query, people) != rows(query, &[])
}

fn rows(query: &str, people: &[Person]) -> Result<Vec<Vec<Cell>>, Reason> {
    let query = query.trim().trim_end_matches(';');
    if query.len() > MAX_QUERY {
        return Err("long_query");
    }
    let begins = query.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    if !begins || query.contains(';') || !query.chars().all(|c| matches!(c, ' '..='~')) {
        return Err("no_query");
    }
    // Setting up cannot fail for anything that a model wrote.
    let mut connection = table(people).map_err(|_| "no_database")?;
    confine(&mut connection).map_err(|_| "no_database")?;
    let mut statement = connection.prepare(query).map_err(|error| reason(&error))?;
    let n_columns = statement.column_count();
    if n_columns > MAX_COLUMNS {
        return Err("many_columns");
    }
    let mut found = Vec::new();
    let mut cursor = statement.query([]).map_err(|error| reason(&error))?;
    while let Some(row) = cursor.next().map_err(|error| reason(&error))? {
        if found.len() == MAX_ROWS {
            return Err("many_rows");
        }
        let value = |column| cell(row.get_ref(column).map_err(|error| reason(&error))?);
        found.push((0..n_columns).map(value).collect::<Result<_, _>>()?);
    }
    Ok(found)
}

fn table(people: &[Person]) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags | OpenFlags::SQLITE_OPEN_MEMORY)?;
    // Sorters would write temporary files.
    connection.execute_batch(&format!("PRAGMA temp_store = MEMORY; CREATE TABLE {TABLE}"))?;
    let mut insert = connection.prepare("INSERT INTO people VALUES (?, ?, ?)")?;
    for Person(name, age, city) in people {
        insert.execute((name, age, city))?;
    }
    drop(insert);
    Ok(connection)
}

/// From here on the connection does no more than read the table, in bounded time and memory.
fn confine(connection: &mut Connection) -> rusqlite::Result<()> {
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_STRING),
        (Limit::SQLITE_LIMIT_COLUMN, 16),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 32),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 4),
        (Limit::SQLITE_LIMIT_VDBE_OP, 5_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 16),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    let mut hundreds = 0;
    let count = move || {
        hundreds += 1;
        hundreds > MAX_HUNDREDS
    };
    connection.progress_handler(100, Some(count))?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select => Authorization::Allow,
        AuthAction::Read { table_name: "people", .. } => Authorization::Allow,
        AuthAction::Function { function_name } if FUNCTIONS.contains(&function_name) => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))
}

fn reason(error: &rusqlite::Error) -> Reason {
    match error.sqlite_error_code() {
        Some(ErrorCode::AuthorizationForStatementDenied) => "forbidden",
        Some(ErrorCode::OperationInterrupted) => "too_much_work",
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => "too_large",
        _ => "failed_query",
    }
}

/// A value that an answer can spell.
fn cell(value: ValueRef<'_>) -> Result<Cell, Reason> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(value) => Ok(Cell::Integer(value)),
        // Two digits behind the point are what a model can be asked to work out.
        ValueRef::Real(value) if value.abs() < 1e9 && (value * 100.0).fract() == 0.0 => {
            Ok(Cell::Real(value))
        }
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) if is_plain(text) => Ok(Cell::Text(text.to_owned())),
            _ => Err("unspeakable_value"),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => Err("unspeakable_value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<Person> {
        [("ann", 30, "rome"), ("bob", 25, "oslo"), ("eve", 41, "rome")]
            .map(|(name, age, city)| Person(name.into(), age, city.into()))
            .to_vec()
    }

    fn result(query: &str) -> Result<String, Reason> {
        run(query, &people()).map(|table| table.text())
    }

    #[test]
    fn queries_have_results_in_any_order() {
        assert_eq!(
            result("SELECT name, age FROM people WHERE age > 26 ORDER BY age DESC;").as_deref(),
            Ok("('ann', 30), ('eve', 41)")
        );
        assert_eq!(
            result("select city, count(*) from people group by city").as_deref(),
            Ok("('oslo', 1), ('rome', 2)")
        );
        assert_eq!(
            result("SELECT avg(age) FROM people WHERE city = 'rome'").as_deref(),
            Ok("(35.5)")
        );
        assert_eq!(result("SELECT sum(age) / 2.0, NULL FROM people").as_deref(), Ok("(48, NULL)"));
        assert_eq!(
            result("SELECT name FROM people WHERE name LIKE '%n'").as_deref(),
            Ok("('ann')")
        );
    }

    #[test]
    fn what_a_query_may_not_do_it_cannot_do() {
        for query in [
            "SELECT * FROM sqlite_master",
            "SELECT load_extension('/lib/x.so')",
            "SELECT random() FROM people",
            "SELECT date('now') FROM people",
            "SELECT * FROM pragma_database_list",
            "SELECT * FROM pragma_table_info('people')",
            "SELECT readfile('/etc/passwd')",
            "SELECT hex(randomblob(100000000))",
            "SELECT printf('%.*c', 100000000, 'x')",
            "SELECT zeroblob(1000000000) FROM people",
        ] {
            assert!(
                matches!(result(query), Err("forbidden" | "failed_query")),
                "{query}: {:?}",
                result(query)
            );
        }
        for query in [
            "ATTACH 'x.db' AS x",
            "PRAGMA database_list",
            "VACUUM INTO 'x.db'",
            "DELETE FROM people",
            "SELECT 1; DELETE FROM people",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "SELECT 'ä'",
            "",
        ] {
            assert_eq!(result(query), Err("no_query"), "{query}");
        }
        let recursive = "SELECT * FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n)";
        assert_eq!(result(recursive), Err("forbidden"));
    }

    #[test]
    fn work_and_sizes_are_bounded() {
        let joins = format!("SELECT count(*) FROM {}", ["people"; 20].join(","));
        assert_eq!(result(&joins), Err("too_much_work"));
        let sorted = "SELECT a.name || b.name || c.name x FROM people a, people b, people c, people, people d, \
                      people e, people f, people g, people h, people i, people j ORDER BY x";
        assert_eq!(result(sorted), Err("too_much_work"));
        // What makes strings long is not to be had; joining short ones ends at the limit.
        assert_eq!(result("SELECT replace('aaa', 'a', 'aaa')"), Err("failed_query"));
        let longer = (0..6).fold("name".to_owned(), |inner, _| format!("{inner}||name||name"));
        assert!(result(&format!("SELECT max({longer}) FROM people")).is_ok());
        let long = format!("SELECT x||x||x||x||x||x FROM (SELECT '{}' x)", "a".repeat(60));
        assert_eq!(result(&long), Err("too_large"));
        assert_eq!(result("SELECT name FROM people, people"), Err("failed_query"), "ambiguous");
        assert_eq!(result("SELECT a.name FROM people a, people b"), Err("many_rows"));
        assert_eq!(result("SELECT 1, 2, 3, 4, 5"), Err("many_columns"));
        assert_eq!(result("SELECT name FROM people WHERE age > 99"), Err("no_rows"));
        assert_eq!(result("SELECT 1 / 3.0"), Err("unspeakable_value"));
        assert_eq!(result("SELECT 9e999"), Err("unspeakable_value"));
        assert_eq!(result(&format!("SELECT {}", "1".repeat(MAX_QUERY))), Err("long_query"));
    }

    #[test]
    fn a_constant_is_no_query_of_the_table() {
        assert!(!reads_the_table("SELECT 1", &people()));
        assert!(reads_the_table("SELECT count(*) FROM people", &people()));
        assert!(!reads_the_table("SELECT nothing", &people()));
    }
}
