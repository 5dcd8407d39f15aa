//! UNIX sockets: making, naming and connecting them, and the file of one that listens. Knows no driver and no slot.
//!
//! How a port comes by its file, all of it while it holds the lock file (`PATH.lock`, as Twisted's):
//!
//! 1. What is at the path and no socket stays, and is an error.
//! 2. A socket there that some process still has is an error. Whether one has it is asked by connecting a socket of
//!    another type: the kernel says `EPROTOTYPE` when somebody has it, also before he listens, and the one that listens
//!    never hears of it; `ECONNREFUSED` when nobody has.
//! 3. A socket that nobody has is removed.
//! 4. Ours is bound, gets its mode, and only then listens: until then everybody is refused, whatever the mode. On Linux
//!    the file is even made without any right that the mode does not give.
//!
//! The lock is released then, or kept as long as it listens. Source: Twisted's `internet/unix.py`, which replaces a
//! stale socket only when the lock file was left behind too.

use crate::{
    lock_file::{LockError, LockFile, LockGuard},
    seam::{self, Call},
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::SocketAddr,
        },
    },
    path::{Path, PathBuf},
};
use tress_core::{
    Address, UnixName,
    driver::{ConnectOptions, ListenOptions, UnixOptions},
};

/// The file of a socket that listens. Dropping it removes the file if it is still the same.
///
/// To be dropped before the socket is closed: as long as that is open, no other file gets the same number, and nobody
/// takes the file for a stale one.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute, since the working directory may change.
    path: PathBuf,
    identity: Identity,
    lock: Option<LockGuard>,
    /// It is another process's.
    left: bool,
}

/// Device and inode: which file this is, whatever it is called.
type Identity = (u64, u64);

/// A socket that listens and does not wait, and its file if it has one.
pub(crate) fn listen(
    name: &UnixName,
    options: &ListenOptions,
) -> io::Result<(Socket, Option<SocketFile>)> {
    let address = socket_address(name)?;
    let socket = new_socket(Type::STREAM)?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    let UnixName::Path(path) = name else {
        seam::call(Call::Bind, || socket.bind(&address))?;
        seam::call(Call::Listen, || socket.listen(backlog))?;
        return Ok((socket, None));
    };
    let lock = lock(path)?;
    remove_stale(path, &address, &lock)?;
    let mut file = bind(&socket, &address, path, options.unix.mode, lock)?;
    seam::call(Call::Listen, || socket.listen(backlog))?;
    if !options.unix.lock_file {
        file.lock = None;
    }
    Ok((socket, Some(file)))
}

/// A datagram socket that does not wait, and its file if it has one. The lock file is held only until it is bound: who
/// sends to it knows of none, and neither does Twisted.
pub(crate) fn bind_datagrams(
    name: &UnixName,
    mode: u32,
) -> io::Result<(Socket, Option<SocketFile>)> {
    let socket = new_socket(Type::DGRAM)?;
    if *name == UnixName::Unnamed {
        return Ok((socket, None));
    }
    let address = socket_address(name)?;
    let UnixName::Path(path) = name else {
        seam::call(Call::Bind, || socket.bind(&address))?;
        return Ok((socket, None));
    };
    let lock = lock(path)?;
    remove_stale(path, &address, &lock)?;
    let mut file = bind(&socket, &address, path, mode, lock)?;
    file.lock = None;
    Ok((socket, Some(file)))
}

/// A socket that is connected and does not wait: UNIX sockets connect at once or not at all.
pub(crate) fn connect(to: &UnixName, options: &ConnectOptions) -> io::Result<Socket> {
    let address = socket_address(to)?;
    if options.bind.is_some() {
        let text = "a UNIX socket connects from no address of its own";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    if options.unix_lock_file
        && let UnixName::Path(path) = to
    {
        check_locked(path)?;
    }
    let socket = new_socket(Type::STREAM)?;
    match seam::call(Call::Connect, || socket.connect(&address)) {
        Ok(()) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            format!("{to} has as many connections waiting as it may (its backlog)"),
        )),
        Err(error) => Err(error),
    }
}

/// What a socket's address is to the core.
pub(crate) fn address_of(address: &SockAddr) -> Address {
    if let Some(ip) = address.as_socket() {
        return Address::Ip(ip);
    }
    if let Some(path) = address.as_pathname() {
        return Address::Unix(UnixName::Path(path.into()));
    }
    if let Some(name) = address.as_abstract_namespace() {
        return Address::Unix(UnixName::Abstract(name.into()));
    }
    if address.is_unnamed() {
        return Address::Unix(UnixName::Unnamed);
    }
    Address::Unknown
}

/// What the name of a peer that was accepted is to the core.
pub(crate) fn name_of(address: &SocketAddr) -> UnixName {
    if let Some(path) = address.as_pathname() {
        return UnixName::Path(path.into());
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return UnixName::Abstract(name.into());
    }
    UnixName::Unnamed
}

