//! The format as tables and properties; the replacement on a real directory.

use super::*;
use crate::testing::Directory;
use proptest::prelude::*;
use std::{fs, path::Path};

const EXAMPLE: &str = "# who is where\r\n\
    moshez: Happy and well\r\n\
    \r\n\
    \t shawn :  http://x:80/  \r\n\
    # moshez: commented\r\n\
    moshez: Away\n\
    zoé:\n\
    last: no ending";

#[track_caller]
fn reads(text: &str, expected: &[(&str, &str)]) {
    let users = parse(text.as_bytes()).unwrap();
    assert_eq!(users.iter().collect::<Vec<_>>(), expected, "{text:?}");
}

#[track_caller]
fn refuses(text: &[u8], line: usize, what: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!((error.line, error.what), (line, what), "{text:?}");
}

#[track_caller]
fn changes(original: &str, user: &str, status: &str, expected: &str) {
    let changed = with_status(original.as_bytes(), user, status).unwrap();
    assert_eq!(String::from_utf8(changed).unwrap(), expected);
}

#[test]
fn reading() {
    reads("", &[]);
    reads("\n \n\t\r\n#a\n  # b: c\n", &[]);
    reads("a:b", &[("a", "b")]);
    reads("a b : c : d \n", &[("a b", "c : d")]);
    reads("a:\nb: \n", &[("a", ""), ("b", "")]);
    reads("a: 1\nb: 2\na: 3\n", &[("a", "3"), ("b", "2")]);
    reads("a: #1\n", &[("a", "#1")]);
    reads("a\u{a0}: 1\n", &[("a\u{a0}", "1")]);
    let expected = [
        ("moshez", "Away"),
        ("shawn", "http://x:80/"),
        ("zoé", ""),
        ("last", "no ending"),
    ];
    reads(EXAMPLE, &expected);
    let users = parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((users.len(), users.is_empty()), (4, false));
    assert_eq!(
        (users.status("zoé"), users.status("nobody")),
        (Some(""), None)
    );
}

#[test]
fn refusing() {
    refuses(b"a: b\nmoshez\n", 2, "no colon; expected `user: status`");
    refuses(
        b"\n\n: b",
        3,
        "no user before the colon; expected `user: status`",
    );
    refuses(b"a: \x1b[2J", 1, "a control character in the line");
    refuses(b"a\tb: c", 1, "a control character in the line");
    refuses(b"a: b\rc\n", 1, "a control character in the line");
    refuses(b"a: b\r", 1, "a control character in the line");
    refuses(
        "a: \u{85}x".as_bytes(),
        1,
        "a control character in the line",
    );
    refuses(b"a: b\n# \xff\n", 2, "the line is not UTF-8 text");
    refuses(
        "\u{feff}a: b".as_bytes(),
        0,
        "the file begins with a byte order mark; save it as UTF-8 without one",
    );
    let long = format!("a:{}\r\n", "x".repeat(MAX_LINE_BYTES - 2));
    assert!(parse(long.as_bytes()).is_ok());
    refuses(
        format!("\nb{long}").as_bytes(),
        2,
        "the line is longer than 1024 bytes",
    );
    assert!(parse(&vec![b'\n'; MAX_FILE_BYTES]).is_ok());
    refuses(
        &vec![b'\n'; MAX_FILE_BYTES + 1],
        0,
        "the file is larger than 1 MiB",
    );
    assert_eq!(
        parse(b"x").unwrap_err().to_string(),
        "line 1: no colon; expected `user: status`"
    );
}

#[test]
fn changing() {
    changes("", "a", "1", "a: 1\n");
    changes("a: 1", "a", "2", "a: 2");
    changes("a: 1", "b", "2", "a: 1\nb: 2\n");
    changes("a: 1\r\nb: 2", "c", "3", "a: 1\r\nb: 2\r\nc: 3\r\n");
    changes("a: 1\r\n", "a", "2", "a: 2\r\n");
    changes("#x\na: 1\n\na : 2 \nb:3", "a", "4", "#x\na: 1\n\na: 4\nb:3");
    changes("a: 1\n", " a\t", " 2 ", "a: 2\n");
    changes("a: 1\n", "a", "", "a:\n");
    changes("#a: 1\n", "a", "2", "#a: 1\na: 2\n");
    changes("a: 1\n", "A", "2", "a: 1\nA: 2\n");
}

#[test]
fn not_changing() {
    let change = |user: &str, status: &str| with_status(b"a: 1\n", user, status).unwrap_err();
    assert_eq!(change("", "x").to_string(), "the user's name is empty");
    assert_eq!(
        change("a:b", "x").to_string(),
        "the user's name has a colon in it"
    );
    assert_eq!(
        change("a\nb", "x").to_string(),
        "the user's name has control characters in it"
    );
    assert_eq!(
        change("#a", "x").to_string(),
        "the user's name begins with `#`, as a comment does"
    );
    assert_eq!(
        change("\u{feff}", "x").to_string(),
        "the user's name begins with a byte order mark"
    );
    assert_eq!(
        change("a", "x\ny").to_string(),
        "the status has control characters in it"
    );
    assert_eq!(
        change("a", "x\r").to_string(),
        "the status has control characters in it"
    );
    assert_eq!(
        change("a", &"x".repeat(MAX_LINE_BYTES - 2)),
        ChangeError::LineTooLong
    );
    let full = format!("a: 1\n{}", "\n".repeat(MAX_FILE_BYTES - 5));
    assert_eq!(
        with_status(full.as_bytes(), "b", "").unwrap_err(),
        ChangeError::FileTooLarge
    );
    assert!(with_status(full.as_bytes(), "a", "2").is_ok());
    let error = with_status(b"a: 1\nb", "a", "2").unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "line 2: no colon; expected `user: status`"
    );
}

