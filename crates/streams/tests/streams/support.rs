//! What the tests share: a task that is polled by hand, and bytes of which no two stretches look alike.

pub(crate) use tress_core::testing::pattern;

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tress_streams::Stream;

/// Somebody who polls a stream, and counts how often he is woken. What comes of a poll is told in a word or two:
/// `pending`, `end`, `done`, the bytes, a number, or the kind of an error.
#[derive(Clone, Default)]
pub(crate) struct Task(Arc<Count>);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// How often it was woken since this was asked last.
    pub(crate) fn wakes(&self) -> usize {
        self.0.0.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let waker = Waker::from(Arc::clone(&self.0));
        poll(&mut Context::from_waker(&waker))
    }

    /// Reads at most this many bytes.
    pub(crate) fn read(&self, stream: &mut Stream, most: usize) -> String {
        let mut buffer = vec![0; most];
        let polled = self.poll(|context| Pin::new(stream).poll_read(context, &mut buffer));
        told(polled, |count| match count {
            0 => "end".to_owned(),
            _ => String::from_utf8_lossy(&buffer[..count]).into_owned(),
        })
    }

    /// Reads this many bytes, or what is there of them.
    pub(crate) fn read_bytes(&self, stream: &mut Stream, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let mut length = 0;
        while length < most {
            let room = &mut buffer[length..];
            match self.poll(|context| Pin::new(&mut *stream).poll_read(context, room)) {
                Poll::Ready(Ok(count)) if count > 0 => length += count,
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        buffer.truncate(length);
        buffer
    }

    /// Reads everything that is there, however it was cut.
    pub(crate) fn read_all(&self, stream: &mut Stream) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let polled = self.poll(|context| {
                let filled = Pin::new(&mut *stream).poll_fill_buf(context);
                filled.map_ok(<[u8]>::to_vec)
            });
            match polled {
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                    Pin::new(&mut *stream).consume(bytes.len());
                    all.extend_from_slice(&bytes);
                }
                Poll::Ready(_) | Poll::Pending => return all,
            }
        }
    }

    /// What `poll_fill_buf` lends: where it is, and how much.
    pub(crate) fn filled(&self, stream: &mut Stream) -> Option<(*const u8, usize)> {
        self.poll(|context| match Pin::new(stream).poll_fill_buf(context) {
            Poll::Ready(Ok(bytes)) => Some((bytes.as_ptr(), bytes.len())),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        })
    }

    pub(crate) fn write(&self, stream: &mut Stream, data: &[u8]) -> String {
        let polled = self.poll(|context| Pin::new(stream).poll_write(context, data));
        told(polled, |count| count.to_string())
    }

    pub(crate) fn flush(&self, stream: &mut Stream) -> String {
        let polled = self.poll(|context| Pin::new(stream).poll_flush(context));
        told(polled, |()| "done".to_owned())
    }

    pub(crate) fn close(&self, stream: &mut Stream) -> String {
        let polled = self.poll(|context| Pin::new(stream).poll_close(context));
        told(polled, |()| "done".to_owned())
    }
}

fn told<T>(polled: Poll<io::Result<T>>, ready: impl FnOnce(T) -> String) -> String {
    match polled {
        Poll::Ready(Ok(value)) => ready(value),
        Poll::Ready(Err(error)) => format!("{:?}", error.kind()),
        Poll::Pending => "pending".to_owned(),
    }
}
