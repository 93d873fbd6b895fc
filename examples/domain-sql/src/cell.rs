//! Values and rows as text: `('ann', 30, 'rome'), ('bob', 25, 'oslo')`.

use std::fmt;

/// Most rows of a text, and most values of a row.
const MAX_ROWS: usize = 32;
const MAX_CELLS: usize = 8;

/// A value of a table or of a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A number with a fraction; finite.
    Real(f64),
    /// Printable ASCII without a quote.
    Text(String),
}

impl fmt::Display for Cell {
    /// One spelling for each value: 2.0 is `2`, as it is for the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) if *value == 0.0 => f.write_str("0"),
            Self::Real(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// A row as text.
pub(crate) fn row_text(row: &[Cell]) -> String {
    let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
    format!("({})", cells.join(", "))
}

/// Rows as text, in the given order.
pub(crate) fn rows_text(rows: &[Vec<Cell>]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| row_text(row)).collect();
    rows.join(", ")
}

/// Whether `text` can be written between quotes.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| matches!(c, ' '..='~') && c != '\'')
}

/// The rows that `line` consists of, one or more; none when it is anything else. Total and linear in the line.
pub fn rows(line: &str) -> Option<Vec<Vec<Cell>>> {
    let mut rest = line.trim();
    let mut rows = Vec::new();
    loop {
        let (row, behind) = row(rest)?;
        rows.push(row);
        if behind.is_empty() {
            return Some(rows);
        }
        if rows.len() == MAX_ROWS {
            return None;
        }
        rest = behind.strip_prefix(',')?.trim_start();
    }
}

/// The row at the beginning of `text` and what stands behind it.
fn row(text: &str) -> Option<(Vec<Cell>, &str)> {
    let mut rest = text.strip_prefix('(')?;
    let mut cells = Vec::new();
    loop {
        let (cell, behind) = cell(rest.trim_start())?;
        cells.push(cell);
        let behind = behind.trim_start();
        if let Some(behind) = behind.strip_prefix(')') {
            return Some((cells, behind.trim_start()));
        }
        if cells.len() == MAX_CELLS {
            return None;
        }
        rest = behind.strip_prefix(',')?;
    }
}

fn cell(text: &str) -> Option<(Cell, &str)> {
    if let Some(text) = text.strip_prefix('\'') {
        let (text, behind) = text.split_once('\'')?;
        return is_plain(text).then(|| (Cell::Text(text.to_owned()), behind));
    }
    if let Some(behind) = text.strip_prefix("NULL") {
        return Some((Cell::Null, behind));
    }
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    let (number, behind) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    if let Ok(value) = number.parse() {
        return Some((Cell::Integer(value), behind));
    }
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite())?;
    Some((Cell::Real(value), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_written() {
        let read = |text: &str| rows(text).map(|rows| rows_text(&rows));
        assert_eq!(read(" ('a b',-3 , NULL),(2.50)").as_deref(), Some("('a b', -3, NULL), (2.5)"));
        assert_eq!(read("(2.0, -0.0)").as_deref(), Some("(2, 0)"));
        for bad in [
            "", "()", "(1", "1", "(1,)", "(1) (2)", "('a)", "(1),", "(1-2)", "(\"a\")", "(é)",
            "(-)", "(NaN)",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        let many = |n: usize| ["(1)"].repeat(n).join(",");
        assert_eq!(rows(&many(MAX_ROWS)).map(|rows| rows.len()), Some(MAX_ROWS));
        assert_eq!(rows(&many(MAX_ROWS + 1)), None);
        assert_eq!(read(&format!("({})", ["1"; MAX_CELLS + 1].join(","))), None);
    }
}
