//! Real files, other processes and, where it is installed, Twisted; time by hand. The other processes are this test
//! program again, told what to do on its standard input.

use super::*;
use std::{
    cell::RefCell,
    ffi::OsStr,
    io::{BufRead, BufReader, Lines, Write},
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ChildStdin, Command, Stdio},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tress_core::{
    Deferred, Failure,
    error::Cancelled,
    testing::{logged, memory::Table},
};

const SECOND: Duration = Duration::from_secs(1);
/// No process waits longer for another.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is gone after the test, with the path of a lock in it.
struct Directory {
    path: PathBuf,
    lock: PathBuf,
}

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tress-lock-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        let lock = path.join("lock");
        Self { path, lock }
    }

    fn with_link(target: &str) -> Self {
        let directory = Self::new();
        symlink(target, &directory.lock).unwrap();
        directory
    }

    fn file(&self) -> LockFile {
        LockFile::new(&self.lock)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(name)
            .map(|n| n.into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn target(&self) -> String {
        let target = fs::read_link(&self.lock).unwrap();
        target.into_os_string().into_string().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

/// The id of a process that is no more.
fn dead_pid() -> String {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id().to_string()
}

/// A process that answers each line it is told with a line; killed when the test ends.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<std::process::ChildStderr>>,
}

impl Other {
    /// This program again, as `the_other_process` below.
    fn new(lock: &Path) -> Self {
        Self::run(Self::command(lock)).unwrap()
    }

    fn command(lock: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "lock_file::tests::the_other_process";
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(OTHER, lock);
        command
    }

    fn run(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        })
    }

    fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn answer(&mut self) -> String {
        self.output.next().expect("it answers").unwrap()
    }

    #[track_caller]
    fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    /// SIGKILL: it cannot clean up.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Set to the path of a lock in a process that was started by `Other`.
const OTHER: &str = "TRESS_LOCK_OTHER";

/// What the process runs that `Other` starts; a test of nothing otherwise.
#[test]
fn the_other_process() {
    let Some(lock) = std::env::var_os(OTHER) else {
        return;
    };
    let file = LockFile::new(lock);
    let mut guard = None;
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let answer = match &*line {
            "lock" => lock_and_say(&file, &mut guard),
            "unlock" => guard.take().map_or("not held", |_| "unlocked").to_owned(),
            "get ready" => "ready".to_owned(),
            // At the same instant as another process, which looks at the same file.
            start => {
                let begun = Instant::now();
                while !Path::new(start).exists() {
                    assert!(begun.elapsed() < PATIENCE, "there is no {start}");
                }
                lock_and_say(&file, &mut guard)
            }
        };
        eprintln!("{answer}");
    }
}

fn lock_and_say(file: &LockFile, guard: &mut Option<LockGuard>) -> String {
    match file.try_lock() {
        Ok(Some(taken)) => {
            let clean = if taken.is_clean() { "clean" } else { "unclean" };
            *guard = Some(taken);
            clean.to_owned()
        }
        Ok(None) => "held".to_owned(),
        Err(error) => format!("{error}: {}", error.error),
    }
}

fn taken(file: &LockFile) -> LockGuard {
    file.try_lock().unwrap().expect("nobody holds it")
}

