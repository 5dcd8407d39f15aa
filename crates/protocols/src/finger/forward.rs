//! `user@host`: asks the other host and passes its bytes on, no faster than the client takes them.
//! Knows nothing of queries and statuses.

use std::{cell::RefCell, rc::Rc};
use tress_core::{
    Canceller, Failure, Protocol, Result, Transport,
    endpoint::{Side, quote},
};

const CANNOT_CONNECT: &[u8] = b"Could not connect to remote host\r\n";
const NO_HOST: &[u8] = b"That is no host name and no address\r\n";

/// A query on its way to another host.
pub(super) struct Forwarding(Rc<RefCell<Progress>>);

enum Progress {
    Connecting(Option<Canceller>),
    Connected(Transport),
    Done,
}

/// Asks `host` for `query`; everything it says goes to `client`, which is closed at the end.
///
/// # Errors
/// The client's reactor has been dropped.
pub(super) fn start(client: &Transport, query: &str, host: &str, port: u16) -> Result<Forwarding> {
    let reactor = client.reactor()?;
    let progress = Rc::new(RefCell::new(Progress::Done));
    let to = format!("tcp:{}:{port}", quote(host));
    if reactor.check_endpoint(&to, Side::Client).is_err() {
        client.write(NO_HOST);
        client.lose_connection();
        return Ok(Forwarding(progress));
    }
    progress.replace(Progress::Connecting(None));
    let relay = Relay {
        client: client.clone(),
        query: format!("{query}\r\n"),
        progress: Rc::clone(&progress),
    };
    let answered = client.clone();
    let connecting = reactor.connect_protocol(&to, relay).add_callbacks(
        drop,
        move |failure: Failure| {
            tracing::info!(target: "tress", "finger: forwarding for {} failed: {failure}", answered.peer());
            answered.write(CANNOT_CONNECT);
            answered.lose_connection();
        },
    );
    if let Progress::Connecting(canceller) = &mut *progress.borrow_mut() {
        *canceller = connecting.canceller();
    }
    connecting.detach();
    Ok(Forwarding(progress))
}

impl Forwarding {
    /// The client takes no more for now.
    pub(super) fn pause(&self) {
        if let Progress::Connected(remote) = &*self.0.borrow() {
            remote.pause_producing();
        }
    }

    /// The client takes more again.
    pub(super) fn resume(&self) {
        if let Progress::Connected(remote) = &*self.0.borrow() {
            remote.resume_producing();
        }
    }

    /// The client has gone.
    pub(super) fn stop(&self) {
        let progress = self.0.replace(Progress::Done);
        match progress {
            Progress::Connecting(Some(canceller)) => canceller.cancel(),
            Progress::Connected(remote) => remote.abort_connection(),
            Progress::Connecting(None) | Progress::Done => {}
        }
    }
}

/// The connection to the other host.
struct Relay {
    client: Transport,
    query: String,
    progress: Rc<RefCell<Progress>>,
}

impl Protocol for Relay {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        if self.client.is_closing() {
            transport.abort_connection();
            return Ok(());
        }
        transport.set_idle_timeout(Some(transport.reactor()?.limits().idle));
        self.progress
            .replace(Progress::Connected(transport.clone()));
        transport.write(self.query.as_bytes());
        Ok(())
    }

    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        self.client.write(data);
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        self.progress.replace(Progress::Done);
        self.client.lose_connection();
    }

    fn name(&self) -> &'static str {
        "finger forwarding"
    }
}
