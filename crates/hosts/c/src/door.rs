//! The calls of `tress.h`, and the one door for `unsafe` here: what comes through it is a pointer that C keeps for us,
//! and texts that C lends us. No panic leaves, as C could not stop it. Must not do anything itself.
#![expect(
    unsafe_code,
    reason = "C hands over pointers, and finds functions by their names"
)]

use crate::{finger::Answered, hosted::Hosted};
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// See `tress.h`.
#[unsafe(no_mangle)]
pub extern "C" fn tress_new() -> *mut Hosted {
    guarded(ptr::null_mut(), || {
        let hosted = Hosted::new().ok()?;
        Some(Box::into_raw(Box::new(hosted)))
    })
}

/// See `tress.h`.
///
/// # Safety
/// `reactor` is null, or came from `tress_new` and has not been here before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tress_free(reactor: *mut Hosted) {
    guarded((), || {
        // SAFETY: so the caller promises.
        unsafe { borrow(reactor) }?.free();
        // SAFETY: it came from `Box::into_raw`, once, and nobody has it borrowed: a turn that is going on has a handle
        // of its own on what it needs.
        drop(unsafe { Box::from_raw(reactor) });
        Some(())
    });
}

/// See `tress.h`.
///
/// # Safety
/// `reactor` is null, or came from `tress_new` and has not been given to `tress_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tress_descriptor(reactor: *const Hosted) -> c_int {
    // SAFETY: so the caller promises.
    guarded(-1, || unsafe { borrow(reactor) }?.descriptor())
}

/// See `tress.h`.
///
/// # Safety
/// As for [`tress_descriptor`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tress_deadline(reactor: *const Hosted) -> i64 {
    // SAFETY: so the caller promises.
    guarded(-2, || Some(unsafe { borrow(reactor) }?.deadline()))
}

/// See `tress.h`.
///
/// # Safety
/// As for [`tress_descriptor`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tress_turn(reactor: *const Hosted) -> c_int {
    guarded(-1, || {
        // SAFETY: so the caller promises. It is not borrowed during the turn, in which C may free it.
        let hosted = unsafe { borrow(reactor) }?.clone();
        hosted.turn().ok()?;
        Some(0)
    })
}

/// See `tress.h`.
///
/// # Safety
/// As for [`tress_descriptor`]; `to` and `query` are null, or texts that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tress_finger(
    reactor: *const Hosted,
    to: *const c_char,
    query: *const c_char,
    answered: Option<extern "C" fn(*mut c_void, c_int, *const c_char, usize)>,
    data: *mut c_void,
) -> c_int {
    guarded(-1, || {
        // SAFETY: so the caller promises.
        let hosted = unsafe { borrow(reactor) }?;
        // SAFETY: so the caller promises.
        let to = unsafe { text(to) }?;
        // SAFETY: so the caller promises.
        let query = unsafe { text(query) }?;
        hosted
            .finger(to, query, Answered::new(answered?, data))
            .ok()?;
        Some(0)
    })
}

/// What is behind a pointer that C keeps, if it may be touched on this thread.
///
/// # Safety
/// The pointer is null, or came from `tress_new`, and is not freed as long as the result is used.
unsafe fn borrow<'a>(reactor: *const Hosted) -> Option<&'a Hosted> {
    // SAFETY: so the caller promises. Other threads read what never changes: whose it is.
    let hosted = unsafe { reactor.as_ref() }?;
    hosted.is_here().then_some(hosted)
}

/// A text that C lends, if it is one.
///
/// # Safety
/// The pointer is null, or the text ends with a zero and stays as it is as long as the result is used.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: so the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().ok()
}

/// What the call returns, or `otherwise` when it failed or panicked.
fn guarded<T>(otherwise: T, call: impl FnOnce() -> Option<T>) -> T {
    let called = catch_unwind(AssertUnwindSafe(call));
    called.ok().flatten().unwrap_or(otherwise)
}