#[test]
fn a_lock_is_a_link_to_its_holders_process_id() {
    let directory = Directory::new();
    let guard = taken(&directory.file());
    assert!(guard.is_clean());
    assert_eq!(directory.target(), process::id().to_string());
    guard.unlock().unwrap();
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_dropped_guard_releases() {
    let directory = Directory::new();
    drop(taken(&directory.file()));
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_held_lock_is_not_taken_even_by_its_own_process() {
    let directory = Directory::new();
    let guard = taken(&directory.file());
    assert!(directory.file().try_lock().unwrap().is_none());
    drop(guard);
    assert!(taken(&directory.file()).is_clean());
}

#[test]
fn a_lock_of_a_dead_process_is_broken_and_was_not_clean() {
    let directory = Directory::with_link(&dead_pid());
    let guard = taken(&directory.file());
    assert!(!guard.is_clean());
    assert_eq!(directory.target(), process::id().to_string());
    assert_eq!(directory.names(), ["lock"]);
    drop(guard);
    assert!(taken(&directory.file()).is_clean());
}

#[test]
fn a_killed_process_leaves_a_stale_lock() {
    let directory = Directory::new();
    let mut other = Other::new(&directory.lock);
    assert_eq!(other.ask("lock"), "clean");
    assert_eq!(directory.target(), other.child.id().to_string());
    assert!(directory.file().try_lock().unwrap().is_none());
    other.kill();
    assert!(!taken(&directory.file()).is_clean());
}

#[test]
fn what_a_killed_breaker_left_does_no_harm() {
    let directory = Directory::with_link(&dead_pid());
    fs::write(directory.path.join("lock.breaking"), "").unwrap();
    symlink(dead_pid(), directory.path.join("lock.new")).unwrap();
    assert!(!taken(&directory.file()).is_clean());
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_lock_that_another_process_is_breaking_is_not_taken() {
    let directory = Directory::with_link(&dead_pid());
    let breaker = Alone::claim(directory.path.join("lock.breaking")).unwrap();
    assert!(breaker.is_some());
    assert!(directory.file().try_lock().unwrap().is_none());
    drop(breaker);
    assert!(!taken(&directory.file()).is_clean());
}

#[test]
fn a_lock_that_is_not_stale_any_more_is_not_taken_over() {
    let directory = Directory::with_link("1");
    assert!(!directory.file().take_over().unwrap());
    assert_eq!(directory.target(), "1");
    fs::remove_file(&directory.lock).unwrap();
    assert!(!directory.file().take_over().unwrap());
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_breaker_whose_file_another_one_has_removed_is_not_alone() {
    let directory = Directory::new();
    let path = directory.path.join("lock.breaking");
    let late = File::create(&path).unwrap();
    drop(Alone::claim(path.clone()).unwrap().expect("nobody is"));
    let late_too = late.try_clone().unwrap();
    assert!(Alone::lock(late, path.clone()).unwrap().is_none());
    let alone = Alone::claim(path.clone()).unwrap();
    assert!(alone.is_some());
    assert!(Alone::lock(late_too, path).unwrap().is_none());
    assert_eq!(directory.names(), ["lock.breaking"]);
}

#[test]
fn breaking_follows_no_link() {
    let directory = Directory::with_link(&dead_pid());
    let elsewhere = directory.path.join("elsewhere");
    symlink(&elsewhere, directory.path.join("lock.breaking")).unwrap();
    assert!(directory.file().try_lock().is_err());
    assert!(!elsewhere.exists());
}

/// Each round, two processes try at the same instant; `prepare` says what they find.
#[track_caller]
fn check_race(prepare: impl Fn(&Directory), answers: [&str; 2]) {
    let directory = Directory::new();
    let mut others = [(); 2].map(|()| Other::new(&directory.lock));
    for round in 0..200 {
        prepare(&directory);
        let start = directory.path.join(format!("start-{round}"));
        for other in &mut others {
            assert_eq!(other.ask("get ready"), "ready");
            other.tell(start.to_str().unwrap());
        }
        fs::write(&start, "").unwrap();
        let mut said = others.each_mut().map(Other::answer);
        said.sort();
        assert_eq!(said, answers, "in round {round}");
        let mut released = others.each_mut().map(|other| other.ask("unlock"));
        released.sort();
        assert_eq!(released, ["not held", "unlocked"], "in round {round}");
        fs::remove_file(start).unwrap();
    }
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn of_two_processes_that_race_for_a_lock_one_gets_it() {
    check_race(|_| {}, ["clean", "held"]);
}

#[test]
fn of_two_processes_that_race_to_break_a_lock_one_gets_it() {
    let dead = dead_pid();
    let prepare = |directory: &Directory| symlink(&dead, &directory.lock).unwrap();
    check_race(prepare, ["held", "unclean"]);
}

/// What is no lock is an error that names the path and says what is there, and is left as it is.
#[track_caller]
fn check_no_lock(directory: &Directory, says: &str) {
    let error = directory.file().try_lock().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::InvalidData);
    let path = directory.lock.display();
    let text = Failure::from(error).to_string();
    assert_eq!(text, format!("cannot use the lock file {path}: {says}"));
    assert_eq!(directory.names(), ["lock"]);
}

#[test]
fn what_is_no_link_is_no_lock() {
    let says = "something that is no symbolic link is there";
    let directory = Directory::new();
    fs::write(&directory.lock, "12").unwrap();
    check_no_lock(&directory, says);
    let directory = Directory::new();
    fs::create_dir(&directory.lock).unwrap();
    check_no_lock(&directory, says);
}

#[test]
fn a_link_to_no_process_id_is_no_lock() {
    for target in ["elsewhere", "0", "-1", "1x", "2147483648", "../12"] {
        let says = format!("it points to `{target}`, which is no process id");
        check_no_lock(&Directory::with_link(target), &says);
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = LockFile::new("/no/such/place/lock").try_lock().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::NotFound);
    let says = "cannot use the lock file /no/such/place/lock";
    assert_eq!(error.to_string(), says);
}

/// A process that is not root's, whoever runs the tests; `None` when it cannot reach this program.
fn of_a_plain_user(directory: &Directory) -> Option<Other> {
    const NOBODY: u32 = 65_534;
    let mut command = Other::command(&directory.lock);
    if fs::metadata(&directory.path).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    Other::run(command)
        .inspect_err(|error| println!("skipped: this program as a plain user: {error}"))
        .ok()
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let directory = Directory::new();
    fs::set_permissions(&directory.path, fs::Permissions::from_mode(0o555)).unwrap();
    let Some(mut other) = of_a_plain_user(&directory) else {
        return;
    };
    let path = directory.lock.display();
    let says = format!("cannot use the lock file {path}: Permission denied (os error 13)");
    assert_eq!(other.ask("lock"), says);
}

#[test]
fn a_process_that_may_not_be_signalled_lives() {
    let directory = Directory::with_link("1");
    fs::set_permissions(&directory.path, fs::Permissions::from_mode(0o777)).unwrap();
    let Some(mut other) = of_a_plain_user(&directory) else {
        return;
    };
    assert_eq!(other.ask("lock"), "held");
}

#[test]
fn a_lock_that_is_another_processs_now_is_not_released() {
    let directory = Directory::new();
    let guard = taken(&directory.file());
    fs::remove_file(&directory.lock).unwrap();
    symlink("1", &directory.lock).unwrap();
    let error = guard.unlock().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(directory.target(), "1");
}

#[test]
fn a_lock_that_is_gone_is_told_or_logged() {
    let directory = Directory::new();
    let gone = || {
        let guard = taken(&directory.file());
        fs::remove_file(&directory.lock).unwrap();
        guard
    };
    let error = gone().unlock().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::NotFound);
    let path = directory.lock.display();
    let lines = logged(|| drop(gone()));
    let says = format!("WARN cannot release the lock file {path}: entity not found");
    assert_eq!(lines, [says]);
}

/// A reactor with a clock set by hand, a lock that is waited for, and what came of each wait.
struct World {
    directory: Directory,
    table: Table,
    lock: FilesystemLock,
    log: Log,
}

type Log = Rc<RefCell<Vec<String>>>;

impl World {
    fn new() -> Self {
        let directory = Directory::new();
        Self {
            table: Table::new(),
            lock: FilesystemLock::new(&directory.lock),
            directory,
            log: Log::default(),
        }
    }

    fn acquire(&self, timeout: Option<Duration>) -> Deferred<LockGuard> {
        self.lock.acquire(self.table.reactor(), timeout)
    }

    /// Logs what came; the lock is held on until the guard is taken out of the Deferred.
    fn logging(&self, waiting: Deferred<LockGuard>) -> Deferred<LockGuard> {
        let log = Rc::clone(&self.log);
        waiting.add_both(move |result| {
            log.borrow_mut().push(match &result {
                Ok(guard) => format!("locked, clean {}", guard.is_clean()),
                Err(failure) => failure.to_string(),
            });
            result
        })
    }

    /// What was logged since the last time.
    fn log(&self) -> Vec<String> {
        self.log.take()
    }
}

#[test]
fn a_free_lock_is_there_at_once() {
    let world = World::new();
    let guard = world.acquire(None).try_result().unwrap().unwrap();
    assert!(guard.is_clean());
    assert!(!world.lock.is_waiting());
    assert_eq!(world.table.reactor().next_deadline(), None);
}

#[test]
fn a_held_lock_is_tried_each_second() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let waiting = world.logging(world.acquire(None));
    assert!(world.lock.is_waiting());
    world.table.advance(SECOND * 10);
    assert_eq!(world.log(), [""; 0]);
    drop(held);
    world.table.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(world.log(), [""; 0]);
    world.table.advance(Duration::from_nanos(1));
    assert_eq!(world.log(), ["locked, clean true"]);
    assert!(!world.lock.is_waiting());
    assert_eq!(world.table.reactor().next_deadline(), None);
    assert!(world.directory.file().try_lock().unwrap().is_none());
    drop(waiting);
    assert_eq!(world.directory.names(), [""; 0]);
}

#[test]
fn a_holder_that_dies_is_noticed() {
    let world = World::new();
    let mut other = Other::new(&world.directory.lock);
    assert_eq!(other.ask("lock"), "clean");
    let waiting = world.logging(world.acquire(None));
    other.kill();
    world.table.advance(SECOND);
    assert_eq!(world.log(), ["locked, clean false"]);
    drop(waiting);
}

#[test]
fn waiting_ends_in_time() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let timeout = Duration::from_millis(2_500);
    let waiting = world.acquire(Some(timeout));
    world.table.advance(timeout - Duration::from_nanos(1));
    let waiting = waiting.try_result().unwrap_err();
    world.table.advance(Duration::from_nanos(1));
    let failure = waiting.try_result().unwrap().unwrap_err();
    let path = world.directory.lock.clone();
    let says = format!("the lock file {} was not free within 2.5s", path.display());
    assert_eq!(failure.to_string(), says);
    let after = timeout;
    assert_eq!(failure.check(), Some(&LockTimedOut { path, after }));
    assert_eq!(world.table.reactor().next_deadline(), None);
    assert!(!world.lock.is_waiting());
    drop(held);
}

#[test]
fn the_last_try_is_at_the_end_of_the_time() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let waiting = world.logging(world.acquire(Some(SECOND / 2)));
    drop(held);
    world.table.advance(SECOND / 2);
    assert_eq!(world.log(), ["locked, clean true"]);
    drop(waiting);
}

