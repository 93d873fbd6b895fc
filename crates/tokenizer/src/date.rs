//! A calendar date and the part of `strftime` that chat templates use.

use std::fmt;
use std::str::FromStr;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A date of the Gregorian calendar, years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Default for Date {
    /// 26 July 2024, the date that Llama's own templates show when they are told none. It is fixed, because a prompt
    /// that changed from day to day would make runs unrepeatable.
    fn default() -> Self {
        Self { year: 2024, month: 7, day: 26 }
    }
}

impl Date {
    /// Formats midnight of the date as Python's `strftime` does in the C locale. Knows
    /// `%Y %y %m %d %e %j %B %b %A %a %H %M %S %%` and `%-d`, `%-m`; anything else stays as it is.
    pub fn strftime(&self, format: &str) -> String {
        let mut text = String::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            text += &rest[..at];
            rest = &rest[at..];
            let length = if rest.starts_with("%-") { 3 } else { 2 };
            let Some(directive) = rest.get(..length) else { break };
            match self.field(directive) {
                Some(field) => text += &field,
                None => text += directive,
            }
            rest = &rest[length..];
        }
        text + rest
    }

    fn field(&self, directive: &str) -> Option<String> {
        let month = MONTHS[self.month as usize - 1];
        let weekday = WEEKDAYS[self.weekday() as usize];
        Some(match directive {
            "%Y" => format!("{}", self.year),
            "%y" => format!("{:02}", self.year % 100),
            "%m" => format!("{:02}", self.month),
            "%-m" => format!("{}", self.month),
            "%d" => format!("{:02}", self.day),
            "%-d" => format!("{}", self.day),
            "%e" => format!("{:2}", self.day),
            "%j" => format!("{:03}", self.day_of_year()),
            "%B" => month.into(),
            "%b" => month[..3].into(),
            "%A" => weekday.into(),
            "%a" => weekday[..3].into(),
            "%H" | "%M" | "%S" => "00".into(),
            "%%" => "%".into(),
            _ => return None,
        })
    }

    fn day_of_year(&self) -> u32 {
        (1..self.month).map(|month| days_in(self.year, month)).sum::<u32>() + self.day
    }

    /// 0 is Sunday. 1 January of year 1 was a Monday; a year moves the weekday by one, a leap year by two.
    fn weekday(&self) -> u32 {
        let past = self.year - 1;
        (past + past / 4 - past / 100 + past / 400 + self.day_of_year()) % 7
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = String;

    /// Parses `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no date of the form YYYY-MM-DD", text.escape_debug());
        let bytes = text.as_bytes();
        let shaped = bytes.len() == 10
            && bytes
                .iter()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
        if !shaped {
            return Err(wrong());
        }
        let number =
            |range: std::ops::Range<usize>| text[range].parse::<u32>().map_err(|_| wrong());
        let date = Self { year: number(0..4)?, month: number(5..7)?, day: number(8..10)? };
        let valid = date.year > 0
            && (1..=12).contains(&date.month)
            && (1..=days_in(date.year, date.month)).contains(&date.day);
        if valid { Ok(date) } else { Err(wrong()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_those_of_python() {
        // Expected texts are from `datetime.datetime(…).strftime(…)`.
        let format = "%A %a %d %-d %e %B %b %m %-m %Y %y %j %H:%M:%S %%";
        let on = |date: &str| date.parse::<Date>().unwrap().strftime(format);
        assert_eq!(on("2024-07-26"), "Friday Fri 26 26 26 July Jul 07 7 2024 24 208 00:00:00 %");
        assert_eq!(
            on("2000-02-29"),
            "Tuesday Tue 29 29 29 February Feb 02 2 2000 00 060 00:00:00 %"
        );
        assert_eq!(
            on("1999-12-05"),
            "Sunday Sun 05 5  5 December Dec 12 12 1999 99 339 00:00:00 %"
        );
        assert_eq!(Date::default().strftime("%d %b %Y"), "26 Jul 2024");
        assert_eq!(Date::default().strftime("é%"), "é%");
        assert_eq!(Date::default().strftime("%é %Q"), "%é %Q");
    }

    #[test]
    fn only_dates_are_dates() {
        for text in [
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2024-1-01",
            "2024-01-00",
            "",
            "20240-1-1",
            "2024-01-1é",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!("2024-02-29".parse::<Date>().unwrap().to_string(), "2024-02-29");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_format_is_formatted(format in "[%\\-YdBé]{0,12}") {
            Date::default().strftime(&format);
        }
    }
}
