//! The page for people, in a real browser: it lists the methods, calls them, and shows what is refused. Skips, and says so,
//! without Chromium or Python.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// What Debian and others call it.
const BROWSERS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// A browser on the PATH.
fn browser() -> Option<String> {
    let path = env::var_os("PATH")?;
    let found = BROWSERS.iter().flat_map(|name| {
        let places = env::split_paths(&path).map(move |directory| directory.join(name));
        places.collect::<Vec<_>>()
    });
    let mut found = found.filter(|place| place.is_file());
    found.next()?.to_str().map(str::to_owned)
}

#[test]
fn people_try_methods_in_a_browser() {
    let Some(browser) = browser() else {
        return println!("skipped: there is no Chromium to open the page with");
    };
    let at = "tcp:0:interface=127.0.0.1";
    let mut running = Command::new(env!("CARGO_BIN_EXE_tress-quotes"))
        .args(["serve", "http", "--quote", "Carpe diem.", "--at", at])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(running.stderr.take().unwrap()).lines();
    let listening = log.find_map(|line| {
        let line = line.unwrap();
        line.split_once(" as http (").map(|(_, at)| at.to_owned())
    });
    let url = format!("http://{}/", listening.unwrap().trim_end_matches(')'));
    let python = env::var("TRESS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page.py");
    let seen = Command::new(&python)
        .args([script, &browser, &url])
        .output();
    running.kill().unwrap();
    running.wait().unwrap();
    let Ok(seen) = seen else {
        return println!("skipped: there is no {python} to drive the browser with");
    };
    let said = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{said}");
    let seen = String::from_utf8(seen.stdout).unwrap();
    for expected in [
        r#""methods": ["quote() -> string", "quotes(count: integer) -> [string]"]"#,
        r#""clicked": ["", "\"Carpe diem.\""]"#,
        r#""typed": ["", "[\n  \"Carpe diem.\",\n  \"Carpe diem.\"\n]"]"#,
        r#""errors": []"#,
        r#""refused": ["failed", "400\n"#,
        "1 to 1000",
    ] {
        assert!(seen.contains(expected), "{expected}\n{seen}\n{said}");
    }
}
