//! The arguments of a call from the words of a command line: JSON or plain, by place or by name. Calls nothing.

use tress_core::wording::{quoted, unknown};
use tress_rpc::{Arguments, Blob, Kind, Method, Value, from_value};

/// The arguments that these words are for that method; what they are of themselves when it is not known.
///
/// # Errors
/// The method does not take them; says which word, and what was expected.
pub(super) fn arguments(method: Option<&Method>, words: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    for word in words {
        match (method, named(method, word)) {
            (None, Some((name, text))) => {
                let value = of_itself(text);
                put(&mut arguments, name, value)?;
            }
            (Some(method), Some((name, text))) => {
                let known = method.arguments.iter().find(|known| known.name == name);
                let Some(known) = known else {
                    let names: Vec<&str> = method.arguments.iter().map(|it| it.name).collect();
                    return Err(unknown("argument", name, &names));
                };
                let taken = method.arguments.iter().take(arguments.positional.len());
                if taken.into_iter().any(|before| before.name == name) {
                    return Err(format!("`{name}` is given twice"));
                }
                let value = typed(&known.ty.kind(), text);
                put(
                    &mut arguments,
                    name,
                    value.map_err(|why| format!("`{name}`: {why}"))?,
                )?;
            }
            (_, None) if !arguments.named.is_empty() => {
                return Err(format!(
                    "{}: an argument by place comes before those by name; a text that has a `=` is written in JSON, '\"a=b\"'",
                    quoted(word)
                ));
            }
            (None, None) => arguments.positional.push(of_itself(word)),
            (Some(method), None) => {
                let Some(known) = method.arguments.get(arguments.positional.len()) else {
                    return Err(format!(
                        "{}: it takes no more than that: {method}",
                        quoted(word)
                    ));
                };
                let value = typed(&known.ty.kind(), word);
                let value = value.map_err(|why| format!("`{}`: {why}", known.name))?;
                arguments.positional.push(value);
            }
        }
    }
    match method.and_then(|method| missing(method, &arguments).map(|name| (method, name))) {
        Some((method, name)) => Err(format!("`{name}` is missing: {method}")),
        None => Ok(arguments),
    }
}

fn put(arguments: &mut Arguments, name: &str, value: Value) -> Result<(), String> {
    if arguments.named.iter().any(|(known, _)| known == name) {
        return Err(format!("`{name}` is given twice"));
    }
    arguments.named.push((name.to_owned(), value));
    Ok(())
}

/// The name and the value of `NAME=VALUE`. Where the method is known, a word may have a `=` after what is no name of an
/// argument, or nearly one.
fn named<'w>(method: Option<&Method>, word: &'w str) -> Option<(&'w str, &'w str)> {
    let (name, value) = word.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain);
    let known = method.is_none_or(|method| {
        let names: Vec<&str> = method.arguments.iter().map(|it| it.name).collect();
        tress_core::wording::nearest(name, &names).is_some()
    });
    (is_name && known).then_some((name, value))
}

/// The first that must be there and is not.
fn missing(method: &Method, arguments: &Arguments) -> Option<&'static str> {
    let rest = method.arguments.iter().skip(arguments.positional.len());
    let mut needed =
        rest.filter(|it| !matches!(it.ty.kind(), Kind::Optional(_) | Kind::Nothing | Kind::Any));
    let named = |name: &str| arguments.named.iter().any(|(known, _)| known == name);
    needed.find(|it| !named(it.name)).map(|it| it.name)
}

/// JSON, or a text.
fn of_itself(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.to_owned()))
}