#[test]
fn no_time_is_one_try() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let result = world.acquire(Some(Duration::ZERO)).try_result().unwrap();
    assert!(result.unwrap_err().check::<LockTimedOut>().is_some());
    drop(held);
    let result = world.acquire(Some(Duration::ZERO)).try_result().unwrap();
    assert!(result.is_ok());
}

#[test]
fn cancelling_ends_the_waiting() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let waiting = world.acquire(Some(SECOND * 5));
    world.table.advance(SECOND * 2);
    waiting.cancel();
    let failure = waiting.try_result().unwrap().unwrap_err();
    assert!(failure.check::<Cancelled>().is_some(), "{failure:?}");
    assert_eq!(world.table.reactor().next_deadline(), None);
    drop(held);
    world.table.advance(SECOND * 10);
    assert_eq!(world.directory.names(), [""; 0]);
    let again = world.acquire(None).try_result().unwrap();
    assert!(again.is_ok());
}

#[test]
fn a_task_that_waits_and_is_cancelled_waits_no_more() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let (lock, reactor) = (world.lock.clone(), world.table.reactor().clone());
    let task = world.table.reactor().spawn(async move {
        drop(lock.acquire(&reactor, None).await?);
        Ok(())
    });
    assert!(world.lock.is_waiting());
    task.cancel();
    assert!(!world.lock.is_waiting());
    assert!(task.try_result().unwrap().is_err());
    drop(held);
}

