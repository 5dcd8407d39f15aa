//! `ProcessProtocol`: what a program does with a child process. Knows neither pipes nor the loop.

use super::Process;
use crate::failure::{Failure, Result};

/// Callbacks about one child process. All have defaults.
///
/// Never re-entered, as a [`Protocol`](crate::Protocol). A callback that returns `Err` or panics ends the child: its
/// pipes are closed, and it is stopped as by [`Process::stop`]. Source: Twisted's `internet/protocol.py`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process protocol",
    label = "`ProcessProtocol` is not implemented for it",
    note = "implement `ProcessProtocol` for it: all its methods have defaults"
)]
pub trait ProcessProtocol: 'static {
    /// The child was started. Comes first, once.
    ///
    /// # Errors
    /// Ends the child; so do all the others.
    fn connection_made(&mut self, process: &Process) -> Result {
        let _ = process;
        Ok(())
    }

    /// The child wrote to this descriptor of its own. The default gives what came from 1 to `out_received` and what came
    /// from 2 to `err_received`.
    ///
    /// # Errors
    /// Ends the child.
    fn child_data_received(&mut self, process: &Process, descriptor: u32, data: &[u8]) -> Result {
        match descriptor {
            1 => self.out_received(process, data),
            2 => self.err_received(process, data),
            _ => Ok(()),
        }
    }

    /// The child wrote to its standard output, or to its terminal.
    ///
    /// # Errors
    /// Ends the child.
    fn out_received(&mut self, process: &Process, data: &[u8]) -> Result {
        let _ = (process, data);
        Ok(())
    }

    /// The child wrote to its standard error.
    ///
    /// # Errors
    /// Ends the child.
    fn err_received(&mut self, process: &Process, data: &[u8]) -> Result {
        let _ = (process, data);
        Ok(())
    }

    /// More waits to be written to this descriptor than the high-water mark: write no more until
    /// `child_write_resumed`.
    ///
    /// # Errors
    /// Ends the child.
    fn child_write_paused(&mut self, process: &Process, descriptor: u32) -> Result {
        let _ = (process, descriptor);
        Ok(())
    }

    /// All that waited to be written to this descriptor has left.
    ///
    /// # Errors
    /// Ends the child.
    fn child_write_resumed(&mut self, process: &Process, descriptor: u32) -> Result {
        let _ = (process, descriptor);
        Ok(())
    }

    /// This descriptor is closed: once for each that is a pipe, a socket, or the terminal, which counts as 1. The reason
    /// is that of a connection's end: [`ConnectionDone`](crate::error::ConnectionDone) when we closed it, or when the
    /// child closed what we read; anything else when bytes may be missing, or when the child reads no more.
    ///
    /// # Errors
    /// Ends the child.
    fn child_connection_lost(
        &mut self,
        process: &Process,
        descriptor: u32,
        reason: &Failure,
    ) -> Result {
        let _ = (process, descriptor, reason);
        Ok(())
    }

    /// The child has ended and nothing is left of it but what it wrote: [`ProcessDone`](super::ProcessDone), or
    /// [`ProcessTerminated`](super::ProcessTerminated) which says how. Bytes may still come.
    ///
    /// # Errors
    /// Closes its pipes.
    fn process_exited(&mut self, process: &Process, reason: &Failure) -> Result {
        let _ = (process, reason);
        Ok(())
    }

    /// The child has ended and all its descriptors are closed. Comes last, exactly once, with the reason that
    /// `process_exited` was given. A process that got the child's descriptors from it can put this off for ever.
    fn process_ended(&mut self, reason: Failure) {
        drop(reason);
    }

    /// What logs call this protocol.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}
