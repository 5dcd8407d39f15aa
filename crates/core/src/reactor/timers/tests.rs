//! The heap against a list: whatever is added, moved and cancelled, calls come in order, and nothing else stays.

use super::*;
use proptest::prelude::*;

/// What can be done to calls; the number chooses one of those made so far.
#[derive(Clone, Debug)]
enum Action {
    Add(u64),
    Cancel(usize),
    Move(usize, u64),
    Run(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let time = 0..50u64;
    prop_oneof![
        4 => time.clone().prop_map(Action::Add),
        2 => any::<usize>().prop_map(Action::Cancel),
        3 => (any::<usize>(), time.clone()).prop_map(|(which, time)| Action::Move(which, time)),
        1 => time.prop_map(Action::Run),
    ]
}

#[derive(Default)]
struct Model {
    timers: Timers,
    made: Vec<Rc<Call>>,
    /// What waits: its time, its place among all that was asked for, and which call it is.
    waits: Vec<(Time, u64, usize)>,
    asked: u64,
}

impl Model {
    fn put(&mut self, time: Time, which: usize) {
        self.asked += 1;
        self.waits.push((time, self.asked, which));
    }

    /// Whether that call waits; if so, the model forgets it.
    fn forget(&mut self, which: usize) -> bool {
        let place = self.waits.iter().position(|(_, _, w)| *w == which);
        place.map(|place| self.waits.remove(place)).is_some()
    }

    fn step(&mut self, action: Action) {
        let choose = |which: usize, made: &[Rc<Call>]| which.checked_rem(made.len());
        match action {
            Action::Add(time) => {
                let call = self
                    .timers
                    .add(Time(time), Box::new(|| Deferred::succeed(())));
                self.put(Time(time), self.made.len());
                self.made.push(call);
            }
            Action::Cancel(which) => {
                let Some(which) = choose(which, &self.made) else {
                    return;
                };
                if self.forget(which) {
                    self.timers.end(&self.made[which], State::Cancelled);
                }
            }
            Action::Move(which, time) => {
                let Some(which) = choose(which, &self.made) else {
                    return;
                };
                if self.forget(which) {
                    self.put(Time(time), which);
                    self.timers.move_to(&self.made[which], Time(time));
                }
            }
            Action::Run(now) => {
                self.waits.sort_unstable();
                let later = self
                    .waits
                    .iter()
                    .filter(|w| w.0 > Time(now))
                    .copied()
                    .collect();
                let due = std::mem::replace(&mut self.waits, later);
                for (time, _, which) in due.into_iter().filter(|w| w.0 <= Time(now)) {
                    let entry = self.timers.take_due(Time(now)).expect("it is due");
                    assert!(Rc::ptr_eq(&entry.call, &self.made[which]), "out of order");
                    assert_eq!(entry.key.0, time);
                    self.timers.end(&entry.call, State::Called);
                }
                assert!(self.timers.take_due(Time(now)).is_none());
            }
        }
    }

    fn check(&self) {
        let first = self.waits.iter().map(|w| w.0).min();
        assert_eq!(self.timers.first(), first.unwrap_or(Time::NEVER));
        assert_eq!(self.timers.len(), self.waits.len());
        let useless = self.timers.heap.len() - self.waits.len();
        assert!(
            useless <= self.waits.len().max(USELESS),
            "{useless} useless entries"
        );
    }
}

proptest! {
    #[test]
    fn calls_come_in_order_whatever_happens_to_them(actions in prop::collection::vec(action(), 0..400)) {
        let mut model = Model::default();
        for action in actions {
            model.step(action);
            model.check();
        }
    }
}

/// A deadline that every message puts off, as an idle timeout is, leaves one entry and not one a message.
#[test]
fn a_call_that_is_put_off_again_and_again_has_one_entry() {
    let mut timers = Timers::default();
    let early = timers.add(Time(1), Box::new(|| Deferred::succeed(())));
    let call = timers.add(Time(5), Box::new(|| Deferred::succeed(())));
    for time in 6..10_000 {
        timers.move_to(&call, Time(time));
    }
    assert_eq!(timers.heap.len(), 2);
    timers.end(&early, State::Cancelled);
    assert_eq!(timers.first(), Time(9_999));
}
