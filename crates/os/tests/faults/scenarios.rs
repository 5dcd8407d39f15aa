//! The scenarios. Each begins something, and says what must hold in the end if no fault got in the way.

use crate::{
    actor::Actor,
    stage::{Check, Kind, Scenario, Stage},
};
use std::rc::Rc;
use tress_core::{Result, testing::pattern};

const ALL: &[Kind] = &[
    Kind::Mio,
    #[cfg(all(feature = "uring", target_os = "linux"))]
    Kind::Uring,
];

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "echo, little",
        kinds: ALL,
        play: |stage| echo(stage, 10),
    },
    Scenario {
        name: "echo, much",
        kinds: ALL,
        play: |stage| echo(stage, 300_000),
    },
];

fn echo(stage: &Rc<Stage>, bytes: usize) -> Result<Check> {
    let port = stage.listen_tcp(Actor::echo)?;
    let said = pattern(bytes);
    let client = stage.connect(&port, Actor::new().says(said.clone()).closes_after(bytes));
    Ok(Box::new(move || assert!(*client.received.borrow() == said)))
}
