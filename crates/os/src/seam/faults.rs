//! What a test plans for one thread: which call fails, and how. Makes no call.

use super::Call;
#[cfg(all(feature = "uring", target_os = "linux"))]
use std::time::Duration;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{self, IoSlice},
};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not made, and this error (`errno`) is the answer.
    Error(i32),
    /// It is offered one byte or datagram only.
    Short,
}

/// Which call goes wrong: the `number`-th of its kind, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its kind.
    pub call: Call,
    /// The first is 1.
    pub number: u32,
    /// How.
    pub fault: Fault,
}

/// What a thread has called since [`begin`].
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Of each kind, whether they could have been short, in their order.
    pub made: BTreeMap<Call, Vec<bool>>,
    /// Whether the planned one was among them.
    pub is_fulfilled: bool,
}

#[derive(Default)]
struct Running {
    plan: Option<Plan>,
    calls: Calls,
    owes_events: bool,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
    /// Operations of io_uring that the kernel does not know of, and what they are to come to. Kept beyond the end.
    #[cfg(all(feature = "uring", target_os = "linux"))]
    static EXCHANGED: RefCell<BTreeMap<u64, i32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts the calls of this thread's drivers from now on, and has one of them go wrong.
pub fn begin(plan: Option<Plan>) {
    #[cfg(all(feature = "uring", target_os = "linux"))]
    EXCHANGED.with_borrow_mut(BTreeMap::clear);
    let running = Running {
        plan,
        ..Running::default()
    };
    RUNNING.set(Some(running));
}

/// Nothing goes wrong any more.
pub fn end() -> Calls {
    RUNNING.take().unwrap_or_default().calls
}

/// How many calls there have been since [`begin`].
#[must_use]
pub fn count() -> usize {
    RUNNING.with_borrow(|running| {
        let made = running.iter().flat_map(|running| &running.calls.made);
        made.map(|(_, made)| made.len()).sum()
    })
}

/// The fault that is planned for this call, which is counted.
fn fault(call: Call, is_divisible: bool) -> Option<Fault> {
    RUNNING.with_borrow_mut(|running| {
        let running = running.as_mut()?;
        let made = running.calls.made.entry(call).or_default();
        made.push(is_divisible);
        let number = u32::try_from(made.len()).ok()?;
        let plan = running.plan?;
        if (plan.call, plan.number) != (call, number) {
            return None;
        }
        running.calls.is_fulfilled = true;
        running.owes_events |= matches!(plan.fault, Fault::Short | Fault::Error(libc::EAGAIN));
        Some(plan.fault)
    })
}

pub(super) fn room(call: Call, most: usize) -> io::Result<usize> {
    match fault(call, most > 1) {
        Some(Fault::Error(error)) => Err(io::Error::from_raw_os_error(error)),
        Some(Fault::Short) => Ok(most.min(1)),
        None => Ok(most),
    }
}

/// The one byte that a short call is offered.
pub(super) fn first_byte<'a>(
    call: Call,
    pieces: &'a [IoSlice<'_>],
) -> io::Result<Option<IoSlice<'a>>> {
    let most = pieces.iter().map(|piece| piece.len()).sum();
    let room = room(call, most)?;
    let piece = pieces.iter().find(|piece| !piece.is_empty());
    let piece = piece.filter(|_| room < most);
    Ok(piece.map(|piece| IoSlice::new(&piece[..room])))
}

/// Whether an answer was made up that means "nothing more for now" although there may be more: the system would tell
/// when there is, so the driver must have it told.
pub(crate) fn owes_events() -> bool {
    RUNNING.with_borrow_mut(|running| {
        let running = running.as_mut();
        running.is_some_and(|running| std::mem::take(&mut running.owes_events))
    })
}

/// Whether it is so, without taking note.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) fn will_owe_events() -> bool {
    RUNNING.with_borrow(|running| running.as_ref().is_some_and(|running| running.owes_events))
}

/// At most a moment, while a test counts.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(super) fn rest(rest: Duration) -> Duration {
    const MOMENT: Duration = Duration::from_millis(1);
    let is_counted = RUNNING.with_borrow(Option::is_some);
    if is_counted { rest.min(MOMENT) } else { rest }
}

/// The answer with this mark is to be this error.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(super) fn exchange(mark: u64, error: io::Error) {
    let error = error.raw_os_error().unwrap_or(libc::EIO);
    EXCHANGED.with_borrow_mut(|exchanged| exchanged.insert(mark, error));
}

/// The error that the answer with this mark is to be.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(super) fn exchanged(mark: u64) -> Option<i32> {
    EXCHANGED.with_borrow_mut(|exchanged| exchanged.remove(&mark))
}
