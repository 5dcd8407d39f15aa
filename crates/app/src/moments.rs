//! What the manager of services hears of an application while it runs: that it serves, and that its loops turn. Once another
//! process has taken over, that one is heard. Knows no manager by name, and no clock but the reactor's.

use crate::{control::Control, registry::Manager, registry::Moment};
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tress_core::{EventType, Phase, Reactor, Remote, reactor::Rejected};

/// The loops beside the first one, which is the one that tells.
pub(crate) type OtherLoops = Rc<dyn Fn() -> Vec<Remote>>;

/// From the moment at which all workers run. To be called before they do.
pub(crate) fn tell(
    reactor: &Reactor,
    manager: Option<&Manager>,
    control: &Control,
    others: OtherLoops,
) {
    let Some(manager) = manager.cloned() else {
        return;
    };
    let (stopping, of) = (manager.clone(), control.clone());
    reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, move || {
        if !of.has_left() {
            (stopping.tell)(Moment::Stopping);
        }
    });
    let (control, on) = (control.clone(), reactor.downgrade());
    reactor.call_when_running(move || {
        control.tell_running();
        if let (Some(reactor), Some(_)) = (on.upgrade(), manager.watchdog) {
            let watch = Watch {
                manager,
                control,
                others,
                asked: 0,
                answered: Arc::default(),
            };
            watch.look(&reactor);
        }
    });
}

/// Whether the loops turn.
struct Watch {
    manager: Manager,
    control: Control,
    others: OtherLoops,
    /// So many other loops were asked when this was looked at last.
    asked: usize,
    answered: Arc<AtomicUsize>,
}

impl Watch {
    /// This one does, as this is called. Whether the others do says what they answer until the next time.
    fn look(mut self, reactor: &Reactor) {
        if self.control.has_left() {
            return;
        }
        if self.answered.load(Ordering::Acquire) >= self.asked {
            (self.manager.tell)(Moment::Alive);
            self.ask();
        }
        let Some(watchdog) = self.manager.watchdog else {
            return;
        };
        let on = reactor.downgrade();
        reactor.call_later(watchdog / 2, move || {
            if let Some(reactor) = on.upgrade() {
                self.look(&reactor);
            }
        });
    }

    fn ask(&mut self) {
        self.answered = Arc::default();
        let asked = (self.others)().into_iter().filter(|other| {
            let answered = Arc::clone(&self.answered);
            let asked = other.call_from_thread(move |_: &Reactor| {
                answered.fetch_add(1, Ordering::Release);
            });
            // One that has ended is not stuck; one that is full of calls may be.
            !matches!(asked, Err(Rejected::Gone(..)))
        });
        self.asked = asked.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Application, Registry, control::Application as _, testing::Directory};
    use std::{
        fs,
        path::PathBuf,
        sync::{Mutex, PoisonError},
        time::Duration,
    };
    use tress_core::testing::memory::Table;

    const USERS: &str = "[provide.users]\nkind = 'finger.memory'\n";
    const FINGER: &str = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:79'\n";

    /// What a manager was told, and an application that tells it.
    struct Managed {
        table: Table,
        application: Application,
        file: PathBuf,
        told: Arc<Mutex<Vec<String>>>,
        _directory: Directory,
    }

    impl Managed {
        fn new(watchdog: Option<Duration>, others: OtherLoops) -> Self {
            let (table, directory) = (Table::new(), Directory::new());
            let told = Arc::<Mutex<Vec<String>>>::default();
            let hears = Arc::clone(&told);
            let hear = Arc::new(move |moment: Moment<'_>| {
                let text = format!("{moment:?}");
                hears
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(text);
            });
            let manager = Manager {
                tell: hear,
                watchdog,
            };
            let mut registry = Registry::builtin();
            registry.set_manager(manager.clone());
            let file = directory.file("a.toml", &format!("{USERS}{FINGER}"));
            let mut application = Application::load(&file, &registry, table.reactor()).unwrap();
            application.start(table.reactor()).unwrap();
            let control = application.control();
            tell(table.reactor(), Some(&manager), &control, others);
            Self {
                table,
                application,
                file,
                told,
                _directory: directory,
            }
        }

        #[track_caller]
        fn check(&self, expected: &[&str]) {
            let told = std::mem::take(&mut *self.told.lock().unwrap());
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn each_moment_is_told_in_its_order() {
        let managed = Managed::new(None, Rc::new(Vec::new));
        let reactor = managed.table.reactor();
        managed.check(&[]); // others may not listen yet
        reactor.start().unwrap();
        managed.check(&["Running(\"1 service runs\")"]);
        managed.table.advance(Duration::from_secs(100));
        managed.check(&[]); // nobody asks
        let at = reactor.now();
        managed.application.control().reload_and_say();
        let reloading = format!("Reloading({at:?})");
        managed.check(&[&reloading, "Running(\"1 service runs\")"]);
        fs::write(&managed.file, "[provide").unwrap();
        let wrong = managed.application.control();
        let refused = reactor.spawn(async move { wrong.reload().await });
        assert!(refused.try_result().unwrap().is_err());
        managed.check(&[
            &reloading,
            "Running(\"not read again, see the log; as before 1 service runs\")",
        ]);
        reactor.stop().unwrap();
        managed.table.settle();
        managed.check(&["Stopping"]);
    }

    #[test]
    fn it_is_alive_twice_in_the_time_of_the_watchdog() {
        let managed = Managed::new(Some(Duration::from_secs(10)), Rc::new(Vec::new));
        managed.table.reactor().start().unwrap();
        managed.check(&["Running(\"1 service runs\")", "Alive"]);
        for (after, expected) in [
            (4_999, &[][..]),
            (1, &["Alive"]),
            (4_999, &[]),
            (1, &["Alive"]),
        ] {
            managed.table.advance(Duration::from_millis(after));
            managed.check(expected);
        }
    }

    #[test]
    fn a_stuck_worker_is_noticed_and_one_that_has_ended_is_not() {
        let (good, stuck, ended) = (Table::new(), Table::new(), Table::new());
        let remotes = [&good, &stuck, &ended].map(|table| table.reactor().remote());
        drop(ended);
        let others = Rc::new(move || remotes.to_vec());
        let managed = Managed::new(Some(Duration::from_secs(10)), others);
        let half = Duration::from_secs(5);
        managed.table.reactor().start().unwrap();
        managed.check(&["Running(\"1 service runs\")", "Alive"]);
        good.settle();
        stuck.settle();
        managed.table.advance(half);
        managed.check(&["Alive"]);
        good.settle();
        for _ in 0..3 {
            managed.table.advance(half);
            managed.check(&[]);
        }
        stuck.settle(); // it was in a long callback only
        managed.table.advance(half);
        managed.check(&["Alive"]);
    }
}
