//! How the program starts and stops: fast, on one signal, also while peers are connected.

use crate::{
    peer::{connect, echoes},
    testee::Testee,
};
use std::time::Duration;

const STARTS: usize = 20;
/// The fastest of all starts takes no longer, in a build for development too.
const STARTED: Duration = Duration::from_millis(100);
const STOPPED: Duration = Duration::from_secs(2);

#[test]
fn one_signal_stops_it() {
    let mut starts = Vec::new();
    let mut stops = Vec::new();
    for round in 0..STARTS {
        let testee = Testee::start("echo");
        starts.push(testee.took);
        let idle = if round % 2 == 0 { 0 } else { 10 };
        let peers: Vec<_> = (0..idle).map(|_| connect(testee.at)).collect();
        for peer in &peers {
            echoes(peer, b"hello");
        }
        let (status, took) = testee.terminate();
        assert_eq!(status.code(), Some(0), "{status} with {idle} peers");
        assert!(took < STOPPED, "{took:?} with {idle} peers");
        stops.push(took);
    }
    starts.sort_unstable();
    stops.sort_unstable();
    println!("starts {:?} to {:?}", starts[0], starts[STARTS - 1]);
    println!("stops {:?} to {:?}", stops[0], stops[STARTS - 1]);
    assert!(starts[0] < STARTED, "{:?} until it listens", starts[0]);
}
