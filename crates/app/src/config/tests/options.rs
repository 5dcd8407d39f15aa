//! Options against the table of a kind, and limits against the table of the engine.

use super::*;
use std::time::Duration;

const KIND: &[OptionSpec] = &[
    option("path", ValueKind::Path, true, ""),
    option("reload", ValueKind::Duration, false, "30s"),
    option("size", ValueKind::Size, false, "64KiB"),
    option(
        "style",
        ValueKind::Choice(&["short", "long"]),
        false,
        "short",
    ),
    option("strict", ValueKind::Bool, false, "true"),
    option("offset", ValueKind::Integer, false, "-3"),
    option("tries", ValueKind::Count, false, ""),
    option("title", ValueKind::String, false, ""),
    option("hosts", ValueKind::Strings, false, ""),
    option("users", ValueKind::TableOfStrings, false, ""),
];

const fn option(
    name: &'static str,
    value: ValueKind,
    required: bool,
    default: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        value,
        required,
        default,
        doc: "",
    }
}

/// What stands in the section besides its path, and the report on it.
const WRONG: &[(&str, &str)] = &[
    (
        "reload = 30",
        "reload: expected a duration such as `\"30s\"`, found an integer",
    ),
    (
        "size = -1",
        "size: expected a size such as `\"64KiB\"`, found -1",
    ),
    (
        "size = 1.5",
        "size: expected a size such as `\"64KiB\"`, found a number with a fraction",
    ),
    (
        "strict = 'yes'",
        "strict: expected true or false, found a string",
    ),
    (
        "offset = '1'",
        "offset: expected an integer, found a string",
    ),
    (
        "offset = 99999999999999999999",
        "offset: expected an integer, found an integer beyond 64 bits",
    ),
    (
        "tries = -1",
        "tries: expected a whole number from 0, found -1",
    ),
    ("title = true", "title: expected a string, found a boolean"),
    (
        "hosts = {}",
        "hosts: expected a string or a list of strings, found a table",
    ),
    (
        "hosts = []",
        "hosts: the list is empty; expected at least one string",
    ),
    (
        "users = 'a'",
        "users: expected a table of strings, found a string",
    ),
    (
        "users.a = 'a'\nusers.b = 3",
        "users.b: expected a string, found an integer",
    ),
    (
        "style = 'shrot'",
        "style: unknown value `shrot`; expected one of `short`, `long`; did you mean `short`?",
    ),
];

/// As `check`, for the body of `[provide.users]` (from line 2), compared with `KIND`.
#[track_caller]
fn check_kind(body: &str, report: &str) -> Config {
    let text = format!("[provide.users]\n{body}\nkind = 'a'\n{SERVE}");
    let mut problems = Problems::new("finger.toml");
    let mut config = Config::read(text.as_bytes(), &mut problems);
    config.provide[0].options.check(KIND, &mut problems);
    assert_eq!(problems.to_string(), report, "in\n{text}");
    config
}

#[test]
fn options_follow_the_table_of_the_kind() {
    let expected = r#"expected one of `kind`, `path`, `reload`, `size`, `style`, `strict`, `offset`, `tries`, `title`, `hosts`, `users`"#;
    check_kind(
        "paht = 'users'",
        &format!(
            "finger.toml:2: provide.users.paht: unknown key `paht`; {expected}; did you mean `path`?"
        ),
    );
    check_kind(
        "",
        "finger.toml:1: provide.users: missing key `path`; expected a path",
    );
    check_kind(
        "path = 'x'\ncolor = 1",
        &format!("finger.toml:3: provide.users.color: unknown key `color`; {expected}"),
    );
    for (option, report) in WRONG {
        let line = option.lines().count() + 2;
        let body = format!("path = 'x'\n{option}");
        check_kind(
            &body,
            &format!("finger.toml:{line}: provide.users.{report}"),
        );
    }
    check_kind(
        "reload = '30'\nusers = 1\npath = 'x'",
        "finger.toml:2: provide.users.reload: `30` is not a duration: its unit is missing; \
         expected a whole number and one of `ms`, `s`, `m`, `h`, as in `30s`\n\
         finger.toml:3: provide.users.users: expected a table of strings, found an integer",
    );
}

