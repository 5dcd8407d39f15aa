//! Files that are watched: what is told, of what, to whom, and when it ends.
#![cfg(target_os = "linux")]

#[path = "world/leftovers.rs"]
mod leftovers;

use leftovers::Leftovers;
use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tress_core::{Reactor, testing::ManualClock};
use tress_os::{
    Mio,
    watch::{Mask, WatchOptions, Watcher},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory, gone after the test, a reactor, and what was told.
struct World {
    reactor: Reactor,
    directory: PathBuf,
    told: Rc<RefCell<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-watch-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory can be made");
        Self {
            reactor: Reactor::with(Mio::with_clock(ManualClock::new()).expect("epoll works")),
            directory,
            told: Rc::default(),
        }
    }

    fn watcher(&self) -> Watcher {
        let watcher = Watcher::new(&self.reactor).expect("there is inotify");
        self.turn();
        watcher
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            return self.directory.clone();
        }
        self.directory.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("there is room");
    }

    /// Notes `word path mask`, with the path from the directory on.
    fn noting(&self, word: &'static str) -> impl Fn(&Path, Mask) + 'static {
        let (told, directory) = (Rc::clone(&self.told), self.directory.clone());
        move |path, mask| {
            let path = path.strip_prefix(&directory).unwrap_or(path);
            let line = format!("{word} {} {mask}", path.display());
            told.borrow_mut().push(line);
        }
    }

    fn turn(&self) {
        let turned = self.reactor.turn(Some(Duration::from_millis(5)));
        turned.expect("the driver works");
    }

    /// The next lines that were told are these.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let start = Instant::now();
        while self.told.borrow().len() < expected.len() {
            assert!(start.elapsed() < PATIENCE, "only {:?}", self.told.borrow());
            self.turn();
        }
        for _ in 0..3 {
            self.turn();
        }
        assert_eq!(*self.told.borrow(), expected);
        self.told.borrow_mut().clear();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

const PLAIN: WatchOptions = WatchOptions {
    mask: Mask::CHANGES,
    recursive: false,
    auto_add: false,
};
const DEEP: WatchOptions = WatchOptions {
    recursive: true,
    auto_add: true,
    ..PLAIN
};

#[test]
fn what_happens_in_a_directory() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    watcher
        .watch(world.path(""), PLAIN, world.noting("w"))
        .expect("it is there");
    world.write("a", "text");
    world.check(&["w a create", "w a modify"]);
    fs::rename(world.path("a"), world.path("b")).expect("it is there");
    world.check(&["w a moved_from", "w b moved_to"]);
    fs::create_dir(world.path("d")).expect("it can be made");
    fs::remove_file(world.path("b")).expect("it is there");
    world.check(&["w d create|is_dir", "w b delete"]);
    // It is not watched itself.
    world.write("d/x", "text");
    world.check(&[]);
}

#[test]
fn a_file_and_its_end() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    world.write("f", "1");
    watcher
        .watch(world.path("f"), PLAIN, world.noting("w"))
        .expect("it is there");
    assert!(watcher.is_watched(world.path("f")));
    world.write("g", "1");
    fs::remove_file(world.path("f")).expect("it is there");
    world.check(&["w f attrib", "w f delete_self"]);
    assert!(!watcher.is_watched(world.path("f")));
    assert_eq!(watcher.count(), 0);
}

#[test]
fn masks_choose() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    let options = WatchOptions {
        mask: Mask::CLOSE_WRITE | Mask::DELETE,
        ..PLAIN
    };
    watcher
        .watch(world.path(""), options, world.noting("w"))
        .expect("it is there");
    world.write("a", "text");
    fs::remove_file(world.path("a")).expect("it is there");
    world.check(&["w a close_write", "w a delete"]);
}

/// Each gets what it asked for, although the system has one watch for both.
#[test]
fn two_handlers_of_one_directory() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    let only = |mask| WatchOptions { mask, ..PLAIN };
    watcher
        .watch(world.path(""), only(Mask::CREATE), world.noting("c"))
        .expect("it is there");
    watcher
        .watch(world.path(""), only(Mask::DELETE), world.noting("d"))
        .expect("it is there");
    assert_eq!(watcher.count(), 1);
    world.write("a", "");
    fs::remove_file(world.path("a")).expect("it is there");
    world.check(&["c a create", "d a delete"]);
}

#[test]
fn ignored_is_watched_no_more() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    fs::create_dir_all(world.path("d/e")).expect("it can be made");
    watcher
        .watch(world.path("d"), DEEP, world.noting("w"))
        .expect("it is there");
    assert_eq!(watcher.count(), 2);
    assert!(watcher.ignore(world.path("d/e")));
    assert!(watcher.is_watched(world.path("d")) && !watcher.is_watched(world.path("d/e")));
    // What came before it was ignored is not told either.
    world.write("d/a", "");
    assert!(watcher.ignore(world.path("d")));
    assert!(!watcher.ignore(world.path("d")));
    assert_eq!(watcher.count(), 0);
    world.write("d/b", "");
    world.check(&[]);
}

