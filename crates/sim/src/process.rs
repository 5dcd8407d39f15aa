//! A driver's table of sockets, or a child's of its pipes: tokens, and which of them have something to report. Knows
//! nothing of what they are.

use crate::{children::ChildId, datagrams::PortId, host::ListenerKey, jobs::Jobs, stream::EndId};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt,
    rc::Rc,
};
use tress_core::{Signal, driver::Token, reactor::SignalSender};

/// The signals that a process catches.
pub(crate) type Caught = Rc<RefCell<BTreeMap<Signal, SignalSender>>>;

/// Whoever can raise signals in a simulated process: what `kill` is to a real one. It does not keep the process.
#[derive(Clone)]
pub struct SimProcess(pub(crate) Caught);

impl SimProcess {
    /// Raises a signal: its handlers run in the reactor's next turn. False when the process does not catch it. That it
    /// would end then, or be stopped, is not simulated.
    pub fn raise(&self, signal: Signal) -> bool {
        let caught = self.0.borrow();
        let sender = caught.get(&signal);
        sender.map(SignalSender::raise).is_some()
    }
}

impl fmt::Debug for SimProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caught = self.0.borrow();
        f.debug_tuple("SimProcess").field(&caught.keys()).finish()
    }
}

/// What a token stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket {
    Port(ListenerKey),
    Stream(EndId),
    Datagrams(PortId),
    Child(ChildId),
}

#[derive(Debug)]
pub(crate) struct Process {
    /// The host it runs on.
    pub(crate) host: usize,
    pub(crate) jobs: Jobs,
    /// The child whose table it is, if it is no driver's.
    pub(crate) child: Option<ChildId>,
    /// Its host has crashed since.
    pub(crate) is_dead: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots that have something to report, in the order in which that happened.
    ready: VecDeque<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    socket: Option<Socket>,
    is_ready: bool,
}

impl Process {
    pub(crate) fn new(host: usize) -> Self {
        Self {
            host,
            jobs: Jobs::default(),
            child: None,
            is_dead: false,
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// A token for `socket`. A slot that was freed last is used first.
    pub(crate) fn add(&mut self, socket: Socket) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                socket: None,
                is_ready: false,
            });
            u32::try_from(self.slots.len() - 1).expect("memory ends before the slots")
        });
        let place = &mut self.slots[slot as usize];
        place.socket = Some(socket);
        Token {
            slot,
            generation: place.generation,
        }
    }

    /// What the token stands for, unless it is dead.
    pub(crate) fn get(&self, token: Token) -> Option<Socket> {
        let slot = self.slots.get(token.slot as usize)?;
        slot.socket.filter(|_| slot.generation == token.generation)
    }

    /// The token and the socket of a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<(Token, Socket)> {
        let place = self.slots.get(slot as usize)?;
        let generation = place.generation;
        Some((Token { slot, generation }, place.socket?))
    }

    /// Frees the token's slot, whose next token is of another generation.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Socket> {
        let socket = self.get(token)?;
        let slot = &mut self.slots[token.slot as usize];
        slot.socket = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.slot);
        Some(socket)
    }

    /// All living tokens.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let count = u32::try_from(self.slots.len()).expect("as in add");
        let living = (0..count).filter_map(|slot| self.at(slot));
        living.map(|(token, _)| token).collect()
    }

    /// This slot has something to report.
    pub(crate) fn make_ready(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if !std::mem::replace(&mut place.is_ready, true) {
            self.ready.push_back(slot);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || self.jobs.is_due()
    }

    /// Moves the slots that have something to report to `batch`.
    pub(crate) fn take_ready(&mut self, batch: &mut VecDeque<u32>) {
        for &slot in &self.ready {
            self.slots[slot as usize].is_ready = false;
        }
        batch.append(&mut self.ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_token_stands_for_nothing_although_its_slot_is_used_again() {
        let mut process = Process::new(0);
        let first = process.add(Socket::Stream(0));
        assert!(process.remove(first).is_some());
        let second = process.add(Socket::Stream(2));
        assert_eq!(first.slot, second.slot);
        assert!(process.get(first).is_none());
        assert!(process.remove(first).is_none());
        assert!(matches!(process.get(second), Some(Socket::Stream(2))));
        assert_eq!(process.tokens(), [second]);
    }

    #[test]
    fn a_slot_is_ready_once_until_it_is_taken() {
        let mut process = Process::new(0);
        let slot = process.add(Socket::Stream(0)).slot;
        process.make_ready(slot);
        process.make_ready(slot);
        let mut batch = VecDeque::new();
        process.take_ready(&mut batch);
        assert_eq!(batch, [slot]);
        assert!(!process.is_ready());
        process.make_ready(slot);
        assert!(process.is_ready());
    }
}
