//! Whole hosts and the links between them: partitions, crashes, restarts, and the calendar. Decides nothing by itself.

use crate::{
    faults::Fault,
    network::{Flight, Network},
    process::Socket,
    world::{World, find},
};
use std::{io, time::Duration};
use tress_core::Time;

impl World {
    /// For this long, two hosts do not hear of each other: what one sends to the other on a connection arrives
    /// afterwards, datagrams are lost. What is on its way already arrives.
    ///
    /// # Panics
    /// One of the two is not there.
    #[track_caller]
    pub fn partition(&self, one: &str, other: &str, time: Duration) {
        let mut network = self.0.borrow_mut();
        let (one, other) = (find(&network, one), find(&network, other));
        network.partition(one, other, time);
    }

    /// Everything that runs on this host is gone at once, and nobody is told: its drivers fail from now on, and their
    /// reactors are to be dropped; its children never return. What is sent to it waits, as it would be sent again and
    /// again, and is answered by a reset after [`World::restart`]. Its disk stays.
    ///
    /// # Panics
    /// There is no such host.
    #[track_caller]
    pub fn crash(&self, address: &str) {
        let mut network = self.0.borrow_mut();
        let host = find(&network, address);
        network.crash(host);
    }

    /// A host that has crashed is back. New drivers on it work.
    ///
    /// # Panics
    /// There is no such host.
    #[track_caller]
    pub fn restart(&self, address: &str) {
        let mut network = self.0.borrow_mut();
        let host = find(&network, address);
        network.restart(host);
    }

    /// Sets the calendar of all hosts forwards, or back. The clock by which deadlines go is another.
    pub fn set_calendar(&self, by: Duration, back: bool) {
        self.0.borrow_mut().jump(by, back);
    }
}

impl Network {
    pub(crate) fn partition(&mut self, one: usize, other: usize, time: Duration) {
        self.faults.count(Fault::Partition);
        let now = self.now();
        self.partitions.begin(one, other, now + time, now);
    }

    pub(crate) fn jump(&mut self, by: Duration, back: bool) {
        self.faults.count(Fault::ClockJump);
        self.calendar = if back {
            self.calendar.saturating_sub(by)
        } else {
            self.calendar + by
        };
    }

    /// The calendar may jump when a driver looks.
    pub(crate) fn may_jump(&mut self) {
        const LONGEST: Duration = Duration::from_secs(3600);
        if self.faults.strikes(Fault::ClockJump) {
            let (by, back) = (self.faults.while_up_to(LONGEST), self.faults.coin());
            self.calendar = if back {
                self.calendar.saturating_sub(by)
            } else {
                self.calendar + by
            };
        }
    }

    /// When a wait until this time ends for nothing, if it does.
    pub(crate) fn woken_before(&mut self, time: Time) -> Option<Time> {
        let now = self.now();
        let longest = time.since(now).saturating_sub(Duration::from_nanos(1));
        if time <= now || !self.faults.strikes(Fault::SpuriousWakeup) {
            return None;
        }
        Some(now + self.faults.while_up_to(longest))
    }

    fn crash(&mut self, host: usize) {
        if std::mem::replace(&mut self.host_mut(host).is_down, true) {
            return;
        }
        self.faults.count(Fault::HostCrash);
        for process in self.processes_of(host) {
            for token in self.process(process).tokens() {
                match self.process_mut(process).remove(token) {
                    Some(Socket::Stream(id)) => self.forget_end(id),
                    Some(Socket::Port(key)) => self.forget_listener(host, key),
                    Some(Socket::Datagrams(id)) => self.datagrams.close(id),
                    Some(Socket::Child(id)) => self.children.forget(id),
                    None => {}
                }
            }
            if self.process(process).child.is_some() {
                self.children.forget_table(process);
            }
            self.process_mut(process).is_dead = true;
        }
        self.host_mut(host).forget();
    }

    fn restart(&mut self, host: usize) {
        if !std::mem::replace(&mut self.host_mut(host).is_down, false) {
            return;
        }
        self.faults.count(Fault::HostRestart);
        let missed = std::mem::take(&mut self.host_mut(host).missed);
        for flight in missed {
            let at = self.now() + self.latency();
            self.launch(at, flight);
        }
    }

    /// Keeps what comes to a host that is down, when it would be sent again until somebody answers. True when it is down.
    pub(crate) fn is_missed(&mut self, flight: Flight, host: Option<usize>) -> Result<(), Flight> {
        match host {
            Some(host) if self.host_mut(host).is_down => {
                self.host_mut(host).missed.push(flight);
                Ok(())
            }
            _ => Err(flight),
        }
    }
}

/// What a driver says whose host has crashed.
pub(crate) fn crashed() -> io::Error {
    io::Error::other("the host has crashed")
}
