//! Quote of the Day (RFC 865): who connects is told a quote, and that is all. Knows no quoter by name.

use crate::quoter::DynQuoter;
use std::rc::Rc;
use tress::{prelude::*, rpc::CallContext};

/// The longest quote that is sent, characters; RFC 865 asks for less than 512.
const LONGEST: usize = 511;

/// Tells a quote and closes. What the peer says is not listened to.
pub struct Qotd(Rc<dyn DynQuoter>);

impl Protocol for Qotd {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let quote = Rc::clone(&self.0).quote(&CallContext::of(transport)?);
        let transport = transport.clone();
        let told = quote.add_both(move |quote| {
            match quote {
                Ok(quote) => {
                    let quote: String = quote.chars().take(LONGEST).collect();
                    transport.write(quote.replace('\n', "\r\n").as_bytes());
                    transport.write(b"\r\n");
                }
                Err(failure) => tracing::warn!("no quote of the day: {failure}"),
            }
            transport.lose_connection();
        });
        told.detach();
        Ok(())
    }
}

/// One object for all who connect.
pub struct QotdFactory(Rc<dyn DynQuoter>);

impl QotdFactory {
    /// Tells the quotes of this object.
    #[must_use]
    pub fn new(quoter: Rc<dyn DynQuoter>) -> Self {
        Self(quoter)
    }
}

impl Factory for QotdFactory {
    type Protocol = Qotd;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Qotd> {
        Some(Qotd(Rc::clone(&self.0)))
    }
}

impl std::fmt::Debug for QotdFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QotdFactory")
    }
}

impl std::fmt::Debug for Qotd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Qotd")
    }
}
