//! `finger.file`: statuses in a text file that an operator edits and a setter rewrites. Reads it again when it
//! changes. The format is in [`crate::finger_file`].
//!
//! It reads and writes while the loop waits: a file has at most 1 MiB.

use super::finger;
use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    files::{Files, Stamp},
    finger_file::{MAX_FILE_BYTES, Users, parse, with_status},
    registry::{Provider, ProviderContext, ProviderKind, Sharing},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    path::PathBuf,
    rc::{Rc, Weak},
    time::Duration,
};
use tress_core::{Deferred, DelayedCall, Failure, Reactor, Result, Time};
use tress_protocols::finger::{Finger, FingerSetter};
use tress_rpc::Object;

/// How often it is looked whether the file has changed, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `kind = "finger.file"`
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "finger.file",
    doc: "Statuses in a text file, `user: status` a line; read again when it changes.",
    options: &[
        OptionSpec {
            name: "path",
            value: ValueKind::Path,
            required: true,
            default: "",
            doc: "The file, relative to the directory of the configuration file.",
        },
        OptionSpec {
            name: "reload",
            value: ValueKind::Duration,
            required: false,
            default: "30s",
            doc: "Read it again at the latest after this, also when it seems unchanged.",
        },
    ],
    interfaces: finger::INTERFACES,
    make,
    // What a setter changes is to be seen by all.
    sharing: Sharing::Home(finger::TWINS),
};

fn make(context: &ProviderContext<'_>, options: &Options) -> Result<Box<dyn Provider>, Problem> {
    let reload = options.duration("reload")?;
    if reload.is_zero() {
        return Err(options.problem("reload", "expected more than nothing"));
    }
    Ok(Box::new(FileProvider(Rc::new(Store {
        files: Rc::clone(context.files),
        path: options.path("path")?,
        reload,
        users: RefCell::default(),
        seen: Cell::new(None),
        read_at: Cell::new(Time(0)),
        complaint: RefCell::default(),
        timer: Cell::new(None),
    }))))
}

struct FileProvider(Rc<Store>);

impl Provider for FileProvider {
    fn object(&self, interface: &str) -> Option<Object> {
        finger::object(&self.0, interface)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        self.0.read()?;
        self.0.read_at.set(reactor.now());
        look_later(&self.0, reactor);
        Ok(())
    }

    fn reload(&mut self) {
        self.0.read_again();
    }

    fn stop(&mut self) -> Deferred<()> {
        if let Some(timer) = self.0.timer.take() {
            timer.cancel().ok();
        }
        Deferred::succeed(())
    }
}

/// The file, and what was in it when it could be read last.
struct Store {
    files: Rc<dyn Files>,
    path: PathBuf,
    reload: Duration,
    users: RefCell<Users>,
    /// The file that was looked into last; `None` when there was none.
    seen: Cell<Option<Stamp>>,
    read_at: Cell<Time>,
    /// What was last warned of, until the file can be read again.
    complaint: RefCell<Option<String>>,
    timer: Cell<Option<DelayedCall>>,
}

/// The file cannot be used; with its path.
#[derive(Debug)]
struct BadFile {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for BadFile {}

impl Store {
    /// Reads the file; on failure the last good content stays.
    fn read(&self) -> Result {
        let bytes = self.bytes()?;
        let users = parse(&bytes).map_err(|error| self.bad(&error))?;
        self.users.replace(users);
        Ok(())
    }

    fn read_again(&self) {
        match self.read() {
            Ok(()) => {
                if self.complaint.take().is_some() {
                    let path = self.path.display();
                    tracing::info!(target: "tress", "{path} can be read again");
                }
            }
            Err(failure) => {
                let failure = failure.to_string();
                let known = self.complaint.replace(Some(failure.clone()));
                if known.as_ref() != Some(&failure) {
                    tracing::warn!(target: "tress", "{failure}; going on with what was read before");
                }
            }
        }
    }

    /// Reads the file if it is another than the one seen, or if it is time to.
    fn look(&self, now: Time) {
        let stamp = self.files.stamp(&self.path);
        if stamp != self.seen.get() || now.since(self.read_at.get()) >= self.reload {
            self.read_at.set(now);
            self.read_again();
        }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        self.seen.set(None);
        // A byte too many is what the parser complains of.
        let read = self.files.read(&self.path, MAX_FILE_BYTES + 1);
        let (bytes, stamp) = read.map_err(|error| self.bad(&error))?;
        self.seen.set(Some(stamp));
        Ok(bytes)
    }

    fn bad(&self, reason: &impl fmt::Display) -> Failure {
        Failure::from(BadFile {
            path: self.path.clone(),
            reason: reason.to_string(),
        })
    }
}

impl Finger for Store {
    async fn user(&self, name: String) -> Result<Option<String>> {
        Ok(self.users.borrow().status(&name).map(str::to_owned))
    }

    async fn users(&self) -> Result<Vec<String>> {
        let users = self.users.borrow();
        Ok(users.iter().map(|(user, _)| user.to_owned()).collect())
    }
}

impl FingerSetter for Store {
    /// Starts from what is in the file now, so that an edit made meanwhile is kept.
    async fn set_user(&self, name: String, status: String) -> Result<()> {
        let text = with_status(&self.bytes()?, &name, &status)?;
        let written = self.files.replace(&self.path, &text);
        written.map_err(|error| self.bad(&error))?;
        self.read()
    }
}

/// Looks at the file again and again, until it is stopped or dropped. The call is the reactor's, and must not keep it.
fn look_later(store: &Rc<Store>, reactor: &Reactor) {
    let (weak, on): (Weak<Store>, _) = (Rc::downgrade(store), reactor.downgrade());
    let timer = reactor.call_later(store.reload.min(LOOK_EVERY), move || {
        if let (Some(store), Some(on)) = (weak.upgrade(), on.upgrade()) {
            store.look(on.now());
            look_later(&store, &on);
        }
    });
    store.timer.set(Some(timer));
}
