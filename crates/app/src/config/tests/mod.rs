//! Case tables: a file in, the exact report out.

mod options;

use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

const SERVE: &str = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:79'\n";

/// The report on `text` as a file called `finger.toml`; empty when nothing is wrong.
#[track_caller]
fn check(text: &str, report: &str) {
    let mut problems = Problems::new("finger.toml");
    Config::read(text.as_bytes(), &mut problems);
    assert_eq!(problems.to_string(), report, "in\n{text}");
}

#[test]
fn the_example_of_the_design() {
    let text = r#"
[app]
name = "finger"
[provide.users]
kind = "finger.file"
path = "users"
reload = "30s"
[[serve]]
what = "users"
as = "finger"
at = "tcp:1079:interface=127.0.0.1"
[[serve]]
what = "users"
as = ["http", "xmlrpc"]
at = ["tcp:8000",
  "ssl:8443"]
forwarding = true
"#;
    let config = Config::parse("/etc/tress/x.toml", text.as_bytes()).unwrap();
    assert_eq!(config.app.name, "finger");
    let users = &config.provide[0];
    assert_eq!(
        (users.name.as_str(), users.kind.as_str()),
        ("users", "finger.file")
    );
    assert_eq!(
        users.options.path("path"),
        Ok(PathBuf::from("/etc/tress/users"))
    );
    assert_eq!(
        users.options.position(),
        Position {
            line: 4,
            column: 10
        }
    );
    assert_eq!(
        users.options.keys().collect::<Vec<_>>(),
        ["kind", "path", "reload"]
    );
    let values = |texts: &[Text]| {
        texts
            .iter()
            .map(|text| text.value.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&config.serve[0].protocols), ["finger"]);
    let web = &config.serve[1];
    assert_eq!(values(&web.protocols), ["http", "xmlrpc"]);
    assert_eq!(values(&web.endpoints), ["tcp:8000", "ssl:8443"]);
    assert_eq!(web.options.bool("forwarding", false), Ok(true));
    let problem = web.problem_at("at", &web.endpoints[1], "unknown endpoint");
    assert_eq!(
        (problem.line, problem.column, problem.key.as_str()),
        (16, 3, "serve.at")
    );
    assert_eq!(users.problem("kind", "unknown kind").line, 5);
    assert_eq!(users.problem("absent", "…").line, 4);
    assert_eq!(web.problem("as", "unknown protocol").line, 14);
}

#[test]
fn names_default_to_the_file() {
    let text = format!("[provide.users]\nkind='a'\n{SERVE}");
    for (file, name) in [
        ("finger.toml", "finger"),
        ("/etc/a.b.toml", "a.b"),
        ("", "tress"),
    ] {
        assert_eq!(Config::parse(file, text.as_bytes()).unwrap().app.name, name);
    }
}

/// Whether both say the same, wherever they say it.
#[track_caller]
fn same(found: &LogSection, wanted: &LogSection) {
    let shown = |section: &LogSection| {
        let options = None;
        let section = section.clone();
        format!("{:?}", LogSection { options, ..section })
    };
    assert_eq!(shown(found), shown(wanted));
}

#[test]
fn what_is_logged() {
    let read = |body: &str| {
        let text = format!("{body}\n[provide.users]\nkind='a'\n{SERVE}");
        Config::parse("/etc/a.toml", text.as_bytes()).map(|config| config.log)
    };
    assert!(read("").unwrap().is_none());
    let default = LogSection::default();
    same(&read("[log]").unwrap().unwrap(), &default);
    let all = "[log]\nto = 'file:log/a'\nformat = 'json'\nlevel = 'warn,a=off'\nmodules = { tress = 'debug' }\n\
               rotate_bytes = '1KiB'\nkeep = 0\nrate = 5\nrate_period = '1m'";
    let wanted = LogSection {
        to: LogTo::File("/etc/log/a".into()),
        format: LogFormat::Json,
        level: "warn,a=off".to_owned(),
        modules: vec![("tress".to_owned(), "debug".to_owned())],
        rotate_bytes: 1024,
        keep: 0,
        rate: 5,
        rate_period: std::time::Duration::from_secs(60),
        options: None,
    };
    same(&read(all).unwrap().unwrap(), &wanted);
    for (body, wrong) in [
        (
            "to = 'strerr'",
            "2: log.to: unknown output `strerr`; expected one of `stderr`, `journal`, `file:PATH`; did you mean `stderr`?",
        ),
        (
            "to = 'a.log'",
            "2: log.to: expected `file:a.log` for a file",
        ),
        ("to = 'file:'", "2: log.to: `file:` names no file"),
        ("to = 1", "2: log.to: expected a string, found an integer"),
        (
            "keep = 3",
            "2: log.keep: only files are rotated: expected `to = \"file:PATH\"`",
        ),
        (
            "to = 'journal'\nformat = 'text'",
            "3: log.format: the journal has a form of its own",
        ),
        (
            "format = 'xml'",
            "2: log.format: unknown value `xml`; expected one of `text`, `json`",
        ),
        (
            "to = 'file:a'\nkeep = 1001",
            "3: log.keep: expected at most 1000, found 1001",
        ),
        (
            "rate_period = '0s'",
            "2: log.rate_period: expected more than nothing",
        ),
        (
            "modules = { tress = 1 }",
            "2: log.modules.tress: expected a string, found an integer",
        ),
        (
            "levle = 'info'",
            "2: log.levle: unknown key `levle`; expected one of `to`, `format`, `level`, `modules`, `rotate_bytes`, `keep`, `rate`, `rate_period`; did you mean `level`?",
        ),
    ] {
        let problems = read(&format!("[log]\n{body}")).unwrap_err();
        assert_eq!(problems.to_string(), format!("/etc/a.toml:{wrong}"));
    }
}

