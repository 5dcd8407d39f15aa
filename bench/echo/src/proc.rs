//! What the kernel tells about a process under /proc.

use std::io;

/// Nanoseconds on a core so far, over all threads of the process.
///
/// Read while the server is idle: the kernel brings the figure up to date when a thread goes to sleep.
///
/// # Errors
/// The process is gone, or the kernel keeps no schedstat.
pub fn cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for text in of_every_thread(pid, "schedstat")? {
        total +=
            first_number(&text).ok_or_else(|| io::Error::other("schedstat holds no number"))?;
    }
    Ok(total)
}

/// Resident bytes of the process.
///
/// # Errors
/// The process is gone, or the kernel has no smaps_rollup.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    kilobytes(&text, "Rss:")
        .map(|k| k * 1024)
        .ok_or_else(|| io::Error::other("smaps_rollup holds no Rss"))
}

/// Bytes in the kernel's slab caches, of the whole machine.
///
/// # Errors
/// No /proc/meminfo.
pub fn slab_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    kilobytes(&text, "Slab:")
        .map(|k| k * 1024)
        .ok_or_else(|| io::Error::other("meminfo holds no Slab"))
}

/// Whether every thread of the process is being traced.
///
/// # Errors
/// The process is gone.
pub fn is_traced(pid: u32) -> io::Result<bool> {
    let threads = of_every_thread(pid, "status")?;
    Ok(threads
        .iter()
        .all(|text| kilobytes(text, "TracerPid:").unwrap_or(0) != 0))
}

/// Whether the process holds an io_uring.
///
/// # Errors
/// The process is gone.
pub fn has_ring(pid: u32) -> io::Result<bool> {
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed between the two calls.
        let link = std::fs::read_link(entry?.path()).unwrap_or_default();
        if link.to_string_lossy().contains("io_uring") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One file of every thread; a thread may end between being listed and being read.
fn of_every_thread(pid: u32, file: &str) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        texts.extend(std::fs::read_to_string(task?.path().join(file)).ok());
    }
    if texts.is_empty() {
        return Err(io::Error::other(format!("no {file} of any thread")));
    }
    Ok(texts)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The number after `key` at the start of a line.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(first_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_key() {
        let text = "SwapTotal:  0 kB\nSlab:      50784 kB\nRss:   12 kB\n";
        assert_eq!(kilobytes(text, "Slab:"), Some(50_784));
        assert_eq!(kilobytes(text, "Rss:"), Some(12));
        assert_eq!(kilobytes(text, "Pss:"), None);
        assert_eq!(first_number("1234 56 7\n"), Some(1234));
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn this_process_is_readable() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        cpu_nanos(pid).unwrap();
    }
}
