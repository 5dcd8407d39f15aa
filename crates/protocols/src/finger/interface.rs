//! The interfaces `Finger` and `FingerSetter`, and what `#[interface]` will emit for them: for each an object-safe
//! twin, a handle and a descriptor, written by hand until then. Knows no protocol.

use std::{fmt, future::Future, rc::Rc};
use tress_core::{Deferred, Result};
use tress_rpc::{
    Argument, CallContext, Client, Descriptor, Interface, Kind, MakeTwin, Method, Object, Value,
    Valued,
};

/// Who is here, and how they are.
pub trait Finger {
    /// One user's status, or nothing when there is no such user.
    fn user(&self, name: String) -> impl Future<Output = Result<Option<String>>>;

    /// Everybody who has a status.
    fn users(&self) -> impl Future<Output = Result<Vec<String>>>;
}

/// Changes how somebody is.
pub trait FingerSetter {
    /// Gives a user a status; the user need not have had one.
    fn set_user(&self, name: String, status: String) -> impl Future<Output = Result<()>>;
}

/// The object-safe twin of [`Finger`], implemented for everything that is one.
pub trait DynFinger {
    /// As [`Finger::user`].
    fn user(self: Rc<Self>, context: &CallContext, name: String) -> Deferred<Option<String>>;

    /// As [`Finger::users`].
    fn users(self: Rc<Self>, context: &CallContext) -> Deferred<Vec<String>>;
}

/// The object-safe twin of [`FingerSetter`], implemented for everything that is one.
pub trait DynFingerSetter {
    /// As [`FingerSetter::set_user`].
    fn set_user(
        self: Rc<Self>,
        context: &CallContext,
        name: String,
        status: String,
    ) -> Deferred<()>;
}

impl<T: Finger + 'static> DynFinger for T {
    fn user(self: Rc<Self>, context: &CallContext, name: String) -> Deferred<Option<String>> {
        let call = async move { Finger::user(&*self, name).await };
        context.reactor.spawn(call)
    }

    fn users(self: Rc<Self>, context: &CallContext) -> Deferred<Vec<String>> {
        let call = async move { Finger::users(&*self).await };
        context.reactor.spawn(call)
    }
}

impl<T: FingerSetter + 'static> DynFingerSetter for T {
    fn set_user(
        self: Rc<Self>,
        context: &CallContext,
        name: String,
        status: String,
    ) -> Deferred<()> {
        let call = async move { FingerSetter::set_user(&*self, name, status).await };
        context.reactor.spawn(call)
    }
}

/// A [`Finger`] whose type is forgotten; its calls are those of one caller.
#[derive(Clone)]
pub struct FingerHandle {
    object: Rc<dyn DynFinger>,
    context: CallContext,
}

impl FingerHandle {
    /// This object, called by that caller.
    #[must_use]
    pub fn new(object: Rc<dyn DynFinger>, context: CallContext) -> Self {
        Self { object, context }
    }
}

#[expect(refining_impl_trait, reason = "callers may use the Deferred")]
impl Finger for FingerHandle {
    fn user(&self, name: String) -> Deferred<Option<String>> {
        Rc::clone(&self.object).user(&self.context, name)
    }

    fn users(&self) -> Deferred<Vec<String>> {
        Rc::clone(&self.object).users(&self.context)
    }
}

/// A [`FingerSetter`] whose type is forgotten; its calls are those of one caller.
#[derive(Clone)]
pub struct FingerSetterHandle {
    object: Rc<dyn DynFingerSetter>,
    context: CallContext,
}

impl FingerSetterHandle {
    /// This object, called by that caller.
    #[must_use]
    pub fn new(object: Rc<dyn DynFingerSetter>, context: CallContext) -> Self {
        Self { object, context }
    }
}

#[expect(refining_impl_trait, reason = "callers may use the Deferred")]
impl FingerSetter for FingerSetterHandle {
    fn set_user(&self, name: String, status: String) -> Deferred<()> {
        Rc::clone(&self.object).set_user(&self.context, name, status)
    }
}

impl dyn DynFinger {
    /// What [`Finger`] offers.
    pub const DESCRIPTOR: &'static Descriptor = &FINGER;

    /// An object whose calls a client carries, which may be on another thread.
    pub const TWIN: MakeTwin = |client| Object::new::<Self>(Rc::new(FingerClient(client)));

