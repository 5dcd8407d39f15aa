//! `kill -9` in the middle of writing: whatever was acknowledged is there when it runs again, and no file is torn.

#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use running::Running;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc::channel,
    thread,
};
use tress_app::finger_file::parse;
use tress_data::rusqlite::Connection;

/// How often it is killed.
const KILLS: u64 = 50;
/// Who writes at the same time, each to a user of its own.
const WRITERS: usize = 4;

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tress-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A caller over JSON-RPC, which knows what is acknowledged.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn to(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    /// The answer; none when the other side is gone.
    fn call(&mut self, method: &str, params: &str) -> Option<String> {
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        writeln!(self.0.get_mut(), "{request}").ok()?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).ok()?;
        answer.ends_with('\n').then_some(answer)
    }
}

/// Sets a user's status to one number after the other until it is killed: the last that was acknowledged.
fn write_until_killed(mut caller: Caller, user: usize, from: u64, tell: &dyn Fn()) -> u64 {
    let mut acknowledged = from;
    while let Some(answer) = caller.call(
        "setUser",
        &format!(r#"["user{user}","{}"]"#, acknowledged + 1),
    ) {
        assert!(answer.contains(r#""result":null"#), "{answer}");
        acknowledged += 1;
        tell();
    }
    acknowledged
}

/// Runs, is killed after some acknowledgements, and so on. `look` sees what is in the file meanwhile.
fn survives(kind: &str, look: impl Fn(&Path) -> BTreeMap<String, String>) {
    let place = Place::new(&kind.replace('.', "-"));
    let data = place.0.join("users");
    if kind == "finger.file" {
        fs::write(&data, "# a comment that stays\n").unwrap();
    }
    let file = place.0.join("app.toml");
    let key = ["path", "database"][usize::from(kind == "finger.sqlite")];
    let text = format!(
        "[provide.users]\nkind = '{kind}'\n{key} = 'users'\n\
         [[serve]]\nwhat = 'users'\ninterface = 'FingerSetter'\nas = 'jsonrpc-lines'\nat = 'tcp:0:interface=127.0.0.1'\n"
    );
    fs::write(&file, text).unwrap();
    let mut acknowledged = [0; WRITERS];
    for round in 0..KILLS {
        let mut running = Running::start(&file);
        let address = running.address("jsonrpc-lines");
        let (tell, told) = channel();
        // All before any writes, as it is killed soon after that.
        let callers = [(); WRITERS].map(|()| Caller::to(address));
        // In the middle of writing, each time elsewhere.
        let most = usize::try_from(round * 7 % 23).unwrap();
        acknowledged = thread::scope(|scope| {
            let writers = acknowledged.into_iter().zip(callers).enumerate();
            let writers: Vec<_> = writers
                .map(|(user, (from, caller))| {
                    let tell = tell.clone();
                    scope.spawn(move || {
                        write_until_killed(caller, user, from, &|| {
                            tell.send(()).unwrap_or_default()
                        })
                    })
                })
                .collect();
            assert_eq!(told.iter().take(most + 1).count(), most + 1);
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            let mut last = writers.into_iter().map(|writer| writer.join().unwrap());
            [(); WRITERS].map(|()| last.next().unwrap())
        });
        let found = look(&data);
        for (user, last) in acknowledged.iter_mut().enumerate() {
            let status = found.get(&format!("user{user}"));
            let there: u64 = status.map_or(0, |status| status.parse().unwrap());
            // The one after it may have been written and not acknowledged.
            assert!(
                there == *last || there == *last + 1,
                "round {round}: {there}, acknowledged {last}"
            );
            *last = there;
        }
    }
    println!("{kind}: {acknowledged:?} acknowledged in {KILLS} runs, nothing lost");
}

#[test]
fn sqlite_loses_nothing() {
    survives("finger.sqlite", |path| {
        let database = Connection::open(path).unwrap();
        let check: String = database
            .query_row("PRAGMA integrity_check", (), |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        let mut rows = database.prepare("SELECT name, status FROM users").unwrap();
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(|row| row.unwrap()).collect()
    });
}

#[test]
fn a_file_is_never_torn() {
    survives("finger.file", |path| {
        let text = fs::read(path).unwrap();
        assert!(text.starts_with(b"# a comment that stays\n"));
        let users = parse(&text).unwrap();
        let users = users.iter();
        users
            .map(|(name, status)| (name.to_owned(), status.to_owned()))
            .collect()
    });
}
