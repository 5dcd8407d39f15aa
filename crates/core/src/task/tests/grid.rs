//! A looping call against a model that walks the grid point by point: any interval, calls that take any time, any
//! lateness. Calls come only on the grid, never two for one point, and the counts add up.

use super::*;
use crate::{LoopingCall, Time, testing::ManualClock};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// So much time passes, in which the loop does not turn; then it does, once.
    Pass(u64),
    /// The next call waits for a Deferred, until this comes again.
    Wait,
    Reset,
    /// Stops the loop, if it runs, and starts it again, with a call at once or not.
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..250_u64).prop_map(Step::Pass),
        1 => Just(Step::Wait),
        1 => Just(Step::Reset),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

/// What should happen. Knows no division: it goes from point to point.
struct Model {
    interval: u64,
    /// The first point that nothing has been called for, and is not past.
    next: u64,
    /// Points that were passed since the last call.
    missed: u64,
}

impl Model {
    fn starting(now: u64, interval: u64, at_once: bool) -> Self {
        Self {
            interval,
            next: if at_once { now } else { now + interval },
            missed: 0,
        }
    }

    /// Whether a call comes at this time, and its count. What it takes passes meanwhile.
    fn call(&mut self, now: u64, takes: u64) -> Option<u64> {
        if self.next > now {
            return None;
        }
        self.pass(now);
        let count = std::mem::take(&mut self.missed);
        self.pass(now + takes);
        Some(count)
    }

    /// Points up to this time cannot be called any more.
    fn pass(&mut self, now: u64) {
        while self.next <= now {
            self.next += self.interval;
            self.missed += 1;
        }
    }
}

/// The loop, what it has done, and what it should have done.
struct Subject {
    table: Table,
    clock: ManualClock,
    looping: LoopingCall,
    calls: Rc<RefCell<Vec<(u64, u64)>>>,
    made: usize,
    durations: Vec<u64>,
    /// Set: the next call waits for something.
    waits: Rc<Cell<bool>>,
    resolver: Rc<Cell<Option<Resolver<()>>>>,
    model: Model,
}

impl Subject {
    fn new(interval: u64, durations: Vec<u64>) -> Self {
        let table = Table::new();
        let clock = table.clock();
        clock.advance_to(Time(17));
        let calls: Rc<RefCell<Vec<(u64, u64)>>> = Rc::default();
        let waits: Rc<Cell<bool>> = Rc::default();
        let resolver: Rc<Cell<Option<Resolver<()>>>> = Rc::default();
        let (notes, waiting, place) = (Rc::clone(&calls), Rc::clone(&waits), Rc::clone(&resolver));
        let (took, time) = (durations.clone(), clock.clone());
        let looping = LoopingCall::with_count(table.reactor(), move |_, count| {
            let number = notes.borrow().len();
            notes.borrow_mut().push((now(&time), count));
            time.advance(Duration::from_nanos(took[number % took.len()]));
            if !waiting.take() {
                return Deferred::succeed(());
            }
            let (resolver, deferred) = Deferred::pair();
            place.set(Some(resolver));
            deferred
        });
        let subject = Self {
            model: Model::starting(now(&clock), interval, true),
            table,
            clock,
            looping,
            calls,
            made: 0,
            durations,
            waits,
            resolver,
        };
        subject.start(true);
        subject
    }

    fn start(&self, at_once: bool) {
        let interval = Duration::from_nanos(self.model.interval);
        let ended = if at_once {
            self.looping.start(interval)
        } else {
            self.looping.start_later(interval)
        };
        ended.detach();
    }

    fn is_waiting(&self) -> bool {
        let resolver = self.resolver.take();
        let waiting = resolver.is_some();
        self.resolver.set(resolver);
        waiting
    }

    /// What the last call waits for comes.
    fn resolve(&mut self) {
        if let Some(resolver) = self.resolver.take() {
            resolver.resolve(());
            self.model.pass(now(&self.clock));
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Pass(time) => {
                self.clock.advance(Duration::from_nanos(time));
                let at = now(&self.clock);
                turn(self.table.reactor(), 1);
                self.expect_call(at);
            }
            Step::Wait if self.is_waiting() => self.resolve(),
            Step::Wait => self.waits.set(true),
            Step::Reset => {
                self.looping.reset().expect("it runs");
                self.model = Model::starting(now(&self.clock), self.model.interval, false);
            }
            Step::Restart(at_once) => {
                self.looping.stop().expect("it runs");
                self.resolve();
                let at = now(&self.clock);
                self.model = Model::starting(at, self.model.interval, at_once);
                self.start(at_once);
                self.expect_call(at);
            }
        }
    }

    /// The call that the model expects at this time has been made, or none.
    fn expect_call(&mut self, at: u64) {
        let made = self.calls.borrow().get(self.made).copied();
        if made.is_none() && self.is_waiting() {
            return;
        }
        let takes = self.durations[self.made % self.durations.len()];
        let call = self.model.call(at, takes).map(|count| (at, count));
        assert_eq!(made, call);
        self.made += usize::from(call.is_some());
        assert_eq!(self.calls.borrow().len(), self.made, "one call a turn");
    }

    /// The next call is planned exactly on the grid.
    fn check_plan(&self) {
        let planned = self.table.reactor().next_deadline();
        let until = self.model.next.saturating_sub(now(&self.clock));
        let expected = (!self.is_waiting()).then(|| Duration::from_nanos(until));
        assert_eq!(planned, expected);
    }
}

fn now(clock: &ManualClock) -> u64 {
    crate::clock::Clock::now(clock).0
}

proptest! {
    #[test]
    fn calls_are_on_the_grid_once_a_point_and_the_counts_add_up(
        interval in 1..100_u64,
        durations in prop::collection::vec(prop_oneof![Just(0), 0..250_u64], 1..5),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut subject = Subject::new(interval, durations);
        subject.expect_call(17);
        subject.check_plan();
        for step in &steps {
            subject.take(step);
            subject.check_plan();
        }
    }
}
