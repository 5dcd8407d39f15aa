//! What the models show of those who wait for an answer, whatever the order of the threads' steps: each is told once, also
//! when the reactor stops or goes at that moment, and nothing is left of it.

use super::*;
use crate::reactor::{
    models::{Loop, check},
    sync::thread::JoinHandle,
};

/// What a caller does between entering and leaving; `None` where it was told at the door.
fn calling(
    callers: &Arc<Callers>,
    ask: impl FnOnce(Duty<u32>) + Send + 'static,
) -> JoinHandle<Option<Result<u32, ThreadFailure>>> {
    let callers = Arc::clone(callers);
    thread::spawn(move || {
        let place = Arc::new(Place::new());
        let id = callers.enter(Arc::clone(&place) as Arc<dyn Caller>).ok()?;
        ask(Duty(Arc::clone(&place)));
        let answer = place.wait();
        callers.leave(id);
        Some(answer)
    })
}

fn is_empty(callers: &Callers) -> bool {
    lock(&callers.desk).waiting.is_empty()
}

#[test]
fn a_caller_beside_a_stop_is_told() {
    check(|| {
        let callers = Arc::new(Callers::new());
        // Nobody answers, and nobody drops the duty, either.
        let caller = calling(&callers, mem::forget);
        callers.stopped();
        if let Some(answer) = caller.join().unwrap() {
            assert!(answer.unwrap_err().check::<NotRunning>().is_some());
        }
        assert!(is_empty(&callers));
    });
}

#[test]
fn of_an_answer_and_an_end_the_first_counts() {
    check(|| {
        let callers = Arc::new(Callers::new());
        let caller = calling(&callers, |duty| {
            thread::spawn(move || {
                if duty.0.is_awaited() {
                    duty.0.put(Ok(7));
                }
            });
        });
        callers.gone();
        match caller.join().unwrap() {
            Some(Ok(answer)) => assert_eq!(answer, 7),
            Some(Err(failure)) => assert!(failure.check::<ReactorGone>().is_some(), "{failure}"),
            None => (),
        }
        assert!(is_empty(&callers));
    });
}

/// As the reactor does it: the duty waits in the mailbox, whose loop answers one call and ends.
#[test]
fn callers_of_a_loop_that_stops_are_told() {
    check(|| {
        let world = Loop::<Duty<u32>>::new();
        let callers = Arc::new(Callers::new());
        let threads = [1, 2].map(|number| {
            let mailbox = Arc::clone(&world.mailbox);
            calling(&callers, move |duty| {
                let mut duty = Some(duty);
                assert!(
                    mailbox.put(|| duty.take().expect("it is asked once")),
                    "{number}"
                );
            })
        });
        world.run_until(|contents, _| {
            let mut calls = contents.calls.into_iter();
            calls.next().is_some_and(|duty| {
                duty.0.put(Ok(7));
                true
            })
        });
        callers.stopped();
        drop(world);
        let answers = threads.map(|thread| thread.join().unwrap());
        let answered = |answer: &&Option<Result<u32, _>>| matches!(answer, Some(Ok(7)));
        assert_eq!(answers.iter().filter(answered).count(), 1);
        assert!(is_empty(&callers));
    });
}
