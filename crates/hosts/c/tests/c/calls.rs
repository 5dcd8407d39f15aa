//! The calls as C makes them: what is refused, what is told, and freeing at the wrong moment; and a C program that uses
//! the header.
#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "they are calls for C, all with the same obligations"
)]

use super::server::{self, Server};
use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::PathBuf,
    process::Command,
    ptr,
};
use tress_c::{
    Hosted, tress_deadline, tress_descriptor, tress_finger, tress_free, tress_new, tress_turn,
};

/// What callbacks of one question were told, and whom they free.
#[derive(Default)]
struct Told {
    answers: RefCell<Vec<(c_int, String)>>,
    frees: Cell<Option<*mut Hosted>>,
    nested: Cell<Option<(*mut Hosted, c_int)>>,
}

extern "C" fn answered(data: *mut c_void, ok: c_int, text: *const c_char, length: usize) {
    // SAFETY: every test passes a `Told` that outlives its reactor's turns.
    let told = unsafe { &*data.cast::<Told>() };
    // SAFETY: `tress.h` promises a text with a zero behind it.
    let text = unsafe { CStr::from_ptr(text) };
    assert_eq!(text.to_bytes().len(), length);
    let text = text.to_str().expect("it is UTF-8").to_owned();
    told.answers.borrow_mut().push((ok, text));
    if let Some((reactor, _)) = told.nested.get() {
        // SAFETY: it is alive.
        let turned = unsafe { tress_turn(reactor) };
        told.nested.set(Some((reactor, turned)));
    }
    if let Some(reactor) = told.frees.take() {
        // SAFETY: it is alive, and nobody uses it after this.
        unsafe { tress_free(reactor) };
    }
}

fn ask(reactor: *const Hosted, to: &str, query: &str, told: &Told) -> c_int {
    let [to, query] = [to, query].map(|text| CString::new(text).expect("it has no zero"));
    let data = ptr::from_ref(told).cast_mut().cast();
    // SAFETY: the reactor is null or alive, and the texts end with a zero.
    unsafe { tress_finger(reactor, to.as_ptr(), query.as_ptr(), Some(answered), data) }
}

/// Turns the reactor and the server until this holds.
fn until(reactor: *const Hosted, server: &Server, condition: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if condition() {
            return;
        }
        server.turn();
        // SAFETY: the reactor is alive.
        assert_eq!(unsafe { tress_turn(reactor) }, 0);
    }
    panic!("it does not come");
}

#[test]
fn an_answer_comes_in_a_turn() {
    let (server, told) = (Server::new("Pong\r\n"), Told::default());
    let reactor = tress_new();
    // SAFETY: the reactor is alive up to the end of the test.
    unsafe {
        assert!(tress_descriptor(reactor) >= 0);
        assert_eq!(tress_deadline(reactor), -1);
        assert_eq!(ask(reactor, &server.at(), "moshez", &told), 0);
        assert_eq!(tress_deadline(reactor), 0, "it must turn");
        assert_eq!(told.answers.borrow().len(), 0);
        until(reactor, &server, || server.asked() == ["moshez"]);
        assert_eq!(told.answers.borrow().len(), 0, "it waits");
        server.answer();
        until(reactor, &server, || told.answers.borrow().len() == 1);
        assert_eq!(*told.answers.borrow(), [(1, "Pong\r\n".to_owned())]);
        tress_free(reactor);
    }
}

#[test]
fn what_went_wrong_is_told() {
    let told = Told::default();
    let reactor = tress_new();
    let server = Server::new(&"x".repeat(65_537));
    server.answer();
    assert_eq!(ask(reactor, &server.at(), "", &told), 0);
    until(reactor, &server, || told.answers.borrow().len() == 1);
    let (ok, text) = told.answers.borrow()[0].clone();
    assert_eq!((ok, &*text), (0, "the answer is longer than 65536 bytes"));
    let gone = server.at();
    server.close();
    assert_eq!(ask(reactor, &gone, "", &told), 0);
    until(reactor, &server, || told.answers.borrow().len() == 2);
    let (ok, text) = told.answers.borrow()[1].clone();
    assert!(ok == 0 && text.contains("refused"), "{text}");
    // SAFETY: it is alive.
    unsafe { tress_free(reactor) };
}

