//! A Debian package: the tree that is installed, and what dpkg is told of it. Must not know how it was built.

use crate::cargo::{self, Workspace};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What of the repository is installed as it is: the file, and its place.
const FILES: [(&str, &str); 3] = [
    ("packaging/tress.toml", "etc/tress/tress.toml"),
    (
        "packaging/tress.service",
        "usr/lib/systemd/system/tress.service",
    ),
    (
        "packaging/debian/lintian-overrides",
        "usr/share/lintian/overrides/tress",
    ),
];

/// The shells, and where each looks for what it completes.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/tress"),
    ("zsh", "usr/share/zsh/vendor-completions/_tress"),
    ("fish", "usr/share/fish/vendor_completions.d/tress.fish"),
];

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What goes into a package.
pub(super) struct Deb<'w> {
    root: &'w Path,
    program: &'w Path,
    version: String,
    architecture: String,
    /// How it is compressed.
    packing: &'static [&'static str],
}

impl<'w> Deb<'w> {
    /// `is_final` when it is for others: it takes long to make it small.
    pub(super) fn new(
        workspace: &'w Workspace,
        program: &'w Path,
        is_final: bool,
    ) -> Result<Self, String> {
        let version = said(Command::new(program).arg("--version"))?;
        let (_, version) = version
            .trim()
            .rsplit_once(' ')
            .ok_or_else(|| format!("no version in {version:?}"))?;
        let architecture = said(Command::new("dpkg").arg("--print-architecture"))?;
        Ok(Self {
            root: &workspace.root,
            program,
            version: version.to_owned(),
            architecture: architecture.trim().to_owned(),
            packing: match is_final {
                true => &["-Zxz"],
                false => &["-Zgzip", "-z1"],
            },
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Makes a package of that version.
    pub(super) fn build(&self, directory: &Path, version: &str) -> Result<PathBuf, String> {
        let name = format!("tress_{version}_{}", self.architecture);
        let tree = Tree::new(directory.join(&name))?;
        self.stage(&tree, version)?;
        self.control(&tree, version)?;
        let package = directory.join(format!("{name}.deb"));
        let mut build = Command::new("dpkg-deb");
        build
            .args(["--root-owner-group", "--build"])
            .args(self.packing);
        cargo::run(build.arg(&tree.0).arg(&package).stdout(Stdio::null()))
            .map_err(|why| format!("dpkg-deb: {why}"))?;
        fs::remove_dir_all(&tree.0).map_err(|e| format!("{}: {e}", tree.0.display()))?;
        Ok(package)
    }

    /// What is installed.
    fn stage(&self, tree: &Tree, version: &str) -> Result<(), String> {
        let program = fs::read(self.program);
        let program = program.map_err(|e| format!("{}: {e}", self.program.display()))?;
        tree.write("usr/bin/tress", &program, 0o755)?;
        stripped(&tree.0.join("usr/bin/tress"))?;
        for (from, to) in FILES {
            tree.write(to, self.text(from)?.as_bytes(), 0o644)?;
        }
        for (shell, to) in SHELLS {
            let script = said(Command::new(self.program).args(["completions", shell]))?;
            tree.write(to, script.as_bytes(), 0o644)?;
        }
        let pages = tree.0.join("usr/share/man/man1");
        tree.directory(&pages)?;
        said(Command::new(self.program).arg("man").arg(&pages))?;
        let found = fs::read_dir(&pages).map_err(|e| format!("{}: {e}", pages.display()))?;
        for page in found {
            let page = page.map_err(|e| format!("{}: {e}", pages.display()))?;
            packed(&page.path())?;
        }
        let doc = "usr/share/doc/tress";
        let copyright = self.text("packaging/debian/copyright")?;
        let copyright = copyright.replace("@MIT@\n", &indented(&self.text("LICENSE-MIT")?));
        tree.write(&format!("{doc}/copyright"), copyright.as_bytes(), 0o644)?;
        tree.write(
            &format!("{doc}/NEWS"),
            self.text("CHANGELOG.md")?.as_bytes(),
            0o644,
        )?;
        packed(&tree.0.join(doc).join("NEWS"))?;
        let changes = format!(
            "tress ({version}) unstable; urgency=medium\n\n  * See NEWS.gz for what has changed.\n\n -- {}  {}\n",
            maintainer(),
            self.date()?
        );
        tree.write(&format!("{doc}/changelog"), changes.as_bytes(), 0o644)?;
        packed(&tree.0.join(doc).join("changelog"))
    }

    /// When what is packaged was changed last, so that the same commit gives the same package.
    fn date(&self) -> Result<String, String> {
        let mut git = Command::new("git");
        git.current_dir(self.root);
        let date = said(git.args(["log", "-1", "--format=%aD"]))?;
        Ok(date.trim().to_owned())
    }

    /// What dpkg is told.
    fn control(&self, tree: &Tree, version: &str) -> Result<(), String> {
        let (size, sums) = tree.measured()?;
        let architecture = &self.architecture;
        let control = format!(
            "Package: tress\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\n\
             Installed-Size: {size}\nDepends: init-system-helpers (>= 1.52)\nSection: net\nPriority: optional\n\
             Description: serves objects over many protocols, as one file says\n \
             One TOML file names objects, the protocols that each is served through,\n \
             and where: HTTP+JSON, JSON-RPC, XML-RPC, AMP, Perspective Broker, lines\n \
             for people, finger. The program stands alone, and needs no libraries.\n",
            maintainer()
        );
        tree.write("DEBIAN/control", control.as_bytes(), 0o644)?;
        tree.write("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
        tree.write("DEBIAN/conffiles", b"/etc/tress/tress.toml\n", 0o644)?;
        for script in SCRIPTS {
            let text = self.text(&format!("packaging/debian/{script}"))?;
            tree.write(&format!("DEBIAN/{script}"), text.as_bytes(), 0o755)?;
        }
        Ok(())
    }

    fn text(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.root.join(path)).map_err(|e| format!("{path}: {e}"))
    }
}

/// Who releases says so; there is no address that is right for all.
pub(super) const MAINTAINER: &str = "TRESS_MAINTAINER";

fn maintainer() -> String {
    let said = env::var(MAINTAINER);
    said.unwrap_or_else(|_| "the tress authors <tress@localhost.localdomain>".to_owned())
}

/// A directory that becomes a package.
struct Tree(PathBuf);

impl Tree {
    fn new(path: PathBuf) -> Result<Self, String> {
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let tree = Self(path);
        tree.directory(&tree.0)?;
        Ok(tree)
    }

    /// Makes it and those above it, readable by everybody whatever this user's mask is.
    fn directory(&self, path: &Path) -> Result<(), String> {
        fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let own = path.ancestors().take_while(|it| it.starts_with(&self.0));
        for directory in own {
            mode(directory, 0o755)?;
        }
        Ok(())
    }

    fn write(&self, to: &str, bytes: &[u8], bits: u32) -> Result<(), String> {
        let path = self.0.join(to);
        self.directory(path.parent().unwrap_or(&self.0))?;
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        mode(&path, bits)
    }

    /// The size of all files, KiB, and their sums.
    fn measured(&self) -> Result<(u64, String), String> {
        let mut find = Command::new("find");
        let listed = said(find.current_dir(&self.0).args(["usr", "etc", "-type", "f"]))?;
        let mut files: Vec<&str> = listed.lines().collect();
        files.sort_unstable();
        let size = files.iter().map(|file| {
            fs::metadata(self.0.join(file)).map_or(0, |found| found.len().div_ceil(1024))
        });
        let size = size.sum();
        let mut sums = Command::new("md5sum");
        Ok((size, said(sums.current_dir(&self.0).args(files))?))
    }
}

fn mode(path: &Path, bits: u32) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Takes out what a debugger would need.
fn stripped(program: &Path) -> Result<(), String> {
    let mut strip = Command::new("strip");
    strip.args(["--strip-unneeded", "--remove-section=.comment"]);
    cargo::run(strip.arg(program)).map_err(|why| format!("strip: {why}"))
}

/// As Debian wants documents: `gzip -9n`.
fn packed(file: &Path) -> Result<(), String> {
    mode(file, 0o644)?;
    cargo::run(Command::new("gzip").arg("-9nf").arg(file)).map_err(|why| format!("gzip: {why}"))
}

/// A licence as a field of a Debian file has it.
fn indented(text: &str) -> String {
    let lines = text.lines().map(str::trim_end);
    lines
        .map(|line| match line {
            "" => " .\n".to_owned(),
            line => format!(" {line}\n"),
        })
        .collect()
}

/// What a command prints, when it ends well.
pub(super) fn said(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|e| format!("{program} does not start: {e}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program}: {}: {}", output.status, why.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_becomes_a_field() {
        assert_eq!(indented("MIT\n\nyou may \n"), " MIT\n .\n you may\n");
    }
}
