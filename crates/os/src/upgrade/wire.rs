//! What the two processes say to each other. Reads and writes bytes only.
//!
//! ```text
//! old: "tress-upgrade 1 2\n" "14:127.0.0.1:8007," "9:/run/x.s," --> new
//! new: "tress-upgrade 1 ready\n", or "tress-upgrade 1 failed\n" and why, to the end --> old
//! old: "go\n" --> new
//! ```
//! The first line is the same in all versions; what follows is the version's own.

use super::PORTS_MAX;

const MAGIC: &str = "tress-upgrade";
const VERSION: u32 = 1;
/// Longest first line of either.
pub(super) const LINE_BYTES_MAX: usize = 64;
/// The most that the old process says: names of [`PORTS_MAX`] sockets.
pub(super) const PORTS_BYTES_MAX: usize = PORTS_MAX * (NAME_BYTES_MAX + 8);
const NAME_BYTES_MAX: usize = 1024;
/// The most that is kept of why the new one failed.
pub(super) const WHY_BYTES_MAX: usize = 65_536;

pub(super) const GO: &[u8] = b"go\n";

/// What the new process has said so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'s> {
    /// Not yet a line.
    Nothing,
    Ready,
    /// Why, as far as it came.
    Failed(&'s [u8]),
    /// Something else, in these words.
    Wrong(String),
}

/// What the sockets were asked for as, for the new process.
pub(super) fn ports<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = format!("{MAGIC} {VERSION} {}\n", names.len()).into_bytes();
    for name in names {
        bytes.extend_from_slice(format!("{}:", name.len()).as_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b',');
    }
    bytes
}

/// The names, once they are all there.
///
/// # Errors
/// It is something else, in these words.
pub(super) fn read_ports(bytes: &[u8]) -> Result<Option<Vec<String>>, String> {
    let Some((line, mut rest)) = line(bytes)? else {
        return Ok(None);
    };
    let count = line.parse::<usize>().ok().filter(|it| *it <= PORTS_MAX);
    let count = count.ok_or_else(|| format!("expected a number of sockets, got `{line}`"))?;
    let mut names = Vec::new();
    for _ in 0..count {
        let Some((name, next)) = netstring(rest)? else {
            return Ok(None);
        };
        names.push(name);
        rest = next;
    }
    match rest {
        [] => Ok(Some(names)),
        [..] => Err("more follows the names of the sockets".to_owned()),
    }
}

pub(super) fn ready() -> Vec<u8> {
    format!("{MAGIC} {VERSION} ready\n").into_bytes()
}

pub(super) fn failed(why: &str) -> Vec<u8> {
    format!("{MAGIC} {VERSION} failed\n{why}").into_bytes()
}

pub(super) fn read_answer(bytes: &[u8]) -> Said<'_> {
    match line(bytes) {
        Ok(None) => Said::Nothing,
        Ok(Some(("ready", []))) => Said::Ready,
        Ok(Some(("failed", why))) => Said::Failed(why),
        Ok(Some((word, _))) => Said::Wrong(format!("`{}`", word.escape_default())),
        Err(wrong) => Said::Wrong(wrong),
    }
}

/// What the first line says after the version, and what follows.
fn line(bytes: &[u8]) -> Result<Option<(&str, &[u8])>, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            0..=LINE_BYTES_MAX => Ok(None),
            _ => Err("no line of the upgrade".to_owned()),
        };
    };
    let text = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let mut words = text.splitn(3, ' ');
    let (Some(MAGIC), Some(version), Some(rest)) = (words.next(), words.next(), words.next())
    else {
        return Err("no line of the upgrade".to_owned());
    };
    if version.parse() != Ok(VERSION) {
        let version = version.escape_default();
        return Err(format!(
            "version {version} of the upgrade, where version {VERSION} is spoken"
        ));
    }
    Ok(Some((rest, &bytes[end + 1..])))
}

fn netstring(bytes: &[u8]) -> Result<Option<(String, &[u8])>, String> {
    let bad = || Err("the names of the sockets are not understood".to_owned());
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else {
        return if bytes.len() > 4 { bad() } else { Ok(None) };
    };
    let length = std::str::from_utf8(&bytes[..colon]).ok();
    let length = length.and_then(|digits| digits.parse::<usize>().ok());
    let Some(length) = length.filter(|length| *length <= NAME_BYTES_MAX) else {
        return bad();
    };
    let rest = &bytes[colon + 1..];
    let Some(end) = rest.get(length) else {
        return Ok(None);
    };
    match String::from_utf8(rest[..length].to_vec()) {
        Ok(name) if *end == b',' => Ok(Some((name, &rest[length + 1..]))),
        Ok(_) | Err(_) => bad(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut at every byte: nothing before the whole is there.
    #[test]
    fn names_come_in_any_pieces() {
        let names = [
            "127.0.0.1:8007",
            "/run/a,b:\n.s",
            "",
            "systemd:INET:index=0",
        ];
        let bytes = ports(names.into_iter());
        for end in 0..bytes.len() {
            assert_eq!(read_ports(&bytes[..end]), Ok(None), "{end}");
        }
        let names = names.map(str::to_owned).to_vec();
        assert_eq!(read_ports(&bytes), Ok(Some(names)));
        assert_eq!(read_ports(&ports([].into_iter())), Ok(Some(Vec::new())));
    }

    #[test]
    fn what_is_no_list_of_names() {
        let check = |bytes: &str, expected: &str| {
            let wrong = read_ports(bytes.as_bytes()).expect_err("it is wrong");
            assert!(wrong.contains(expected), "{wrong}");
        };
        check("tress-upgrade 2 1\n", "version 2 of the upgrade");
        check("tress-upgrade x 1\n", "version x of the upgrade");
        check("tress-upgrade 1\n", "no line");
        check(&"x".repeat(65), "no line");
        check("tress-upgrade 1 4097\n", "expected a number of sockets");
        check("tress-upgrade 1 -1\n", "expected a number of sockets");
        check("tress-upgrade 1 0\nx", "more follows");
        check("tress-upgrade 1 1\n1025:", "not understood");
        check("tress-upgrade 1 1\nabcde", "not understood");
        check("tress-upgrade 1 1\n1:ab", "not understood");
    }

    #[test]
    fn answers() {
        let ready = ready();
        for end in 0..ready.len() {
            assert_eq!(read_answer(&ready[..end]), Said::Nothing);
        }
        assert_eq!(read_answer(&ready), Said::Ready);
        assert_eq!(read_answer(&failed("a\nb")), Said::Failed(b"a\nb"));
        let wrong = |bytes: &[u8]| matches!(read_answer(bytes), Said::Wrong(_));
        assert!(wrong(b"tress-upgrade 1 ready\nx"));
        assert!(wrong(b"tress-upgrade 2 ready\n"));
        assert!(wrong(b"hello\n"));
        assert!(wrong(&[b'x'; 65]));
    }
}
