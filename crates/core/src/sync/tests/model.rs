//! Semaphore and queue beside small models of them, under random orders of calls.
//!
//! The models match at once who waits with what is there, and run the callbacks of those who waited afterwards, one
//! by one. The real ones match as late as they can; nobody must be able to tell.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What is compared after every call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Who was served with what, in order. Who dropped the Deferred is not seen.
    served: Vec<(usize, usize)>,
    refused: Vec<usize>,
    cancelled: Vec<usize>,
    /// Tokens or items that are there.
    there: usize,
    waiting: usize,
}

impl Seen {
    fn end(&mut self, number: usize, failure: &Failure) {
        if failure.check::<Cancelled>().is_some() {
            return self.cancelled.push(number);
        }
        let refused = failure.check::<TooManyWaiters>().is_some();
        assert!(refused || failure.check::<QueueUnderflow>().is_some());
        self.refused.push(number);
    }
}

/// The Deferreds of a run, by number; a cancel of one that is over or was never made does nothing.
#[derive(Clone, Default)]
struct Pending(Log<(usize, Deferred<()>)>);

impl Pending {
    fn keep(&self, number: usize, deferred: Deferred<()>) {
        self.0.borrow_mut().push((number, deferred));
    }

    fn cancel(&self, number: usize) {
        let pending = self.0.borrow();
        let found = pending.iter().find(|(of, _)| *of == number);
        let canceller = found.and_then(|(_, deferred)| deferred.canceller());
        drop(pending);
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
    }
}

fn remove<X>(from: &mut Vec<X>, which: impl Fn(&X) -> bool) -> Option<X> {
    let at = from.iter().position(which)?;
    Some(from.remove(at))
}

#[derive(Clone, Copy, Debug)]
enum Use {
    Acquire(Holder),
    Cancel(usize),
    /// Drops the guard of that number, if it is held.
    Release(usize),
}

/// What the callback of an acquire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Keeps the guard.
    Keeps,
    Drops,
    /// Acquires to keep, then drops.
    AcquiresAndDrops,
    /// Drops all guards that are held, acquires two to keep, then drops its own.
    DropsAll,
    /// There is none: the Deferred is dropped.
    Detached,
}

fn a_use() -> impl Strategy<Value = Use> {
    let holder = prop_oneof![
        4 => Just(Holder::Keeps),
        1 => Just(Holder::Drops),
        1 => Just(Holder::AcquiresAndDrops),
        1 => Just(Holder::DropsAll),
        1 => Just(Holder::Detached),
    ];
    prop_oneof![
        6 => holder.prop_map(Use::Acquire),
        2 => (0..40_usize).prop_map(Use::Cancel),
        4 => (0..40_usize).prop_map(Use::Release),
    ]
}

#[derive(Default)]
struct SemaphoreModel {
    waiters_max: usize,
    acquires: usize,
    free: usize,
    held: Vec<usize>,
    waiting: Vec<(usize, Holder)>,
    /// Have their token; their callback is still to run.
    granted: VecDeque<(usize, Holder)>,
    seen: Seen,
}

impl SemaphoreModel {
    fn acquire(&mut self, holder: Holder) {
        let number = self.acquires;
        self.acquires += 1;
        if self.free > 0 {
            self.free -= 1;
            match self.granted.is_empty() {
                true => self.callback(number, holder),
                false => self.granted.push_back((number, holder)),
            }
        } else if self.waiting.len() < self.waiters_max {
            self.waiting.push((number, holder));
        } else if holder != Holder::Detached {
            self.seen.refused.push(number);
        }
    }

    fn release(&mut self) {
        match self.waiting.is_empty() {
            true => self.free += 1,
            false => self.granted.push_back(self.waiting.remove(0)),
        }
    }

    fn callback(&mut self, number: usize, holder: Holder) {
        if holder != Holder::Detached {
            self.seen.served.push((number, 0));
        }
        match holder {
            Holder::Keeps => return self.held.push(number),
            Holder::Drops | Holder::Detached => {}
            Holder::AcquiresAndDrops => self.acquire(Holder::Keeps),
            Holder::DropsAll => {
                std::mem::take(&mut self.held)
                    .iter()
                    .for_each(|_| self.release());
                (0..2).for_each(|_| self.acquire(Holder::Keeps));
            }
        }
        self.release();
    }

