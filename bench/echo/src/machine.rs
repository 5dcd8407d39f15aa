//! What the harness asks of the machine for itself: cores, descriptors, and facts for the note.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::{SystemTime, UNIX_EPOCH};

/// The two cores that server and client are kept apart on, if there are two.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pair: Option<(usize, usize)>,
}

impl Cores {
    /// Takes the first two cores this process may use, and moves this process to the second.
    ///
    /// # Errors
    /// Why servers and client are not pinned.
    pub fn take() -> Result<Self, String> {
        let allowed =
            sched_getaffinity(None).map_err(|error| format!("sched_getaffinity: {error}"))?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let (Some(server), Some(client)) = (cores.next(), cores.next()) else {
            return Err("only one core may be used".into());
        };
        pin(client).map_err(|error| format!("sched_setaffinity: {error}"))?;
        Ok(Self {
            pair: Some((server, client)),
        })
    }

    /// No pinning at all.
    #[must_use]
    pub fn unpinned() -> Self {
        Self { pair: None }
    }

    /// Runs `spawn` on the servers' core, so that the child and its threads inherit it from their first instruction.
    pub fn on_server_core<R>(&self, spawn: impl FnOnce() -> R) -> R {
        let Some((server, client)) = self.pair else {
            return spawn();
        };
        // Both calls succeeded once with these cores; were one to fail now, the slices would only be noisier.
        let moved = pin(server).is_ok();
        let result = spawn();
        if moved {
            let _ = pin(client);
        }
        result
    }

    /// For the note.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.pair {
            Some((server, client)) => format!("servers on core {server}, client on core {client}"),
            None => "not pinned".into(),
        }
    }
}

fn pin(core: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

/// Raises the limit of open descriptors to the hard limit, and that to `wanted` where the system allows it.
/// Children inherit it. Returns what holds now.
#[must_use]
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(wanted);
    if hard < wanted {
        let more = Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        };
        if setrlimit(Resource::Nofile, more).is_ok() {
            return wanted;
        }
    }
    let all = hard.min(wanted);
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(all),
            maximum: now.maximum,
        },
    ) {
        Ok(()) => all,
        Err(_) => now.current.unwrap_or(all),
    }
}

/// The kernel's release.
#[must_use]
pub fn kernel() -> String {
    read_word("/proc/sys/kernel/osrelease")
}

/// The processor's name.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

fn read_word(path: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// Today in UTC, `YYYY-MM-DD`.
#[must_use]
pub fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The date of a number of days after 1970-01-01.
fn date(mut days: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(59), "1970-03-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(20_453), "2025-12-31");
    }
}
