//! The object of the suite, behind two interfaces: one that can be asked in words, and one whose methods take values of every
//! sort. Knows no protocol.

use crate::{self as tress_rpc, Blob, CallContext, Fault, Value, interface};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};
use tress_core::{Deferred, Failure, Resolver, Result};

/// What is worth remembering.
pub const APPLE: &str = "An apple a day keeps the doctor away.";

/// Somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// In years.
    pub age: Option<u8>,
}

/// One of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// One without anything.
    Back,
    /// One with a value.
    By(i32),
    /// One with fields.
    To {
        /// The first.
        x: i32,
        /// The second.
        y: i32,
    },
}

/// What can be asked in words: every sort of result.
#[interface(crate = "tress_rpc")]
pub trait Samples {
    /// Nothing.
    async fn nothing(&self) -> Result<()>;
    /// The contrary.
    async fn negate(&self, it: bool) -> Result<bool>;
    /// The same number.
    async fn integer(&self, it: i64) -> Result<i64>;
    /// The same number.
    async fn large(&self, it: u64) -> Result<u64>;
    /// The same number.
    async fn number(&self, it: f64) -> Result<f64>;
    /// The same text.
    async fn text(&self, it: String) -> Result<String>;
    /// The sum.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// What `moshez` is; nothing of everybody else.
    async fn find(&self, name: Option<String>) -> Result<Option<String>>;
    /// That many quotes.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// All bytes.
    async fn bytes(&self) -> Result<Blob>;
    /// Somebody of that name.
    async fn person(&self, name: String, age: Option<u8>) -> Result<Person>;
    /// Two of them.
    async fn people(&self) -> Result<Vec<Person>>;
    /// A text of that many letters.
    async fn letters(&self, count: u32) -> Result<String>;
    /// A fault of that code.
    async fn fail(&self, code: String, message: String) -> Result<()>;
    /// An error that is none of the caller's business.
    async fn crash(&self) -> Result<()>;
    /// Worse.
    async fn panic(&self) -> Result<()>;
    /// When it is told to.
    async fn wait(&self) -> Result<String>;
    /// Who calls.
    async fn who(&self, context: CallContext) -> Result<Option<String>>;
}

/// What takes values of every sort.
#[interface(crate = "tress_rpc")]
pub trait Values {
    /// The same.
    async fn same(&self, it: Value) -> Result<Value>;
    /// The same bytes.
    async fn keep(&self, data: Blob) -> Result<Blob>;
    /// A year later.
    async fn older(&self, people: Vec<Person>) -> Result<Vec<Person>>;
    /// The same.
    async fn map(&self, it: BTreeMap<String, i64>) -> Result<BTreeMap<String, i64>>;
    /// The same.
    async fn lists(&self, it: Vec<Vec<i32>>) -> Result<Vec<Vec<i32>>>;
    /// The same.
    async fn options(&self, it: Vec<Option<i64>>) -> Result<Vec<Option<i64>>>;
    /// The same.
    async fn turn(&self, it: Turn) -> Result<Turn>;
}

/// Does all that, and counts it.
#[derive(Debug, Default)]
pub struct Fixture {
    /// Calls that have reached it.
    pub called: Cell<usize>,
    /// Calls that wait until they are told something.
    pub waiting: RefCell<Vec<Resolver<String>>>,
    /// Those that were cancelled.
    pub cancelled: Rc<Cell<usize>>,
}

impl Fixture {
    fn reached(&self) {
        self.called.set(self.called.get() + 1);
    }
}

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Samples for Fixture {
    async fn nothing(&self) -> Result<()> {
        self.reached();
        Ok(())
    }

    async fn negate(&self, it: bool) -> Result<bool> {
        self.reached();
        Ok(!it)
    }

    async fn integer(&self, it: i64) -> Result<i64> {
        self.reached();
        Ok(it)
    }

    async fn large(&self, it: u64) -> Result<u64> {
        self.reached();
        Ok(it)
    }

    async fn number(&self, it: f64) -> Result<f64> {
        self.reached();
        Ok(it)
    }

    async fn text(&self, it: String) -> Result<String> {
        self.reached();
        Ok(it)
    }

    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        self.reached();
        Ok(a + b)
    }

    async fn find(&self, name: Option<String>) -> Result<Option<String>> {
        self.reached();
        let found = name.is_some_and(|name| name == "moshez");
        Ok(found.then(|| "Happy and well".to_owned()))
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        self.reached();
        Ok((0..count).map(|number| format!("quote {number}")).collect())
    }

    async fn bytes(&self) -> Result<Blob> {
        self.reached();
        Ok(Blob((0..=255).collect()))
    }

    async fn person(&self, name: String, age: Option<u8>) -> Result<Person> {
        self.reached();
        Ok(Person { name, age })
    }

    async fn people(&self) -> Result<Vec<Person>> {
        self.reached();
        let person = |name: &str, age| {
            let name = name.to_owned();
            Person { name, age }
        };
        Ok(vec![person("Moshe", Some(41)), person("Zoe", None)])
    }

    async fn letters(&self, count: u32) -> Result<String> {
        self.reached();
        Ok((0..count).map(|_| 'x').collect())
    }

    async fn fail(&self, code: String, message: String) -> Result<()> {
        self.reached();
        Err(Fault::new(code, message))?
    }

    async fn crash(&self) -> Result<()> {
        self.reached();
        Err(Failure::msg("the key is under the mat"))
    }

    async fn panic(&self) -> Result<()> {
        self.reached();
        panic!("the key is under the mat")
    }

    fn wait(&self) -> Deferred<String> {
        self.reached();
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, deferred) =
            Deferred::with_canceller(move || cancelled.set(cancelled.get() + 1));
        self.waiting.borrow_mut().push(resolver);
        deferred
    }

    async fn who(&self, context: CallContext) -> Result<Option<String>> {
        self.reached();
        Ok(context.avatar.map(|avatar| avatar.to_string()))
    }
}

impl Values for Fixture {
    async fn same(&self, it: Value) -> Result<Value> {
        self.reached();
        Ok(it)
    }

    async fn keep(&self, data: Blob) -> Result<Blob> {
        self.reached();
        Ok(data)
    }

    async fn older(&self, mut people: Vec<Person>) -> Result<Vec<Person>> {
        self.reached();
        for person in &mut people {
            person.age = person.age.map(|age| age + 1);
        }
        Ok(people)
    }

    async fn map(&self, it: BTreeMap<String, i64>) -> Result<BTreeMap<String, i64>> {
        self.reached();
        Ok(it)
    }

    async fn lists(&self, it: Vec<Vec<i32>>) -> Result<Vec<Vec<i32>>> {
        self.reached();
        Ok(it)
    }

    async fn options(&self, it: Vec<Option<i64>>) -> Result<Vec<Option<i64>>> {
        self.reached();
        Ok(it)
    }

    async fn turn(&self, it: Turn) -> Result<Turn> {
        self.reached();
        Ok(it)
    }
}

/// What somebody believes the object to offer who is wrong: the same names, and other arguments.
pub(super) mod stranger {
    use crate::{self as tress_rpc, interface};
    use tress_core::Result;

    /// Of the same name.
    #[interface(crate = "tress_rpc")]
    pub trait Samples {
        /// There is no such method.
        async fn gone(&self) -> Result<()>;
        /// It takes two.
        async fn add(&self, a: i64, b: Option<i64>, c: Option<i64>) -> Result<i64>;
        /// It takes a number.
        async fn integer(&self, it: String) -> Result<i64>;
        /// There is a limit.
        async fn quotes(&self, count: i64) -> Result<Vec<String>>;
    }
}
