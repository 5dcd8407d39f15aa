//! The second service of Twisted's tutorial: two lines, a name and a status, and then the end of the client's
//! stream. No word goes back. Keeps no status.

use super::{
    MAX_BYTES,
    interface::{DynFingerSetter, FingerSetter, FingerSetterClient},
};
use std::{fmt, rc::Rc};
use tress_core::{Address, Factory, Failure, Protocol, Result, Transport};
use tress_rpc::CallContext;

/// Makes a [`FingerSetterProtocol`] for each connection.
pub struct FingerSetterFactory(Rc<dyn DynFingerSetter>);

impl FingerSetterFactory {
    /// Sets statuses of this object.
    #[must_use]
    pub fn new(setter: Rc<dyn DynFingerSetter>) -> Self {
        Self(setter)
    }
}

#[diagnostic::do_not_recommend]
impl Factory for FingerSetterFactory {
    type Protocol = FingerSetterProtocol;

    fn build_protocol(&mut self, peer: &Address) -> Option<FingerSetterProtocol> {
        let setter = Rc::clone(&self.0);
        Some(FingerSetterProtocol::new(setter, peer.clone()))
    }
}

/// One client of the setter. Everything must arrive within the limit `handshake`.
///
/// The status is set when the client has sent exactly two lines, each with its ending, at most
/// [`MAX_BYTES`] bytes in all, and then closed its side cleanly. A line without an ending may have been cut off.
/// In every other case nothing is set and one line is logged.
pub struct FingerSetterProtocol {
    setter: Rc<dyn DynFingerSetter>,
    peer: Address,
    /// What has arrived, until it is clear what it means.
    received: Option<Vec<u8>>,
}

impl FingerSetterProtocol {
    /// Sets statuses of this object.
    #[must_use]
    pub fn new(setter: Rc<dyn DynFingerSetter>, peer: Address) -> Self {
        Self {
            setter,
            peer,
            received: Some(Vec::new()),
        }
    }

    fn refuse(&mut self, why: impl fmt::Display) {
        self.received = None;
        nothing_set(&self.peer, why);
    }
}

#[diagnostic::do_not_recommend]
impl Protocol for FingerSetterProtocol {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.start_handshake();
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        let Some(received) = &mut self.received else {
            return Ok(());
        };
        if received.len() + data.len() > MAX_BYTES {
            self.refuse(format_args!("it sent more than {MAX_BYTES} bytes"));
            transport.lose_connection();
            return Ok(());
        }
        received.extend_from_slice(data);
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        let Some(received) = self.received.take() else {
            return Ok(());
        };
        transport.handshake_done();
        let (name, status) = match two_lines(&received) {
            Ok(lines) => lines,
            Err(why) => {
                self.refuse(why);
                transport.lose_connection();
                return Ok(());
            }
        };
        let setter = FingerSetterClient::new(Rc::clone(&self.setter), CallContext::of(transport)?);
        let client = transport.clone();
        let set = setter.set_user(name.to_owned(), status.to_owned());
        set.add_both(move |result| {
            if let Err(failure) = result {
                nothing_set(&client.peer(), failure);
            }
            client.lose_connection();
        })
        .detach();
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        if self.received.is_some() {
            self.refuse(reason);
        }
    }

    fn name(&self) -> &'static str {
        "finger-setter"
    }
}

fn nothing_set(peer: &Address, why: impl fmt::Display) {
    tracing::warn!(target: "tress", "finger-setter: {peer} set nothing: {why}");
}

/// The name and the status, without the blanks around them.
fn two_lines(received: &[u8]) -> Result<(&str, &str), &'static str> {
    const EXPECTED: &str = "expected two lines, a name and a status, each with its ending";
    let text = str::from_utf8(received).map_err(|_| "it is not UTF-8 text")?;
    let mut lines = text.split_inclusive('\n');
    let (Some(name), Some(status), None) = (lines.next(), lines.next(), lines.next()) else {
        return Err(EXPECTED);
    };
    let name = without_ending(name).ok_or(EXPECTED)?;
    let status = without_ending(status).ok_or(EXPECTED)?;
    if name.is_empty() {
        return Err("the name is empty");
    }
    if [name, status]
        .into_iter()
        .any(|line| line.chars().any(char::is_control))
    {
        return Err("there are control characters in it");
    }
    Ok((name, status))
}

fn without_ending(line: &str) -> Option<&str> {
    let line = line.strip_suffix('\n')?;
    Some(
        line.strip_suffix('\r')
            .unwrap_or(line)
            .trim_matches([' ', '\t']),
    )
}

impl fmt::Debug for FingerSetterFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerSetterFactory")
    }
}

impl fmt::Debug for FingerSetterProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerSetterProtocol({})", self.peer)
    }
}
