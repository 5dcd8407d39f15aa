//! Files as a configuration needs them: read one, list a directory with what tells a change. Opens none itself.

use crate::{
    PEM_BYTES_MAX,
    error::{BadTls, Problem},
};
use std::{cell::RefCell, collections::BTreeMap, fmt, io, path::Path, rc::Rc};

/// Where certificates, keys and lists of them come from.
pub trait Files: fmt::Debug {
    /// The content of a file.
    ///
    /// # Errors
    /// It cannot be read, or is longer than [`PEM_BYTES_MAX`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files of a directory and of those below it, in the order of their paths.
    ///
    /// # Errors
    /// It cannot be listed, or holds more files than makes sense.
    fn list(&self, directory: &Path) -> io::Result<Vec<Found>>;
}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path: the directory's, and what follows.
    pub path: Box<Path>,
    /// Another value whenever its content is another.
    pub version: u128,
}

/// What a PEM file says, and the name that errors give it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

impl Pem {
    /// PEM from anywhere; errors about it name it like this.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(files: &dyn Files, path: impl AsRef<Path>) -> Result<Self, BadTls> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match files.read(path) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => Err(BadTls::new(name, Problem::Unreadable(error.to_string()))),
        }
    }

    /// Reads a file, or all files of a directory that end in `.pem`, as Twisted's `trustRoots` does.
    ///
    /// # Errors
    /// It is neither, one of the files cannot be read, or there are none.
    pub fn read_all(files: &dyn Files, path: impl AsRef<Path>) -> Result<Vec<Self>, BadTls> {
        let path = path.as_ref();
        let no_file = match Self::read(files, path) {
            Ok(file) => return Ok(vec![file]),
            Err(no_file) => no_file,
        };
        let found = list_pem(files, path).map_err(|_| no_file)?;
        let own = found.iter().filter(|f| f.path.parent() == Some(path));
        let pems = own.map(|found| Self::read(files, &found.path));
        let pems = pems.collect::<Result<Vec<_>, _>>()?;
        if pems.is_empty() {
            let name = path.display().to_string();
            return Err(BadTls::new(name, Problem::NoCertificate));
        }
        Ok(pems)
    }

    pub(crate) fn bad(&self, problem: Problem) -> BadTls {
        BadTls::new(self.name.clone(), problem)
    }
}

/// The files below a directory that end in `.pem`, in any case.
pub(crate) fn list_pem(files: &dyn Files, directory: &Path) -> Result<Vec<Found>, BadTls> {
    let mut found = files.list(directory).map_err(|error| {
        let name = directory.display().to_string();
        BadTls::new(name, Problem::Unreadable(error.to_string()))
    })?;
    found.retain(|found| {
        let ending = found.path.extension();
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("pem"))
    });
    Ok(found)
}

/// Without the content, which may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({}, {} bytes)", self.name, self.text.len())
    }
}

/// Files in memory: for tests, the simulator, and programs that carry their certificates with them.
#[derive(Clone, Default)]
pub struct MemoryFiles(Rc<RefCell<Content>>);

#[derive(Default)]
struct Content {
    files: BTreeMap<Box<Path>, (u128, Vec<u8>)>,
    changes: u128,
}

impl MemoryFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file, or writes it anew.
    pub fn write(&self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) {
        let all = &mut *self.0.borrow_mut();
        all.changes += 1;
        let file = (all.changes, content.into());
        all.files.insert(path.as_ref().into(), file);
    }

    /// Removes a file.
    pub fn remove(&self, path: impl AsRef<Path>) {
        self.0.borrow_mut().files.remove(path.as_ref());
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let all = self.0.borrow();
        let (_, content) = all.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        if content.len() > PEM_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content.clone())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Found>> {
        let all = self.0.borrow();
        let below = all
            .files
            .iter()
            .filter(|(path, _)| path.starts_with(directory));
        let found: Vec<Found> = below
            .map(|(path, (version, _))| Found {
                path: path.clone(),
                version: *version,
            })
            .collect();
        if found.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found)
    }
}

impl fmt::Debug for MemoryFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.borrow().files.keys())
            .finish()
    }
}
