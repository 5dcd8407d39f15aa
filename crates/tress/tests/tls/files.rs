//! The system's files, as a directory of certificates uses them.

use crate::World;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use tress::tls::{Files, Found, SystemFiles};

fn list(directory: &Path) -> Vec<(PathBuf, u128)> {
    let found = SystemFiles.list(directory).unwrap();
    let pair = |found: Found| {
        let path = found.path.strip_prefix(directory).unwrap().to_owned();
        (path, found.version)
    };
    found.into_iter().map(pair).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let names = list(directory).into_iter();
    names.map(|(path, _)| path.display().to_string()).collect()
}

#[test]
fn files_are_listed_in_order_through_links_and_directories() {
    let world = World::new();
    let directory = world.directory.join("list");
    fs::create_dir_all(directory.join("b/c")).unwrap();
    for name in ["z", "a", "b/y", "b/c/x"] {
        fs::write(directory.join(name), name).unwrap();
    }
    symlink(directory.join("a"), directory.join("linked")).unwrap();
    symlink(directory.join("gone"), directory.join("dangling")).unwrap();
    assert_eq!(names(&directory), ["a", "b/c/x", "b/y", "linked", "z"]);
    // A circle of links comes to an end.
    symlink(&directory, directory.join("b/circle")).unwrap();
    let all = names(&directory);
    assert!(all.len() > 5 && all.len() < 100, "{all:?}");
    assert!(SystemFiles.list(&directory.join("a")).is_err());
    assert!(SystemFiles.list(&directory.join("nowhere")).is_err());
}

#[test]
fn a_change_is_seen() {
    let world = World::new();
    let directory = world.directory.join("list");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("a");
    fs::write(&file, "one").unwrap();
    let before = list(&directory);
    assert_eq!(list(&directory), before);
    fs::write(&file, "longer").unwrap();
    let longer = list(&directory);
    assert_ne!(longer, before);
    // As long as before, at another time.
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "edited").unwrap();
    let later = written + std::time::Duration::from_nanos(1);
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(later)
        .unwrap();
    assert_ne!(list(&directory), longer);
}

#[test]
fn what_has_no_end_is_not_read() {
    assert!(SystemFiles.read(Path::new("/dev/zero")).is_err());
    assert!(SystemFiles.read(Path::new("/")).is_err());
    assert!(SystemFiles.read(Path::new("/nowhere")).is_err());
}

#[test]
fn a_directory_is_served_and_read_again() {
    let world = World::new();
    let certs = world.directory.join("certs");
    fs::create_dir_all(&certs).unwrap();
    let copy = |from: &str| {
        let name = format!("{from}.pem");
        fs::copy(world.path(&name), certs.join(name)).unwrap();
    };
    copy("localhost.cert");
    copy("localhost.key");
    let at = format!("tls:{}:port=0:interface=127.0.0.1", world.path("certs"));
    let echo = || tress::framing::Lines::new(crate::Repeat);
    let port = world.reactor.listen(&at, echo).unwrap();
    let trust = world.option("trustRoots", "ca.pem");
    let to = |name: &str| {
        let endpoint = format!(r"tcp\:127.0.0.1\:{}", crate::number(&port));
        world.connect(&format!("tls:{name}{trust}:endpoint={endpoint}"), b"info")
    };
    assert_eq!(to("localhost")[0], "TLS 1.3, none, localhost, nobody");
    assert!(to("client")[0].contains("not valid for name"));
    copy("client.cert");
    copy("client.key");
    world.until(|| to("client")[0] == "TLS 1.3, none, client, nobody");
}
