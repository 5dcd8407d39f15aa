//! The document that a file would be, as text. Knows nothing of files and the command line.

use super::options::{Section, Word, Words};
use std::fmt::Write;
use tress_app::{
    ProviderKind,
    config::{OptionSpec, ValueKind},
};

/// An object of this kind, through these protocols, at these endpoints; or what cannot be said.
pub(super) fn of(
    kind: &ProviderKind,
    protocols: &[String],
    endpoints: &[String],
    words: &Words,
) -> Result<String, Vec<String>> {
    let name = object_name(kind.name);
    let mut problems = Vec::new();
    let mut text = format!("[provide.{name}]\nkind = {}\n", string(kind.name));
    let mut section = |text: &mut String, section: Section, specs: &[OptionSpec]| {
        for (name, given) in grouped(words, section) {
            let spec = specs.iter().find(|spec| spec.name == name);
            let value = value(spec.map_or(ValueKind::String, |spec| spec.value), &given);
            match value {
                Ok(value) => text.push_str(&format!("{name} = {value}\n")),
                Err(problem) => problems.push(problem),
            }
        }
    };
    section(&mut text, Section::Provide, kind.options);
    let missing = kind
        .options
        .iter()
        .filter(|option| option.required && !words.names(Section::Provide).contains(&option.name));
    let missing: Vec<String> = missing
        .map(|option| {
            let (flag, expected) = (super::flag(option.name), option.value.described());
            format!(
                "missing option `{flag}` of `{}`; expected {expected}",
                kind.name
            )
        })
        .collect();
    text.push_str(&format!(
        "\n[[serve]]\nwhat = {}\nas = {}\nat = {}\n",
        string(&name),
        one_or_more(protocols),
        one_or_more(endpoints)
    ));
    let served = words.0.iter().filter(|word| word.section == Section::Serve);
    let specs: Vec<OptionSpec> = served.map(|word| word.spec).collect();
    section(&mut text, Section::Serve, &specs);
    problems.extend(missing);
    if problems.is_empty() {
        Ok(text)
    } else {
        Err(problems)
    }
}

/// What the object is called: `quoter` for `quoter.static`.
fn object_name(kind: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = kind.chars().take_while(plain).take(64).collect();
    if name.is_empty() {
        "object".to_owned()
    } else {
        name
    }
}

/// The options of a section, each with everything that was given for it.
fn grouped(words: &Words, section: Section) -> Vec<(&'static str, Vec<&Word>)> {
    let mut groups: Vec<(&str, Vec<&Word>)> = Vec::new();
    for word in words.0.iter().filter(|word| word.section == section) {
        match groups.iter_mut().find(|(name, _)| *name == word.spec.name) {
            Some((_, group)) => group.push(word),
            None => groups.push((word.spec.name, vec![word])),
        }
    }
    groups
}

/// The value as a file says it. What is no value of its kind is a string, and checked with the document.
fn value(kind: ValueKind, given: &[&Word]) -> Result<String, String> {
    let Some(first) = given.first() else {
        return Ok(String::new());
    };
    Ok(match kind {
        ValueKind::Integer | ValueKind::Count | ValueKind::Workers | ValueKind::Size => {
            let number: Result<i64, _> = first.value.parse();
            number.map_or_else(|_| string(&first.value), |number| number.to_string())
        }
        ValueKind::Bool => first.value.clone(),
        ValueKind::Strings => {
            let values: Vec<String> = given.iter().map(|word| word.value.clone()).collect();
            one_or_more(&values)
        }
        ValueKind::TableOfStrings => {
            let entries = named(given, "`NAME=TEXT`")?;
            let entries = entries
                .iter()
                .map(|(name, text)| format!("{name} = {}", string(text)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        ValueKind::Secrets => {
            let expected = "`NAME=env:VARIABLE` or `NAME=file:PATH`";
            let mut entries = Vec::new();
            for (name, place) in named(given, expected)? {
                // What was given instead may be the secret: it is not shown.
                let (place, at) = place
                    .split_once(':')
                    .filter(|(place, _)| matches!(*place, "env" | "file"))
                    .ok_or_else(|| format!("{}: expected {expected}", first.flag))?;
                entries.push(format!("{name} = {{ {place} = {} }}", string(at)));
            }
            format!("{{ {} }}", entries.join(", "))
        }
        _ => string(&first.value),
    })
}

/// The names, as keys, and what stands behind them.
fn named<'w>(given: &[&'w Word], expected: &str) -> Result<Vec<(String, &'w str)>, String> {
    let mut entries: Vec<(String, &str)> = Vec::new();
    for word in given {
        let entry = word.value.split_once('=');
        let (name, value) = entry.ok_or_else(|| format!("{}: expected {expected}", word.flag))?;
        let name = key(name);
        if entries.iter().any(|(known, _)| *known == name) {
            return Err(format!("{}: {name} is given twice", word.flag));
        }
        entries.push((name, value));
    }
    Ok(entries)
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        string(name)
    }
}

fn one_or_more(strings: &[String]) -> String {
    match strings {
        [only] => string(only),
        _ => {
            let all: Vec<String> = strings.iter().map(|text| string(text)).collect();
            format!("[{}]", all.join(", "))
        }
    }
}

/// A basic string of TOML.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).ok(); // a string takes everything
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
