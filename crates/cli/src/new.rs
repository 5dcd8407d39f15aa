//! `tress new`: a crate with a kind of its own, or a file alone, to go on from. Overwrites nothing.

use crate::Ended;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The files of a crate: where, and what is in them.
const CRATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/Cargo.toml.txt")),
    ("src/main.rs", include_str!("../templates/main.rs.txt")),
    ("src/@MODULE@.rs", KIND),
    ("@NAME@.toml", include_str!("../templates/app.toml.txt")),
    ("README.md", include_str!("../templates/README.md.txt")),
];
/// The file alone.
/// Where the interface stands.
const KIND: &str = include_str!("../templates/kind.rs.txt");

const FILE: &str = include_str!("../templates/only.toml.txt");

/// The longest name, characters.
const LONGEST: usize = 64;

/// Names that Rust or Cargo has taken, or that this crate needs.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "tress",
    "tress-cli",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) name: String,
    /// A file and no crate.
    pub(crate) is_toml: bool,
    /// The sources of tress, where the crate is not to have those that were published.
    pub(crate) tress: Option<PathBuf>,
}

/// Makes it in the current directory.
pub(crate) fn make(arguments: &Arguments) -> Result<(), Ended> {
    let Arguments {
        name,
        is_toml,
        tress,
    } = arguments;
    let names = Names::of(name).map_err(Ended::Unknown)?;
    let said = if *is_toml {
        let file = format!("{name}.toml");
        write_new(Path::new(&file), &names.filled(FILE, "", "")).map_err(not_made(&file))?;
        format!("{file} is made; next:\n  tress check {file}\n  tress run {file}\n")
    } else {
        let (one, other) = dependencies(tress.as_deref())?;
        let root = Path::new(name);
        fs::create_dir(root).map_err(not_made(name))?;
        let made = CRATE.iter().try_for_each(|(place, text)| {
            let path = root.join(names.filled(place, "", ""));
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            write_new(&path, &names.filled(text, &one, &other))
        });
        if let Err(error) = made {
            // All of it is ours: the directory was not there before. What cannot be removed is left.
            fs::remove_dir_all(root).ok();
            return Err(not_made(name)(error));
        }
        format!("{name} is made; next:\n  cd {name}\n  cargo run -- run {name}.toml\n")
    };
    io::stdout().write_all(said.as_bytes())?;
    Ok(())
}

fn not_made(path: &str) -> impl Fn(io::Error) -> Ended + '_ {
    move |error| {
        Ended::NotMade(if error.kind() == io::ErrorKind::AlreadyExists {
            format!("`{path}` is there already; expected a name that nothing has")
        } else {
            format!("cannot make `{path}`: {error}")
        })
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// How the crate depends on tress and on its command line.
fn dependencies(tress: Option<&Path>) -> Result<(String, String), Ended> {
    let Some(directory) = tress else {
        let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        return Ok((version.clone(), version));
    };
    let at = |krate: &str| {
        let path = directory.join("crates").join(krate);
        let found = fs::canonicalize(&path)
            .ok()
            .filter(|path| path.join("Cargo.toml").is_file());
        let found = found.ok_or_else(|| {
            let (given, path) = (directory.display(), path.display());
            Ended::Unknown(format!("--tress {given}: there is no crate `{path}`; expected the directory of tress's sources"))
        })?;
        let text = found
            .to_string_lossy()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        Ok::<_, Ended>(format!("path = \"{text}\""))
    };
    Ok((at("tress")?, at("cli")?))
}

/// A name, as it is written in each place.
struct Names<'n> {
    name: &'n str,
    module: String,
    /// The interface's.
    ty: String,
}

impl<'n> Names<'n> {
    /// Or what was expected.
    fn of(name: &'n str) -> Result<Self, String> {
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        let ends = !name.ends_with(['-', '_']);
        if !begins || !ends || !name.chars().all(plain) || name.len() > LONGEST {
            let found = tress_core::wording::quoted(name);
            return Err(format!(
                "{found} is no name for it; expected at most {LONGEST} lower-case letters, digits, `-` and `_`, a letter first and none of the two last"
            ));
        }
        if TAKEN.contains(&&*name.replace('_', "-")) {
            return Err(format!(
                "`{name}` means something else to Rust or to tress; expected another name"
            ));
        }
        let words = name.split(['-', '_']);
        let ty = words.map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        });
        let ty: String = ty.collect();
        let code = KIND.lines().filter_map(|line| line.split("//").next());
        let mut used = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
        if used.any(|word| word == ty) {
            return Err(format!(
                "`{name}` would be the interface `{ty}`, which means something else where it stands; expected another name"
            ));
        }
        Ok(Self {
            name,
            module: name.replace('-', "_"),
            ty,
        })
    }

    /// A template with all that is known.
    fn filled(&self, template: &str, tress: &str, tress_cli: &str) -> String {
        let known = [
            ("@NAME@", self.name),
            ("@MODULE@", &self.module),
            ("@TYPE@", &self.ty),
            ("@FILE@", &format!("{}.toml", self.name)),
            ("@TRESS@", tress),
            ("@TRESS_CLI@", tress_cli),
        ];
        let fill = |text: String, (mark, what): (&str, &str)| text.replace(mark, what);
        known.into_iter().fold(template.to_owned(), fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_for_a_crate_a_module_and_an_interface() {
        let names = Names::of("my-own_kind2").map(|names| (names.module, names.ty));
        assert_eq!(names, Ok(("my_own_kind2".into(), "MyOwnKind2".into())));
        for wrong in [
            "",
            "2a",
            "-a",
            "a-",
            "a_",
            "A",
            "a b",
            "a/b",
            "..",
            "ä",
            &"a".repeat(65),
        ] {
            let error = Names::of(wrong).err().unwrap_or_default();
            assert!(
                error.contains("is no name for it; expected"),
                "{wrong}: {error}"
            );
        }
        for taken in [
            "mod",
            "tress_cli",
            "test",
            "proc-macro",
            "build",
            "object",
            "result",
            "string",
        ] {
            let error = Names::of(taken).err().unwrap_or_default();
            assert!(error.contains("means something else"), "{taken}: {error}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let names = Names::of("a").expect("a name");
        for text in CRATE
            .iter()
            .flat_map(|(place, text)| [place, text])
            .chain([&FILE])
        {
            let filled = names.filled(text, "version = \"1\"", "version = \"1\"");
            assert!(!filled.contains('@'), "{filled}");
        }
    }
}
