//! Certificates by name: which one a client gets, and what happens when the directory changes.

use crate::{
    DIRECTORY_LOOK, Files, MemoryFiles,
    directory::{Directory, Names},
    testing::{Authority, now},
};
use rcgen::{CertificateParams, date_time_ymd};
use std::{
    path::Path,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tress_core::{Time, testing};

struct Served {
    files: MemoryFiles,
    authority: Authority,
    directory: Option<Directory>,
    names: Option<Names>,
    now: Duration,
}

impl Served {
    fn new() -> Self {
        Self {
            files: MemoryFiles::new(),
            authority: Authority::new("authority"),
            directory: None,
            names: None,
            now: Duration::ZERO,
        }
    }

    fn write(&self, file: &str, names: &[&str]) {
        let issued = self.authority.issue(names);
        self.files.write(file, issued.pair());
    }

    fn write_with(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let issued = self.authority.issue_with(names, change);
        self.files.write(file, issued.pair());
    }

    fn open(&mut self) -> Result<(), String> {
        let files: Rc<dyn Files> = Rc::new(self.files.clone());
        let opened = Directory::open(files, Path::new("/certs").into(), self.wall());
        let (directory, names) = opened.map_err(|error| error.to_string())?;
        self.directory = Some(directory);
        self.names = Some(names);
        Ok(())
    }

    fn wall(&self) -> SystemTime {
        now() + self.now
    }

    /// Whether something changed.
    fn look(&mut self) -> bool {
        let time = Time(u64::try_from(self.now.as_nanos()).unwrap());
        let wall = self.wall();
        let names = self.directory.as_mut().unwrap().look(time, wall);
        let changed = names.is_some();
        if changed {
            self.names = names;
        }
        changed
    }

    fn look_later(&mut self) -> bool {
        self.now += DIRECTORY_LOOK;
        self.look()
    }

    /// The first DNS name of the certificate that a client gets.
    fn of(&self, name: Option<&str>) -> String {
        let pair = self.names.as_ref().unwrap().choose(name);
        crate::fields::Fields::read(&pair.cert[0]).unwrap().names[0].to_owned()
    }

    fn chain(&self) -> usize {
        self.names.as_ref().unwrap().choose(None).cert.len()
    }
}

#[test]
fn a_name_finds_its_certificate_then_its_star_then_the_first() {
    let mut served = Served::new();
    served.write("/certs/b.pem", &["example.org", "www.example.org"]);
    served.write("/certs/c.pem", &["*.example.org"]);
    served.write("/certs/a.pem", &["First.example"]);
    served.write("/certs/d/e.PEM", &["deep.example"]);
    served.write("/certs/f.txt", &["text.example"]);
    served.open().unwrap();
    for (name, expected) in [
        (Some("example.org"), "example.org"),
        (Some("www.example.org"), "example.org"),
        (Some("mail.example.org"), "*.example.org"),
        (Some("a.b.example.org"), "First.example"),
        (Some("first.example"), "First.example"),
        (Some("deep.example"), "deep.example"),
        (Some("text.example"), "First.example"),
        (Some("unknown"), "First.example"),
        (None, "First.example"),
    ] {
        assert_eq!(served.of(name), expected, "{name:?}");
    }
}

#[test]
fn a_key_finds_its_certificate_in_another_file_and_its_chain() {
    let mut served = Served::new();
    let middle = served.authority.below("middle");
    let lower = middle.below("lower");
    let issued = lower.issue(&["example.org"]);
    served.files.write("/certs/z-key.pem", issued.key);
    served
        .files
        .write("/certs/own.pem", issued.certificate.clone());
    served
        .files
        .write("/certs/fullchain.pem", issued.certificate);
    served.files.write("/certs/lower.pem", lower.pem());
    served.files.write("/certs/middle.pem", middle.pem());
    served
        .files
        .write("/certs/root.pem", served.authority.pem());
    served.open().unwrap();
    assert_eq!(served.of(Some("example.org")), "example.org");
    assert_eq!(served.chain(), 3, "the client has the root");
}

#[test]
fn authorities_that_issued_each_other_make_no_endless_chain() {
    let mut served = Served::new();
    let one = Authority::new("one");
    let two = Authority::new("two");
    served.files.write("/certs/1.pem", one.cross("one", &two));
    served.files.write("/certs/2.pem", two.cross("two", &one));
    let issued = one.issue(&["example.org"]);
    served.files.write("/certs/3.pem", issued.pair());
    served.open().unwrap();
    assert_eq!(served.chain(), 3);
}

#[test]
fn the_directory_is_looked_at_once_in_a_while() {
    let mut served = Served::new();
    served.write("/certs/a.pem", &["a.example"]);
    served.open().unwrap();
    assert!(!served.look());
    served.write("/certs/b.pem", &["b.example"]);
    served.now += DIRECTORY_LOOK - Duration::from_nanos(1);
    assert!(!served.look());
    assert_eq!(served.of(Some("b.example")), "a.example");
    served.now += Duration::from_nanos(1);
    assert!(served.look());
    assert_eq!(served.of(Some("b.example")), "b.example");
    assert!(!served.look_later(), "nothing has changed since");
}

#[test]
fn files_are_added_replaced_and_removed() {
    let mut served = Served::new();
    served.write("/certs/a.pem", &["a.example"]);
    served.write("/certs/b.pem", &["b.example"]);
    served.open().unwrap();
    served.write("/certs/a.pem", &["new.example"]);
    assert!(served.look_later());
    assert_eq!(served.of(None), "new.example");
    served.files.remove("/certs/a.pem");
    assert!(served.look_later());
    assert_eq!(served.of(Some("new.example")), "b.example");
}

#[test]
fn a_failed_reload_changes_nothing_and_warns_once() {
    let mut served = Served::new();
    served.write("/certs/a.pem", &["a.example"]);
    served.open().unwrap();
    served.write("/certs/b.pem", &["b.example"]);
    served
        .files
        .write("/certs/c.pem", "-----BEGIN CERTIFICATE-----\n");
    let log = logged(|| {
        for _ in 0..59 {
            assert!(!served.look_later());
        }
    });
    assert_eq!(
        log.matches("certificates stay as they were").count(),
        1,
        "{log}"
    );
    assert!(log.contains("`/certs/c.pem`: malformed"), "{log}");
    assert_eq!(served.of(Some("b.example")), "a.example", "no half state");
    let log = logged(|| {
        assert!(!served.look_later());
        assert!(!served.look_later());
    });
    assert_eq!(
        log.matches("certificates stay as they were").count(),
        1,
        "{log}"
    );
    served.files.remove("/certs/c.pem");
    assert!(served.look_later());
    assert_eq!(served.of(Some("b.example")), "b.example");
}

#[test]
fn a_directory_that_is_gone_or_empty_changes_nothing() {
    let mut served = Served::new();
    served.write("/certs/a.pem", &["a.example"]);
    served.open().unwrap();
    served.files.remove("/certs/a.pem");
    assert!(!served.look_later());
    served.files.write("/certs/readme", "");
    assert!(!served.look_later());
    assert_eq!(served.of(None), "a.example");
}

#[test]
fn a_pair_in_the_middle_of_being_replaced_is_not_lost() {
    let mut served = Served::new();
    let (old, new) = (
        served.authority.issue(&["a.example"]),
        served.authority.issue(&["a.example"]),
    );
    served.files.write("/certs/cert.pem", old.certificate);
    served.files.write("/certs/key.pem", old.key);
    served.write("/certs/other.pem", &["other.example"]);
    served.open().unwrap();
    served.files.write("/certs/cert.pem", new.certificate);
    assert!(!served.look_later());
    assert_eq!(served.of(Some("a.example")), "a.example");
    served.files.write("/certs/key.pem", new.key);
    assert!(served.look_later());
    assert_eq!(served.of(Some("a.example")), "a.example");
}

#[test]
fn of_several_for_one_name_the_valid_one_that_lasts_longest() {
    let mut served = Served::new();
    let until = |year| move |p: &mut CertificateParams| p.not_after = date_time_ymd(year, 1, 1);
    served.write_with("/certs/1.pem", &["short.example", "a.example"], until(1971));
    served.write_with("/certs/2.pem", &["long.example", "a.example"], until(1980));
    served.write_with("/certs/3.pem", &["future.example", "a.example"], |p| {
        p.not_before = date_time_ymd(1972, 1, 1);
        p.not_after = date_time_ymd(1990, 1, 1);
    });
    let log = logged(|| served.open().unwrap());
    assert!(
        log.contains("`/certs/3.pem`: its certificate is not valid before 1972"),
        "{log}"
    );
    assert_eq!(served.of(Some("a.example")), "long.example");
    assert_eq!(served.of(None), "short.example");
    // No file has changed, but the calendar has.
    served.now = Duration::from_secs(3 * 365 * 86_400);
    assert!(served.look());
    assert_eq!(served.of(Some("a.example")), "future.example");
    assert_eq!(served.of(None), "long.example");
    assert!(!served.look_later());
}

#[test]
fn a_directory_that_cannot_serve_is_refused() {
    #[track_caller]
    fn check(write: impl FnOnce(&Served), expected: &str) {
        let mut served = Served::new();
        write(&served);
        let error = served.open().unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    check(|_| {}, "`/certs`: cannot be read: entity not found");
    check(
        |s| s.files.write("/certs/readme", ""),
        "`/certs`: no usable pair",
    );
    check(
        |s| s.files.write("/certs/a.pem", s.authority.pem()),
        "`/certs`: no usable pair",
    );
    check(|s| s.write("/certs/a.pem", &[]), "`/certs`: no usable pair");
    let key = "`/certs/a.pem`: malformed: its private key belongs to no certificate";
    check(
        |s| s.files.write("/certs/a.pem", s.authority.issue(&["a"]).key),
        key,
    );
    let future = |p: &mut CertificateParams| p.not_before = date_time_ymd(1999, 1, 1);
    check(
        |s| s.write_with("/certs/a.pem", &["a"], future),
        "`/certs/a.pem`: its certificate is not valid before 1999",
    );
}

fn logged(f: impl FnOnce()) -> String {
    testing::logged(f).join("\n")
}
