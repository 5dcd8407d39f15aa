//! The interfaces `Finger` and `FingerSetter`, and what `#[interface]` will emit for them: for each an object-safe
//! twin, a handle and a descriptor, written by hand until then. Knows no protocol.

use std::{fmt, future::Future, rc::Rc};
use tress_core::{Deferred, Result};
use tress_rpc::{Argument, CallContext, Descriptor, Interface, Kind, Method, Object};

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

    /// This object behind its interface.
    #[must_use]
    pub fn object(finger: Rc<impl Finger + 'static>) -> Object {
        Object::new::<Self>(finger)
    }
}

impl dyn DynFingerSetter {
    /// What [`FingerSetter`] offers.
    pub const DESCRIPTOR: &'static Descriptor = &FINGER_SETTER;

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
}

impl Interface for dyn DynFingerSetter {
    fn descriptor() -> &'static Descriptor {
        &FINGER_SETTER
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
