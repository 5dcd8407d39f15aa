//! An interface as AMP has it: what each key of each command holds. Made once for a factory or a client; calls nothing.

use super::{
    ANSWER, ASK, COMMAND, ERROR, ERROR_CODE, ERROR_DESCRIPTION,
    form::{Bad, Form, put_named},
    format::{KEY_BYTES, Pairs, VALUE_BYTES},
};
use crate::{
    arguments::Arguments,
    cred::LOGIN_ARGUMENTS,
    descriptor::{Descriptor, Method},
    fault::{BAD_ARGUMENTS, Fault, TOO_LARGE},
    kind::{Kind, Type},
    unsayable::Unsayable,
    value::Value,
};

/// The keys that boxes themselves have.
const RESERVED: [&[u8]; 6] = [ASK, COMMAND, ANSWER, ERROR, ERROR_CODE, ERROR_DESCRIPTION];

/// How callers log in, where they do.
static LOGIN: Method = Method {
    name: "Login",
    doc: "Says who calls: with `username` and `password`, or with `token`.",
    arguments: LOGIN_ARGUMENTS,
    result: Type::of::<()>(),
};

/// An interface.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) descriptor: &'static Descriptor,
    /// In the order of the descriptor.
    pub(super) commands: Vec<Command>,
    /// What comes after them.
    pub(super) login: Command,
    /// Whether that is a command of this server.
    has_login: bool,
}

/// One method.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) method: &'static Method,
    /// In the order of the method.
    arguments: Vec<Form>,
    pub(super) result: Form,
    /// The fields of a result that is a record: another peer may have a key for each.
    pub(super) fields: Vec<(String, Form)>,
}

impl Plan {
    /// Of this interface.
    ///
    /// # Errors
    /// A method or an argument has a name that AMP has no room for, or that its boxes need themselves.
    pub(super) fn new(descriptor: &'static Descriptor) -> Result<Self, Unsayable> {
        Ok(Self {
            descriptor,
            commands: Unsayable::of_each("AMP", descriptor, Command::new)?,
            login: Command::login(),
            has_login: false,
        })
    }

    /// The same where the kinds of the values are not known: [`Form::Unknown`].
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub(super) fn untyped(descriptor: &'static Descriptor) -> Result<Self, Unsayable> {
        let mut plan = Self::new(descriptor)?;
        for command in &mut plan.commands {
            command.arguments.fill(Form::Unknown);
            command.result = Form::Unknown;
            command.fields.clear();
        }
        Ok(plan)
    }

    /// With `Login` as one command more, after the others.
    ///
    /// # Errors
    /// The interface has one of that name.
    pub(super) fn with_login(mut self) -> Result<Self, Unsayable> {
        if let Some(place) = self.find(LOGIN.name.as_bytes()) {
            return Err(Unsayable {
                protocol: "AMP",
                interface: self.descriptor.name,
                method: self.commands[place].method.name,
                why: "where callers log in, `Login` is how they do".to_owned(),
            });
        }
        self.has_login = true;
        Ok(self)
    }

    /// Whether the command at that place is `Login`.
    #[inline]
    pub(super) fn is_login(&self, place: usize) -> bool {
        place == self.commands.len()
    }

    /// The command at that place.
    #[inline]
    pub(super) fn command(&self, place: usize) -> &Command {
        self.commands.get(place).unwrap_or(&self.login)
    }

    /// The place of the command.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let mut commands = self.commands.iter();
        let found = commands.position(|command| command.method.name.as_bytes() == name);
        let is_login = self.has_login && name == LOGIN.name.as_bytes();
        found.or_else(|| is_login.then_some(self.commands.len()))
    }
}

