//! What becomes of a package on a system: installed, used, upgraded, removed and purged, in a directory that dpkg takes for
//! the root, so that nothing of this machine is touched. Must not know how it was made.

use super::deb::said;
use crate::cargo;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

/// How long the program may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must be there once it is installed.
const INSTALLED: [&str; 8] = [
    "usr/bin/tress",
    "etc/tress/tress.toml",
    "usr/lib/systemd/system/tress.service",
    "usr/share/man/man1/tress.1.gz",
    "usr/share/man/man1/tress-run.1.gz",
    "usr/share/bash-completion/completions/tress",
    "usr/share/zsh/vendor-completions/_tress",
    "usr/share/fish/vendor_completions.d/tress.fish",
];

/// Does all of it.
pub(super) fn run(package: &Path, newer: &Path, is_static: bool) -> Result<(), String> {
    let root = Root::new()?;
    root.dpkg(&["--install"], package)?;
    for file in INSTALLED {
        if !root.0.join(file).is_file() {
            return Err(format!("/{file} is not installed"));
        }
    }
    verify_unit(&root.0.join(INSTALLED[2]))?;
    let program = root.0.join("usr/bin/tress");
    let config = root.0.join("etc/tress/tress.toml");
    let text = fs::read_to_string(&config).map_err(|e| format!("tress.toml: {e}"))?;
    // Somebody edits it, and puts its socket where one can be here.
    let socket = root.0.join("control");
    let own = text.replace("/run/tress/tress.control", &socket.display().to_string());
    if own == text {
        return Err("tress.toml says no more where its socket is".into());
    }
    fs::write(&config, &own).map_err(|e| format!("tress.toml: {e}"))?;
    said(Command::new(&program).arg("check").arg(&config))?;
    serves(&program, &config)?;
    if is_static {
        knows_names(&program)?;
    }
    root.dpkg(&["--install"], newer)?;
    let version = said(root.query().args(["-f", "${Version}", "-W", "tress"]))?;
    if !version.ends_with("+newer") {
        return Err(format!("it was not upgraded: {version}"));
    }
    if fs::read_to_string(&config).ok().as_deref() != Some(&own) {
        return Err("the upgrade has changed a file that somebody had edited".into());
    }
    serves(&program, &config)?;
    root.dpkg(&["--remove"], Path::new("tress"))?;
    if program.exists() || !config.exists() {
        return Err("removing it must take the program away and leave the configuration".into());
    }
    // What it has kept while it ran.
    for kept in [
        "lib/tress",
        "lib/private/tress",
        "log/tress",
        "log/private/tress",
    ] {
        let kept = root.0.join("var").join(kept);
        fs::create_dir_all(&kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    }
    root.dpkg(&["--purge"], Path::new("tress"))?;
    let mut find = Command::new("find");
    find.arg(&root.0)
        .args(["-path", "*/var/lib/dpkg", "-prune", "-o"]);
    let left = said(find.args([
        "-name",
        "*tress*",
        "-not",
        "-path",
        &root.0.display().to_string(),
        "-print",
    ]))?;
    match left.trim() {
        "" => Ok(()),
        left => Err(format!("purging it leaves {left}")),
    }
}

/// A directory that dpkg takes for the root; gone at the end. Its name is short, as a socket is in it.
struct Root(PathBuf);

impl Root {
    fn new() -> Result<Self, String> {
        let root = env::temp_dir().join(format!("deb-{}", std::process::id()));
        let admin = root.join("var/lib/dpkg");
        for directory in ["info", "updates", "triggers"] {
            fs::create_dir_all(admin.join(directory))
                .map_err(|e| format!("{}: {e}", root.display()))?;
        }
        // What it depends on is said to be there.
        let status = "Package: init-system-helpers\nStatus: install ok installed\nVersion: 1.66\nArchitecture: all\n\
                      Maintainer: nobody <nobody@localhost>\nDescription: none\n\n";
        fs::write(admin.join("status"), status).map_err(|e| format!("{}: {e}", root.display()))?;
        let list = admin.join("info/init-system-helpers.list");
        fs::write(&list, "/.\n").map_err(|e| format!("{}: {e}", list.display()))?;
        Ok(Self(root))
    }

    fn dpkg(&self, action: &[&str], what: &Path) -> Result<(), String> {
        println!("dpkg {} {}", action.join(" "), what.display());
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.0.display()))
            .arg(format!(
                "--log={}",
                self.0.join("var/lib/dpkg/log").display()
            ))
            // Its scripts run here and look at DPKG_ROOT: there is no shell in that root.
            .args(["--force-script-chrootless", "--force-not-root"])
            .args(action)
            .arg(what)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        cargo::run(&mut dpkg).map_err(|why| format!("dpkg {}: {why}", action.join(" ")))
    }

    fn query(&self) -> Command {
        let mut query = Command::new("dpkg-query");
        query.arg(format!(
            "--admindir={}",
            self.0.join("var/lib/dpkg").display()
        ));
        query
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// systemd's own opinion of the unit, where it is installed. That the program is not where the unit says, it may complain of.
fn verify_unit(unit: &Path) -> Result<(), String> {
    let Ok(output) = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(unit)
        .output()
    else {
        println!("skipped: systemd-analyze, which would look at the unit");
        return Ok(());
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    let bad = complaints
        .lines()
        .find(|line| line.contains("tress.service") && !line.contains("is not executable"));
    bad.map_or(Ok(()), |line| Err(format!("systemd-analyze: {line}")))
}

/// It starts with that file, answers `tress ctl`, and ends well when it is told to.
fn serves(program: &Path, config: &Path) -> Result<(), String> {
    let mut child = Command::new(program)
        .arg("run")
        .arg(config)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let asked = ask(program, config, &mut child);
    let id = child.id().to_string();
    let told = said(Command::new("kill").args(["-s", "TERM", &id]));
    let ended = told.and_then(|_| child.wait().map_err(|e| e.to_string()));
    if ended.is_err() {
        child.kill().ok();
    }
    asked?;
    match ended? {
        status if status.success() => Ok(()),
        status => Err(format!("tress run: {status}")),
    }
}

fn ask(program: &Path, config: &Path, child: &mut Child) -> Result<(), String> {
    let stderr = child.stderr.take().ok_or("it has no stderr")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    loop {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.map_err(|_| "tress run does not say that it runs")?;
        if line.ends_with(" is running") {
            break;
        }
    }
    let list = said(
        Command::new(program)
            .args(["ctl", "--file"])
            .arg(config)
            .arg("list"),
    )?;
    match list.contains("control") {
        true => Ok(()),
        false => Err(format!("tress ctl list: {list}")),
    }
}

/// Names are looked up without libraries too: nobody listens at that port, and that is what must be said.
fn knows_names(program: &Path) -> Result<(), String> {
    let mut call = Command::new(program);
    call.args(["call", "lines", "tcp:localhost:1", "help"]);
    let output = call.output().map_err(|e| format!("tress call: {e}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    match why.contains("refused") {
        true => Ok(()),
        false => Err(format!("`localhost` was not found: {}", why.trim())),
    }
}