#[test]
fn wrong_sections() {
    let good = format!("[provide.users]\nkind='a'\n{SERVE}");
    let nothing = "nothing to serve or run: there is no [[serve]] and no [[run]] section";
    let sections =
        r#"expected one of `app`, `auth`, `control`, `limits`, `log`, `provide`, `run`, `serve`"#;
    check(&good, "");
    check(&format!("\u{feff}{good}"), "");
    check("", &format!("finger.toml: {nothing}"));
    check("# only a comment", &format!("finger.toml: {nothing}"));
    check("serve = []", &format!("finger.toml: {nothing}"));
    check("[provide]", &format!("finger.toml: {nothing}"));
    check(
        "[serve]\nwhat = 1",
        "finger.toml:1: serve: expected [[serve]] in double brackets, found a table",
    );
    check(
        "[[servce]]\n[color]",
        &format!(
            "finger.toml:1: servce: unknown section `servce`; {sections}; did you mean `serve`?\n\
             finger.toml:2: color: unknown section `color`; {sections}"
        ),
    );
    check(
        &format!("app = 1\n{good}"),
        "finger.toml:1: app: expected [app], found an integer",
    );
    check(
        &format!("limits = []\n{good}"),
        "finger.toml:1: limits: expected [limits], found a list",
    );
    check(
        &format!("[app]\nnmae = 'x'\n{good}"),
        r#"finger.toml:2: app.nmae: unknown key `nmae`; expected one of `name`, `workers`, `calls_in_flight`, `call_deadline`, `plugins`, `driver`; did you mean `name`?"#,
    );
    check(
        &format!("[app]\nname = 1979-05-27\n{good}"),
        "finger.toml:2: app.name: expected a string, found a date or time",
    );
    check(
        &format!("[app]\nname = \"\\u001b\"\n{good}"),
        "finger.toml:2: app.name: expected a name in printable characters",
    );
    check(
        &format!("\"a\\nb\" = 1\n{good}"),
        &format!("finger.toml:1: \"a\\nb\": unknown section `a\\nb`; {sections}"),
    );
}

#[test]
fn wrong_providers() {
    check(
        &format!("provide = 1\n{SERVE}"),
        "finger.toml:1: provide: expected sections such as [provide.users], found an integer\n\
         finger.toml:3: serve.what: unknown provider `users`; there is none",
    );
    check(
        &format!("provide.users = 'a'\n{SERVE}"),
        "finger.toml:1: provide.users: expected a section such as [provide.users], found a string",
    );
    check(
        &format!("[[provide.users]]\n{SERVE}"),
        "finger.toml:1: provide.users: expected a section such as [provide.users], found a list",
    );
    check(
        &format!("[provide.users]\npath = 'x'\n{SERVE}"),
        "finger.toml:1: provide.users: missing key `kind`; expected a string",
    );
    check(
        &format!("[provide.users]\npath = 'x'\nknid = 'a'\n{SERVE}"),
        r#"finger.toml:3: provide.users.knid: unknown key `knid`; expected `kind`; did you mean `kind`?"#,
    );
    check(
        &format!("[provide.users]\nkind = ['a']\n{SERVE}"),
        "finger.toml:2: provide.users.kind: expected a string, found a list",
    );
    check(
        &format!("[provide.users]\nkind = ''\n{SERVE}"),
        "finger.toml:2: provide.users.kind: expected a name, found an empty string",
    );
    check(
        &format!("[provide.users]\nkind='a'\n[provide.'a b']\nkind = 'a'\n{SERVE}"),
        r#"finger.toml:3: provide."a b": `a b` is no name for such a section; expected at most 64 letters, digits, `-` and `_`"#,
    );
}

