//! The flags of a connection: what was asked of it and what is going on. One word, so that the usual case is one test.

/// A callback of its protocol is running, or what it asked for is being done.
pub(crate) const RUNNING: u32 = 1;
/// There is output in the connection's own queue.
pub(crate) const OUT: u32 = 1 << 1;
/// There is output of this connection, the running one, in the shared cork.
pub(crate) const CORKED: u32 = 1 << 22;
/// `lose_connection` was called.
pub(crate) const CLOSE: u32 = 1 << 2;
/// `abort_connection` was called, or the output overflowed.
pub(crate) const ABORT: u32 = 1 << 3;
/// Calls to the protocol are queued.
pub(crate) const CALLS: u32 = 1 << 4;
/// `lose_write_connection` was called.
pub(crate) const SHUT: u32 = 1 << 5;
/// `pause_producing` or `resume_producing` was called.
pub(crate) const PAUSE_CHANGED: u32 = 1 << 6;
/// A producer was registered or unregistered.
pub(crate) const PRODUCER_CHANGED: u32 = 1 << 7;
/// The connection stands in the list of those to flush at the end of the turn.
pub(crate) const DIRTY: u32 = 1 << 8;
/// Its user has paused reading.
pub(crate) const PAUSED: u32 = 1 << 9;
/// The driver takes no more for now; a `Sent` will come.
pub(crate) const BLOCKED: u32 = 1 << 10;
/// Output is above the high-water mark.
pub(crate) const FULL: u32 = 1 << 11;
/// The driver has been told to read.
pub(crate) const READING: u32 = 1 << 12;
/// The peer sends no more.
pub(crate) const READ_CLOSED: u32 = 1 << 13;
/// The peer has been told that we send no more.
pub(crate) const WRITE_SHUT: u32 = 1 << 14;
/// The connection has ended.
pub(crate) const LOST: u32 = 1 << 15;
/// Its protocol reads on although its output is above the high-water mark.
pub(crate) const READ_WHEN_FULL: u32 = 1 << 16;
/// The first request is awaited.
pub(crate) const HANDSHAKE: u32 = 1 << 17;
/// The port accepted it, so deadlines for peers apply.
pub(crate) const SERVER: u32 = 1 << 18;
/// A producer is registered.
pub(crate) const PRODUCER: u32 = 1 << 19;
/// The registered producer is a pulled one.
pub(crate) const PULLED: u32 = 1 << 20;
/// A streaming producer has been paused.
pub(crate) const PRODUCER_PAUSED: u32 = 1 << 21;

/// Everything that asks for more than a flush.
pub(crate) const UNUSUAL: u32 = OUT
    | CLOSE
    | ABORT
    | CALLS
    | SHUT
    | PAUSE_CHANGED
    | PRODUCER_CHANGED
    | BLOCKED
    | FULL
    | WATCHED
    | PASSING
    | LOST
    | PRODUCER
    | PUSHED
    | INNER;
/// Everything that one round of settling answers.
pub(crate) const REQUESTS: u32 = ABORT | CALLS | PAUSE_CHANGED | PRODUCER_CHANGED | PUSHED | INNER;
/// `resume_producing` was called after a pause: the protocol is to be told.
pub(crate) const RESUMED: u32 = 1 << 23;
/// `deliver_buffers` was called.
pub(crate) const BUFFERS: u32 = 1 << 24;
/// `watch_flush` was called and the output has not left since.
pub(crate) const WATCHED: u32 = 1 << 25;
/// Descriptors wait in the output.
pub(crate) const PASSING: u32 = 1 << 31;
/// Nothing can be written any more.
pub(crate) const WRITE_ENDED: u32 = LOST | WRITE_SHUT | SHUT | ABORT;
/// A layer lies below it: its output goes there, and what only the driver knows is asked of the lowest link.
pub(crate) const LAYERED: u32 = 1 << 26;
/// Its protocol is a layer's, which owns the link above.
pub(crate) const LAYER: u32 = 1 << 27;
/// `push_layer` was called, and the layer does not lie there yet.
pub(crate) const PUSHED: u32 = 1 << 28;
/// Something was asked of the link above.
pub(crate) const INNER: u32 = 1 << 29;
/// A link above is closing: so is this one for the deadline.
pub(crate) const CLOSING_ABOVE: u32 = 1 << 30;
/// What is written goes to the connection's own queue, or nowhere.
pub(crate) const NO_CORK: u32 = OUT | LAYERED | WRITE_ENDED;
/// What is written must wait for something else: for bytes, open files or a layer that come first.
pub(crate) const INDIRECT: u32 = NO_CORK | CORKED | BLOCKED | PASSING | PUSHED;