    /// This object behind its interface.
    #[must_use]
    pub fn object(finger: Rc<impl Finger + 'static>) -> Object {
        Object::new::<Self>(finger)
    }
}

impl dyn DynFingerSetter {
    /// What [`FingerSetter`] offers.
    pub const DESCRIPTOR: &'static Descriptor = &FINGER_SETTER;

    /// An object whose calls a client carries, which may be on another thread.
    pub const TWIN: MakeTwin = |client| Object::new::<Self>(Rc::new(FingerSetterClient(client)));

    /// This object behind its interface.
    #[must_use]
    pub fn object(setter: Rc<impl FingerSetter + 'static>) -> Object {
        Object::new::<Self>(setter)
    }
}

impl Interface for dyn DynFinger {
    fn descriptor() -> &'static Descriptor {
        &FINGER
    }

    fn dispatch(
        self: Rc<Self>,
        context: &CallContext,
        method: &'static Method,
        arguments: Vec<Value>,
    ) -> Deferred<Value> {
        match (method.name, &mut { arguments }.into_iter()) {
            ("user", rest) => match next(rest) {
                Ok(name) => self.user(context, name).map(Valued::into_value),
                Err(failure) => Deferred::fail(failure),
            },
            _ => self.users(context).map(Valued::into_value),
        }
    }
}

impl Interface for dyn DynFingerSetter {
    fn descriptor() -> &'static Descriptor {
        &FINGER_SETTER
    }

    fn dispatch(
        self: Rc<Self>,
        context: &CallContext,
        _method: &'static Method,
        arguments: Vec<Value>,
    ) -> Deferred<Value> {
        let mut rest = arguments.into_iter();
        match next(&mut rest).and_then(|name| Ok((name, next(&mut rest)?))) {
            Ok((name, status)) => self.set_user(context, name, status).map(Valued::into_value),
            Err(failure) => Deferred::fail(failure),
        }
    }
}

/// The next argument, of which there are as many as the descriptor says.
fn next<T: Valued>(arguments: &mut impl Iterator<Item = Value>) -> Result<T> {
    Ok(T::from_value(arguments.next().unwrap_or(Value::Nothing))?)
}

/// A [`Finger`] that may be anywhere: its calls are carried there.
struct FingerClient(Client);

impl DynFinger for FingerClient {
    fn user(self: Rc<Self>, context: &CallContext, name: String) -> Deferred<Option<String>> {
        self.0.call(context, "user", vec![name.into_value()])
    }

    fn users(self: Rc<Self>, context: &CallContext) -> Deferred<Vec<String>> {
        self.0.call(context, "users", Vec::new())
    }
}

/// A [`FingerSetter`] that may be anywhere.
struct FingerSetterClient(Client);

impl DynFingerSetter for FingerSetterClient {
    fn set_user(
        self: Rc<Self>,
        context: &CallContext,
        name: String,
        status: String,
    ) -> Deferred<()> {
        let arguments = vec![name.into_value(), status.into_value()];
        self.0.call(context, "set_user", arguments)
    }
}

impl fmt::Debug for FingerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerHandle(for {})", self.context.peer)
    }
}

impl fmt::Debug for FingerSetterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerSetterHandle(for {})", self.context.peer)
    }
}

const NAME: Argument = Argument {
    name: "name",
    doc: "The user.",
    kind: Kind::String,
};

static FINGER: Descriptor = Descriptor {
    name: "Finger",
    doc: "Who is here, and how they are.",
    methods: &[
        Method {
            name: "user",
            doc: "One user's status, or nothing when there is no such user.",
            arguments: &[NAME],
            result: Kind::Optional(&Kind::String),
        },
        Method {
            name: "users",
            doc: "Everybody who has a status.",
            arguments: &[],
            result: Kind::List(&Kind::String),
        },
    ],
};

static FINGER_SETTER: Descriptor = Descriptor {
    name: "FingerSetter",
    doc: "Changes how somebody is.",
    methods: &[Method {
        name: "set_user",
        doc: "Gives a user a status; the user need not have had one.",
        arguments: &[
            NAME,
            Argument {
                name: "status",
                doc: "How the user is.",
                kind: Kind::String,
            },
        ],
        result: Kind::Nothing,
    }],
};