#[test]
fn checked_options_are_read_without_surprise() {
    let config = check_kind("path = '/x'", "");
    let options = &config.provide[0].options;
    assert_eq!(options.path("path"), Ok(PathBuf::from("/x")));
    assert_eq!(options.duration("reload"), Ok(Duration::from_secs(30)));
    assert_eq!(options.size("size"), Ok(65_536));
    assert_eq!(options.string("style"), Ok("short"));
    assert_eq!(options.bool("strict", false), Ok(true));
    assert_eq!(options.integer("offset"), Ok(-3));
    assert_eq!(options.optional_count("tries"), Ok(None));
    assert_eq!(options.optional_string("title"), Ok(None));
    assert_eq!(options.optional_strings("hosts"), Ok(None));
    assert_eq!(options.optional_table_of_strings("users"), Ok(None));

    let body = "path='x'\nsize=7\ntries=0x10\nhosts=['b','a']\nusers={z='1',a='2'}\nreload='5m'";
    let config = check_kind(body, "");
    let options = &config.provide[0].options;
    assert_eq!(options.size("size"), Ok(7));
    assert_eq!(options.count("tries"), Ok(16));
    assert_eq!(options.duration("reload"), Ok(Duration::from_secs(300)));
    assert_eq!(
        options.table_of_strings("users"),
        Ok(vec![("z", "1"), ("a", "2")])
    );
    assert_eq!(options.strings("hosts").unwrap().len(), 2);
    let missing = options.string("absent").unwrap_err();
    assert_eq!((missing.line, missing.key.as_str()), (1, "provide.users"));
    assert_eq!(missing.message, "missing key `absent`; expected a string");
    assert_eq!(
        options.string("size").unwrap_err().message,
        "expected a string, found an integer"
    );
}

#[test]
fn a_wrong_default_is_named() {
    let text = format!("[provide.users]\nkind = 'a'\n{SERVE}");
    for (kind, default, words) in [
        (ValueKind::Duration, "soon", "a duration such as `\"30s\"`"),
        (ValueKind::Bool, "yes", "true or false"),
        (ValueKind::Count, "-1", "a whole number from 0"),
        (ValueKind::TableOfStrings, "x", "a table of strings"),
    ] {
        let mut problems = Problems::new("f");
        let mut config = Config::read(text.as_bytes(), &mut problems);
        config.provide[0]
            .options
            .check(&[option("x", kind, false, default)], &mut problems);
        let report = format!("f:1: provide.users.x: the default `{default}` is not {words}");
        assert_eq!(problems.to_string(), report);
    }
}

#[test]
fn limits_follow_the_table_handed_in() {
    let known = [
        ("line", Unit::Bytes),
        ("connections", Unit::Count),
        ("idle", Unit::Time),
    ];
    let read = |body: &str| {
        let text = format!("[limits]\n{body}\n[provide.users]\nkind='a'\n{SERVE}");
        let mut problems = Problems::new("f");
        let config = Config::read(text.as_bytes(), &mut problems);
        let values = config.read_limits(&known, &mut problems);
        problems
            .into_result(values)
            .map_err(|problems| problems.to_string())
    };
    assert_eq!(read(""), Ok(vec![]));
    assert_eq!(
        read("idle='1h'\nline='64KiB'\nconnections=5"),
        Ok(vec![
            ("line", 65_536),
            ("connections", 5),
            ("idle", 3_600_000)
        ])
    );
    assert_eq!(read("line=100"), Ok(vec![("line", 100)]));
    assert_eq!(
        read("idel='1h'\nline='64 KiB'\nconnections='5'\nidle=5"),
        Err([
            r#"f:2: limits.idel: unknown key `idel`; expected one of `line`, `connections`, `idle`; did you mean `idle`?"#,
            r#"f:3: limits.line: `64 KiB` is not a size: unknown unit ` KiB`; expected a whole number and one of `B`, `KiB`, `MiB`, `GiB`, as in `64KiB`"#,
            "f:4: limits.connections: expected a whole number from 0, found a string",
            r#"f:5: limits.idle: expected a duration such as `"30s"`, found an integer"#,
        ]
        .join("\n"))
    );
}
