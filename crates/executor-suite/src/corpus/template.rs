//! Templates of programs.
//!
//! A template is Python with holes between `«` and `»`:
//!
//! * `«2..9»`: an integer, both ends included; `«+|-|»`: one of several texts, which may hold holes;
//! * `«k:2..9»`: the same, and `«k»` later is what was drawn; names of variables are drawn like this;
//! * `«ints 3..6»`, `«ints 3..6 of 1..99»`, `«floats 2..4»`, `«pairs 2..4»`, `«words 3..5»`, `«dict 2..4»`,
//!   `«matrix»`, `«matrix 3»`: literals of that many random elements;
//! * `«word»`, `«text»`, `«letter»`: a bare word, a quoted sentence, a bare letter.
//!
//! A file holds several; a line `#: name || arguments` starts each. `~` before the name marks what proposals
//! hold seldom; it is drawn a quarter as often.

use std::collections::BTreeMap;

use super::Draws;

/// Words of arguments: repeated letters, mixed case, palindromes, different lengths.
const WORDS: [&str; 40] = [
    "apple",
    "banana",
    "level",
    "kiwi",
    "Moon",
    "noon",
    "river",
    "Stone",
    "letter",
    "aa",
    "zebra",
    "radar",
    "cloud",
    "bookkeeper",
    "x",
    "Green",
    "hello",
    "world",
    "python",
    "civic",
    "tree",
    "Anna",
    "mississippi",
    "queue",
    "sky",
    "data",
    "rotor",
    "ab",
    "fizz",
    "buzz",
    "light",
    "house",
    "deed",
    "Oslo",
    "tattoo",
    "grass",
    "summer",
    "ice",
    "otto",
    "banjo",
];

/// A template of programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) is_rare: bool,
    arguments: &'static str,
    body: &'static str,
}

impl Family {
    /// The templates of a file.
    pub(super) fn read_all(text: &'static str) -> Vec<Self> {
        text.split("#: ")
            .filter_map(|part| {
                let (header, body) = part.split_once('\n')?;
                let (name, arguments) = header.split_once(" || ")?;
                let (is_rare, name) =
                    name.strip_prefix('~').map_or((false, name), |name| (true, name));
                Some(Self { name, is_rare, arguments, body })
            })
            .collect()
    }

    /// A program and its arguments.
    pub(super) fn expand(&self, random: &mut Draws) -> (String, String) {
        let mut drawn = BTreeMap::new();
        let arguments = fill(self.arguments, random, &mut drawn);
        (fill(self.body, random, &mut drawn), arguments)
    }
}

/// The text with its holes filled. Holes inside holes count for the one that is chosen only.
fn fill(text: &str, random: &mut Draws, drawn: &mut BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('«') {
        filled.push_str(before);
        let end = closing(behind);
        let hole = behind.get(..end).unwrap_or_default();
        filled.push_str(&draw(hole, random, drawn));
        let behind = behind.get(end..).unwrap_or_default();
        rest = behind.strip_prefix('»').unwrap_or(behind);
    }
    filled.push_str(rest);
    filled
}

/// Where the hole ends that was opened before the text.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, character) in text.char_indices() {
        match character {
            '«' => depth += 1,
            '»' if depth == 0 => return offset,
            '»' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn draw(hole: &str, random: &mut Draws, drawn: &mut BTreeMap<String, String>) -> String {
    if let Some(known) = drawn.get(hole) {
        return known.clone();
    }
    let is_name = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    if let Some((name, choices)) = hole.split_once(':').filter(|(name, _)| is_name(name)) {
        let text = draw(choices, random, drawn);
        drawn.insert(name.to_owned(), text.clone());
        return text;
    }
    if let Some(literal) = literal(hole, random) {
        return literal;
    }
    random.choose(&alternatives(hole)).map(|text| fill(text, random, drawn)).unwrap_or_default()
}

/// The alternatives of a hole: `|` inside a hole of its own does not count.
fn alternatives(hole: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    hole.split(|character: char| {
        match character {
            '«' => depth += 1,
            '»' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '|' && depth == 0
    })
    .collect()
}

/// A random literal, if the hole asks for one.
fn literal(hole: &str, random: &mut Draws) -> Option<String> {
    let mut words = hole.split(' ');
    let kind = words.next().unwrap_or_default();
    let counts = words.next().and_then(range);
    if let Some((low, high)) = range(hole) {
        return Some(random.between(low, high).to_string());
    }
    let of = hole.split_once(" of ").and_then(|(_, text)| range(text)).unwrap_or((-9, 20));
    let n = |random: &mut Draws| counts.map_or(3, |(low, high)| random.between(low, high));
    Some(match kind {
        "ints" => list(n(random), || random.between(of.0, of.1).to_string()),
        "floats" => list(n(random), || format!("{:?}", random.between(-80, 200) as f64 / 8.0)),
        "pairs" => {
            list(n(random), || format!("({}, {})", random.between(0, 9), random.between(0, 9)))
        }
        "words" => list(n(random), || format!("'{}'", word(random))),
        "dict" => {
            let entries =
                list(n(random), || format!("'{}': {}", word(random), random.between(0, 30)));
            format!("{{{}}}", entries.trim_matches(['[', ']']))
        }
        "matrix" => {
            let (rows, columns) = match hole.split_once(' ') {
                Some((_, size)) => size.parse().ok().map(|size: i64| (size, size))?,
                None => (random.between(2, 4), random.between(2, 4)),
            };
            list(rows, || list(columns, || random.between(0, 12).to_string()))
        }
        "word" => word(random).to_owned(),
        "letter" => char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0)).to_string(),
        "text" => {
            let words: Vec<&str> = (0..random.between(3, 7)).map(|_| word(random)).collect();
            format!("'{}'", words.join(" "))
        }
        _ => return None,
    })
}

fn word(random: &mut Draws) -> &'static str {
    random.choose(&WORDS).copied().unwrap_or_default()
}

fn list(n: i64, mut item: impl FnMut() -> String) -> String {
    let items: Vec<String> = (0..n).map(|_| item()).collect();
    format!("[{}]", items.join(", "))
}

/// The ends of `low..high`, also of a lone number.
fn range(text: &str) -> Option<(i64, i64)> {
    let (low, high) = text.split_once("..")?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    #[test]
    fn holes_are_filled() {
        let mut random = Draws(ChaCha8Rng::seed_from_u64(0));
        let mut fill = |text: &str| super::fill(text, &mut random, &mut BTreeMap::new());
        assert_eq!(fill("no hole"), "no hole");
        assert_eq!(fill("«k:4..4» «k» «k»"), "4 4 4");
        assert_eq!(fill("«n:total» += «n»«|»"), "total += total");
        assert!(["a", "b5", ""].contains(&fill("«a|b«5..5»|»").as_str()));
        assert!(["x[:2]", "x[1:]"].contains(&fill("x[«:2|1:»]").as_str()));
        assert_eq!(fill("«matrix 1»").len(), fill("[[0]]").len());
        for _ in 0..50 {
            let number: i64 = fill("«-3..4»").parse().unwrap();
            assert!((-3..=4).contains(&number));
        }
    }
}