#[test]
fn directories_that_come_are_watched() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    fs::create_dir_all(world.path("old/deep")).expect("it can be made");
    std::os::unix::fs::symlink(world.path("old"), world.path("loop")).expect("it can be made");
    watcher
        .watch(world.path(""), DEEP, world.noting("w"))
        .expect("it is there");
    assert_eq!(watcher.count(), 3);
    world.write("old/deep/f", "");
    world.check(&["w old/deep/f create"]);
    // All of it is there before the first event is read.
    fs::create_dir_all(world.path("new/deep")).expect("it can be made");
    world.write("new/deep/f", "");
    world.check(&[
        "w new create|is_dir",
        "w new/deep create|is_dir",
        "w new/deep/f create",
    ]);
    world.write("new/deep/g", "");
    world.check(&["w new/deep/g create"]);
    // Under its new name.
    fs::rename(world.path("new"), world.path("newer")).expect("it is there");
    world.check(&[
        "w new moved_from|is_dir",
        "w newer moved_to|is_dir",
        "w newer/deep create|is_dir",
        "w newer/deep/f create",
        "w newer/deep/g create",
    ]);
    assert!(watcher.is_watched(world.path("newer/deep")));
    assert!(!watcher.is_watched(world.path("new/deep")));
    fs::remove_dir_all(world.path("newer")).expect("it is there");
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(watcher.count(), 3);
}

#[test]
fn what_cannot_be_watched_is_told() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = Watcher::with_limit(&world.reactor, 2).expect("there is inotify");
    let refused = |name: &str, options| {
        let watched = watcher.watch(world.path(name), options, |_, _| ());
        watched.expect_err("it cannot be watched").to_string()
    };
    let path = world.path("nothing").display().to_string();
    let text = refused("nothing", PLAIN);
    assert!(
        text.starts_with(&format!("watching `{path}`: No such file")),
        "{text}"
    );
    for name in ["a", "b", "c"] {
        fs::create_dir_all(world.path(&format!("d/{name}"))).expect("it can be made");
    }
    let text = refused("d", DEEP);
    assert!(
        text.ends_with("2 are watched already: the limit of this watcher"),
        "{text}"
    );
    assert_eq!(watcher.count(), 0);
    watcher
        .watch(world.path("d"), PLAIN, |_, _| ())
        .expect("there is room");
    let mut limits = (*world.reactor.limits()).clone();
    limits.bytes_per_turn = 100;
    world.reactor.set_limits(limits);
    let failure = Watcher::new(&world.reactor).expect_err("it could read nothing");
    let text = failure.to_string();
    assert!(text.contains("the limit `bytes_per_turn` is 100"), "{text}");
}

/// More happens than the system keeps.
#[test]
fn lost_events_are_told() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let most: usize = most
        .expect("this is Linux")
        .trim()
        .parse()
        .expect("a number");
    let options = WatchOptions {
        mask: Mask::MODIFY,
        ..PLAIN
    };
    watcher
        .watch(world.path(""), options, world.noting("w"))
        .expect("it is there");
    let mut files = ["a", "b"].map(|name| File::create(world.path(name)).expect("there is room"));
    // The same event twice in a row is one.
    for index in 0..most + 100 {
        files[index % 2].write_all(b"x").expect("there is room");
    }
    let start = Instant::now();
    let is_told = || world.told.borrow().iter().any(|line| line == "w  overflow");
    while !is_told() {
        assert!(start.elapsed() < PATIENCE, "it is not told");
        world.turn();
    }
    assert_eq!(world.told.borrow().len(), most + 1);
}

/// Inside its own call, and one that panics beside it.
#[test]
fn handlers_may_do_anything() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    let (own, directory) = (watcher.clone(), world.path(""));
    let once = WatchOptions {
        mask: Mask::CREATE,
        ..PLAIN
    };
    let noting = world.noting("once");
    let place = Rc::new(RefCell::new(Some(own)));
    watcher
        .watch(&directory, once, move |path, mask| {
            noting(path, mask);
            // All handlers of it, its own too.
            if let Some(own) = place.borrow_mut().take() {
                let parent = path.parent().expect("it is in a directory");
                own.ignore(parent);
            }
        })
        .expect("it is there");
    watcher
        .watch(&directory, once, world.noting("second"))
        .expect("it is there");
    world.write("a", "");
    world.check(&["once a create"]);
    watcher
        .watch(&directory, once, |_, _| panic!("ouch"))
        .expect("it is there");
    watcher
        .watch(&directory, once, world.noting("third"))
        .expect("it is there");
    world.write("b", "");
    world.check(&["third b create"]);
}

#[test]
fn dropping_it_ends_it() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    let again = watcher.clone();
    watcher
        .watch(world.path(""), PLAIN, world.noting("w"))
        .expect("it is there");
    drop(watcher);
    world.write("a", "");
    world.check(&["w a create"]);
    drop(again);
    world.write("b", "");
    world.check(&[]);
    assert_eq!(world.reactor.statistics().connections, 0);
    // Before it has begun.
    drop(Watcher::new(&world.reactor).expect("there is inotify"));
    world.turn();
    world.turn();
    assert_eq!(world.reactor.statistics().connections, 0);
}

#[test]
fn it_ends_with_its_reactor() {
    let _none = Leftovers::none();
    let world = World::new();
    let watcher = world.watcher();
    watcher
        .watch(world.path(""), PLAIN, world.noting("w"))
        .expect("it is there");
    world.reactor.start().expect("it does not run");
    world.reactor.stop().expect("it runs");
    while world.reactor.is_running() {
        world.turn();
    }
    assert_eq!(watcher.count(), 0);
    let failure = watcher.watch(world.path(""), PLAIN, |_, _| ());
    let text = failure.expect_err("it has ended").to_string();
    assert!(text.ends_with("the reactor has stopped since"), "{text}");
}