    fn call(&mut self, one: Use) {
        match one {
            Use::Acquire(holder) => self.acquire(holder),
            Use::Cancel(number) => {
                let found = |&(of, holder): &_| of == number && holder != Holder::Detached;
                if remove(&mut self.waiting, found).is_some() {
                    self.seen.cancelled.push(number);
                }
            }
            Use::Release(number) => {
                if remove(&mut self.held, |held| *held == number).is_some() {
                    self.release();
                }
            }
        }
        while let Some((number, holder)) = self.granted.pop_front() {
            self.callback(number, holder);
        }
        self.seen.there = self.free;
        self.seen.waiting = self.waiting.len();
    }
}

/// The same calls to the real one.
#[derive(Clone)]
struct SemaphoreUser {
    semaphore: Semaphore,
    acquires: Rc<Cell<usize>>,
    held: Log<(usize, SemaphoreGuard)>,
    pending: Pending,
    seen: Rc<RefCell<Seen>>,
}

impl SemaphoreUser {
    fn acquire(&self, holder: Holder) {
        let number = self.acquires.get();
        self.acquires.set(number + 1);
        let acquired = self.semaphore.acquire();
        if holder == Holder::Detached {
            return drop(acquired);
        }
        let (user, seen) = (self.clone(), Rc::clone(&self.seen));
        let done = acquired
            .map(move |guard| user.callback(number, holder, guard))
            .add_errback(move |failure| seen.borrow_mut().end(number, &failure));
        self.pending.keep(number, done);
    }

    fn callback(&self, number: usize, holder: Holder, guard: SemaphoreGuard) {
        self.seen.borrow_mut().served.push((number, 0));
        match holder {
            Holder::Keeps => return self.held.borrow_mut().push((number, guard)),
            Holder::Drops | Holder::Detached => {}
            Holder::AcquiresAndDrops => self.acquire(Holder::Keeps),
            Holder::DropsAll => {
                let all = self.held.take();
                drop(all);
                (0..2).for_each(|_| self.acquire(Holder::Keeps));
            }
        }
        drop(guard);
    }

    fn call(&self, one: Use) {
        match one {
            Use::Acquire(holder) => self.acquire(holder),
            Use::Cancel(number) => self.pending.cancel(number),
            Use::Release(number) => {
                let released = remove(&mut self.held.borrow_mut(), |(held, _)| *held == number);
                drop(released);
            }
        }
        let mut seen = self.seen.borrow_mut();
        seen.there = self.semaphore.tokens();
        seen.waiting = self.semaphore.waiting();
    }
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Put,
    Get(Getter),
    Cancel(usize),
}

/// What the callback of a get does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Getter {
    Takes,
    PutsThree,
    GetsTwo,
    /// There is none: the Deferred is dropped.
    Detached,
}

fn a_call() -> impl Strategy<Value = Call> {
    let getter = prop_oneof![
        4 => Just(Getter::Takes),
        1 => Just(Getter::PutsThree),
        1 => Just(Getter::GetsTwo),
        1 => Just(Getter::Detached),
    ];
    prop_oneof![
        4 => Just(Call::Put),
        4 => getter.prop_map(Call::Get),
        2 => (0..40_usize).prop_map(Call::Cancel),
    ]
}

/// Items and gets are numbered in the order of the calls.
#[derive(Default)]
struct QueueModel {
    items_max: usize,
    waiters_max: usize,
    puts: usize,
    gets: usize,
    items: VecDeque<usize>,
    waiting: Vec<(usize, Getter)>,
    /// Have their item; their callback is still to run.
    given: VecDeque<(usize, Getter, usize)>,
    overflowed: Vec<usize>,
    seen: Seen,
}

impl QueueModel {
    fn put(&mut self) {
        let item = self.puts;
        self.puts += 1;
        if !self.waiting.is_empty() {
            let (number, getter) = self.waiting.remove(0);
            self.given.push_back((number, getter, item));
        } else if self.items.len() < self.items_max {
            self.items.push_back(item);
        } else {
            self.overflowed.push(item);
        }
    }

    fn get(&mut self, getter: Getter) {
        let number = self.gets;
        self.gets += 1;
        if let Some(item) = self.items.pop_front() {
            match self.given.is_empty() {
                true => self.callback(number, getter, item),
                false => self.given.push_back((number, getter, item)),
            }
        } else if self.waiting.len() < self.waiters_max {
            self.waiting.push((number, getter));
        } else if getter != Getter::Detached {
            self.seen.refused.push(number);
        }
    }

