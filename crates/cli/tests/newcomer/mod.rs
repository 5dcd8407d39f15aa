//! The way of a new user: `tress new` makes a first file, which is edited with three slips; `tress check` finds them; then it
//! runs, answers, and is asked from the command line.

use super::{Application, ctl, free_port, text};
use crate::running::tress;
use std::{fs, path::Path};

/// The file that is made for people who begin, at ports of this test, and with a socket for `tress ctl`.
fn first(directory: &Path, port: u16) -> String {
    let mut new = tress(&["new", "app", "--toml"]);
    let made = new.current_dir(directory).output().unwrap();
    assert_eq!(
        (text(&made.stderr), made.status.code()),
        (String::new(), Some(0))
    );
    let made = fs::read_to_string(directory.join("app.toml")).unwrap();
    let own = made
        .replace("8080", &port.to_string())
        .replace("1079", &free_port().to_string());
    own + "\n[control]\n"
}

#[test]
fn three_slips_are_found_and_then_it_runs() {
    let port = free_port();
    let directory = std::env::temp_dir().join(format!("tress-newcomer-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let right = first(&directory, port);
    let slips = [
        ("kind", "kind = ", "knid = ", "provide.users"),
        ("jsonrpc", "\"jsonrpc\"", "\"jsonrcp\"", "serve.as"),
        ("interface", "interface=127", "interfcae=127", "serve.at"),
    ];
    let wrong = slips
        .iter()
        .fold(right.clone(), |text, (_, right, wrong, _)| {
            text.replacen(right, wrong, 1)
        });
    let file = directory.join("app.toml");
    fs::write(&file, &wrong).unwrap();
    let checked = tress(&["check", file.to_str().unwrap()]).output().unwrap();
    let (said, shown) = (text(&checked.stderr), file.display());
    assert_eq!(checked.status.code(), Some(2), "{said}");
    for (meant, _, wrong_word, key) in slips {
        let before = wrong.split_once(wrong_word).unwrap().0;
        let line = before.matches('\n').count() + 1;
        let found = said
            .lines()
            .find(|it| it.starts_with(&format!("{shown}:{line}: {key}")));
        let found = found.unwrap_or_else(|| panic!("nothing of line {line}: {said}"));
        assert!(
            found.ends_with(&format!("did you mean `{meant}`?")),
            "{found}"
        );
    }
    assert_eq!(said.lines().count(), slips.len(), "{said}");
    fs::write(&file, &right).unwrap();
    let checked = tress(&["check", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(text(&checked.stdout), format!("{shown}: nothing wrong\n"));
    fs::remove_dir_all(&directory).ok();
    let running = Application::of(&right);
    let at = format!("tcp:127.0.0.1:{port}");
    let called = tress(&["call", "http", &at, "getUser", "moshez"])
        .output()
        .unwrap();
    assert_eq!(
        (text(&called.stdout), text(&called.stderr)),
        ("Happy and well\n".into(), String::new())
    );
    let list = ctl(&["--file", running.file().to_str().unwrap(), "list"]);
    let list = text(&list.stdout);
    assert!(list.contains("users-http"), "{list}");
    assert!(running.well(&["stop", "users-http"]).starts_with("stopped"));
}