#[test]
fn only_one_waits_at_a_time() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let first = world.logging(world.acquire(None));
    let failure = world.acquire(None).try_result().unwrap().unwrap_err();
    let path = world.directory.lock.clone();
    let says = format!(
        "the lock file {} is being waited for already",
        path.display()
    );
    assert_eq!(failure.to_string(), says);
    assert_eq!(failure.check(), Some(&AlreadyTryingToLock { path }));
    drop(held);
    world.table.advance(SECOND);
    assert_eq!(world.log(), ["locked, clean true"]);
    drop(first);
}

#[test]
fn two_objects_for_one_path_wait_for_each_other() {
    let world = World::new();
    let other = FilesystemLock::new(&world.directory.lock);
    let first = world.acquire(None).try_result().unwrap().unwrap();
    let second = world.logging(other.acquire(world.table.reactor(), None));
    world.table.advance(SECOND * 3);
    assert_eq!(world.log(), [""; 0]);
    drop(first);
    world.table.advance(SECOND);
    assert_eq!(world.log(), ["locked, clean true"]);
    drop(second);
}

#[test]
fn a_callback_may_release_and_wait_again() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let (lock, reactor) = (world.lock.clone(), world.table.reactor().clone());
    let waiting = world.acquire(None).add_callback(move |guard| {
        drop(guard);
        lock.acquire(&reactor, None)
    });
    drop(held);
    world.table.advance(SECOND);
    let guard = waiting.try_result().unwrap().unwrap();
    drop(guard);
}

