//! What is more than a plain value: objects of both sides, instances, what is in itself; and sessions.

use super::*;
use crate::{
    Object,
    cred::{Anonymous, Avatar, Checker, Memory, Portal, Realm},
};

/// Remembers what it is given, and gives what it remembers.
#[derive(Default)]
struct Shelf {
    kept: RefCell<Vec<PbValue>>,
    waiting: RefCell<Vec<Resolver<PbValue>>>,
    cancelled: Rc<RefCell<usize>>,
}

impl Referenceable for Shelf {
    fn remote_message_received(
        self: Rc<Self>,
        context: &CallContext,
        method: &str,
        arguments: PbArguments,
    ) -> Deferred<PbValue> {
        assert!(context.deadline.is_some());
        let named = arguments.named.into_iter().map(|(_, value)| value);
        let mut values: Vec<PbValue> = arguments.positional.into_iter().chain(named).collect();
        match method {
            "same" => Deferred::succeed(PbValue::Tuple(values)),
            "keep" => {
                self.kept.borrow_mut().append(&mut values);
                Deferred::succeed(PbValue::Nothing)
            }
            "forget" => {
                drop(self.kept.take());
                Deferred::succeed(PbValue::Nothing)
            }
            "me" => Deferred::succeed(PbObject::from(self).into()),
            "others" => {
                let many = (0..=MAX_REFERENCES).map(|_| PbObject::from(Rc::<Self>::default()));
                Deferred::succeed(PbValue::List(many.map(PbValue::Object).collect()))
            }
            "never" => {
                let cancelled = Rc::clone(&self.cancelled);
                let (resolver, deferred) =
                    Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
                self.waiting.borrow_mut().push(resolver);
                deferred
            }
            "secret" => Deferred::fail(tress_core::Failure::msg("the key is under the mat")),
            _ => Deferred::fail(Fault::new(fault::UNKNOWN_METHOD, "it keeps")),
        }
    }
}

fn shelf(limits: ExposureLimits) -> (World, Rc<Shelf>) {
    let shelf = Rc::<Shelf>::default();
    let factory = PbFactory::new(Rc::clone(&shelf), limits).classes(["a.B"]);
    (World::serving(factory, Rc::default()).opened(), shelf)
}

/// `(remote N)`, as the peer passes an object of its own.
fn remote(number: u8) -> Vec<u8> {
    [b"\x02\x80\x10\x87", &[number, 0x81][..]].concat()
}

/// `(decref N)`
fn decref(number: u8) -> Vec<u8> {
    [b"\x02\x80\x1d\x87", &[number, 0x81][..]].concat()
}

const NOTHING: &[u8] = b"\x01\x80\x01\x87";

