//! `tress schema`, asked by a validator from outside (Python's `jsonschema`): files that `tress check` takes are right by it,
//! and files that are wrong in their structure are wrong by it. Skips, and says so, without `TRESS_PYTHON`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this whole file is a test with a peer from outside, which says what it skips"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A directory with the schema and files to judge, gone after the test.
struct Judge {
    directory: PathBuf,
    python: PathBuf,
}

impl Judge {
    fn new(test: &str) -> Option<Self> {
        let Some(python) = env::var_os("TRESS_PYTHON") else {
            println!("skipped: TRESS_PYTHON says which Python has jsonschema");
            return None;
        };
        let directory = env::temp_dir().join(format!("tress-schema-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let schema = tress(&["schema"]);
        assert_eq!(schema.0, 0);
        fs::write(directory.join("schema.json"), schema.1).unwrap();
        let python = python.into();
        Some(Self { directory, python })
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What it says of each file.
    #[track_caller]
    fn verdicts(&self, files: &[String]) -> Vec<String> {
        let judged = Command::new(&self.python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema_peer.py"))
            .arg(self.directory.join("schema.json"))
            .args(files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert!(judged.status.success(), "{said}");
        let verdicts = String::from_utf8(judged.stdout).unwrap();
        let verdicts: Vec<String> = verdicts.lines().map(str::to_owned).collect();
        assert_eq!(verdicts.len(), files.len());
        verdicts
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The exit code and the output of the program, with what it complains about.
fn tress(arguments: &[&str]) -> (i32, String) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_tress"));
    let output = run.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

/// All that stands in a Markdown text between fences for TOML.
fn fenced(text: &str) -> Vec<String> {
    let blocks = text.split("\n```toml\n").skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n")
        .collect()
}

#[test]
fn what_the_repository_shows_is_right() {
    let Some(judge) = Judge::new("right") else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![
        root.join("examples/finger/finger.toml")
            .to_str()
            .unwrap()
            .to_owned(),
    ];
    let guide = fs::read_dir(root.join("crates/tress/guide")).unwrap();
    let pages = guide.map(|page| page.unwrap().path());
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for (number, block) in fenced(&text).into_iter().enumerate() {
            // Some show a section only: what it needs beside it is no part of what they are about.
            let mut block = block;
            if !block.contains("[provide.") {
                block = format!("[provide.users]\nkind = \"finger.memory\"\n{block}");
            }
            if !block.contains("[[serve]]") {
                block.push_str("[[serve]]\nwhat = \"users\"\nas = \"finger\"\nat = \"tcp:79\"\n");
            }
            let name = page.file_name().unwrap().to_str().unwrap();
            files.push(judge.file(&format!("{name}.{number}.toml"), &block));
        }
    }
    assert!(files.len() > 3, "{files:?}");
    for (file, verdict) in files.iter().zip(judge.verdicts(&files)) {
        assert_eq!(verdict, "ok", "{file}");
    }
}

const USERS: &str = "[provide.users]\nkind = 'finger.memory'\n";
const FINGER: &str = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:79'\n";
const HTTP: &str =
    "[[serve]]\nwhat = 'users'\nas = ['http', 'xmlrpc']\nat = 'tcp:80:interface=127.0.0.1'\n";

/// Wrong in their structure, each with words of the complaint that a validator must make.
const WRONG: &[(&str, &str)] = &[
    ("{U}{F}[srve]\n", "'srve' was unexpected"),
    ("{U}", "'serve' is a required property"),
    ("{F}", "'provide' is a required property"),
    ("{U}[serve]\nwhat = 'users'\n", "is not of type 'array'"),
    ("serve = []\n{U}", "should be non-empty"),
    (
        "[provide.users]\nkind = 'finger.fiel'\n{F}",
        "'finger.fiel' is not one of",
    ),
    (
        "[provide.users]\nknd = 'finger.file'\n{F}",
        "'kind' is a required property",
    ),
    (
        "[provide.users]\nkind = 'finger.file'\npath = 'u'\npaht = 'u'\n{F}",
        "'paht' was unexpected",
    ),
    (
        "[provide.users]\nkind = 'finger.file'\n{F}",
        "'path' is a required property",
    ),
    (
        "[provide.users]\nkind = 'finger.file'\npath = ''\n{F}",
        "should be non-empty",
    ),
    (
        "[provide.users]\nkind = 'finger.file'\npath = 'u'\nreload = 30\n{F}",
        "30 is not of type 'string'",
    ),
    (
        "[provide.users]\nkind = 'finger.file'\npath = 'u'\nreload = '30sec'\n{F}",
        "'30sec' does not match",
    ),
    ("{U}users = { a = 1 }\n{F}", "1 is not of type 'string'"),
    (
        "[provide.'my users']\nkind = 'finger.memory'\n{F}",
        "'my users' does not match",
    ),
    (
        "[provide]\nusers = 'finger.memory'\n{F}",
        "is not of type 'object'",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = 'finger'\n",
        "'at' is a required property",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = 'figner'\nat = 'tcp:79'\n",
        "'figner' is not",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = []\nat = 'tcp:79'\n",
        "[] is not valid",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = ['finger', 'lines']\nat = 'unix:x'\n",
        "is too long",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = ['http', 'lines']\nat = 'unix:x'\n",
        "'lines' is not one of",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = ['http', 'http']\nat = 'unix:x'\n",
        "is not valid under any",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tpc:79'\n",
        "'tpc:79' does not match",
    ),
    (
        "{U}[[serve]]\nwhat = 'users'\nas = 'finger'\nat = ['tcp:79', 80]\n",
        "80 is not of type 'string'",
    ),
    ("{U}{F}forwading = true\n", "'forwading' was unexpected"),
    (
        "{U}{F}forwarding = 'yes'\n",
        "'yes' is not of type 'boolean'",
    ),
    ("{U}{F}path = '/x'\n", "'path' was unexpected"),
    ("{U}{H}forwarding = true\n", "'forwarding' was unexpected"),
    ("{U}{H}interface = 'Figner'\n", "'Figner' is not one of"),
    ("{U}{F}[limits]\nidel = '1s'\n", "'idel' was unexpected"),
    (
        "{U}{F}[limits]\nline = 0\n",
        "0 is less than the minimum of 1",
    ),
    ("{U}{F}[limits]\nline = '0KiB'\n", "'0KiB' does not match"),
    ("{U}{F}[limits]\nshutdown = '00s'\n", "'00s' does not match"),
    (
        "{U}{F}[limits]\nconnections = '5'\n",
        "'5' is not of type 'integer'",
    ),
    ("{U}{F}[app]\nworkers = 0\n", "0 is less than the minimum"),
    (
        "{U}{F}[app]\nworkers = 257\n",
        "257 is greater than the maximum",
    ),
    ("{U}{F}[app]\nworkers = 'many'\n", "'many' does not match"),
    ("{U}{F}[app]\ndriver = 'epoll'\n", "'epoll' is not one of"),
    (
        "{U}{F}[auth.a]\nkind = 'tokens'\nusers = { robot = 'secret' }\n",
        "is not of type 'object'",
    ),
    (
        "{U}{F}[auth.a]\nkind = 'tokens'\nusers = { robot = { env = 'A', file = 'b' } }\n",
        "too many properties",
    ),
    ("{U}{F}[auth.a]\nkind = 'token'\n", "'token' is not one of"),
    ("{U}{F}[control]\nta = 'unix:x'\n", "'ta' was unexpected"),
    (
        "{U}{F}[control]\nnesting = 'deep'\n",
        "'deep' is not of type",
    ),
    ("[[run]]\nname = 'a'\n", "'command' is a required property"),
    (
        "[[run]]\nname = 'a b'\ncommand = 'x'\n",
        "'a b' does not match",
    ),
    (
        "[[run]]\nname = 'a'\ncommand = 'x'\nrestart = 'no'\n",
        "'no' is not one of",
    ),
    (
        "[[run]]\nname = 'a'\ncommand = 'x'\nthreshold = '0s'\n",
        "'0s' does not match",
    ),
    (
        "[[run]]\nname = 'a'\ncommand = 'x'\nrestart_limit = 1001\n",
        "1001 is greater than the maximum",
    ),
    (
        "[[run]]\nname = 'a'\ncommand = 'x'\nusr = 1\n",
        "'usr' was unexpected",
    ),
    (
        "[run]\nname = 'a'\ncommand = 'x'\n",
        "is not of type 'array'",
    ),
];

#[test]
fn what_is_wrong_for_check_is_wrong_for_an_editor() {
    let Some(judge) = Judge::new("wrong") else {
        return;
    };
    let whole = |text: &str| {
        let text = text.replace("{U}", USERS).replace("{F}", FINGER);
        text.replace("{H}", HTTP)
    };
    let right = [
        "{U}{F}".to_owned(),
        "{U}{F}[control]\n".to_owned(),
        "{U}{F}[control]\nat = 'unix:x:mode=600'\nnesting = 7\n".to_owned(),
        "{U}{H}request_bytes = '1MiB'\ncall_deadline = '5s'\n".to_owned(),
        "{U}{H}path = '/x'\ninterface = 'FingerSetter'\n".to_owned(),
        "{U}{F}forwarding = true\n[limits]\nidle = '0s'\nline = '2KiB'\nstring = 5\n".to_owned(),
        "{U}{F}[app]\nworkers = 'auto'\nname = 'x'\ncall_deadline = '5s'\n".to_owned(),
        "[[run]]\nname = 'a'\ncommand = ['sleep', '5']\n".to_owned(),
        "{U}{F}[[run]]\nname = 'a'\ncommand = 'x'\nuser = 0\nkill_time = '5s'\nenvironment = { A = 'b' }\n".to_owned(),
        "{U}{H}auth = 'a'\n[auth.a]\nkind = 'tokens'\nusers = { robot = { env = 'HOME' } }\n"
            .to_owned(),
    ];
    let mut files = Vec::new();
    for (number, text) in right.iter().enumerate() {
        let file = judge.file(&format!("right{number}.toml"), &whole(text));
        let (code, said) = tress(&["check", &file]);
        assert_eq!(code, 0, "{said}");
        files.push(file);
    }
    for (number, (text, _)) in WRONG.iter().enumerate() {
        let file = judge.file(&format!("wrong{number}.toml"), &whole(text));
        let (code, said) = tress(&["check", &file]);
        assert_eq!(code, 2, "{text}: {said}");
        files.push(file);
    }
    let verdicts = judge.verdicts(&files);
    let (of_right, of_wrong) = verdicts.split_at(right.len());
    assert!(
        of_right.iter().all(|verdict| verdict == "ok"),
        "{of_right:#?}"
    );
    let missed: Vec<_> = WRONG
        .iter()
        .zip(of_wrong)
        .filter(|((_, words), verdict)| !verdict.contains(words))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
