//! `race`: the first value of several Deferreds, and the others cancelled. Knows chains only by their public side.
//!
//! Source: Twisted's `race` and `FailureGroup` in `internet/defer.py`.

use super::{Canceller, Deferred, DeferredList};
use crate::failure::Failure;
use std::{error::Error, fmt};

/// More failures than this, and a [`FailureGroup`] says only how many more there are.
const SHOWN_MAX: usize = 5;

/// The first value and the index of the Deferred that had it; the others are cancelled before this one fires.
///
/// If all fail, it fails with [`FailureGroup`]; with no Deferreds at all, at once and with an empty one (in Twisted
/// nothing ever comes). A race asks for one value, so what the others fail with is not logged; a value that
/// comes although its Deferred was cancelled is dropped. Cancelling the returned Deferred cancels all, and it fails
/// with [`Cancelled`](crate::error::Cancelled), unless a canceller among them gives a value. (Twisted fails with a
/// `FailureGroup`, and then a timeout does not know its own cancel.) Dropping it detaches it: the race goes on.
///
/// ```
/// # use tress_core::{Deferred, race};
/// let (_slow, first) = Deferred::<&str>::pair();
/// let winner = race([first, Deferred::succeed("fast")]);
/// assert_eq!(winner.try_result().unwrap().unwrap(), (1, "fast"));
/// ```
#[track_caller]
pub fn race<T: 'static>(deferreds: impl IntoIterator<Item = Deferred<T>>) -> Deferred<(usize, T)> {
    let runners: Vec<_> = deferreds.into_iter().collect();
    let cancellers: Vec<_> = runners.iter().filter_map(Deferred::canceller).collect();
    DeferredList::new(runners)
        .consume_errors()
        .fire_on_one_callback()
        .map(move |(value, index)| {
            // The winner is among them; a Deferred that has fired does not mind.
            cancellers.iter().for_each(Canceller::cancel);
            (index, value)
        })
}

/// Several Deferreds failed where one value was enough. The failures are in the order of the inputs.
///
/// `source` is `None`, as there is not one source but all of them.
#[derive(Clone, Debug, Default)]
pub struct FailureGroup(pub Vec<Failure>);

