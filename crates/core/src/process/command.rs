//! What a child process is started with. Starts none, and looks at no file.

use crate::descriptor::Descriptor;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
    rc::Rc,
};

/// How to start a child process: `Command::new("cat").argument("-n")`.
///
/// The child gets nothing that it is not given: its environment is empty unless [`Command::inherit_environment`] is
/// asked for, and no open file of this process but those in its map of descriptors. Source: `spawnProcess` in Twisted's
/// `internet/posixbase.py` and `internet/process.py`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Command {
    /// The program: a path if there is a `/` in it, otherwise looked for in the directories of the child's own `PATH`, or
    /// in `/bin` and `/usr/bin` when it has none.
    pub program: OsString,
    /// What the program finds as its own name; the same as `program` when `None`.
    pub name: Option<OsString>,
    /// The arguments, without the name.
    pub arguments: Vec<OsString>,
    /// Whether the child gets this process's environment, below what `environment` says.
    pub inherits_environment: bool,
    /// Variables that the child gets, or is not to inherit.
    pub environment: BTreeMap<OsString, Option<OsString>>,
    /// The working directory; this process's own when `None`.
    pub directory: Option<PathBuf>,
    /// The user to become, by number. Needs the right to.
    pub user: Option<u32>,
    /// The group to become, by number. Needs the right to. With a user or a group, other groups are given up.
    pub group: Option<u32>,
    /// What the child has open, by its own number. 0, 1 and 2 are `/dev/null` where nothing else is said.
    pub descriptors: BTreeMap<u32, ChildDescriptor>,
    /// Run it in a terminal of its own, which is its 0, 1 and 2; `descriptors` has to be as [`Command::new`] made it.
    pub terminal: Option<Terminal>,
    /// It goes on when the reactor stops, and nobody waits for it then.
    pub is_detached: bool,
}

/// What one descriptor of a child is. Twisted's `"r"`, `"w"` and integers in `childFDs`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildDescriptor {
    /// The child writes, we read: a pipe. Twisted's `"r"`.
    Read,
    /// We write, the child reads: a pipe. Twisted's `"w"`.
    Write,
    /// Both, and open files can be passed: a pair of UNIX sockets.
    Socket,
    /// The descriptor of this process with that number, whatever it is, such as 2 for where our own errors go.
    Inherit(u32),
    /// This open file.
    File(Rc<Descriptor>),
}

/// A terminal for a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// Bytes pass unchanged both ways, and nothing is echoed, until the child says otherwise.
    pub is_raw: bool,
}

impl Default for Terminal {
    /// 24 lines of 80 characters, as terminals have been.
    fn default() -> Self {
        Self {
            rows: 24,
            columns: 80,
            is_raw: false,
        }
    }
}

impl Command {
    /// This program, with pipes to write to its 0 and to read from its 1 and 2.
    pub fn new(program: impl Into<OsString>) -> Self {
        let descriptors = [
            (0, ChildDescriptor::Write),
            (1, ChildDescriptor::Read),
            (2, ChildDescriptor::Read),
        ];
        Self {
            program: program.into(),
            name: None,
            arguments: Vec::new(),
            inherits_environment: false,
            environment: BTreeMap::new(),
            directory: None,
            user: None,
            group: None,
            descriptors: descriptors.into(),
            terminal: None,
            is_detached: false,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What the program finds as its own name.
    #[must_use]
    pub fn name(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives it a variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), Some(value.into()));
        self
    }

    /// Keeps it from inheriting a variable.
    #[must_use]
    pub fn without_variable(mut self, name: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), None);
        self
    }

    /// Gives it the environment of this process as well.
    #[must_use]
    pub fn inherit_environment(mut self) -> Self {
        self.inherits_environment = true;
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The user to become, by number.
    #[must_use]
    pub fn user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// The group to become, by number.
    #[must_use]
    pub fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// What one of its descriptors is.
    #[must_use]
    pub fn descriptor(mut self, number: u32, what: ChildDescriptor) -> Self {
        self.descriptors.insert(number, what);
        self
    }

    /// All of its descriptors, in place of the three pipes.
    #[must_use]
    pub fn descriptors(
        mut self,
        descriptors: impl IntoIterator<Item = (u32, ChildDescriptor)>,
    ) -> Self {
        self.descriptors = descriptors.into_iter().collect();
        self
    }

    /// Runs it in a terminal of its own.
    #[must_use]
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// Lets it go on when the reactor stops.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.is_detached = true;
        self
    }

    /// Whether its descriptors are those that [`Command::new`] gave it.
    #[must_use]
    pub fn has_usual_descriptors(&self) -> bool {
        use ChildDescriptor::{Read, Write};
        let usual = |(number, what): (&u32, &ChildDescriptor)| {
            matches!((number, what), (0, Write) | (1 | 2, Read))
        };
        self.descriptors.len() == 3 && self.descriptors.iter().all(usual)
    }

    /// The environment that it gets, where `inherited` is this process's own.
    pub fn resolved_environment(
        &self,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<OsString, OsString> {
        let mut all = BTreeMap::new();
        if self.inherits_environment {
            all.extend(inherited);
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => drop(all.insert(name.clone(), value.clone())),
                None => drop(all.remove(name)),
            }
        }
        all
    }

    /// The program as errors name it.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::wording::quoted(&OsStr::to_string_lossy(&self.program))
    }
}