/// Everything that a plain value loses is kept, however it is cut.
#[test]
fn a_referenceable_takes_and_gives_everything() {
    let values: &[&[u8]] = &[
        NOTHING,
        b"\x02\x80\x07\x82boolean\x04\x82true",
        b"\x2a\x81",
        b"\x05\x83",
        b"\x84\x3f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x02\x80\x07\x82unicode\x02\x82\xc3\xa4",
        b"\x03\x82a\x00b",
        b"\x03\x80\x08\x87\x01\x81\x01\x80\x08\x87",
        b"\x02\x80\x0b\x87\x01\x81",
        b"\x02\x80\x03\x82set\x01\x81",
        b"\x02\x80\x09\x82frozenset\x01\x81",
        // {1: 2, "1": 3, b"1": 4}
        b"\x04\x80\x05\x87\x02\x80\x01\x81\x02\x81\
          \x02\x80\x02\x80\x07\x82unicode\x01\x821\x03\x81\x02\x80\x01\x821\x04\x81",
        b"\x02\x80\x03\x82a.B\x01\x80\x05\x87",
        // A list in itself, and a value that comes twice.
        b"\x03\x80\x04\x87\x01\x81\x02\x80\x08\x87\x02\x80\x03\x87\x01\x81",
        b"\x03\x80\x08\x87\x03\x80\x04\x87\x01\x81\x01\x80\x0b\x87\x02\x80\x03\x87\x01\x81",
    ];
    let (world, _) = shelf(ExposureLimits::default());
    for value in values {
        let given = [b"\x02\x80\x0b\x87", *value].concat();
        let message = message("same", &[value]);
        for every in [1, 2, 3, 7, message.len()] {
            world.tester.receive_cut(&message, every);
            assert_eq!(world.tester.sent(), answer(&given), "{value:?}");
        }
    }
    for (value, problem) in [
        (
            &b"\x02\x80\x03\x82a.C\x01\x80\x05\x87"[..],
            "\"a.C\" of 1 items",
        ),
        (b"\x03\x80\x03\x82a.B\x01\x81\x01\x81", "\"a.B\" of 2 items"),
        (
            b"\x02\x80\x03\x87\x01\x81",
            "`dereference` of 1, which has not begun",
        ),
        (
            b"\x03\x80\x04\x87\x01\x81\x03\x80\x04\x87\x01\x81\x01\x81",
            "`reference` 1 comes twice",
        ),
        (
            b"\x03\x80\x05\x87\x02\x80\x01\x81\x02\x81\x02\x80\x01\x81\x02\x81",
            "the key 1 comes twice",
        ),
        (
            b"\x02\x80\x05\x87\x02\x80\x01\x80\x01\x87\x02\x81",
            "a key that is a text or a whole number",
        ),
        (
            b"\x02\x80\x11\x87\x07\x81",
            "no object of ours has that number",
        ),
        (
            b"\x02\x80\x11\x87\x05\x82other",
            "no object of ours has that number",
        ),
    ] {
        let sent = world.answer(&message("same", &[value]));
        is_error(&sent, "bad-arguments", problem);
    }
    let deep = [&b"\x02\x80\x08\x87".repeat(32)[..], b"\x01\x80\x08\x87"].concat();
    let sent = world.answer(&message("same", &[&deep]));
    is_error(&sent, "bad-arguments", "lists and records in each other");
    let sent = world.answer(&message("gone", &[]));
    is_error(&sent, "unknown-method", "it keeps");
    let sent = world.answer(&message("secret", &[]));
    is_error(&sent, "internal", "internal error");
    assert!(!sent.windows(3).any(|it| it == b"mat"));
}

#[test]
fn an_object_of_ours_has_one_number_until_it_is_given_back() {
    let (world, shelf) = shelf(ExposureLimits::default());
    let held = || world.tester.with(|protocol, _| protocol.held());
    for _ in 0..2 {
        assert_eq!(world.answer(&message("me", &[])), answer(&remote(1)));
    }
    assert_eq!(held(), 1);
    // It is the root, although by another name; what comes back is no other.
    let local: [&[u8]; 2] = [b"\x02\x80\x11\x87\x01\x81", b"\x02\x80\x11\x87\x04\x82root"];
    let kept = world.answer(&message_to(b"\x01\x81", "keep", &local));
    assert_eq!(kept, answer(NOTHING));
    let me = PbValue::from(PbObject::from(Rc::clone(&shelf)));
    assert_eq!(shelf.kept.take(), [me.clone(), me]);
    world.tester.receive(&message_to(b"\x01\x81", "never", &[]));
    world.tester.receive(&decref(1));
    assert_eq!((held(), *shelf.cancelled.borrow()), (1, 0));
    world.tester.receive(&decref(1));
    assert_eq!((held(), *shelf.cancelled.borrow()), (0, 1));
    let sent = world.answer(&message_to(b"\x01\x81", "me", &[]));
    is_error(&sent, "unknown-method", "no object");
    let again = world.answer(&message("me", &[]));
    assert_eq!(again, answer(&remote(2)), "a new number");
    // Too many at once: none of them is kept.
    let sent = world.answer(&message("others", &[]));
    is_error(&sent, "busy", "1024 objects");
    assert_eq!(held(), 1);
    world.tester.receive(&[decref(2), decref(2)].concat());
    assert!(world.tester.is_closed(), "it gave back more than it held");
}

