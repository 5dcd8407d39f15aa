//! What cargo knows of this workspace (`cargo metadata`), and how cargo is called.
//! Must not know what is checked or run with it.

use serde_json::Value;
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// The workspace, as far as the commands need it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One workspace member. Paths are relative to the workspace root.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: String,
    /// The root file of the library and of each binary.
    pub(crate) roots: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a member's manifest.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Given by path: another member of the workspace.
    pub(crate) internal: bool,
    /// Only for tests, examples and benches.
    pub(crate) dev: bool,
}

impl Workspace {
    /// Asks cargo about the workspace of the current directory.
    pub(crate) fn load() -> Result<Self, String> {
        let output = command()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .map_err(|e| format!("cargo metadata does not start: {e}"))?;
        if !output.status.success() {
            return Err(format!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        Self::parse(&output.stdout)
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(json).map_err(|e| format!("cargo metadata: {e}"))?;
        let root = PathBuf::from(text(&value, "workspace_root")?);
        let packages = list(&value, "packages")?
            .iter()
            .map(|package| Package::parse(package, &root));
        Ok(Self {
            target: PathBuf::from(text(&value, "target_directory")?),
            packages: packages.collect::<Result<_, _>>()?,
            root,
        })
    }

    /// A cargo command that runs at the workspace root and shares this run's target directory.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = command();
        cargo
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}

impl Package {
    fn parse(value: &Value, root: &Path) -> Result<Self, String> {
        let mut roots = Vec::new();
        for target in list(value, "targets")? {
            if list(target, "kind")?.iter().any(is_shipped) {
                roots.push(relative(text(target, "src_path")?, root));
            }
        }
        let dependencies = list(value, "dependencies")?.iter().map(|dependency| {
            Ok(Dependency {
                name: text(dependency, "name")?.to_owned(),
                internal: dependency["path"].is_string(),
                dev: dependency["kind"] == "dev",
            })
        });
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            manifest: relative(text(value, "manifest_path")?, root),
            roots,
            dependencies: dependencies.collect::<Result<_, String>>()?,
        })
    }
}

/// Runs a command to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{status}")),
        Err(e) => Err(format!("{program} does not start: {e}")),
    }
}

/// The cargo that runs us, else the one that built us.
fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO"))))
}

/// Libraries of every kind and binaries; not tests, benches, examples, build scripts.
fn is_shipped(kind: &Value) -> bool {
    [
        "lib",
        "rlib",
        "dylib",
        "cdylib",
        "staticlib",
        "proc-macro",
        "bin",
    ]
    .iter()
    .any(|known| kind == known)
}

fn relative(path: &str, root: &Path) -> String {
    let path = Path::new(path);
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("cargo metadata: no text `{key}`"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value[key]
        .as_array()
        .ok_or_else(|| format!("cargo metadata: no list `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "workspace_root": "/r", "target_directory": "/t",
        "packages": [{
            "name": "tress-os", "manifest_path": "/r/crates/os/Cargo.toml",
            "targets": [
                {"kind": ["lib"], "src_path": "/r/crates/os/src/lib.rs"},
                {"kind": ["test"], "src_path": "/r/crates/os/tests/all.rs"},
                {"kind": ["example"], "src_path": "/r/crates/os/examples/echo.rs"}
            ],
            "dependencies": [
                {"name": "tress-core", "kind": null, "path": "/r/crates/core"},
                {"name": "mio", "kind": null},
                {"name": "proptest", "kind": "dev"},
                {"name": "cc", "kind": "build"}
            ]
        }]
    }"#;

    #[test]
    fn metadata_is_read() {
        let workspace = Workspace::parse(METADATA.as_bytes()).unwrap();
        assert_eq!(workspace.root, Path::new("/r"));
        assert_eq!(workspace.target, Path::new("/t"));
        let [package] = workspace.packages.as_slice() else {
            panic!("one package")
        };
        assert_eq!(package.name, "tress-os");
        assert_eq!(package.manifest, "crates/os/Cargo.toml");
        assert_eq!(package.roots, ["crates/os/src/lib.rs"]);
        let dependencies: Vec<_> = package
            .dependencies
            .iter()
            .map(|d| (d.name.as_str(), d.internal, d.dev))
            .collect();
        assert_eq!(
            dependencies,
            [
                ("tress-core", true, false),
                ("mio", false, false),
                ("proptest", false, true),
                ("cc", false, false)
            ]
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let error =
            Workspace::parse(br#"{"workspace_root": "/r", "target_directory": "/t"}"#).err();
        assert_eq!(error.as_deref(), Some("cargo metadata: no list `packages`"));
        assert!(Workspace::parse(b"{").is_err());
    }
}
