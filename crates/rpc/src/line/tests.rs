//! Words and answers as tables; lines cut at every byte.

use super::{words::BadWords, *};
use crate::{
    self as tress_rpc, Blob, ExposureLimits, Fault, Value, interface, testing::same_however_cut,
};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{Address, Deferred, Factory, Failure, Resolver, Result, testing::memory::Tester};

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
    scores: Vec<u8>,
}

/// Says something
/// worth remembering.
#[interface(crate = "tress_rpc")]
trait Quoter {
    /// One quote.
    async fn quote(&self) -> Result<String>;
    /// That many quotes.
    ///
    /// All the same.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// What is known of somebody.
    async fn find(&self, name: String, strictly: Option<bool>) -> Result<Option<Person>>;
    /// The mean.
    async fn mean(&self, a: f64, b: f64) -> Result<f64>;
    /// Says nothing.
    async fn forget(&self) -> Result<()>;
    /// Any value.
    async fn sorts(&self, number: u8) -> Result<Value>;
    /// Bytes.
    async fn bytes(&self) -> Result<Blob>;
    /// A fault of its own.
    async fn refuse(&self) -> Result<()>;
    /// An error that nobody is told about.
    async fn fail(&self) -> Result<()>;
    /// When it is told to.
    async fn later(&self) -> Result<u8>;
}

#[derive(Default)]
struct All {
    waiting: RefCell<Resolvers>,
}

type Resolvers = std::collections::VecDeque<Resolver<u8>>;

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Quoter for All {
    async fn quote(&self) -> Result<String> {
        Ok("An apple a day\nkeeps the doctor away.\n".into())
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Ok((0..count)
            .map(|number| format!("quote\n{number}"))
            .collect())
    }

    async fn find(&self, name: String, strictly: Option<bool>) -> Result<Option<Person>> {
        let scores = vec![u8::from(strictly.unwrap_or_default())];
        let age = None;
        Ok(name.contains(' ').then_some(Person { name, age, scores }))
    }

    async fn mean(&self, a: f64, b: f64) -> Result<f64> {
        Ok((a + b) / 2.0)
    }

    async fn forget(&self) -> Result<()> {
        Ok(())
    }

    async fn sorts(&self, number: u8) -> Result<Value> {
        let text = Value::from;
        Ok(match number {
            0 => text(""),
            1 => text("! no fault\n\n\u{1b}[2J\tthe end"),
            2 => Value::List(vec![]),
            3 => Value::List(vec![
                text("!a"),
                Value::List(vec![text("b\n")]),
                Value::Nothing,
            ]),
            4 => Value::Boolean(true),
            _ => text(&"x".repeat(1000)),
        })
    }

    async fn bytes(&self) -> Result<Blob> {
        Ok(Blob(vec![1, 2, 3]))
    }

    async fn refuse(&self) -> Result<()> {
        Err(Fault::new("closed", "come back\r\ntomorrow"))?
    }

    async fn fail(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }

    fn later(&self) -> Deferred<u8> {
        let (resolver, deferred) = Deferred::pair();
        self.waiting.borrow_mut().push_back(resolver);
        deferred
    }
}

type Served = Tester<<LineFactory as Factory>::Protocol>;

fn serve() -> (Rc<All>, Served) {
    let all = Rc::<All>::default();
    let limits = ExposureLimits {
        request_bytes: 100,
        response_bytes: 900,
        calls_in_flight: 3,
        ..ExposureLimits::default()
    };
    let object = <dyn DynQuoter>::object(Rc::clone(&all));
    let mut factory = LineFactory::new(&object, limits).unwrap();
    let protocol = factory.build_protocol(&Address::Unknown).unwrap();
    (all, Tester::new(protocol))
}

/// What is sent for these bytes, however they are cut; LF stands for CR LF.
#[track_caller]
fn check(bytes: &[u8], expect: &str) {
    let answered = |feed: &dyn Fn(&Served)| {
        let (_, tester) = serve();
        feed(&tester);
        let sent = String::from_utf8(tester.sent()).unwrap();
        assert_eq!(
            sent,
            expect.replace('\n', "\r\n"),
            "{}",
            bytes.escape_ascii()
        );
    };
    answered(&|tester| tester.receive(bytes));
    answered(&|tester| tester.receive_cut(bytes, 1));
    for cut in 1..bytes.len() {
        answered(&|tester| {
            tester.receive(&bytes[..cut]);
            tester.receive(&bytes[cut..]);
        });
    }
}

/// A web page can make a browser send a request with lines in it to any port of its user's machine.
#[test]
fn a_browser_is_sent_away() {
    let expect = "! bad-arguments: these are lines for people, and this is an HTTP request\n\n";
    for request in ["POST / HTTP/1.1", "GET /quote HTTP/1.0", "quote HTTP/9"] {
        let bytes = format!("{request}\r\nHost: localhost\r\n\r\nquote\r\n");
        check(bytes.as_bytes(), expect);
        let (_, tester) = serve();
        tester.receive(bytes.as_bytes());
        assert!(tester.is_closed());
    }
    check(
        b"HTTP/1.1\n",
        "! unknown-method: `Quoter` has no method `HTTP/1.1`; try `help`\n\n",
    );
}