impl Command {
    fn new(method: &'static Method) -> Result<Self, String> {
        if method.name.len() > VALUE_BYTES {
            return Err(format!("its name is longer than {VALUE_BYTES} bytes"));
        }
        for argument in method.arguments {
            let name = argument.name;
            if RESERVED.contains(&name.as_bytes()) {
                return Err(format!("a key `{name}` means something else"));
            }
            if !(1..=KEY_BYTES).contains(&name.len()) {
                return Err(format!("a key has 1 to {KEY_BYTES} bytes, not `{name}`"));
            }
        }
        let arguments = method.arguments.iter();
        let result = method.result.kind();
        Ok(Self {
            method,
            arguments: arguments
                .map(|argument| Form::of(&argument.ty.kind()))
                .collect(),
            result: Form::of(&result),
            fields: match result {
                Kind::Record(fields) => {
                    let fields = fields.into_iter();
                    fields.map(|(name, kind)| (name, Form::of(&kind))).collect()
                }
                _ => Vec::new(),
            },
        })
    }

    /// `Login`.
    fn login() -> Self {
        let arguments = LOGIN.arguments.iter();
        Self {
            method: &LOGIN,
            arguments: arguments.map(|_| Form::Text).collect(),
            result: Form::Nothing,
            fields: Vec::new(),
        }
    }

    /// The arguments that a box holds.
    pub(super) fn read(&self, pairs: Pairs<'_>, nesting: usize) -> Result<Arguments, Fault> {
        let mut values = vec![None; self.arguments.len()];
        for (key, value) in pairs {
            if key == ASK || key == COMMAND {
                continue;
            }
            let mut known = self.method.arguments.iter();
            let Some(place) = known.position(|argument| argument.name.as_bytes() == key) else {
                let key = key.escape_ascii();
                return Err(self.bad(format_args!("no argument is called `{key}`")));
            };
            let name = self.method.arguments[place].name;
            let value = self.arguments[place].read(value, nesting);
            let value = value.map_err(|why| self.bad(format_args!("`{name}`: {why}")))?;
            if values[place].replace(value).is_some() {
                return Err(self.bad(format_args!("`{name}` is given twice")));
            }
        }
        Ok(arranged(self.method, values))
    }

    fn bad(&self, why: std::fmt::Arguments<'_>) -> Fault {
        Fault::new(BAD_ARGUMENTS, format_args!("`{}`: {why}", self.method.name))
    }

    /// Writes the keys of a call.
    pub(super) fn write(&self, arguments: Arguments, out: &mut Vec<u8>) -> Result<(), Fault> {
        let known = self.method.arguments;
        if arguments.positional.len() > known.len() {
            let most = known.len();
            return Err(self.bad(format_args!("expected {most} arguments at most")));
        }
        let placed = arguments.positional.iter().enumerate();
        for (place, value) in placed {
            self.write_one(place, value, out)?;
        }
        for (name, value) in &arguments.named {
            let Some(place) = known.iter().position(|argument| argument.name == *name) else {
                let name = tress_core::wording::quoted(name);
                return Err(self.bad(format_args!("no argument is called {name}")));
            };
            self.write_one(place, value, out)?;
        }
        Ok(())
    }

    fn write_one(&self, place: usize, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
        let name = self.method.arguments[place].name;
        let form = &self.arguments[place];
        put_named(out, name.as_bytes(), form, value).map_err(|bad| match bad {
            Bad::TooLong => too_long(name),
            Bad::Other(why) => self.bad(format_args!("`{name}`: {why}")),
        })
    }
}

/// A value that AMP cannot carry.
pub(super) fn too_long(name: &str) -> Fault {
    let message =
        format!("`{name}` has more than the {VALUE_BYTES} bytes that a value of AMP may have");
    Fault::new(TOO_LARGE, message)
}

/// By place as far as they go, and by name after the first that is left out.
fn arranged(method: &'static Method, values: Vec<Option<Value>>) -> Arguments {
    if values.iter().all(Option::is_some) {
        return values.into_iter().flatten().collect::<Vec<Value>>().into();
    }
    let named = method.arguments.iter().zip(values);
    let named = named.filter_map(|(argument, value)| Some((argument.name.to_owned(), value?)));
    named.collect::<Vec<_>>().into()
}