/// What the word is as a value of that kind.
fn typed(kind: &Kind, word: &str) -> Result<Value, String> {
    let bad = || format!("expected {kind}, found {}", quoted(word));
    match kind {
        Kind::Optional(_) if word == "null" => Ok(Value::Nothing),
        Kind::Optional(inner) => typed(inner, word),
        Kind::String if word.starts_with('"') => match serde_json::from_str(word) {
            Ok(Value::String(text)) => Ok(Value::String(text)),
            _ => Ok(Value::String(word.to_owned())),
        },
        Kind::String => Ok(Value::String(word.to_owned())),
        Kind::Integer => word.parse().map(Value::Integer).map_err(|_| bad()),
        Kind::Float => word.parse().map(Value::Float).map_err(|_| bad()),
        Kind::Boolean => match word {
            "true" | "yes" => Ok(Value::Boolean(true)),
            "false" | "no" => Ok(Value::Boolean(false)),
            _ => Err(bad()),
        },
        Kind::Bytes => {
            let read = from_value(Value::String(word.to_owned()));
            let Blob(bytes) =
                read.map_err(|_| format!("expected base64, found {}", quoted(word)))?;
            Ok(Value::Bytes(bytes))
        }
        Kind::List(_) | Kind::Record(_) => match (serde_json::from_str(word), kind) {
            (Ok(value @ Value::List(_)), Kind::List(_))
            | (Ok(value @ Value::Record(_)), Kind::Record(_)) => Ok(value),
            _ => Err(format!("expected {kind} in JSON, found {}", quoted(word))),
        },
        _ => Ok(of_itself(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tress_rpc::{Argument, Type};

    const fn argument(name: &'static str, ty: Type) -> Argument {
        Argument {
            name,
            ty,
            limit: None,
        }
    }

    const METHOD: Method = Method {
        name: "m",
        doc: "",
        arguments: &[
            argument("name", Type::of::<String>()),
            argument("count", Type::of::<Option<u32>>()),
            argument("list", Type::of::<Option<Vec<u32>>>()),
            argument("blob", Type::of::<Option<Blob>>()),
        ],
        result: Type::of::<()>(),
    };

    #[track_caller]
    fn check(method: Option<&Method>, words: &str, expected: Result<&str, &str>) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let found = arguments(method, &words).map(|found| {
            let positional = found.positional.iter().map(|value| format!("{value:?}"));
            let named = found
                .named
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"));
            positional.chain(named).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(
            found.as_deref().map_err(|why| &**why),
            expected,
            "{words:?}"
        );
    }

    #[test]
    fn words_become_what_the_method_takes() {
        let known = |words, expected| check(Some(&METHOD), words, expected);
        known("3", Ok(r#"String("3")"#));
        known(r#""3""#, Ok(r#"String("3")"#));
        known(
            "a 3 [1,2]",
            Ok(r#"String("a") Integer(3) List([Integer(1), Integer(2)])"#),
        );
        known("a null", Ok(r#"String("a") Nothing"#));
        known("a=b", Ok(r#"String("a=b")"#));
        known(
            "name=a=b count=7",
            Ok(r#"name=String("a=b") count=Integer(7)"#),
        );
        known("a blob=AQI=", Ok(r#"String("a") blob=Bytes([1, 2])"#));
        known("a x", Err("`count`: expected integer, found `x`"));
        known(
            "a list=7",
            Err("`list`: expected [integer] in JSON, found `7`"),
        );
        known("a blob=!", Err("`blob`: expected base64, found `!`"));
        known(
            "a conut=7",
            Err(
                "unknown argument `conut`; expected one of `name`, `count`, `list`, `blob`; did you mean `count`?",
            ),
        );
        known("a name=b", Err("`name` is given twice"));
        known("a count=1 count=2", Err("`count` is given twice"));
        known(
            "count=1",
            Err(
                "`name` is missing: m(name: string, count: integer?, list: [integer]?, blob: bytes?)",
            ),
        );
        known(
            "a 1 [] AQI= 5",
            Err(
                "`5`: it takes no more than that: m(name: string, count: integer?, list: [integer]?, blob: bytes?)",
            ),
        );
    }

    #[test]
    fn without_a_method_words_are_what_they_are() {
        check(
            None,
            r#"3 x -1 true {"a":1} k=v"#,
            Ok(
                r#"Integer(3) String("x") Integer(-1) Boolean(true) Record([("a", Integer(1))]) k=String("v")"#,
            ),
        );
        check(
            None,
            "a=1 b",
            Err(
                "`b`: an argument by place comes before those by name; a text that has a `=` is written in JSON, '\"a=b\"'",
            ),
        );
        check(None, r#""a=b" 1=2"#, Ok(r#"String("a=b") String("1=2")"#));
        check(None, "a=1 a=2", Err("`a` is given twice"));
    }
}