#[test]
fn wrong_services() {
    let users = "[provide.users]\nkind='a'\n[provide.quotes]\nkind='a'\n[[serve]]\n";
    let check = |body: &str, report: &str| check(&format!("{users}{body}"), report);
    check(
        "what = 'usres'\nas = 'finger'\nat = 'tcp:79'",
        r#"finger.toml:6: serve.what: unknown provider `usres`; expected one of `users`, `quotes`; did you mean `users`?"#,
    );
    check(
        "",
        "finger.toml:5: serve: missing key `what`; expected a string\n\
         finger.toml:5: serve: missing key `as`; expected a string or a list of strings\n\
         finger.toml:5: serve: missing key `at`; expected a string or a list of strings",
    );
    check(
        "waht = 'users'\nas = 'finger'\nat = 'tcp:79'",
        r#"finger.toml:6: serve.waht: unknown key `waht`; expected `what`; did you mean `what`?"#,
    );
    check(
        "what = 'users'\nas = []\nat = ['tcp:79', 80,\n'']",
        "finger.toml:7: serve.as: the list is empty; expected at least one string\n\
         finger.toml:8: serve.at: expected a string or a list of strings, found an integer",
    );
    check(
        "what = {}\nas = ['http',\n 'http']\nat = ['tcp:79',\n'']",
        "finger.toml:6: serve.what: expected a string, found a table\n\
         finger.toml:10: serve.at: found an empty string",
    );
    check(
        "what = 'users'\nas = ['http',\n 'http']\nat = 'tcp:79'",
        "finger.toml:8: serve.as: `http` is named twice",
    );
    let half = "what = 'nobody'\n";
    check(
        &format!("{half}[[serve]]\nwhat='quotes'\nas='qotd'\nat='tcp:17'"),
        "finger.toml:5: serve: missing key `as`; expected a string or a list of strings\n\
         finger.toml:5: serve: missing key `at`; expected a string or a list of strings\n\
         finger.toml:6: serve.what: unknown provider `nobody`; expected one of `users`, `quotes`",
    );
}

#[test]
fn no_toml() {
    let good = format!("[provide.users]\nkind='a'\n{SERVE}");
    check("[app", "finger.toml:1:5: unclosed table, expected `]`");
    check(
        "[app]\nname = \"ä\" x\n",
        "finger.toml:2:12: unexpected key or value, expected newline, `#`",
    );
    check(
        "[app]\nname finger\n",
        "finger.toml:2:6: key with no value, expected `=`",
    );
    check(
        "[app]\nname = \n\nx = = 3",
        "finger.toml:2:8: the value is missing\nfinger.toml:4:5: extra `=`",
    );
    check(
        "[app]\nname = finger\n[limits]\nidle = soon",
        "finger.toml:2:8: expected true, false, or a string between quotes\n\
         finger.toml:4:8: a string must be between quotes",
    );
    check(
        &format!("[app]\nname='a'\nname='b'\n{good}"),
        "finger.toml:3:1: duplicate key `name`",
    );
    check(
        &format!("{good}[provide.users]\nkind='b'"),
        "finger.toml:7:10: duplicate key `users`\nfinger.toml:8:1: duplicate key `kind`",
    );
    check(
        &format!("{good}[[provide]]\nkind='b'"),
        "finger.toml:7:3: duplicate key `provide`",
    );
    check(
        &format!("[app]\nname='a'\nname='b'\nnmae='c'\n{good}"),
        "finger.toml:3:1: duplicate key `name`\n\
         finger.toml:4: app.nmae: unknown key `nmae`; expected one of `name`, `workers`, `calls_in_flight`, `call_deadline`, `plugins`, `driver`; did you mean `name`?",
    );
}

#[test]
fn no_text_and_too_much() {
    let report = |bytes: &[u8]| Config::parse("f", bytes).unwrap_err().to_string();
    assert_eq!(report(b"[app]\n\xff"), "f:2:1: the file is not UTF-8 text");
    assert_eq!(
        report(b"[app]\na = '\xc3\xa4\xc3'"),
        "f:2:7: the file is not UTF-8 text"
    );
    assert_eq!(
        report(&vec![b'#'; MAX_FILE_BYTES + 1]),
        "f: the file is larger than 1 MiB"
    );
    assert!(report(&vec![b'#'; MAX_FILE_BYTES]).contains("nothing to serve"));
    let many = "[[serve]]\nwhat='a'\nas='a'\nat='a'\n".repeat(MAX_SECTIONS + 1);
    let text = report(format!("[provide.a]\nkind='a'\n{many}").as_bytes());
    assert_eq!(text, "f:3: serve: 1001 sections; expected at most 1000");
}

#[test]
fn cut_anywhere_it_is_read_or_refused() {
    let text = "[app]\nname = \"é\"\n[limits]\nidle='1s'\n[provide.users]\nkind = 'a'\nusers = {a = 'b'}\n\
                [[serve]]\nwhat = 'users'\nas = ['a', \"b\"]\nat = '''tcp:79'''\n";
    Config::parse("f", text.as_bytes()).unwrap();
    for end in 0..text.len() {
        let cut = Config::parse("f", &text.as_bytes()[..end]);
        assert!(
            cut.is_ok_and(|config| !config.serve.is_empty()) == (end + 1 == text.len()),
            "{end}"
        );
    }
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(
        lines in prop::collection::vec(
            r#"\[(app|limits|provide\.[a-c]|provide|serve)\]|\[\[serve\]\]|(kind|what|as|at|name|x) = ('[a-c]'|\['[a-c]'\]|3|\{\})"#,
            0..12,
        ),
    ) {
        match Config::parse("f", lines.join("\n").as_bytes()) {
            Ok(config) => prop_assert!(!config.serve.is_empty()),
            Err(problems) => prop_assert!(problems.list().iter().all(|problem| problem.line <= lines.len())),
        }
    }
}
