//! How a new connection gets its protocols: the lowest layer at once, each next one, and the user's protocol at last,
//! when the layer below it is up.

use super::{Inner, seat};
use crate::{
    address::Address,
    factory::SharedFactory,
    failure::{Failure, Result},
    layer::Layer,
    transport::Transport,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is left to be built.
pub(crate) struct Plan {
    factory: SharedFactory,
    /// How many of the factory's layers have been made.
    made: usize,
}

impl Plan {
    pub(crate) fn new(factory: &SharedFactory) -> Self {
        Self {
            factory: factory.clone(),
            made: 0,
        }
    }

    /// Builds the protocol of this link, a layer's if one is left; false when the factory wants no connection.
    pub(crate) fn build(mut self, link: &Transport) -> Result<bool> {
        let peer = link.peer();
        let Some(make) = self.factory.layers().get(self.made) else {
            let protocol = self.factory.build(&peer)?;
            let wanted = protocol.is_some();
            link.0.protocol.replace(protocol);
            return Ok(wanted);
        };
        let layer = call(&**make, &peer)?;
        self.made += 1;
        let above = link.put_link_above();
        seat(layer, Inner::planned(above.clone(), self), link)?;
        link.hand_calls_up(&above);
        Ok(true)
    }
}

fn call(
    make: &dyn Fn(&Address) -> Result<Box<dyn Layer>>,
    peer: &Address,
) -> Result<Box<dyn Layer>> {
    let made = catch_unwind(AssertUnwindSafe(|| make(peer)));
    made.unwrap_or_else(|payload| Err(Failure::from_panic(&*payload)))
}
