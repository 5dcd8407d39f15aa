//! The rules for every text file: no path of somebody's machine, no space at the end of a line.
//! Must not know where files come from: each rule sees one path and one text.

/// How absolute paths begin that exist on one machine only. Written in two parts, so that this file keeps its own rule.
const MACHINE_PATHS: &[&str] = &[concat!("/", "work/"), concat!("/", "tmp/b")];

/// What people write by hand. Anything else may be data, in which every byte is meant.
const WRITTEN: &[&str] = &[
    "c", "h", "html", "json", "md", "py", "rs", "sh", "toml", "yml",
];

/// No path of the machine that the file was written on.
pub(super) fn machine_paths(path: &str, content: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        for machine in MACHINE_PATHS {
            if super::starts_word(line, machine, &['.', '_', '-', '/', '}', ')']) {
                problems.push(format!(
                    "{path}:{number}: names a path of one machine: {machine}"
                ));
            }
        }
    }
    problems
}

/// No line of a written file ends in a space, a tab or a carriage return.
pub(super) fn trailing_space(path: &str, content: &str) -> Vec<String> {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    if !extension.is_some_and(|extension| WRITTEN.contains(&extension)) {
        return vec![];
    }
    let lines = (1..)
        .zip(content.split('\n'))
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    lines
        .map(|(number, _): (usize, _)| format!("{path}:{number}: space at the end of the line"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(line: &str, expect: &[&str]) {
        let problems = machine_paths("a.md", &format!("first\n{line}\n"));
        let expect: Vec<_> = expect
            .iter()
            .map(|path| format!("a.md:2: names a path of one machine: {path}"))
            .collect();
        assert_eq!(problems, expect, "{line}");
    }

    #[test]
    fn paths_of_one_machine() {
        let [work, tmp] = MACHINE_PATHS else {
            panic!("two")
        };
        check_path(&format!("see {work}main"), &[work]);
        check_path(&format!("{work}main and `{tmp}uild`"), &[work, tmp]);
        check_path(&format!("https://example.com{work}main"), &[]);
        check_path(&format!("target{work}, ..{work}, $(pwd){work}"), &[]);
        check_path("/tmp/socket", &[]);
    }

    #[test]
    fn spaces() {
        assert_eq!(trailing_space("a.rs", "a\n\n  b\n"), [""; 0]);
        assert_eq!(
            trailing_space("tests/request", "GET / HTTP/1.1\r\n"),
            [""; 0]
        );
        for line in ["a ", "a\t", "a\r", "  "] {
            let problems = trailing_space("a.rs", &format!("first\n{line}\nlast\n"));
            assert_eq!(
                problems,
                ["a.rs:2: space at the end of the line"],
                "{line:?}"
            );
        }
    }
}
