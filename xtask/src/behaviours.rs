//! `cargo xtask behaviours`: the README's table of what the behaviour suite found on which loop, made from what its runs
//! reported. Knows the loops, and no behaviour: `tress_core::testing::suite` writes the reports.

use crate::{cargo::Workspace, works::replaced};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// As `tress_core::testing::suite::REPORT`.
pub(crate) const VARIABLE: &str = "TRESS_BEHAVIOURS";
const MARK: &str = "behaviours";

/// The columns: the loop, where an exception is said to be, and the worlds in which it was tried. A behaviour holds where
/// it holds in one of them without anything lacking.
const LOOPS: &[(&str, &str, &[&str])] = &[
    ("mio", "On mio", &["mio", "unix", "piped"]),
    ("io_uring", "On io_uring", &["uring"]),
    ("in tokio", "In tokio", &["in_tokio", "in_tokio_over_unix"]),
    (
        "io_uring in tokio",
        "On io_uring in tokio",
        &["uring_in_tokio"],
    ),
    ("in GLib", "In GLib", &["in_glib", "in_glib_over_unix"]),
    (
        "io_uring in GLib",
        "On io_uring in GLib",
        &["uring_in_glib"],
    ),
    ("simulator", "In the simulator", &["sim"]),
];

/// What each behaviour lacked on a loop; nothing where it held.
type Run = BTreeMap<String, BTreeSet<String>>;

/// Where the runs leave their reports.
pub(crate) fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("behaviours")
}

/// Forgets the reports of earlier runs.
pub(crate) fn begin(workspace: &Workspace) -> Result<(), String> {
    let directory = directory(workspace);
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))
}

/// Writes the table into the README, from the reports of the last `cargo xtask test`.
pub(crate) fn write(workspace: &Workspace) -> Result<String, String> {
    let runs = runs(&directory(workspace))?;
    if let Some(name) = not_run(&runs) {
        return Err(format!(
            "nothing was reported of {name}: run `cargo xtask test`"
        ));
    }
    let path = workspace.root.join("README.md");
    let failed = |error| format!("{}: {error}", path.display());
    let readme = fs::read_to_string(&path).map_err(failed)?;
    fs::write(&path, replaced(&readme, MARK, &table(&runs))?).map_err(failed)?;
    Ok("README.md is up to date".into())
}

/// Fails when the README's table is not what was reported.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let runs = runs(&directory(workspace))?;
    if let Some(name) = not_run(&runs) {
        println!("skipped: the table of behaviours, as nothing was run on {name} here");
        return Ok(());
    }
    let path = workspace.root.join("README.md");
    let readme = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if replaced(&readme, MARK, &table(&runs))? == readme {
        return Ok(());
    }
    Err("README.md: the table of behaviours is out of date: run `cargo xtask behaviours`".into())
}

fn not_run(runs: &[Run]) -> Option<&'static str> {
    let column = runs.iter().position(BTreeMap::is_empty)?;
    Some(LOOPS[column].0)
}

/// In the order of [`LOOPS`].
fn runs(directory: &Path) -> Result<Vec<Run>, String> {
    let read = |world: &&str| match fs::read_to_string(directory.join(world)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| format!("{}: {error}", directory.join(world).display())),
    };
    let run = |(_, _, worlds): &(_, _, &[&str])| {
        let reports: Result<String, String> = worlds.iter().map(read).collect();
        reports.map(|reports| merged(&reports))
    };
    LOOPS.iter().map(run).collect()
}

fn merged(reports: &str) -> Run {
    let mut run = Run::new();
    for line in reports.lines() {
        let (name, lacks) = line.split_once('\t').unwrap_or((line, ""));
        let lacks = lacks.split("; ").filter(|lack| !lack.is_empty());
        let lacks: BTreeSet<String> = lacks.map(str::to_owned).collect();
        match run.get_mut(name) {
            Some(known) if known.is_empty() || !lacks.is_empty() => {}
            Some(known) => known.clear(),
            None => drop(run.insert(name.to_owned(), lacks)),
        }
    }
    run
}

fn table(runs: &[Run]) -> String {
    let names: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| run.keys().map(|name| &**name))
        .collect();
    let mut themes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &names {
        themes.entry(theme(name)).or_default().push(name);
    }
    let mut lines = vec![row(
        "behaviours",
        LOOPS.iter().map(|(name, ..)| (*name).to_owned()),
    )];
    lines.push("|---|".to_owned() + &"--:|".repeat(LOOPS.len()));
    let counts = |of: &[&str]| -> Vec<String> {
        let held = |run: &Run| of.iter().filter(|name| holds(run, name)).count();
        let cell = |held: usize| match held {
            all if all == of.len() => all.to_string(),
            some => format!("{some} of {}", of.len()),
        };
        runs.iter().map(|run| cell(held(run))).collect()
    };
    for (theme, of) in &themes {
        lines.push(row(&theme.replace('_', " "), counts(of).into_iter()));
    }
    let all: Vec<&str> = names.iter().copied().collect();
    lines.push(row("**all**", counts(&all).into_iter()));
    lines.push(String::new());
    lines.extend(exceptions(runs, &names));
    lines.join("\n") + "\n"
}

fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {first} | {} |", cells.join(" | "))
}

fn theme(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}

fn holds(run: &Run, name: &str) -> bool {
    run.get(name).is_some_and(BTreeSet::is_empty)
}

/// One line for each loop and reason.
fn exceptions(runs: &[Run], names: &BTreeSet<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for (run, (_, place, _)) in runs.iter().zip(LOOPS) {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in names.iter().filter(|name| !holds(run, name)) {
            let reason = match run.get(*name) {
                None => "it was not tried".to_owned(),
                Some(lacks) => lacks.iter().cloned().collect::<Vec<_>>().join(", "),
            };
            reasons.entry(reason).or_default().push(format!("`{name}`"));
        }
        for (reason, names) in reasons {
            lines.push(format!("* {place}, {reason}: {}", names.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_holds_where_one_world_lacks_nothing() {
        let run = merged("a::one\t\na::two\tx; y\na::two\t\nb::three\tx\nb::three\ty\n");
        assert!(holds(&run, "a::one") && holds(&run, "a::two"));
        assert!(!holds(&run, "b::three") && !holds(&run, "b::four"));
        assert_eq!(run["b::three"], BTreeSet::from(["x".to_owned()]));
    }

    #[test]
    fn the_table_counts_and_names_what_does_not_hold() {
        let all = "a_b::one\t\na_b::two\t\nc::three\t\n";
        let mut runs = vec![merged(all); LOOPS.len()];
        runs[6] = merged("a_b::one\tno x; no y\na_b::two\t\n");
        let table = table(&runs);
        assert!(
            table.contains("| a b | 2 | 2 | 2 | 2 | 2 | 2 | 1 of 2 |\n"),
            "{table}"
        );
        assert!(
            table.contains("| **all** | 3 | 3 | 3 | 3 | 3 | 3 | 1 of 3 |\n"),
            "{table}"
        );
        let told = "* In the simulator, it was not tried: `c::three`\n* In the simulator, no x, no y: `a_b::one`\n";
        assert!(table.ends_with(told), "{table}");
    }

    #[test]
    fn a_loop_without_a_run_is_named() {
        let mut runs = vec![merged("a::one\t\n"); LOOPS.len()];
        assert_eq!(not_run(&runs), None);
        runs[1] = Run::new();
        assert_eq!(not_run(&runs), Some("io_uring"));
    }
}