#[test]
fn questions_without_sense_are_refused() {
    let told = Told::default();
    let reactor = tress_new();
    assert_eq!(ask(reactor, "tpc:1", "", &told), -1);
    assert_eq!(ask(reactor, "tcp:127.0.0.1:79", "two\nlines", &told), -1);
    let to = c"tcp:127.0.0.1:79".as_ptr();
    let none = ptr::null_mut();
    // SAFETY: the reactor is alive, and the texts are null or end with a zero.
    unsafe {
        assert_eq!(tress_finger(reactor, to, c"".as_ptr(), None, none), -1);
        assert_eq!(
            tress_finger(reactor, to, ptr::null(), Some(answered), none),
            -1
        );
        assert_eq!(
            tress_finger(reactor, ptr::null(), to, Some(answered), none),
            -1
        );
        assert_eq!(
            tress_finger(reactor, to, c"\xff".as_ptr(), Some(answered), none),
            -1
        );
        assert_eq!(tress_turn(reactor), 0);
        tress_free(reactor);
    }
    assert_eq!(told.answers.borrow().len(), 0);
}

#[test]
fn null_and_other_threads_are_refused() {
    // SAFETY: null is allowed.
    unsafe { refused(ptr::null_mut()) };
    let reactor = tress_new();
    let address = reactor.expose_provenance();
    #[expect(clippy::disallowed_methods, reason = "another thread")]
    let thread = std::thread::spawn(move || {
        // SAFETY: the reactor is alive: what frees it here does nothing.
        unsafe { refused(ptr::with_exposed_provenance_mut(address)) };
    });
    thread.join().expect("no panic");
    // SAFETY: it is alive.
    unsafe {
        assert_eq!(tress_turn(reactor), 0);
        tress_free(reactor);
    }
}

/// # Safety
/// The reactor is null or alive.
unsafe fn refused(reactor: *mut Hosted) {
    let told = Told::default();
    // SAFETY: so the caller promises.
    unsafe {
        assert_eq!(tress_descriptor(reactor), -1);
        assert_eq!(tress_deadline(reactor), -2);
        assert_eq!(tress_turn(reactor), -1);
        assert_eq!(ask(reactor, "tcp:127.0.0.1:79", "", &told), -1);
        tress_free(reactor);
    }
}

/// Nobody is called after it, whether the attempt was going on or the answer was awaited.
#[test]
fn freeing_tells_nobody() {
    let (server, told) = (Server::new("never"), Told::default());
    for turns in [0, 1, 5] {
        let reactor = tress_new();
        assert_eq!(ask(reactor, &server.at(), "", &told), 0);
        // SAFETY: it is alive.
        unsafe {
            for _ in 0..turns {
                server.turn();
                assert_eq!(tress_turn(reactor), 0);
            }
            tress_free(reactor);
        }
    }
    assert_eq!(told.answers.borrow().len(), 0);
}

/// Inside a callback a turn fails, and freeing is the last that happens.
#[test]
fn a_callback_may_free() {
    let (server, told) = (Server::new("once"), Told::default());
    let reactor = tress_new();
    for _ in 0..2 {
        assert_eq!(ask(reactor, &server.at(), "", &told), 0);
    }
    until(reactor, &server, || server.asked().len() == 2);
    told.frees.set(Some(reactor));
    told.nested.set(Some((reactor, 0)));
    // Both answers come in one turn.
    server.answer();
    server.settle();
    // SAFETY: it is alive until it is freed in its last turn.
    while told.answers.borrow().is_empty() && unsafe { tress_turn(reactor) } == 0 {}
    assert_eq!(*told.answers.borrow(), [(1, "once".to_owned())]);
    assert!(told.nested.get().is_some_and(|(_, turned)| turned == -1));
}

/// The header's own example, compiled by the C compiler against the library.
#[test]
fn a_c_program_uses_the_header() {
    let library = server::library();
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tress-ask");
    let compiled = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I"])
        .arg(&here)
        .arg(here.join("tests/c/ask.c"))
        .arg(&library)
        .arg("-o")
        .arg(&program)
        .status();
    assert!(compiled.expect("there is a C compiler").success());
    let server = Server::new("from C\r\n");
    server.answer();
    let mut asks = Command::new(program);
    asks.arg(server.at())
        .env(
            "LD_LIBRARY_PATH",
            library.parent().expect("it is in a directory"),
        )
        .stdout(std::process::Stdio::piped());
    let mut asks = asks.spawn().expect("it was compiled");
    while asks.try_wait().expect("it is our child").is_none() {
        server.turn();
    }
    let output = asks.wait_with_output().expect("it has ended");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 from C\r\n");
    assert_eq!(server.asked(), ["moshez"]);
}
