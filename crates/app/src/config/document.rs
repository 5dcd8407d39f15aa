//! TOML text turned into a tree in which every key and value knows its place. The only file that
//! knows the `toml` crate. Must not know: which sections and keys there may be.

use super::problem::{Position, Problem};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};
use tress_core::wording::quoted;

/// A value and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) at: Position,
}

/// What a file can say. Arrays of tables are lists of tables.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Item>),
    Table(Table),
    /// Something that no key takes: said in words, as in `a date`.
    Other(&'static str),
}

impl Value {
    /// The type in words, with its article.
    pub(super) const fn described(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(words) => words,
        }
    }
}

/// Keys and values in the order of the file; no key is there twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key, where it stands (for a section: in its header), and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) item: Item,
}

impl Item {
    /// Whether it says the same, wherever it stands.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::String(one), Value::String(other)) => one == other,
            (Value::Integer(one), Value::Integer(other)) => one == other,
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::List(one), Value::List(other)) => {
                let pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.into_iter().all(|(a, b)| a.says_the_same_as(b))
            }
            (Value::Table(one), Value::Table(other)) => one.says_the_same_as(other, &[]),
            // No key takes one, so nobody asks.
            _ => false,
        }
    }
}

impl Table {
    /// Whether it has the same keys, in any order, with the same values; but for these.
    pub(super) fn says_the_same_as(&self, other: &Self, but: &[&str]) -> bool {
        fn count(table: &Table, but: &[&str]) -> usize {
            let counted = table.entries.iter();
            counted.filter(|e| !but.contains(&e.key.as_str())).count()
        }
        let same = |entry: &Entry| {
            let found = other.get(&entry.key);
            but.contains(&entry.key.as_str())
                || found.is_some_and(|found| entry.item.says_the_same_as(&found.item))
        };
        count(self, but) == count(other, but) && self.entries.iter().all(same)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

/// Reads a whole file. A duplicate key is one problem among others; after any other slip of
/// syntax the rest of the file could mean anything, so there is no table.
pub(super) fn parse(text: &str) -> (Option<Table>, Vec<Problem>) {
    let lines = Lines::new(text);
    let (table, mut errors) = DeTable::parse_recoverable(text);
    // The parser tells first where it gave up, and then what it stumbled over.
    errors.sort_by_key(|error| error.span().map_or(text.len(), |span| span.start));
    let mut problems: Vec<Problem> = Vec::new();
    let mut broken = false;
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let at = lines.position(span.start);
        // One slip makes the parser stumble over the rest of its line: say the first thing only.
        let stumbled = broken && problems.last().is_some_and(|last| last.line == at.line);
        let duplicate = error.message() == "duplicate key";
        if !stumbled {
            let found = text.get(span.start..).unwrap_or_default();
            let message = if duplicate {
                format!(
                    "duplicate key {}",
                    quoted(text.get(span).unwrap_or_default())
                )
            } else {
                plain(error.message(), found)
            };
            problems.push(Problem::new(at, "", message));
        }
        broken |= !duplicate;
    }
    let table = (!broken).then(|| lines.table(table.into_inner()));
    (table, problems)
}

/// The parser's message in the words of the other problems. `found` is the text from the slip on.
fn plain(message: &str, found: &str) -> String {
    if message.starts_with("string values must be quoted") {
        return match found.chars().next() {
            None | Some('\r' | '\n' | '#') => "the value is missing".to_owned(),
            Some(_) => "a string must be between quotes".to_owned(),
        };
    }
    if message.starts_with("invalid boolean") {
        // The parser goes by the first letter: a bare word is seldom meant as a boolean.
        return "expected true, false, or a string between quotes".to_owned();
    }
    if message.starts_with("invalid float") {
        return "expected a number, or a string between quotes".to_owned();
    }
    let message = message
        .strip_suffix(", expected nothing")
        .unwrap_or(message);
    message.to_owned()
}

/// Where each line of the text starts.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(index, _)| index + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1]; // the first line starts at 0, so line is at least 1
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = match before.len() {
            ..=COUNTED_BYTES => before.chars().count() + 1,
            bytes => bytes + 1, // near enough; counting 1 MiB of one line for each of its keys takes seconds
        };
        Position { line, column }
    }

    // The parser refuses more than 80 levels, so these recursions end.

    fn table(&self, table: DeTable<'_>) -> Table {
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| Entry {
                at: self.position(key.span().start),
                key: key.into_inner().into_owned(),
                item: self.item(value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.at); // the map beneath sorts by name
        Table { entries }
    }

    fn list(&self, list: DeArray<'_>) -> Vec<Item> {
        list.into_iter().map(|item| self.item(item)).collect()
    }

    fn item(&self, item: Spanned<DeValue<'_>>) -> Item {
        let at = self.position(item.span().start);
        let value = match item.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("an integer beyond 64 bits"), Value::Integer),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(_) => Value::Other("a date or time"),
            DeValue::Array(list) => Value::List(self.list(list)),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Item { value, at }
    }
}

const COUNTED_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(table: &Table, path: &[&str]) -> (usize, usize) {
        let entry = table.get(path[0]).unwrap();
        match (&path[1..], &entry.item.value) {
            ([], _) => (entry.at.line, entry.at.column),
            (rest, Value::Table(inner)) => place(inner, rest),
            (rest, other) => panic!("{rest:?} of {other:?}"),
        }
    }

    #[test]
    fn every_key_knows_its_place() {
        let text = "[app]\nname = \"ä\"\n\n[provide.users]\r\nkind = 'a'; \n";
        assert!(parse(text).0.is_none());
        let text = "[app]\nname = \"ä\"\n\n[provide.users]\r\n  kind = 'a'\na.b = 1\nc = {d = [1,\n2]}\n\
                    [[serve]]\nwhat = 1\n[[ serve ]]\nwhat = 2\n[provide.a]";
        let (table, problems) = parse(text);
        assert_eq!(problems, []);
        let table = table.unwrap();
        for (path, expected) in [
            (&["app"][..], (1, 2)),
            (&["app", "name"], (2, 1)),
            (&["provide", "users"], (4, 10)),
            (&["provide", "users", "kind"], (5, 3)),
            (&["provide", "users", "a", "b"], (6, 3)),
            (&["provide", "users", "c", "d"], (7, 6)),
            (&["provide", "a"], (13, 10)),
        ] {
            assert_eq!(place(&table, path), expected, "{path:?}");
        }
        let Value::List(serve) = &table.get("serve").unwrap().item.value else {
            panic!()
        };
        assert_eq!(
            serve.iter().map(|item| item.at.line).collect::<Vec<_>>(),
            [9, 11]
        );
    }

    #[test]
    fn depth_is_limited() {
        for text in [
            format!("a = {}", "[".repeat(100_000)),
            format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000)),
            format!("a{} = 1", ".a".repeat(100_000)),
            format!("[a{}]", ".a".repeat(100_000)),
            format!("a = {}", "{a=".repeat(100_000)),
        ] {
            let (table, problems) = parse(&text);
            assert!(table.is_none() && !problems.is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"([a-c\[\]{}=."'#,\n\r é0-9-]|serve|\[\[){0,60}"#) {
            let (table, problems) = parse(&text);
            prop_assert!(table.is_some() || !problems.is_empty());
        }
    }
}