#[test]
fn cut_at_every_byte() {
    for end in 0..EXAMPLE.len() {
        let text = &EXAMPLE.as_bytes()[..end];
        if let Ok(users) = parse(text) {
            let changed = with_status(text, "moshez", "here").unwrap();
            assert_eq!(parse(&changed).unwrap().status("moshez"), Some("here"));
            assert!(users.len() <= 4);
        }
    }
}

fn comments(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.trim_start().starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A users file: comments, blank lines, few users so that they meet, both endings, perhaps none at the end.
fn files() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[ \t]{0,2}#[ -~é]{0,12}",
        "[ \t]{0,3}",
        "[ \t]{0,2}[a-cé]{1,2}[ \t]{0,2}:[ \t]{0,2}([!-~é]([ -~é]{0,8}[!-~é])?)?[ \t]{0,2}",
    ];
    let lines = prop::collection::vec((line, prop_oneof!["\n", "\r\n"]), 0..12);
    (lines, any::<bool>()).prop_map(|(lines, ended)| {
        let text: String = lines
            .into_iter()
            .map(|(line, ending)| line + &ending)
            .collect();
        if ended {
            text
        } else {
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..80)) {
        if parse(&text).is_ok() {
            let changed = with_status(&text, "a", "b").unwrap();
            let users = parse(&changed).unwrap();
            prop_assert_eq!(users.status("a"), Some("b"));
        }
    }

    #[test]
    fn only_the_one_status_changes(
        text in files(),
        user in "[a-cé]{1,2}|[!-~é]{1,9}",
        status in "([!-~é]([ -~é]{0,8}[!-~é])?)?",
    ) {
        let before = parse(text.as_bytes()).unwrap();
        let Ok(changed) = with_status(text.as_bytes(), &user, &status) else {
            prop_assert!(user.contains(':') || user.starts_with('#'));
            return Ok(());
        };
        let after = parse(&changed).unwrap();
        prop_assert_eq!(after.status(&user), Some(status.as_str()));
        let others = |users: &Users| -> Vec<(String, String)> {
            let others = users.iter().filter(|(name, _)| *name != user);
            others.map(|(name, status)| (name.to_owned(), status.to_owned())).collect()
        };
        prop_assert_eq!(others(&before), others(&after));
        prop_assert_eq!(comments(text.as_bytes()), comments(&changed));
        // One run of bytes was replaced or added; what was before and behind it is there still.
        let same = text.bytes().zip(&changed).take_while(|(a, b)| a == *b).count();
        let kept_lines = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
        let added = if before.status(&user).is_some() { 0 } else { 1 + usize::from(!text.is_empty() && !text.ends_with('\n')) };
        prop_assert_eq!(kept_lines(&changed), kept_lines(text.as_bytes()) + added);
        prop_assert!(before.status(&user).is_some() || same == text.len());
        let again = with_status(&changed, &user, &status).unwrap();
        prop_assert_eq!(again, changed);
    }
}

#[test]
fn a_file_is_made_and_replaced() {
    let directory = Directory::new();
    let path = directory.join("users");
    for text in ["a: 1\n", "", "a: 2\n"] {
        write_atomically(&path, text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(directory.names(), ["users"]);
    }
}

#[test]
fn a_failure_leaves_the_old_content_and_nothing_else() {
    let directory = Directory::new();
    let path = directory.join("users");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "old").unwrap();
    write_atomically(&path, b"new").unwrap_err();
    assert_eq!(fs::read_to_string(path.join("inside")).unwrap(), "old");
    assert_eq!(directory.names(), ["users"]);
    write_atomically(&directory.join("absent/users"), b"new").unwrap_err();
    assert_eq!(directory.names(), ["users"]);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn permissions_stay() {
        let directory = Directory::new();
        let path = directory.join("users");
        write_atomically(&path, b"a: 1\n").unwrap();
        for kept in [0o600, 0o644, 0o640, 0o664, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
            write_atomically(&path, b"a: 2\n").unwrap();
            assert_eq!(mode(&path), kept);
        }
    }

    #[test]
    fn a_link_stays_and_its_file_is_replaced() {
        let directory = Directory::new();
        let (path, link) = (directory.join("users"), directory.join("link"));
        fs::write(&path, "old").unwrap();
        symlink("users", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(directory.names(), ["link", "users"]);
    }

    #[test]
    fn a_read_only_directory_keeps_the_old_content() {
        let directory = Directory::new();
        let path = directory.join("users");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&*directory, fs::Permissions::from_mode(0o500)).unwrap();
        let written = write_atomically(&path, b"new");
        fs::set_permissions(&*directory, fs::Permissions::from_mode(0o700)).unwrap();
        // Permissions do not bind root, for whom the write goes through.
        let expected = if written.is_ok() { "new" } else { "old" };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(directory.names(), ["users"]);
    }
}
