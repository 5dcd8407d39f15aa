//! The timers of tress: `Reactor::call_later` on a reactor in memory, whose clock is set by hand.

use super::Timers;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tress::DelayedCall;
use tress::testing::memory::Table;

/// Each call counts itself; who asked for it keeps the handle, without which nobody could cancel it.
#[derive(Debug)]
pub(super) struct TressTimers {
    table: Table,
    calls: Vec<Option<DelayedCall>>,
    fired: Rc<Cell<usize>>,
}

impl TressTimers {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            calls: Vec::new(),
            fired: Rc::default(),
        }
    }
}

impl Timers for TressTimers {
    fn add(&mut self, delays: &[u32]) {
        self.calls.reserve_exact(delays.len());
        for delay in delays {
            let fired = Rc::clone(&self.fired);
            let delay = Duration::from_millis(u64::from(*delay));
            let count = move || fired.set(fired.get() + 1);
            let call = self.table.reactor().call_later(delay, count);
            self.calls.push(Some(call));
        }
    }

    fn cancel(&mut self, places: &[u32]) {
        for place in places {
            let call = self.calls[*place as usize].take();
            call.expect("a place comes once")
                .cancel()
                .expect("it is still waiting");
        }
    }

    fn advance(&mut self, by: Duration) {
        self.table.clock().advance(by);
        self.table.settle();
    }

    fn fired(&self) -> usize {
        self.fired.get()
    }

    fn let_go(&mut self) {
        self.calls = Vec::new();
    }
}
