//! What the tests of several protocols check in the same way. Knows no protocol.

use proptest::{prelude::*, test_runner::TestCaseError};
use tress_core::{Protocol, testing::memory::Tester};

/// That a server says the same to these bytes, and closes or not, whole, in two pieces, and byte by byte.
pub(crate) fn same_however_cut<P: Protocol>(
    serve: impl Fn() -> Tester<P>,
    bytes: &[u8],
    cut: usize,
) -> Result<(), TestCaseError> {
    let seen = |feed: &dyn Fn(&Tester<P>)| {
        let tester = serve();
        feed(&tester);
        (tester.sent(), tester.is_closed())
    };
    let whole = seen(&|tester| tester.receive(bytes));
    let (start, end) = bytes.split_at(cut.min(bytes.len()));
    let halves = seen(&|tester| {
        tester.receive(start);
        tester.receive(end);
    });
    prop_assert_eq!(&halves, &whole);
    prop_assert_eq!(seen(&|tester| tester.receive_cut(bytes, 1)), whole);
    Ok(())
}
