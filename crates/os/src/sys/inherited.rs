//! The descriptors that this process was started with, by their numbers, each given out once. Whoever started it says
//! which they are; here it is checked that they can be.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
};

/// The standard ones are not given out.
pub(crate) const FIRST: RawFd = 3;

/// What was found to be inherited, and whether it has been taken.
static FOUND: Mutex<BTreeMap<RawFd, bool>> = Mutex::new(BTreeMap::new());

/// Marks it to be closed in children, if it is inherited.
pub(crate) fn find(number: RawFd) -> io::Result<()> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    find_among(&mut found, number)
}

fn find_among(found: &mut BTreeMap<RawFd, bool>, number: RawFd) -> io::Result<()> {
    if found.contains_key(&number) {
        return Ok(());
    }
    if number < FIRST {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is only asked and marked; when nobody has it open, the call says so.
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(file)?.contains(FdFlags::CLOEXEC) {
        // What is inherited cannot have the mark, and what a program in Rust opens has it.
        let text = "this process has opened it itself, or other code in it has taken it";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    fcntl_setfd(file, FdFlags::CLOEXEC)?;
    found.insert(number, false);
    Ok(())
}

/// Takes it, once; `None` when it was taken before. `check` looks at it first.
pub(crate) fn take(
    number: RawFd,
    check: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<Option<OwnedFd>> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    find_among(&mut found, number)?;
    let Some(is_taken @ false) = found.get_mut(&number) else {
        return Ok(None);
    };
    // SAFETY: it is open: it was when it was found, and only whoever takes it can close it.
    check(unsafe { BorrowedFd::borrow_raw(number) })?;
    *is_taken = true;
    // SAFETY: it is open. It was there before this process ran any code, for whoever takes it by this number, and is
    // given out once: nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
