//! The table top itself: what it promises to those who test on it.

use super::*;
use crate::{
    ThreadFailure,
    address::Address,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost},
};
use std::cell::RefCell;

type Log = Rc<RefCell<Vec<String>>>;

/// Logs what happens to it and echoes.
struct Logged(Log);

impl Protocol for Logged {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let text = format!("made {} {}", transport.peer(), transport.host());
        self.0.borrow_mut().push(text);
        Ok(())
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.borrow_mut().push(data.escape_ascii().to_string());
        match data {
            b"abort" => transport.abort_connection(),
            b"fail" => return Err(Failure::msg("asked to")),
            _ => transport.write(data),
        }
        Ok(())
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.0.borrow_mut().push("read closed".to_owned());
        transport.lose_connection();
        Ok(())
    }
    fn write_paused(&mut self, _transport: &Transport) -> Result {
        self.0.borrow_mut().push("write paused".to_owned());
        Ok(())
    }
    fn write_resumed(&mut self, _transport: &Transport) -> Result {
        self.0.borrow_mut().push("write resumed".to_owned());
        Ok(())
    }
    fn connection_lost(&mut self, reason: Failure) {
        let known = [
            (reason.check::<ConnectionDone>().is_some(), "done"),
            (reason.check::<ConnectionAborted>().is_some(), "aborted"),
            (reason.check::<ConnectionLost>().is_some(), "lost"),
        ];
        let reason = known.iter().find(|(is, _)| *is).map_or("other", |k| k.1);
        self.0.borrow_mut().push(format!("lost: {reason}"));
    }
}

fn tester() -> (Tester<Logged>, Log) {
    let log = Log::default();
    (Tester::new(Logged(Rc::clone(&log))), log)
}

fn take(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.borrow_mut())
}

#[test]
fn bytes_come_and_go_as_they_are_sent() {
    let (tester, log) = tester();
    assert_eq!(take(&log), ["made 192.0.2.1:1 192.0.2.2:80"]);
    tester.receive(b"whole");
    tester.receive_cut(b"pieces", 4);
    assert_eq!(take(&log), ["whole", "piec", "es"]);
    assert_eq!(tester.sent(), b"wholepieces");
    assert_eq!(tester.sent(), b"");
    tester.peer_closes_write();
    assert_eq!(take(&log), ["read closed", "lost: done"]);
    assert!(tester.is_closed() && !tester.was_aborted());
    tester.receive(b"too late");
    assert_eq!(take(&log), [""; 0]);
}

#[test]
fn every_end_is_told_apart() {
    let (aborting, log) = tester();
    aborting.receive(b"abort");
    assert!(aborting.was_aborted());
    assert_eq!(log.borrow().last().unwrap(), "lost: aborted");

    let (failing, log) = tester();
    failing.receive(b"fail");
    assert!(failing.was_aborted());
    assert_eq!(log.borrow().last().unwrap(), "lost: other");

    let (reset, log) = tester();
    reset.peer_resets();
    assert!(reset.has_ended() && !reset.is_closed());
    assert_eq!(log.borrow().last().unwrap(), "lost: lost");
}

#[test]
fn a_peer_that_does_not_read_makes_output_queue() {
    let (tester, log) = tester();
    take(&log);
    tester.peer_takes(10);
    tester.with(|_, transport| transport.write(&[b'x'; 100_000]));
    assert_eq!(tester.sent().len(), 10);
    assert_eq!(tester.transport().statistics().queued, 99_990);
    tester.receive(b"not read while output waits");
    assert_eq!(take(&log), ["write paused"]);
    tester.peer_reads_on();
    assert_eq!(take(&log), ["write resumed", "not read while output waits"]);
    assert_eq!(tester.sent().len(), 99_990 + 27);
}

#[test]
fn the_idle_deadline_comes_when_time_is_advanced() {
    let (tester, _log) = tester();
    let idle = tester.reactor().limits().idle;
    tester.advance(idle / 2);
    tester.receive(b"still here");
    tester.advance(idle - Duration::from_secs(1));
    assert!(!tester.has_ended());
    tester.advance(Duration::from_secs(2));
    assert!(tester.was_aborted());
}

#[test]
fn timed_calls_run_at_their_own_time() {
    let (tester, _log) = tester();
    let times: Rc<RefCell<Vec<u64>>> = Rc::default();
    let (reactor, to) = (tester.reactor().clone(), Rc::clone(&times));
    tester
        .reactor()
        .call_later(Duration::from_nanos(5), move || {
            to.borrow_mut().push(reactor.now().0);
            let again = reactor.clone();
            reactor.call_later(Duration::from_nanos(7), move || {
                to.borrow_mut().push(again.now().0);
            });
        });
    tester.advance(Duration::from_nanos(11));
    assert_eq!(*times.borrow(), [5]);
    tester.advance(Duration::from_nanos(1));
    assert_eq!(*times.borrow(), [5, 12]);
}

/// Sends a lot, once.
struct Flood(usize);

impl Protocol for Flood {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(&vec![b'f'; self.0]);
        transport.lose_connection();
        Ok(())
    }
}

/// Counts what it gets.
#[derive(Default)]
struct Count(usize, Rc<Cell<usize>>);

impl Protocol for Count {
    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        self.0 += data.len();
        self.1.set(self.0);
        Ok(())
    }
}

#[test]
fn a_pair_hands_over_more_than_fits_the_link() {
    let got = Rc::new(Cell::new(0));
    let pair = linked_pair(Flood(1_000_000), Count(0, Rc::clone(&got)));
    assert_eq!(got.get(), 1_000_000);
    assert!(pair.server.is_closed() && pair.client.is_closed());
}

#[test]
fn a_paused_end_holds_the_other_back() {
    let pair = linked_pair(Count::default(), Count::default());
    pair.server.transport().pause_producing();
    pair.settle();
    pair.client
        .with(|_, transport| transport.write(&[1; 100_000]));
    let queued = pair.client.transport().statistics().queued;
    assert_eq!(queued, 100_000 - LINK_BYTES);
    assert_eq!(pair.server.with(|count, _| count.0), 0);
    pair.server.transport().resume_producing();
    pair.settle();
    assert_eq!(pair.server.with(|count, _| count.0), 100_000);
    pair.server
        .with(|_, transport| transport.abort_connection());
    assert!(pair.client.has_ended() && !pair.client.is_closed());
}

#[test]
fn connecting_to_nobody_is_refused() {
    let table = Table::new();
    let attempt = table.reactor().connect("tcp:192.0.2.2:80", Count::default);
    table.settle();
    let failure = attempt.try_result().ok().unwrap().unwrap_err();
    assert!(failure.check::<crate::error::ConnectError>().is_some());
    let port = table.reactor().listen("tcp:0", Count::default).unwrap();
    assert!(matches!(port.local_address(), Address::Ip(at) if at.port() >= 49_152));
}

#[test]
fn a_job_runs_in_the_next_turn_unless_it_is_cancelled() {
    let table = Table::new();
    let reactor = table.reactor();
    let sum = reactor.defer_to_thread(|| Ok(1 + 1));
    let never = reactor.defer_to_thread(|| -> crate::Result<(), ThreadFailure> {
        unreachable!("it was cancelled")
    });
    never.cancel();
    assert_eq!(reactor.statistics().jobs_waiting, 1);
    table.settle();
    assert_eq!(sum.try_result().unwrap().unwrap(), 2);
    let failure = never.try_result().unwrap().unwrap_err();
    assert!(failure.check::<crate::error::Cancelled>().is_some());
    assert_eq!(reactor.statistics().jobs_waiting, 0);
}