#[test]
fn objects_of_the_peers_are_counted_and_given_back() {
    let (world, shelf) = shelf(ExposureLimits::default());
    let nothing = answer(NOTHING);
    // What nobody keeps goes back after the answer, in which it may be.
    let sent = world.answer(&message("same", &[&remote(7)]));
    let local = b"\x02\x80\x0b\x87\x02\x80\x11\x87\x07\x81";
    assert_eq!(sent, [answer(local), decref(7)].concat());
    let twice = message("keep", &[&remote(7), &remote(7)]);
    assert_eq!(world.answer(&twice), nothing);
    {
        let kept = shelf.kept.borrow();
        assert_eq!(kept[0], kept[1], "the same object, twice");
        let PbValue::Reference(reference) = &kept[0] else {
            panic!("expected an object, found {kept:?}");
        };
        let context = CallContext::local(world.table.reactor());
        let called = reference.call_with(&context, "hello", []);
        world.table.settle();
        let hello = b"\x07\x80\x1a\x87\x01\x81\x07\x81\x05\x82hello\x01\x81\x01\x80\x0b\x87\x01\x80\x05\x87";
        assert_eq!(world.tester.sent(), hello);
        world.tester.receive(&answer(b"\x05\x81"));
        assert_eq!(text(called), "Integer(5)");
    }
    let sent = world.answer(&message("forget", &[]));
    assert_eq!(sent, [&decref(7).repeat(2)[..], &nothing].concat());
    // As many as may be held, a hundred a message; a message with one more fails, and all of its own are given back.
    let hundred = message("keep", &vec![&remote(9)[..]; 100]);
    for _ in 0..MAX_REFERENCES / 100 {
        assert_eq!(world.answer(&hundred), nothing);
    }
    let sent = world.answer(&hundred);
    let back = decref(9).repeat(MAX_REFERENCES % 100 + 1);
    assert!(sent.starts_with(&back));
    let error = &sent[back.len()..];
    is_error(error, "bad-arguments", "at most 1024 objects of one peer");
    assert_eq!(shelf.kept.borrow().len(), MAX_REFERENCES / 100 * 100);
    // An error in the middle gives back what came before it.
    drop(shelf.kept.take());
    world.table.settle();
    assert_eq!(
        world.tester.sent(),
        decref(9).repeat(MAX_REFERENCES / 100 * 100)
    );
    let sent = world.answer(&message("keep", &[&remote(7), b"\x00\x80"]));
    assert!(sent.starts_with(&decref(7)));
    is_error(&sent[decref(7).len()..], "bad-arguments", "an empty list");
    // When the connection ends, whoever keeps one keeps nothing alive.
    let kept = world.answer(&message("keep", &[&remote(7)]));
    assert_eq!(kept, nothing);
    let weak = Rc::downgrade(&shelf);
    drop((shelf, world));
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn calls_of_a_referenceable_have_an_end() {
    let limits = ExposureLimits {
        calls_in_flight: 1,
        call_deadline: Duration::from_secs(3),
        response_bytes: 600,
        ..ExposureLimits::default()
    };
    let (world, shelf) = shelf(limits);
    let never = message("never", &[]);
    assert_eq!(world.answer(&never), b"");
    is_error(&world.answer(&never), fault::BUSY, "1 calls wait");
    let first = shelf.waiting.borrow_mut().remove(0);
    first.resolve(PbObject::from(Rc::clone(&shelf)).into());
    world.table.settle();
    assert_eq!(world.tester.sent(), answer(&remote(1)));
    assert_eq!(world.answer(&never), b"");
    world.table.advance(Duration::from_secs(4));
    is_error(&world.tester.sent(), fault::DEADLINE, "no result in time");
    assert_eq!(*shelf.cancelled.borrow(), 1);
    // Nothing of an answer that is too large is passed.
    let large = [b"\x58\x04\x82", &[b'x'; 600][..]].concat();
    let local = b"\x02\x80\x11\x87\x04\x82root";
    let sent = world.answer(&message("same", &[local, &large]));
    is_error(&sent, fault::TOO_LARGE, "at most 600");
    assert_eq!(world.answer(&decref(1)), b"");
    assert_eq!(world.tester.with(|protocol, _| protocol.held()), 0);
    assert_eq!(world.answer(&never), b"");
    world.tester.peer_resets();
    assert_eq!(*shelf.cancelled.borrow(), 2);
}

/// Gives each avatar a desk of its own, and remembers who has gone.
#[derive(Default)]
struct Office {
    came: RefCell<usize>,
    gone: Rc<RefCell<Vec<Avatar>>>,
}

impl Realm for Office {
    fn request_avatar(
        &self,
        _reactor: &tress_core::Reactor,
        avatar: Avatar,
        _object: &Object,
    ) -> Deferred<Session> {
        *self.came.borrow_mut() += 1;
        let desk = <dyn DynDesk>::object(Rc::<Clerk>::default());
        let (gone, who) = (Rc::clone(&self.gone), avatar.clone());
        let session = Session::new(avatar, &desk);
        Deferred::succeed(session.on_logout(move || gone.borrow_mut().push(who)))
    }
}

/// Behind a portal in whose realm everybody gets a desk.
fn behind(portal: &Portal) -> World {
    let clerk = Rc::<Clerk>::default();
    let object = <dyn DynDesk>::object(Rc::clone(&clerk));
    let limits = ExposureLimits::default();
    let factory = PbFactory::with_portal(portal.clone(), &object, limits);
    World::serving(factory, clerk).opened()
}

/// What `guest` is answered to this response.
fn logged_in(world: &World, response: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (challenge, number) = challenged(world);
    let response = response(&challenge);
    let length = u8::try_from(response.len()).expect("it is short");
    let response = [&[length, 0x82], &response[..]].concat();
    let arguments: [&[u8]; 2] = [&response, NOTHING];
    let call = message_to(&[number, 0x81], "respond", &arguments);
    world.tester.receive(&call);
    world.table.settle();
    world.tester.sent()
}

/// The number of what `guest` has logged in to.
fn log_in(world: &World) -> u8 {
    let sent = logged_in(world, |it| login::respond(b"secret", it).to_vec());
    let number = sent[sent.len() - 2];
    assert_eq!(sent, answer(&remote(number)));
    number
}

#[test]
fn logout_is_called_once_however_it_comes() {
    let office = Rc::<Office>::default();
    let users = Memory::new([("guest".to_owned(), "secret".to_owned())]);
    let checkers: [Rc<dyn Checker>; 2] = [Rc::new(users), Rc::new(Anonymous)];
    let portal = Portal::new(checkers).with_realm(Rc::clone(&office) as Rc<dyn Realm>);
    let gone = || office.gone.borrow().len();
    // Given back, and then the end of the connection.
    let one = behind(&portal);
    let number = log_in(&one);
    let who = one.answer(&message_to(&[number, 0x81], "who", &[]));
    assert_eq!(who, answer(b"\x02\x80\x07\x82unicode\x05\x82guest"));
    let never = message_to(&[number, 0x81], "never", &[]);
    assert_eq!(one.answer(&never), b"");
    assert_eq!(gone(), 0);
    one.tester.receive(&decref(number));
    assert_eq!(gone(), 1);
    let again = log_in(&one);
    assert_ne!(again, number, "each login has an object of its own");
    one.tester.peer_resets();
    assert_eq!(gone(), 2);
    drop(one);
    assert_eq!(gone(), 2);
    // The server closes, as what came was no message.
    let two = behind(&portal);
    log_in(&two);
    two.tester.receive(b"\x01\x81");
    assert_eq!(gone(), 3);
    drop(two);
    assert_eq!((gone(), *office.came.borrow()), (3, 3));
    // A wrong answer asks the realm for nothing, and nobody has no name.
    let three = behind(&portal);
    assert_eq!(logged_in(&three, |_| b"x".to_vec()), b"");
    three.table.advance(ExposureLimits::default().login_delay);
    is_error(&three.tester.sent(), "unauthorized", "no user");
    assert_eq!(*office.came.borrow(), 3);
    // With a mind, which is given back.
    let anonymous = message("loginAnonymous", &[&remote(9)]);
    three.tester.receive(&anonymous);
    three.table.settle();
    let expected = [answer(&remote(2)), decref(9)].concat();
    assert_eq!(three.tester.sent(), expected);
    three.tester.peer_resets();
    assert_eq!(office.gone.borrow().last(), Some(&None));
    assert_eq!(gone(), 4);
}

/// A login that is decided when its connection has ended is logged out at once.
#[test]
fn a_login_that_comes_too_late_is_none() {
    struct Slow(RefCell<Vec<Resolver<Session>>>);
    impl Realm for Slow {
        fn request_avatar(
            &self,
            _reactor: &tress_core::Reactor,
            _avatar: Avatar,
            _object: &Object,
        ) -> Deferred<Session> {
            let (resolver, deferred) = Deferred::with_canceller(|| ());
            self.0.borrow_mut().push(resolver);
            deferred
        }
    }
    let slow = Rc::new(Slow(RefCell::default()));
    let portal = Portal::open().with_realm(Rc::clone(&slow) as Rc<dyn Realm>);
    let world = behind(&portal);
    world.tester.receive(&message("loginAnonymous", &[NOTHING]));
    world.table.settle();
    let resolver = slow.0.borrow_mut().pop().expect("the realm was asked");
    world.tester.peer_resets();
    let gone = Rc::new(RefCell::new(0));
    let told = Rc::clone(&gone);
    let desk = <dyn DynDesk>::object(Rc::<Clerk>::default());
    resolver.resolve(Session::new(None, &desk).on_logout(move || *told.borrow_mut() += 1));
    world.table.settle();
    assert_eq!(*gone.borrow(), 1);
}

/// A client takes instances of the classes it has named, and no others.
#[test]
fn a_client_takes_registered_classes_only() {
    let (caller, root) = Caller::open();
    let call = |answer: &[u8]| {
        let called = root.call_with(&caller.context, "copy", []);
        caller.table.settle();
        let sent = caller.tester.sent();
        let head = [b"\x03\x80\x1b\x87", &sent[4..6]].concat();
        caller.tester.receive(&[&head[..], answer].concat());
        text(called)
    };
    assert_eq!(
        call(b"\x02\x80\x03\x82a.B\x02\x80\x05\x87\x02\x80\x01\x81\x02\x81"),
        "Instance { class: \"a.B\", state: Dictionary([(Integer(1), Integer(2))]) }",
    );
    for (class, found) in [
        (
            &b"\x02\x80\x03\x82a.C\x01\x80\x05\x87"[..],
            "\"a.C\" of 1 items",
        ),
        (
            b"\x03\x80\x07\x87\x03\x82a.B\x01\x80\x05\x87",
            "\"instance\" of 2 items",
        ),
        (b"\x02\x80\x02\x87\x03\x82a.B", "\"class\" of 1 items"),
        (
            b"\x02\x80\x06\x87\x09\x82os.system",
            "\"function\" of 1 items",
        ),
        (b"\x02\x80\x0f\x87\x01\x81", "\"cached\" of 1 items"),
    ] {
        let expected = format!("the answer: {found} is no type that is accepted");
        assert_eq!(call(class), expected);
    }
}
