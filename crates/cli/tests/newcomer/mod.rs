//! The way of a new user: a first file, edited with three slips, which `tress check` finds; then it runs, answers, and is asked
//! from the command line.

use super::{Application, ctl, free_port, text};
use crate::running::tress;
use std::fs;

/// A first file, as it is made for people who begin.
fn first(port: u16) -> String {
    format!(
        "[app]\nname = \"app\"\n\n[control]\n\n[provide.greeter]\nkind = \"finger.memory\"\nusers = {{ you = \"Hello\" }}\n\n\
         [[serve]]\nwhat = \"greeter\"\nas = [\"http\"]\nat = \"tcp:{port}:interface=127.0.0.1\"\ninterface = \"Finger\"\n"
    )
}

#[test]
fn three_slips_are_found_and_then_it_runs() {
    let port = free_port();
    let right = first(port);
    let directory = std::env::temp_dir().join(format!("tress-newcomer-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("app.toml");
    let slips = right
        .replace("kind = ", "knid = ")
        .replace("\"http\"", "\"htpp\"")
        .replace("interface=127", "interfcae=127");
    fs::write(&file, slips).unwrap();
    let checked = tress(&["check", file.to_str().unwrap()]).output().unwrap();
    let (said, shown) = (text(&checked.stderr), file.display());
    assert_eq!(checked.status.code(), Some(2), "{said}");
    for (line, key, meant) in [
        (7, "provide.greeter", "kind"),
        (12, "serve.as", "http"),
        (13, "serve.at", "interface"),
    ] {
        let found = said
            .lines()
            .find(|it| it.starts_with(&format!("{shown}:{line}: {key}")));
        let found = found.unwrap_or_else(|| panic!("nothing of line {line}: {said}"));
        assert!(
            found.ends_with(&format!("did you mean `{meant}`?")),
            "{found}"
        );
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    fs::write(&file, &right).unwrap();
    let checked = tress(&["check", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(text(&checked.stdout), format!("{shown}: nothing wrong\n"));
    fs::remove_dir_all(&directory).ok();
    let running = Application::of(&right);
    let at = format!("tcp:127.0.0.1:{port}");
    let called = tress(&["call", "http", &at, "getUser", "you"])
        .output()
        .unwrap();
    assert_eq!(
        (text(&called.stdout), text(&called.stderr)),
        ("Hello\n".into(), String::new())
    );
    let list = ctl(&["--file", running.file().to_str().unwrap(), "list"]);
    assert!(
        text(&list.stdout).contains("greeter-http"),
        "{}",
        text(&list.stdout)
    );
    assert!(
        running
            .well(&["stop", "greeter-http"])
            .starts_with("stopped")
    );
}