    fn callback(&mut self, number: usize, getter: Getter, item: usize) {
        match getter {
            Getter::Takes => {}
            Getter::PutsThree => (0..3).for_each(|_| self.put()),
            Getter::GetsTwo => (0..2).for_each(|_| self.get(Getter::Takes)),
            Getter::Detached => return,
        }
        self.seen.served.push((number, item));
    }

    fn call(&mut self, one: Call) {
        match one {
            Call::Put => self.put(),
            Call::Get(getter) => self.get(getter),
            Call::Cancel(number) => {
                let found = |&(of, getter): &_| of == number && getter != Getter::Detached;
                if remove(&mut self.waiting, found).is_some() {
                    self.seen.cancelled.push(number);
                }
            }
        }
        while let Some((number, getter, item)) = self.given.pop_front() {
            self.callback(number, getter, item);
        }
        self.seen.there = self.items.len();
        self.seen.waiting = self.waiting.len();
    }
}

/// The same calls to the real one.
#[derive(Clone)]
struct QueueUser {
    queue: Queue<usize>,
    puts: Rc<Cell<usize>>,
    gets: Rc<Cell<usize>>,
    overflowed: Log<usize>,
    pending: Pending,
    seen: Rc<RefCell<Seen>>,
}

impl QueueUser {
    fn put(&self) {
        let item = self.puts.get();
        self.puts.set(item + 1);
        if let Err(QueueOverflow(item)) = self.queue.put(item) {
            self.overflowed.borrow_mut().push(item);
        }
    }

    fn get(&self, getter: Getter) {
        let number = self.gets.get();
        self.gets.set(number + 1);
        let got = self.queue.get();
        if getter == Getter::Detached {
            return drop(got);
        }
        let (user, seen) = (self.clone(), Rc::clone(&self.seen));
        let done = got
            .map(move |item| {
                match getter {
                    Getter::Takes | Getter::Detached => {}
                    Getter::PutsThree => (0..3).for_each(|_| user.put()),
                    Getter::GetsTwo => (0..2).for_each(|_| user.get(Getter::Takes)),
                }
                user.seen.borrow_mut().served.push((number, item));
            })
            .add_errback(move |failure| seen.borrow_mut().end(number, &failure));
        self.pending.keep(number, done);
    }

    fn call(&self, one: Call) {
        match one {
            Call::Put => self.put(),
            Call::Get(getter) => self.get(getter),
            Call::Cancel(number) => self.pending.cancel(number),
        }
        let mut seen = self.seen.borrow_mut();
        seen.there = self.queue.len();
        seen.waiting = self.queue.waiting();
    }
}

proptest! {
    #[test]
    fn a_semaphore_does_what_its_model_does(
        tokens in 1..5_usize,
        waiters_max in 0..6_usize,
        uses in prop::collection::vec(a_use(), 0..60),
    ) {
        let mut model = SemaphoreModel { free: tokens, waiters_max, ..Default::default() };
        let user = SemaphoreUser {
            semaphore: Semaphore::new(tokens).waiters_max(waiters_max),
            acquires: Rc::default(),
            held: Rc::default(),
            pending: Pending::default(),
            seen: Rc::default(),
        };
        for one in uses {
            model.call(one);
            user.call(one);
            prop_assert_eq!(&model.seen, &*user.seen.borrow());
        }
    }

    #[test]
    fn a_queue_does_what_its_model_does(
        items_max in 0..5_usize,
        waiters_max in 0..6_usize,
        calls in prop::collection::vec(a_call(), 0..60),
    ) {
        let mut model = QueueModel { items_max, waiters_max, ..Default::default() };
        let user = QueueUser {
            queue: Queue::new().items_max(items_max).waiters_max(waiters_max),
            puts: Rc::default(),
            gets: Rc::default(),
            overflowed: Rc::default(),
            pending: Pending::default(),
            seen: Rc::default(),
        };
        for one in calls {
            model.call(one);
            user.call(one);
            prop_assert_eq!(&model.seen, &*user.seen.borrow());
            prop_assert_eq!(&model.overflowed, &*user.overflowed.borrow());
        }
    }
}
