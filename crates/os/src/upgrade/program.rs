//! How this process was started, to be started again. Starts nothing.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A program by the path at which it was found, and what it was given: whatever is at the path later is its next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) path: PathBuf,
    /// What it finds as its own name.
    pub(super) name: OsString,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// That of this process. To be asked at the start: the path is that of the command line, with the links on it unresolved, if
    /// this program is there now; otherwise that of the file that runs.
    ///
    /// # Errors
    /// The system does not say which file runs.
    pub fn of_process() -> io::Result<Self> {
        let runs = env::current_exe()?;
        let mut words = env::args_os();
        let name = words.next().unwrap_or_else(|| runs.clone().into());
        let path = written(&name, env::var_os("PATH").as_deref(), &runs)?;
        Ok(Self {
            path: path.unwrap_or(runs),
            name,
            arguments: words.collect(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The path that was written to start what runs, if it leads there.
fn written(name: &OsStr, path: Option<&OsStr>, runs: &Path) -> io::Result<Option<PathBuf>> {
    let named = Path::new(name);
    let runs = identity(runs)?;
    let is_it = |path: &PathBuf| identity(path).is_ok_and(|found| found == runs);
    if named.components().count() > 1 {
        return Ok(Some(std::path::absolute(named)?).filter(is_it));
    }
    let directories = path.map(env::split_paths);
    let found = directories.into_iter().flatten().map(|it| it.join(named));
    let found = found.filter_map(|path| std::path::absolute(path).ok());
    Ok(found.into_iter().find(is_it))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_it_was_written() {
        let runs = env::current_exe().expect("it runs");
        let directory = env::temp_dir().join(format!("tress-program-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("it can be made");
        let link = directory.join("app");
        std::os::unix::fs::symlink(&runs, &link).expect("it can be made");
        fs::write(directory.join("other"), "x").expect("it can be written");
        let path = env::join_paths([Path::new("/nonexistent"), &directory]).expect("it is one");
        let check = |name: &str, expected: Option<&Path>| {
            let found = written(name.as_ref(), Some(&path), &runs);
            let found = found.expect("what runs is there");
            assert_eq!(found.as_deref(), expected, "{name}");
        };
        check(link.to_str().expect("it is text"), Some(&link));
        check("app", Some(&link));
        check("other", None);
        check("nobody", None);
        check(directory.join("other").to_str().expect("it is text"), None);
        fs::remove_dir_all(&directory).ok();
    }
}
