//! The finger protocols as exposures, and what every keeper of statuses offers. The wire is in `tress-protocols`.

use crate::{
    config::{OptionSpec, Problem, ValueKind},
    registry::{Access, Exposure, Make, Serves, Serving},
};
use std::rc::Rc;
use tress_core::SharedFactory;
use tress_protocols::finger::{
    DynFinger, DynFingerSetter, Finger, FingerFactory, FingerOptions, FingerSetter,
    FingerSetterFactory,
};
use tress_rpc::{Descriptor, MakeTwin, Object};

/// What a store of statuses offers.
pub(super) const INTERFACES: &[&Descriptor] = &[
    <dyn DynFinger>::DESCRIPTOR,
    <dyn DynFingerSetter>::DESCRIPTOR,
];

/// How other workers call it.
pub(super) const TWINS: &[(&Descriptor, MakeTwin)] = &[
    (<dyn DynFinger>::DESCRIPTOR, <dyn DynFinger>::TWIN),
    (
        <dyn DynFingerSetter>::DESCRIPTOR,
        <dyn DynFingerSetter>::TWIN,
    ),
];

/// The store behind one of [`INTERFACES`].
pub(super) fn object<S: Finger + FingerSetter + 'static>(
    store: &Rc<S>,
    interface: &str,
) -> Option<Object> {
    match interface {
        "Finger" => Some(<dyn DynFinger>::object(Rc::clone(store))),
        "FingerSetter" => Some(<dyn DynFingerSetter>::object(Rc::clone(store))),
        _ => None,
    }
}

/// `as = "finger"`
pub(super) const FINGER: Exposure = Exposure {
    name: "finger",
    serves: Serves::Interface(<dyn DynFinger>::DESCRIPTOR),
    access: Access::Public,
    doc: "The finger protocol (RFC 1288): a line with a name in, the status out.",
    options: &[
        OptionSpec {
            name: "forwarding",
            value: ValueKind::Bool,
            required: false,
            default: "false",
            doc: "Whether `user@host` is asked of that host, or denied.",
        },
        OptionSpec {
            name: "forwarding_port",
            value: ValueKind::Count,
            required: false,
            default: "79",
            doc: "The port of the other host's finger service.",
        },
    ],
    make: Make::Factory(make_finger),
};

/// `as = "finger-setter"`
pub(super) const FINGER_SETTER: Exposure = Exposure {
    name: "finger-setter",
    serves: Serves::Interface(<dyn DynFingerSetter>::DESCRIPTOR),
    access: Access::Logins(&[]),
    doc: "Two lines, a name and a status, and the end of the stream: the status is set. Anybody may.",
    options: &[],
    make: Make::Factory(make_finger_setter),
};

fn make_finger(serving: &Serving<'_>) -> Result<SharedFactory, Problem> {
    let Serving {
        object, options, ..
    } = serving;
    let forwarding_port = u16::try_from(options.count("forwarding_port")?)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            options.problem("forwarding_port", "expected a port number, from 1 to 65535")
        })?;
    let finger_options = FingerOptions {
        forwarding: options.bool("forwarding", false)?,
        forwarding_port,
    };
    let finger = object
        .get::<dyn DynFinger>()
        .map_err(|error| options.problem("what", error.to_string()))?;
    let factory = FingerFactory::new(finger, finger_options);
    Ok(SharedFactory::new(factory))
}

fn make_finger_setter(serving: &Serving<'_>) -> Result<SharedFactory, Problem> {
    let setter = serving
        .object
        .get::<dyn DynFingerSetter>()
        .map_err(|error| serving.options.problem("what", error.to_string()))?;
    Ok(SharedFactory::new(FingerSetterFactory::new(setter)))
}