impl fmt::Display for FailureGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there was no Deferred to wait for");
        }
        write!(f, "all of {} failed", self.0.len())?;
        for (index, failure) in self.0.iter().enumerate().take(SHOWN_MAX) {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Error for FailureGroup {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deferred::Resolver, error::Cancelled, failure::Result, testing::logged};
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    type Asked = Rc<RefCell<Vec<usize>>>;

    /// Three runners, and which were asked to cancel.
    fn runners() -> (Vec<Resolver<i32>>, Vec<Deferred<i32>>, Asked) {
        let asked = Asked::default();
        let runner = |index| {
            let asked = Rc::clone(&asked);
            Deferred::with_canceller(move || asked.borrow_mut().push(index))
        };
        let (resolvers, deferreds) = (0..3).map(runner).unzip();
        (resolvers, deferreds, asked)
    }

    #[test]
    fn the_first_value_wins_and_the_losers_are_cancelled_before_it_is_told() {
        let (mut resolvers, deferreds, asked) = runners();
        let seen = Rc::clone(&asked);
        let winner = race(deferreds).map(move |won| (won, seen.borrow().clone()));
        let log = logged(|| {
            resolvers.remove(0).fail(Failure::msg("fell"));
            resolvers.remove(0).resolve(5);
        });
        let winner = winner.try_result().unwrap().unwrap();
        assert_eq!(winner, ((1, 5), vec![2]));
        assert!(resolvers[0].is_cancelled());
        assert_eq!(log, [""; 0]);
    }

    #[test]
    fn among_those_that_had_fired_before_the_first_in_the_list_wins() {
        let (_resolvers, mut deferreds, asked) = runners();
        deferreds.push(Deferred::succeed(7));
        deferreds.push(Deferred::succeed(8));
        let winner = race(deferreds).try_result().unwrap().unwrap();
        assert_eq!(winner, (3, 7));
        assert_eq!(*asked.borrow(), [0, 1, 2]);
    }

    #[test]
    fn when_all_fail_their_failures_come_in_the_order_of_the_inputs() {
        let (resolvers, deferreds, asked) = runners();
        let winner = race(deferreds);
        let log = logged(|| {
            for (index, resolver) in resolvers.into_iter().enumerate().rev() {
                resolver.fail(Failure::msg(format!("fell {index}")));
            }
        });
        let failure = winner.try_result().unwrap().unwrap_err();
        assert_eq!(
            failure.to_string(),
            "all of 3 failed: fell 0; fell 1; fell 2"
        );
        let group = failure
            .check::<FailureGroup>()
            .expect("it is a FailureGroup");
        assert_eq!(group.0.len(), 3);
        assert_eq!(*asked.borrow(), [0; 0]);
        assert_eq!(log, [""; 0]);
    }

    #[test]
    fn a_long_failure_group_is_cut_short() {
        let group = |count| FailureGroup(vec![Failure::msg("x"); count]).to_string();
        assert_eq!(group(1), "all of 1 failed: x");
        assert_eq!(group(5), "all of 5 failed: x; x; x; x; x");
        assert_eq!(group(7), "all of 7 failed: x; x; x; x; x; and 2 more");
    }

    #[test]
    fn a_race_of_nobody_fails_at_once() {
        let failure = race::<i32>([]).try_result().unwrap().unwrap_err();
        let group = failure
            .check::<FailureGroup>()
            .expect("it is a FailureGroup");
        assert!(group.0.is_empty());
    }

    #[test]
    fn cancelling_a_race_cancels_all_and_logs_nothing() {
        let log = logged(|| {
            let (_resolvers, deferreds, asked) = runners();
            let winner = race(deferreds);
            winner.cancel();
            let failure = winner.try_result().unwrap().unwrap_err();
            assert!(failure.check::<Cancelled>().is_some());
            assert_eq!(*asked.borrow(), [0, 1, 2]);
        });
        assert_eq!(log, [""; 0]);
    }

    #[test]
    fn a_canceller_that_gives_a_value_changes_nothing_after_the_race_and_wins_a_cancelled_one() {
        for cancels in [false, true] {
            let place: Rc<Cell<Option<Resolver<i32>>>> = Rc::default();
            let late = Rc::clone(&place);
            let (resolver, loser) = Deferred::with_canceller(move || {
                late.take().expect("called once").resolve(99);
            });
            place.set(Some(resolver));
            let (first, runner) = Deferred::pair();
            let winner = race([runner, loser]);
            if cancels {
                winner.cancel();
            } else {
                first.resolve(1);
            }
            let expected = if cancels { (1, 99) } else { (0, 1) };
            assert_eq!(winner.try_result().unwrap().unwrap(), expected);
        }
    }

    #[test]
    fn a_loser_that_cancels_the_race_does_not_take_the_win_away() {
        let canceller: Rc<RefCell<Option<Canceller>>> = Rc::default();
        let by = Rc::clone(&canceller);
        let (_kept, loser) = Deferred::with_canceller(move || {
            by.borrow().as_ref().expect("the race is made").cancel();
        });
        let (resolver, runner) = Deferred::pair();
        let winner = race([loser, runner]);
        canceller.replace(winner.canceller());
        resolver.resolve(3);
        assert_eq!(winner.try_result().unwrap().unwrap(), (1, 3));
    }

    #[test]
    fn a_race_that_nobody_watches_still_cancels_the_losers() {
        let (mut resolvers, deferreds, asked) = runners();
        race(deferreds).detach();
        assert_eq!(*asked.borrow(), [0; 0]);
        resolvers.remove(2).resolve(1);
        assert_eq!(*asked.borrow(), [0, 1]);
    }

    #[test]
    fn a_panic_of_a_loser_does_not_reach_the_winner() {
        let (_kept, loser) = Deferred::<i32>::with_canceller(|| panic!("oh"));
        let (resolver, runner) = Deferred::pair();
        let winner = race([loser, runner]);
        let log = logged(|| resolver.resolve(3));
        let winner: Result<_> = winner.try_result().unwrap();
        assert_eq!(winner.unwrap(), (1, 3));
        assert_eq!(log.len(), 1, "{log:?}");
    }
}