#[test]
fn a_callback_that_keeps_the_lock_waits_for_itself_until_the_timeout() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let (lock, reactor) = (world.lock.clone(), world.table.reactor().clone());
    let waiting = world.acquire(None).add_callback(move |guard| {
        let again = lock.acquire(&reactor, Some(SECOND * 3));
        again.add_both(move |result| {
            drop(guard);
            result
        })
    });
    let waiting = world.logging(waiting);
    drop(held);
    world.table.advance(SECOND * 4);
    let path = world.directory.lock.display();
    assert_eq!(
        world.log(),
        [format!("the lock file {path} was not free within 3s")]
    );
    assert!(waiting.try_result().unwrap().is_err());
    assert_eq!(world.directory.names(), [""; 0]);
}

#[test]
fn a_lock_that_nobody_takes_out_is_released() {
    let world = World::new();
    let granted = world.acquire(None);
    assert_eq!(world.directory.names(), ["lock"]);
    drop(granted);
    assert_eq!(world.directory.names(), [""; 0]);

    let held = taken(&world.directory.file());
    world.acquire(None).detach();
    assert!(world.lock.is_waiting());
    drop(held);
    world.table.advance(SECOND);
    assert_eq!(world.directory.names(), [""; 0]);
    assert!(!world.lock.is_waiting());
}

#[test]
fn what_goes_wrong_while_waiting_is_told() {
    let world = World::new();
    let held = taken(&world.directory.file());
    let waiting = world.acquire(None);
    fs::remove_file(&world.directory.lock).unwrap();
    fs::write(&world.directory.lock, "").unwrap();
    world.table.advance(SECOND);
    let failure = waiting.try_result().unwrap().unwrap_err();
    assert!(failure.check::<LockError>().is_some(), "{failure:?}");
    assert_eq!(world.table.reactor().next_deadline(), None);
    std::mem::forget(held);
}

/// Twisted's `FilesystemLock` at the end of two pipes: `lock` and `unlock` as in `the_other_process`.
const TWISTED: &str = "
import sys
from twisted.python.lockfile import FilesystemLock, isLocked
lock = FilesystemLock(sys.argv[1])
for line in sys.stdin:
    if line == 'lock\\n':
        answer = 'held' if not lock.lock() else 'clean' if lock.clean else 'unclean'
    elif line == 'is it locked\\n':
        answer = str(isLocked(sys.argv[1]))
    else:
        answer = lock.unlock() or 'unlocked'
    print(answer, file=sys.stderr, flush=True)
";

fn twisted(lock: &Path) -> Option<Other> {
    let Some(python) = std::env::var_os("TRESS_PYTHON") else {
        println!("skipped: Twisted: TRESS_PYTHON names no Python that has it");
        return None;
    };
    let mut command = Command::new(python);
    command.args([OsStr::new("-c"), TWISTED.as_ref(), lock.as_os_str()]);
    Some(Other::run(command).unwrap())
}

#[test]
fn a_lock_of_twisteds_is_waited_for() {
    let world = World::new();
    let Some(mut other) = twisted(&world.directory.lock) else {
        return;
    };
    assert_eq!(other.ask("lock"), "clean");
    let waiting = world.logging(world.acquire(None));
    world.table.advance(SECOND * 3);
    assert_eq!(world.log(), [""; 0]);
    assert_eq!(other.ask("unlock"), "unlocked");
    world.table.advance(SECOND);
    assert_eq!(world.log(), ["locked, clean true"]);

    assert_eq!(other.ask("is it locked"), "True");
    assert_eq!(other.ask("lock"), "held");
    drop(waiting);
    assert_eq!(other.ask("is it locked"), "False");
}

#[test]
fn what_a_killed_twisted_left_is_broken_and_the_other_way_round() {
    let directory = Directory::new();
    let Some(mut other) = twisted(&directory.lock) else {
        return;
    };
    assert_eq!(other.ask("lock"), "clean");
    other.kill();
    assert!(!taken(&directory.file()).is_clean());

    let mut ours = Other::new(&directory.lock);
    assert_eq!(ours.ask("lock"), "clean");
    ours.kill();
    let mut other = twisted(&directory.lock).unwrap();
    assert_eq!(other.ask("lock"), "unclean");
    assert_eq!(other.ask("unlock"), "unlocked");
}
