//! What can go wrong in a virtual network: kinds with names, how often each strikes, how often it has. Decides by a seed
//! of its own, so that a world without faults is not another one. Knows no network.

use crate::world::World;
use fastrand::Rng;
use std::{fmt, time::Duration};
use tress_core::Time;

/// A kind of fault. Most strike by chance, at every opportunity of their kind ([`World::set_fault`]); some can also be
/// caused ([`World::partition`], [`World::crash`] and others). All are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A segment takes up to half a second longer, and with it all behind it. Chance for each segment.
    LateSegment,
    /// The network resets a connection, for both ends. Chance for each segment with bytes.
    Reset,
    /// Two hosts do not hear of each other for up to two seconds: segments are late, datagrams lost. Chance for each
    /// segment between two hosts.
    Partition,
    /// An attempt to connect is refused although somebody listens. Chance for each attempt.
    RefusedConnect,
    /// An attempt to connect is never answered. Chance for each attempt.
    BlackHoledConnect,
    /// A connection is reported to its port up to a second after it was made. Chance for each.
    LateAccept,
    /// A connection holds a 64th of the usual window. Chance for each.
    SmallWindow,
    /// A read gives less than there is. Chance for each.
    ShortRead,
    /// A write takes less than there is room for. Chance for each.
    ShortWrite,
    /// A connection is said to have room for more although nobody waited for it. Chance for each report of bytes.
    SpuriousReadiness,
    /// A wait ends before anything has happened. Chance for each that would let time pass: a reactor's own, or that of each
    /// reactor that the world turns.
    SpuriousWakeup,
    /// A datagram is lost. Chance for each, and for each host that it goes to.
    LostDatagram,
    /// A datagram comes twice. Chance for each.
    DuplicatedDatagram,
    /// A datagram takes up to a hundred times as long, and later ones overtake it. Chance for each.
    ReorderedDatagram,
    /// "Too many open files" although there are few. Chance for each accept and each connect.
    NoDescriptor,
    /// A process cannot be started: "resource temporarily unavailable". Chance for each.
    FailedSpawn,
    /// A child is killed. Chance whenever its program is told something.
    KilledChild,
    /// A disk has no room for what is written. Chance for each write.
    FullDisk,
    /// The calendar jumps by up to an hour, forwards or back. Chance for each wait.
    ClockJump,
    /// A name is not found although it is in the table. Chance for each lookup.
    FailedLookup,
    /// A host loses all its processes at once, and says nothing to anybody. Only by [`World::crash`].
    HostCrash,
    /// A host that has crashed is back, with its disk. Only by [`World::restart`].
    HostRestart,
}

/// How many kinds there are.
const KINDS: usize = Fault::ALL.len();
/// A chance of one.
const ALWAYS: f64 = u32::MAX as f64;

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::LateSegment,
        Self::Reset,
        Self::Partition,
        Self::RefusedConnect,
        Self::BlackHoledConnect,
        Self::LateAccept,
        Self::SmallWindow,
        Self::ShortRead,
        Self::ShortWrite,
        Self::SpuriousReadiness,
        Self::SpuriousWakeup,
        Self::LostDatagram,
        Self::DuplicatedDatagram,
        Self::ReorderedDatagram,
        Self::NoDescriptor,
        Self::FailedSpawn,
        Self::KilledChild,
        Self::FullDisk,
        Self::ClockJump,
        Self::FailedLookup,
        Self::HostCrash,
        Self::HostRestart,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LateSegment => "late-segment",
            Self::Reset => "reset",
            Self::Partition => "partition",
            Self::RefusedConnect => "refused-connect",
            Self::BlackHoledConnect => "black-holed-connect",
            Self::LateAccept => "late-accept",
            Self::SmallWindow => "small-window",
            Self::ShortRead => "short-read",
            Self::ShortWrite => "short-write",
            Self::SpuriousReadiness => "spurious-readiness",
            Self::SpuriousWakeup => "spurious-wakeup",
            Self::LostDatagram => "lost-datagram",
            Self::DuplicatedDatagram => "duplicated-datagram",
            Self::ReorderedDatagram => "reordered-datagram",
            Self::NoDescriptor => "no-descriptor",
            Self::FailedSpawn => "failed-spawn",
            Self::KilledChild => "killed-child",
            Self::FullDisk => "full-disk",
            Self::ClockJump => "clock-jump",
            Self::FailedLookup => "failed-lookup",
            Self::HostCrash => "host-crash",
            Self::HostRestart => "host-restart",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each kind strikes and has struck.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Of `u32::MAX`.
    chances: [u32; KINDS],
    counts: [u64; KINDS],
    rng: Rng,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        /// Apart from the network's own.
        const APART: u64 = 0x9e37_79b9_7f4a_7c15;
        Self {
            chances: [0; KINDS],
            counts: [0; KINDS],
            rng: Rng::with_seed(seed ^ APART),
        }
    }

    pub(crate) fn set(&mut self, fault: Fault, chance: f64) {
        // A float becomes the nearest whole number that there is room for.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        let chance = (chance * ALWAYS) as u32;
        self.chances[fault as usize] = chance;
    }

    /// Whether it strikes now; then it is counted.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let chance = self.chances[fault as usize];
        let strikes = chance > 0 && self.rng.u32(..) <= chance;
        if strikes {
            self.count(fault);
        }
        strikes
    }

    pub(crate) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        self.rng.usize(1..=most.max(1))
    }

    /// A time of at most `longest`.
    pub(crate) fn while_up_to(&mut self, longest: Duration) -> Duration {
        let most = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(0..=most))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.rng.bool()
    }
}

