//! Random programs at both ends of a stream in the simulator: whatever they do, the bytes arrive as they were sent.

use crate::{simulated::Sim, support::pattern};
use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use proptest::prelude::*;
use std::{io, io::IoSlice, time::Duration};
use tress_core::Reactor;
use tress_streams::Stream;

#[derive(Clone, Copy, Debug)]
enum Write {
    All(usize),
    Vectored(usize, usize),
    Flush,
    Wait(u64),
}

/// What the writer does with its stream at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Drop,
    Abort,
}

impl Write {
    fn bytes(&self) -> usize {
        match *self {
            Self::All(count) => count,
            Self::Vectored(first, second) => first + second,
            Self::Flush | Self::Wait(_) => 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Some(usize),
    Exactly(usize),
    /// Consumes so many hundredths of what is there.
    Buffer(usize),
    Wait(u64),
}

/// Few bytes, or many.
fn count() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..20, 500_usize..3000, 10_000_usize..100_000]
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        4 => count().prop_map(Write::All),
        1 => (count(), count()).prop_map(|(a, b)| Write::Vectored(a, b)),
        1 => Just(Write::Flush),
        2 => (0_u64..5000).prop_map(Write::Wait),
    ];
    prop::collection::vec(write, 0..12)
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let read = prop_oneof![
        2 => count().prop_map(Read::Some),
        2 => count().prop_map(Read::Exactly),
        2 => (1_usize..=100).prop_map(Read::Buffer),
        2 => (0_u64..5000).prop_map(Read::Wait),
    ];
    // It goes round and round, so something in it must read.
    let reading = vec![Just(Read::Some(10_000))];
    (prop::collection::vec(read, 0..20), reading).prop_map(|(mut reads, last)| {
        reads.extend(last);
        reads
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![3 => Just(End::Close), 1 => Just(End::Drop), 1 => Just(End::Abort)]
}

/// Writes as the program says, then ends; gives what it wrote.
async fn write(
    reactor: &Reactor,
    program: &[Write],
    end: End,
    mut stream: Stream,
) -> io::Result<Vec<u8>> {
    let source = pattern(program.iter().map(Write::bytes).sum());
    let mut sent = 0;
    for step in program {
        match *step {
            Write::All(count) => {
                stream.write_all(&source[sent..sent + count]).await?;
                sent += count;
            }
            Write::Vectored(first, second) => {
                let (first, second) = source[sent..sent + first + second].split_at(first);
                let slices = [first, second].map(IoSlice::new);
                sent += stream.write_vectored(&slices).await?;
            }
            Write::Flush => stream.flush().await?,
            Write::Wait(micros) => wait(reactor, micros).await,
        }
    }
    match end {
        End::Close => stream.close().await?,
        End::Drop => drop(stream),
        End::Abort => stream.abort(),
    }
    Ok(source[..sent].to_vec())
}

/// Reads as the program says, again and again, to the end, and never less than `least` at once, into `got`.
async fn read(
    reactor: &Reactor,
    program: &[Read],
    least: usize,
    mut stream: Stream,
    got: &mut Vec<u8>,
) -> io::Result<()> {
    for step in program.iter().cycle() {
        let before = got.len();
        match *step {
            Read::Some(count) => {
                let mut buffer = vec![0; count.max(least)];
                let count = stream.read(&mut buffer).await?;
                got.extend_from_slice(&buffer[..count]);
            }
            Read::Exactly(count) => {
                let mut part = (&mut stream).take(count.max(least) as u64);
                let mut bytes = Vec::new();
                let result = part.read_to_end(&mut bytes).await;
                got.extend(bytes);
                result?;
            }
            Read::Buffer(hundredths) => {
                let bytes = stream.fill_buf().await?;
                let count = (bytes.len() * hundredths).div_ceil(100);
                let count = count.max(least.min(bytes.len()));
                got.extend_from_slice(&bytes[..count]);
                stream.consume_unpin(count);
            }
            Read::Wait(micros) => {
                wait(reactor, micros).await;
                continue;
            }
        }
        if got.len() == before {
            break;
        }
    }
    Ok(())
}

async fn wait(reactor: &Reactor, micros: u64) {
    let waited = reactor.after(Duration::from_micros(micros)).await;
    waited.expect("nobody cancels it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(
        seed in any::<u64>(),
        window in prop_oneof![1_usize..10, 1000_usize..300_000],
        segment in prop_oneof![1_usize..3000, 10_000_usize..100_000],
        high_water in prop_oneof![Just(0_usize), 1_usize..2000, Just(65_536)],
        writes in writes(),
        end in end(),
        reads in reads(),
    ) {
        let sim = Sim::new(seed);
        // Many bytes through a small hole take long and show nothing more.
        let total: usize = writes.iter().map(Write::bytes).sum();
        let mut policy = sim.world.policy();
        policy.window = window.max(total / 200);
        policy.segment = segment.max(total / 1000);
        sim.world.set_policy(policy);
        let mut limits = (*sim.client.limits()).clone();
        limits.output_high_water = match high_water {
            0 => 0,
            mark => mark.max(total / 500),
        };
        sim.client.set_limits(limits);
        let (server, client) = sim.pair();
        let (writer, reader) = (sim.client.clone(), sim.server.clone());
        let written = sim.client.spawn(async move {
            Ok(write(&writer, &writes, end, client).await)
        });
        let got = sim.server.spawn(async move {
            let mut got = Vec::new();
            let result = read(&reader, &reads, total / 300, server, &mut got).await;
            Ok((got, result))
        });
        sim.run();
        let written = written.try_result().expect("it has ended").expect("it never fails");
        let written = written.expect("the reader ends after the writer");
        let (got, result) = got.try_result().expect("it has ended").expect("it never fails");
        prop_assert!(written.starts_with(&got), "{} bytes became {} others", written.len(), got.len());
        if end == End::Abort {
            prop_assert!(result.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
        } else {
            prop_assert!(result.is_ok(), "{result:?}");
            prop_assert_eq!(got.len(), written.len());
        }
    }
}
