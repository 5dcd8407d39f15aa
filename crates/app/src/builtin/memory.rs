//! `finger.memory`: statuses that live as long as the application. Reads no file.

use super::finger;
use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    registry::{Provider, ProviderContext, ProviderKind, Sharing},
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use tress_core::{Failure, Result};
use tress_protocols::finger::{Finger, FingerSetter};
use tress_rpc::Object;

/// Users that can be kept: a setter that anybody may use cannot fill the memory.
const MAX_USERS: usize = 10_000;

/// `kind = "finger.memory"`
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "finger.memory",
    doc: "Statuses in memory; what a setter changes is lost when the application stops.",
    options: &[OptionSpec {
        name: "users",
        value: ValueKind::TableOfStrings,
        required: false,
        default: "",
        doc: "Users and statuses to start with, as in { moshez = \"Happy and well\" }.",
    }],
    interfaces: finger::INTERFACES,
    make,
    // What a setter changes is to be seen by all.
    sharing: Sharing::Home(finger::TWINS),
};

fn make(_context: &ProviderContext<'_>, options: &Options) -> Result<Box<dyn Provider>, Problem> {
    let users = options.optional_table_of_strings("users")?;
    let users = users.unwrap_or_default().into_iter();
    let users = users.map(|(user, status)| (user.to_owned(), status.to_owned()));
    let store = Store(RefCell::new(users.collect()));
    Ok(Box::new(Memory(Rc::new(store))))
}

struct Memory(Rc<Store>);

impl Provider for Memory {
    fn object(&self, interface: &str) -> Option<Object> {
        finger::object(&self.0, interface)
    }
}

/// In the order of the names.
struct Store(RefCell<BTreeMap<String, String>>);

impl Finger for Store {
    async fn user(&self, name: String) -> Result<Option<String>> {
        Ok(self.0.borrow().get(&name).cloned())
    }

    async fn users(&self) -> Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }
}

impl FingerSetter for Store {
    async fn set_user(&self, name: String, status: String) -> Result<()> {
        let mut users = self.0.borrow_mut();
        if users.len() >= MAX_USERS && !users.contains_key(&name) {
            let message = format!("there are {MAX_USERS} users already");
            return Err(Failure::msg(message));
        }
        users.insert(name, status);
        Ok(())
    }
}