#[test]
fn words_of_every_sort() {
    let good = |line: &str, expect: &[&str]| {
        assert_eq!(words(line.as_bytes()).unwrap(), expect, "{line}");
    };
    good("", &[]);
    good(" \t ", &[]);
    good("quotes 3", &["quotes", "3"]);
    good("  find\t\"a name\"  yes ", &["find", "a name", "yes"]);
    good(r#""" "\"\\" ä'b"#, &["", "\"\\", "ä'b"]);
    good(r"a\b", &[r"a\b"]);
    let bad = |line: &[u8], expect| assert_eq!(words(line), Err(expect), "{line:?}");
    bad(b"\xff", BadWords::NoText);
    bad(b"a\0", BadWords::Control);
    bad(b"a\x1b", BadWords::Control);
    bad(b"\"", BadWords::Open);
    bad(b"\"a\\\"", BadWords::Open);
    bad(b"\"a\\", BadWords::Open);
    bad(b"a\"b\"", BadWords::Joined);
    bad(b"\"a\"b", BadWords::Joined);
    bad(b"\"a\"\"b\"", BadWords::Joined);
    bad(b"\"\\n\"", BadWords::Escape);
}

#[test]
fn results_of_every_sort() {
    check(b"quote\n", "An apple a day\nkeeps the doctor away.\n\n");
    check(b"quotes 2\r\n", "quote 0\nquote 1\n\n");
    check(
        b"find \"Moshe Z\" yes\n",
        "name: Moshe Z\nage: \nscores: [1]\n\n",
    );
    check(
        b"find \"Moshe Z\"\n",
        "name: Moshe Z\nage: \nscores: [0]\n\n",
    );
    check(b"find Moshe\n", "\n");
    check(b"mean 1 -0.5\n", "0.25\n\n");
    check(b"forget\n", "ok\n\n");
    check(b"bytes\n", "AQID\n\n");
    check(b"sorts 0\n", " \n\n");
    check(b"sorts 1\n", " ! no fault\n \n [2J\tthe end\n\n");
    check(b"sorts 2\n", "\n");
    check(b"sorts 3\n", " !a\n[\"b\\n\"]\n \n\n");
    check(b"sorts 4\n", "true\n\n");
    check(b"\n\r\n \nforget\n", "ok\n\n");
    check(b"forget\nfind x\nforget\n", "ok\n\n\nok\n\n");
}

#[test]
fn what_goes_wrong_is_one_line() {
    check(
        b"gone\n",
        "! unknown-method: `Quoter` has no method `gone`; try `help`\n\n",
    );
    check(
        b"quotes\n",
        "! bad-arguments: `Quoter.quotes`: `count` is missing\n\n",
    );
    let limit = "`Quoter.quotes`: `count`: expected 1 to 1000, found the integer 4294967295";
    check(
        b"quotes 4294967295\n",
        &format!("! bad-arguments: {limit}\n\n"),
    );
    check(
        b"quotes 1.5\n",
        "! bad-arguments: `count`: expected an integer\n\n",
    );
    check(b"mean a b\n", "! bad-arguments: `a`: expected a number\n\n");
    check(
        b"find a maybe\n",
        "! bad-arguments: `strictly`: expected `yes` or `no`\n\n",
    );
    let many = "! bad-arguments: `quotes` takes no more than 1; try `help quotes`\n\n";
    check(b"quotes 1 2\n", many);
    check(b"find \"a\n", "! bad-arguments: a quote has no end\n\n");
    check(b"\xff\n", "! bad-arguments: the line is not UTF-8\n\n");
    check(b"refuse\n", "! closed: come back  tomorrow\n\n");
    check(b"fail\n", "! internal: internal error\n\n");
    check(
        b"sorts 9\n",
        "! too-large: the answer has more than 900 bytes\n\n",
    );
}

#[test]
fn help_is_made_of_the_interface() {
    check(
        b"help\n",
        "Says something worth remembering.\nquote: One quote.\nquotes COUNT: That many quotes.\n\
         find NAME [STRICTLY]: What is known of somebody.\nmean A B: The mean.\nforget: Says nothing.\n\
         sorts NUMBER: Any value.\nbytes: Bytes.\nrefuse: A fault of its own.\n\
         fail: An error that nobody is told about.\nlater: When it is told to.\n\n",
    );
    let quotes = "quotes COUNT\nThat many quotes.\nCOUNT: integer, 1 to 1000\ngives [string]\n\n";
    check(b"help quotes\n", quotes);
    check(
        b"help gone\n",
        "! unknown-method: `Quoter` has no method `gone`\n\n",
    );
    let help = "help: what can be asked; help and a name: how to ask for that\n\n";
    check(b"help help\n", help);
}

#[test]
fn a_line_that_is_too_long_is_answered_and_closes() {
    let (_, tester) = serve();
    tester.receive(&[b'a'; 103]);
    let expect = "! too-large: a line has 100 bytes at most\r\n\r\n";
    assert_eq!(tester.sent(), expect.as_bytes());
    assert!(tester.is_closed());
    for byte in [0, 0xff, b'a', b'7', b'"', b' '] {
        let (_, tester) = serve();
        for _ in 0..16 {
            tester.receive(&vec![byte; 1 << 20]);
        }
        assert!(tester.is_closed(), "{byte}");
        assert_eq!(tester.sent().len(), expect.len(), "{byte}");
    }
    let (_, tester) = serve();
    tester.receive(&vec![b'\n'; 1 << 20]);
    assert_eq!((tester.sent(), tester.is_closed()), (vec![], false));
}

#[test]
fn answers_come_in_the_order_of_the_lines() {
    let (all, tester) = serve();
    tester.receive(b"later\nquotes 1\nlater\nforget\nlater\nforget\n");
    assert!(tester.transport().is_paused(), "three answers wait");
    assert_eq!(tester.sent(), b"");
    assert_eq!(all.waiting.borrow().len(), 2);
    let resolve = |place: usize, number| {
        let resolver = all.waiting.borrow_mut().remove(place).unwrap();
        resolver.resolve(number);
        tester.settle();
        String::from_utf8(tester.sent()).unwrap()
    };
    assert_eq!(resolve(1, 2), "");
    assert_eq!(resolve(0, 1), "1\r\n\r\nquote 0\r\n\r\n2\r\n\r\nok\r\n\r\n");
    assert!(!tester.transport().is_paused());
    tester.peer_closes_write();
    assert!(!tester.is_closed(), "answers are owed");
    assert_eq!(resolve(0, 3), "3\r\n\r\nok\r\n\r\n");
    assert!(tester.is_closed());
}

#[test]
fn a_call_ends_with_its_deadline_or_its_connection() {
    let (all, tester) = serve();
    tester.receive(b"later\n");
    tester.advance(Duration::from_secs(30));
    assert_eq!(tester.sent(), b"! deadline: no result in time\r\n\r\n");
    tester.receive(b"later\n");
    tester.peer_resets();
    let waiting = all.waiting.take();
    assert!(waiting.iter().all(Resolver::is_cancelled));
}

#[test]
fn only_what_can_be_typed_is_served() {
    /// Takes a list.
    #[interface(crate = "tress_rpc")]
    trait Lists {
        /// The sum.
        async fn sum(&self, numbers: Vec<u8>) -> Result<u8>;
    }
    /// Helps.
    #[interface(crate = "tress_rpc")]
    trait Helper {
        /// Help.
        async fn help(&self) -> Result<()>;
    }
    struct Both;
    impl Lists for Both {
        async fn sum(&self, numbers: Vec<u8>) -> Result<u8> {
            Ok(numbers.into_iter().sum())
        }
    }
    impl Helper for Both {
        async fn help(&self) -> Result<()> {
            Ok(())
        }
    }
    for (object, expect) in [
        (
            <dyn DynLists>::object(Rc::new(Both)),
            "`Lists.sum` cannot be served over lines: its argument `numbers` is [integer], expected a string, a \
             number or a boolean",
        ),
        (
            <dyn DynHelper>::object(Rc::new(Both)),
            "`Helper.help` cannot be served over lines: `help` is a word of the protocol's own",
        ),
    ] {
        let refused = LineFactory::new(&object, ExposureLimits::default());
        assert_eq!(refused.unwrap_err().to_string(), expect);
    }
}

#[test]
fn a_connection_does_not_keep_its_reactor() {
    let (all, tester) = serve();
    tester.receive(b"forget\n");
    drop(tester);
    assert_eq!(Rc::strong_count(&all), 1);
}

proptest! {
    #[test]
    fn quoted_words_come_back(texts in proptest::collection::vec("[^\\p{Cc}]{0,9}", 0..5)) {
        let escape = |text: &String| text.replace('\\', r"\\").replace('"', "\\\"");
        let line: Vec<String> = texts.iter().map(|text| format!("\"{}\"", escape(text))).collect();
        prop_assert_eq!(words(line.join(" ").as_bytes()), Ok(texts));
    }

    #[test]
    fn any_bytes_do_the_same_however_they_are_cut(bytes: Vec<u8>, cut in 0..100_usize) {
        let bytes = [b"forget\nfind \"", &bytes[..], b"\"\n"].concat();
        same_however_cut(|| serve().1, &bytes, cut)?;
    }
}
