//! Random starts, stops, attachments and reloads, against a model of six services.

use super::{
    USERS,
    control::{Heard, Running, echo},
};
use proptest::prelude::*;
use std::time::Duration;

/// What is done to an application, by the number of a service of six: the first three are the file's.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Start(usize),
    Stop(usize),
    Attach(usize),
    Detach(usize),
    /// The file has the services whose bits are set.
    Reload(u8),
    /// As the last, but for something that is wrong.
    Wrong(u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    (0..6_u8, 0..6_usize, 1..8_u8).prop_map(|(kind, which, file)| match kind {
        0 => Deed::Start(which),
        1 => Deed::Stop(which),
        2 => Deed::Attach(which),
        3 => Deed::Detach(which),
        4 => Deed::Reload(file),
        _ => Deed::Wrong(file),
    })
}

const SIX: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

fn six(which: usize) -> String {
    let port = 80 + u16::try_from(which).unwrap();
    echo("users", port, &format!("name = '{}'", SIX[which]))
}

fn file_of(bits: u8) -> String {
    let chosen = (0..3).filter(|which| bits & (1 << which) != 0);
    USERS.to_owned() + &chosen.map(six).collect::<String>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each service runs, is stopped, or is not there, as a small model says; and no deed disturbs another service.
    #[test]
    fn whatever_is_done_in_whatever_order(deeds in prop::collection::vec(deed(), 1..20)) {
        let running = Running::of(&file_of(7));
        let mut model = [Some(true), Some(true), Some(true), None, None, None];
        let mut open = [0, 1, 2, 3, 4, 5].map(|_| None);
        for deed in deeds {
            let before = model;
            let done = match deed {
                Deed::Start(which) => {
                    let there = model[which];
                    model[which] = there.map(|_| true);
                    running.start(SIX[which]).is_ok() == there.is_some()
                }
                Deed::Stop(which) => {
                    let there = model[which];
                    model[which] = there.map(|_| false);
                    running.stop(SIX[which]).is_ok() == there.is_some()
                }
                Deed::Attach(which) => {
                    let there = model[which];
                    model[which] = Some(there.unwrap_or(true));
                    running.attach(&six(which)).is_ok() == there.is_none()
                }
                Deed::Detach(which) => {
                    let there = model[which].take();
                    running.detach(SIX[which]).is_ok() == there.is_some()
                }
                Deed::Reload(bits) => {
                    model = std::array::from_fn(|which| (bits & (1 << which) != 0).then_some(true));
                    running.reload(&file_of(bits)).is_ok()
                }
                Deed::Wrong(bits) => running.reload(&(file_of(bits) + "[limits]\nx = 1\n")).is_err(),
            };
            prop_assert!(done, "{deed:?}");
            running.table.advance(Duration::from_secs(1));
            running.table.settle();
            for (which, state) in model.iter().enumerate() {
                let port = 80 + u16::try_from(which).unwrap();
                prop_assert_eq!(running.listens(port), *state == Some(true), "{:?} {}", deed, which);
                let connection: &mut Option<Heard> = &mut open[which];
                let stays = before[which] == Some(true) && *state == Some(true);
                if let Some(connection) = connection.take() {
                    prop_assert_eq!(connection.has_ended(), !stays, "{:?} {}", deed, which);
                }
                *connection = (*state == Some(true)).then(|| running.connect(port));
            }
        }
    }
}
