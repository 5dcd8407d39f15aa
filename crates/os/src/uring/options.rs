//! What of io_uring the driver uses: a knob for each feature of the kernel. Asks the kernel nothing.

use std::io;

/// Which features of io_uring the driver uses. All are on by default; one that the kernel lacks is off whatever is said
/// here. With all off the driver works as on an old kernel: slower, and otherwise the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one feature of the kernel, on or off"
)]
pub struct UringOptions {
    /// One operation accepts all peers of a port (Linux 5.19); otherwise each peer needs one.
    pub multishot_accept: bool,
    /// One operation receives all bytes of a connection (Linux 6.0); otherwise each receive needs one. Only with
    /// `provided_buffers`.
    pub multishot_receive: bool,
    /// All connections receive into the same buffers (Linux 5.19); otherwise each connection that receives has one.
    pub provided_buffers: bool,
    /// How many buffers there are at most for all connections together: a power of two, 16 to 32,768; 1024 by default. There
    /// are 64 at first, and twice as many whenever all were in use. Without `provided_buffers` it does not matter.
    pub buffers: u16,
    /// How large a buffer is, bytes, and so the most that one callback gets: 512 to 1,048,576; 4096 by default.
    pub buffer_bytes: usize,
    /// What one turn starts is handed to the kernel with one call at its end; otherwise each operation at once.
    pub batched_submission: bool,
    /// The kernel works for the ring only while this thread waits for it (Linux 6.1).
    pub deferred_work: bool,
}

impl Default for UringOptions {
    fn default() -> Self {
        Self {
            multishot_accept: true,
            multishot_receive: true,
            provided_buffers: true,
            buffers: 1024,
            buffer_bytes: 4096,
            batched_submission: true,
            deferred_work: true,
        }
    }
}

impl UringOptions {
    const FEWEST_BUFFERS: u16 = 16;
    const SMALLEST_BUFFER_BYTES: usize = 512;
    const LARGEST_BUFFER_BYTES: usize = 1 << 20;

    /// Everything off that can be.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            multishot_accept: false,
            multishot_receive: false,
            provided_buffers: false,
            batched_submission: false,
            deferred_work: false,
            ..Self::default()
        }
    }

    /// The same without what came with Linux 5.19, or with 6.0, where that is not there.
    pub(super) fn as_far_as(&self, is_5_19: bool, is_6_0: bool) -> Self {
        let mut options = self.clone();
        options.multishot_accept &= is_5_19;
        options.provided_buffers &= is_5_19;
        options.multishot_receive &= is_6_0 && options.provided_buffers;
        options
    }

    /// Refuses numbers out of their bounds.
    pub(super) fn check(&self) -> io::Result<()> {
        let (buffers, bytes) = (self.buffers, self.buffer_bytes);
        let wrong = if !buffers.is_power_of_two() || buffers < Self::FEWEST_BUFFERS {
            format!("buffers = {buffers}: expected a power of two from 16 to 32768")
        } else if !(Self::SMALLEST_BUFFER_BYTES..=Self::LARGEST_BUFFER_BYTES).contains(&bytes) {
            format!("buffer_bytes = {bytes}: expected 512 to 1048576")
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_lacks_is_off() {
        let all = UringOptions::default();
        let used = |options: UringOptions| {
            let UringOptions {
                multishot_accept,
                provided_buffers,
                multishot_receive,
                ..
            } = options;
            [multishot_accept, provided_buffers, multishot_receive]
        };
        assert_eq!(used(all.as_far_as(false, false)), [false; 3]);
        assert_eq!(used(all.as_far_as(true, false)), [true, true, false]);
        assert_eq!(used(all.as_far_as(true, true)), [true; 3]);
        let own_buffers = UringOptions {
            provided_buffers: false,
            ..all
        };
        assert_eq!(
            used(own_buffers.as_far_as(true, true)),
            [true, false, false]
        );
        assert_eq!(
            used(UringOptions::plain().as_far_as(true, true)),
            [false; 3]
        );
    }

    #[test]
    fn numbers_have_bounds() {
        for (buffers, buffer_bytes, right) in [
            (1024, 4096, true),
            (16, 512, true),
            (32_768, 1 << 20, true),
            (8, 4096, false),
            (1000, 4096, false),
            (0, 4096, false),
            (1024, 511, false),
            (1024, (1 << 20) + 1, false),
        ] {
            let options = UringOptions {
                buffers,
                buffer_bytes,
                ..UringOptions::default()
            };
            assert_eq!(options.check().is_ok(), right, "{options:?}");
        }
        assert!(UringOptions::plain().check().is_ok());
    }
}
