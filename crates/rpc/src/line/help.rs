//! What `help` says: an interface and its methods, in lines. Calls nothing.

use super::{HELP, LOGIN, answer::Answer};
use crate::{
    arguments::BadCall,
    descriptor::{Descriptor, Method},
    fault::Fault,
    kind::Kind,
};

/// The same where callers log in; the interface is there for those who have.
pub(super) fn help_with_login(
    descriptor: Option<&'static Descriptor>,
    about: Option<&str>,
    room: usize,
) -> Result<String, Fault> {
    match (descriptor, about) {
        (Some(descriptor), about) if about != Some(LOGIN) => help(descriptor, about, room),
        _ => {
            let mut answer = Answer::new(room);
            answer.line("login NAME PASSWORD: says who you are")?;
            answer.line("login TOKEN: the same with a secret that is yours alone")?;
            answer.done()
        }
    }
}

/// The methods of an interface, or one of them.
pub(super) fn help(
    descriptor: &'static Descriptor,
    about: Option<&str>,
    room: usize,
) -> Result<String, Fault> {
    let mut answer = Answer::new(room);
    match about {
        Some(HELP) => {
            answer.line("help: what can be asked; help and a name: how to ask for that")?
        }
        Some(name) => match descriptor.method(name) {
            Some((_, method)) => one(&mut answer, method)?,
            None => {
                return Err((&BadCall::unknown(descriptor, name)).into());
            }
        },
        None => {
            answer.lines(descriptor.doc)?;
            for method in descriptor.methods {
                let first = method.doc.lines().next().unwrap_or_default();
                answer.line(&format!("{}: {first}", usage(method)))?;
            }
        }
    }
    answer.done()
}

/// `quotes COUNT`, with what may be left out in brackets.
fn usage(method: &Method) -> String {
    let mut usage = method.name.to_owned();
    for argument in method.arguments {
        let name = argument.name.to_uppercase();
        usage += &match argument.ty.kind() {
            Kind::Optional(_) => format!(" [{name}]"),
            _ => format!(" {name}"),
        };
    }
    usage
}

fn one(answer: &mut Answer, method: &Method) -> Result<(), Fault> {
    answer.line(&usage(method))?;
    answer.lines(method.doc)?;
    for argument in method.arguments {
        let (name, kind) = (argument.name.to_uppercase(), argument.ty.kind());
        answer.line(&match argument.limit {
            Some(limit) => format!("{name}: {kind}, {limit}"),
            None => format!("{name}: {kind}"),
        })?;
    }
    answer.line(&format!("gives {}", method.result.kind()))
}