impl SocketFile {
    /// The file of a socket that process `of` has left to this one, which has a copy of the socket: with the mode and the lock
    /// that are asked for here.
    pub(crate) fn take(path: &Path, options: &UnixOptions, of: u32) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let lock = lock_file(&path)?.inherit(of).map_err(of_lock_file)?;
        let lock = lock.ok_or_else(|| in_use("another process holds its lock file"))?;
        let found = seam::call(Call::Lstat, || fs::symlink_metadata(&path))?;
        if !found.file_type().is_socket() {
            return Err(in_use("something that is no socket is there by now"));
        }
        if found.permissions().mode() & 0o777 != options.mode {
            let permissions = || Permissions::from_mode(options.mode);
            seam::call(Call::Chmod, || fs::set_permissions(&path, permissions()))?;
        }
        Ok(Self {
            path,
            identity: identity(&found),
            lock: options.lock_file.then_some(lock),
            left: false,
        })
    }

    /// Leaves the file, and its lock, to another process that has a copy of the socket.
    pub(crate) fn leave(mut self) {
        if let Some(lock) = self.lock.take() {
            lock.leave();
        }
        self.left = true;
    }
}

fn new_socket(of: Type) -> io::Result<Socket> {
    let socket = seam::call(Call::Socket, || Socket::new(Domain::UNIX, of, None))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(crate) fn socket_address(name: &UnixName) -> io::Result<SockAddr> {
    let bad = |bad| io::Error::new(io::ErrorKind::InvalidInput, bad);
    name.check().map_err(bad)?;
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => {
            // Behind the NUL byte in front; `check` found that there is room.
            let mut path = [0; UnixName::BYTES_MAX + 1];
            path[1..=name.len()].copy_from_slice(name);
            SockAddr::unix(OsStr::from_bytes(&path[..=name.len()]))
        }
        UnixName::Unnamed => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn lock_file(path: &Path) -> io::Result<LockFile> {
    let mut lock = OsString::from(std::path::absolute(path)?);
    lock.push(".lock");
    Ok(LockFile::new(lock))
}

fn lock(path: &Path) -> io::Result<LockGuard> {
    let file = lock_file(path)?;
    let taken = file.try_lock().map_err(of_lock_file)?;
    taken.ok_or_else(|| {
        let lock = file.path().display();
        in_use(format!("a living process holds its lock file {lock}"))
    })
}

fn check_locked(path: &Path) -> io::Result<()> {
    let file = lock_file(path)?;
    if file.is_locked().map_err(of_lock_file)? {
        return Ok(());
    }
    let lock = file.path().display();
    let text = format!("no living process holds its lock file {lock}");
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
}

fn of_lock_file(failed: LockError) -> io::Error {
    io::Error::new(failed.error.kind(), format!("{failed}: {}", failed.error))
}

fn in_use(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, text.into())
}

/// Removes a socket that nobody has, while nobody else can do the same.
fn remove_stale(path: &Path, address: &SockAddr, _held: &LockGuard) -> io::Result<()> {
    let found = match seam::call(Call::Lstat, || fs::symlink_metadata(path)) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let text = "something that is no socket is there, and is left as it is";
        return Err(in_use(text));
    }
    let probe = new_socket(Type::DGRAM)?;
    let Err(error) = seam::call(Call::Connect, || probe.connect(address)) else {
        return Err(in_use("a datagram socket is there"));
    };
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => seam::call(Call::Unlink, || fs::remove_file(path)),
        Some(libc::ENOENT) => Ok(()),
        Some(libc::EPROTOTYPE) => Err(in_use("a living process has a socket there")),
        _ => Err(in_use(format!(
            "a socket is there, and whether a process has it cannot be told: {error}"
        ))),
    }
}

/// Gives the socket its file, with this mode.
fn bind(
    socket: &Socket,
    address: &SockAddr,
    path: &Path,
    mode: u32,
    lock: LockGuard,
) -> io::Result<SocketFile> {
    restrict(socket, mode)?;
    let absolute = std::path::absolute(path)?;
    seam::call(Call::Bind, || socket.bind(address))?;
    let metadata = seam::call(Call::Lstat, || fs::symlink_metadata(path)).inspect_err(|_| {
        // Nobody else can have put one there: the lock is ours.
        fs::remove_file(path).ok();
    })?;
    let file = SocketFile {
        path: absolute,
        identity: identity(&metadata),
        lock: Some(lock),
        left: false,
    };
    // The umask has taken some rights away, or this is a system where `restrict` does nothing.
    if metadata.permissions().mode() & 0o777 != mode {
        let permissions = || Permissions::from_mode(mode);
        seam::call(Call::Chmod, || fs::set_permissions(path, permissions()))?;
    }
    Ok(file)
}

/// Linux makes the file with the mode that the socket has.
fn restrict(socket: &Socket, mode: u32) -> io::Result<()> {
    let file = File::from(OwnedFd::from(seam::call(Call::Dup, || socket.try_clone())?));
    let permissions = || Permissions::from_mode(mode);
    match seam::call(Call::Chmod, || file.set_permissions(permissions())) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let path = self.path.display();
        match seam::call(Call::Lstat, || fs::symlink_metadata(&self.path)) {
            Ok(found) if identity(&found) == self.identity => {
                if let Err(error) = seam::call(Call::Unlink, || fs::remove_file(&self.path)) {
                    tracing::warn!(target: "tress", "cannot remove the socket {path}: {error}");
                }
            }
            Ok(_) => {
                tracing::warn!(target: "tress", "{path} is another file by now, and is left as it is");
            }
            Err(error) => {
                tracing::warn!(target: "tress", "cannot remove the socket {path}: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