/// Between which hosts nothing goes, and until when.
#[derive(Debug, Default)]
pub(crate) struct Partitions(Vec<((usize, usize), Time)>);

impl Partitions {
    pub(crate) fn begin(&mut self, one: usize, other: usize, until: Time, now: Time) {
        self.0.retain(|(_, until)| *until > now);
        self.0.push(((one.min(other), one.max(other)), until));
    }

    /// When they hear of each other again, if they do not.
    pub(crate) fn until(&self, one: usize, other: usize, now: Time) -> Option<Time> {
        let pair = (one.min(other), one.max(other));
        let between = self.0.iter().filter(|(between, _)| *between == pair);
        between
            .map(|(_, until)| *until)
            .max()
            .filter(|until| *until > now)
    }
}

impl World {
    /// Lets a kind of fault strike with this chance, from 0 for never to 1 for always, at every opportunity of its kind
    /// from now on. Nothing strikes in a new world.
    pub fn set_fault(&self, fault: Fault, chance: f64) {
        self.0.borrow_mut().faults.set(fault, chance);
    }

    /// No kind of fault strikes any more. What was late stays late.
    pub fn clear_faults(&self) {
        let mut network = self.0.borrow_mut();
        for fault in Fault::ALL {
            network.faults.set(fault, 0.0);
        }
    }

    /// How often this kind has struck.
    #[must_use]
    pub fn fault_count(&self, fault: Fault) -> u64 {
        self.0.borrow().faults.counts[fault as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_place_and_name() {
        for (index, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, index);
            let named = Fault::ALL
                .iter()
                .filter(|other| other.name() == fault.name());
            assert_eq!(named.count(), 1, "{fault}");
        }
    }

    #[test]
    fn a_chance_is_kept() {
        let mut faults = Faults::new(1);
        for (chance, least, most) in [(0.0, 0, 0), (0.25, 2200, 2800), (1.0, 10_000, 10_000)] {
            let mut struck = 0;
            faults.set(Fault::Reset, chance);
            for _ in 0..10_000 {
                struck += u32::from(faults.strikes(Fault::Reset));
            }
            assert!((least..=most).contains(&struck), "{chance}: {struck}");
        }
    }

    #[test]
    fn a_partition_has_two_sides_and_an_end() {
        let mut partitions = Partitions::default();
        partitions.begin(2, 1, Time(10), Time(0));
        partitions.begin(1, 2, Time(8), Time(0));
        assert_eq!(partitions.until(1, 2, Time(5)), Some(Time(10)));
        assert_eq!(partitions.until(2, 1, Time(9)), Some(Time(10)));
        assert_eq!(partitions.until(2, 1, Time(10)), None);
        assert_eq!(partitions.until(2, 3, Time(5)), None);
    }
}
