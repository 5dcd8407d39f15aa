//! `cargo xtask works`: the README's table of what works today, made from what the binary says of itself.
//! Must not know what a kind does: `tress plugins` lists them, and the rest of the table is the plain text below.

use crate::cargo::Workspace;
use std::{fs, process::Stdio};

const MARK: &str = "works";

/// What no program lists: area, what works, what does not yet.
const BY_HAND: &[(&str, &str, &str)] = &[
    (
        "loops",
        "mio (epoll); the simulator, with 22 kinds of faults; inside tokio, GLib, or any loop through C; io_uring (feature `uring`; `driver = \"uring\"` or `\"auto\"` in a file)",
        "",
    ),
    (
        "engine",
        "Protocol, Factory, Transport, producers, half-close, open files over UNIX sockets, limits, deadlines, statistics, stall warnings, layers (TLS, STARTTLS)",
        "",
    ),
    (
        "workers",
        "several reactors on as many cores, listening at the same sockets (`workers = \"auto\"`), state on one or on each; on mio and io_uring",
        "",
    ),
    (
        "datagrams",
        "UDP with multicast and broadcast, UNIX datagrams: `udp`, `unixgram`, on mio, io_uring and in the simulator",
        "",
    ),
    (
        "waiting",
        "Deferred, lists, `race`, timeouts, locks, queues, lock files, LoopingCall, Cooperator, `react`, async/await both ways, streams (`AsyncRead`, hyper), work on threads (`defer_to_thread`, `blocking_call_from_thread`)",
        "",
    ),
    (
        "databases",
        "SQLite in a pool of connections that threads work on (feature `data`): query, operation, interaction, cancel",
        "PostgreSQL",
    ),
    (
        "processes",
        "`spawn_process` with any map of descriptors, terminals, users, signals, `get_process_output`; kept running as Twisted's procmon does (`[[run]]`, `Supervised`); on mio, io_uring and in the simulator",
        "",
    ),
    (
        "services",
        "`Service`, `MultiService`, `Application` without a file; servers, clients, timers, child processes; back-off and restart intensity",
        "",
    ),
    (
        "surroundings",
        "standard input and output (`stdio`), sockets from systemd, adopted descriptors, signals (in the simulator, too), watched files (inotify), serial lines",
        "",
    ),
    (
        "operating",
        "`tress ctl`, the file read again (`SIGHUP`), another version of the program in place of the one that runs (`SIGUSR2`): without a request lost; logs (text, JSON, files that rotate, the journal, limits), systemd (notify, watchdog, sockets), figures for Prometheus",
        "",
    ),
    (
        "plug-ins",
        "compiled in (`plug_in!`, `tress new`), or a child process in any language (`plugins.d/NAME.toml`, AMP; a Python example)",
        "",
    ),
    (
        "framings",
        "lines with raw mode, netstrings, 8/16/32-bit length prefixes",
        "",
    ),
    (
        "clients",
        "`connect`, `ClientFactory`, `ClientCreator`, `Reconnecting`, `ClientService`",
        "",
    ),
    (
        "calling from the shell",
        "`tress call` over AMP, HTTP+JSON, JSON-RPC (HTTP, lines), XML-RPC, PB and lines, with logins and TLS; `tress ctl`",
        "",
    ),
    (
        "installing",
        "`cargo xtask package`: one static file, and a Debian package with unit, manual pages and completions",
        "other systems",
    ),
];

/// The generated rows: a heading of `tress plugins`, the area, and what is not there yet.
const LISTED: &[(&str, &str, &str)] = &[
    ("Endpoints", "endpoint kinds", ""),
    ("Providers", "providers", ""),
    (
        "Protocols",
        "protocols",
        "IRC, WebSocket, and the wire services",
    ),
];

/// Writes the table into the README.
pub(crate) fn write(workspace: &Workspace) -> Result<String, String> {
    let (path, readme, table) = current(workspace)?;
    let new = replaced(&readme, MARK, &table)?;
    fs::write(&path, new).map_err(|error| format!("{path}: {error}"))?;
    Ok("README.md is up to date".into())
}

/// Fails when the README's table is not what the binary says.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let (_, readme, table) = current(workspace)?;
    if replaced(&readme, MARK, &table)? == readme {
        return Ok(());
    }
    Err("README.md: the table of what works is out of date: run `cargo xtask works`".into())
}

fn current(workspace: &Workspace) -> Result<(String, String, String), String> {
    let path = workspace.root.join("README.md").display().to_string();
    let readme = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "tress-cli",
        "--",
        "plugins",
    ]);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("`tress plugins`: {}", output.status));
    }
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((path, readme, table(&listing)?))
}

fn table(listing: &str) -> Result<String, String> {
    let mut table = "| area | works today | not yet |\n|---|---|---|\n".to_owned();
    let mut row = |area: &str, works: &str, missing: &str| {
        table.push_str(&format!("| {area} | {works} | {missing} |\n"));
    };
    for (area, works, missing) in BY_HAND {
        row(area, works, missing);
    }
    for (heading, area, missing) in LISTED {
        let names = names(listing, heading);
        if names.is_empty() {
            return Err(format!("`tress plugins` lists nothing under \"{heading}\""));
        }
        row(area, &names.join(", "), missing);
    }
    Ok(table)
}

/// The first words of the lines below a heading that are indented by two.
fn names(listing: &str, heading: &str) -> Vec<String> {
    let mut lines = listing
        .lines()
        .skip_while(|line| !line.starts_with(heading));
    lines.next();
    let below = lines.take_while(|line| line.starts_with("  "));
    // What is indented further are their options.
    let below = below.filter(|line| !line.starts_with("   "));
    below
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| format!("`{name}`"))
        .collect()
}

/// The README with this table between its marks.
pub(crate) fn replaced(readme: &str, mark: &str, table: &str) -> Result<String, String> {
    let (begin, end) = (
        format!("<!-- {mark}:begin -->\n"),
        format!("<!-- {mark}:end -->"),
    );
    let parts = readme.split_once(&*begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&*end)?;
        Some((before, after))
    });
    let gone = || format!("README.md: the marks `{mark}` of the table are gone");
    let (before, after) = parts.ok_or_else(gone)?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "Providers, for x:\n  a.b  Does.\n      option  a string\n  c    Too.\n\nProtocols:\n  p  of Q\n\nEndpoints:\n  tcp  tcp:PORT\n";

    #[test]
    fn names_are_those_below_their_heading() {
        assert_eq!(names(LISTING, "Providers"), ["`a.b`", "`c`"]);
        assert!(names(LISTING, "Absent").is_empty());
        assert!(table(LISTING).is_ok());
        assert!(table("").is_err());
    }

    #[test]
    fn only_what_lies_between_the_marks_changes() {
        let (begin, end) = ("<!-- works:begin -->", "<!-- works:end -->");
        let readme = format!("a\n{begin}\nold\n{end}\nb\n");
        assert_eq!(
            replaced(&readme, "works", "new\n"),
            Ok(format!("a\n{begin}\nnew\n{end}\nb\n"))
        );
        assert!(replaced(&readme, "others", "new").is_err());
    }
}
