//! Who may call what is served, as files say it.

use super::{super::*, USERS, load};
use crate::{Access, Exposure, Make, Provider, ProviderKind, Serves, Sharing, testing::Directory};
use tress_core::{Protocol, SharedFactory, testing::memory::Table};
use tress_rpc::{Object, cred::Sort};

struct Quiet;
impl Protocol for Quiet {}

/// A protocol for every interface whose methods take nothing; lets in who has a password.
const EVERY: Exposure = Exposure {
    name: "every",
    serves: Serves::Any(|interface| {
        match interface
            .methods
            .iter()
            .find(|method| !method.arguments.is_empty())
        {
            None => Ok(()),
            Some(method) => Err(format!("`{}` takes something", method.name)),
        }
    }),
    access: Access::Logins(&[Sort::Password]),
    doc: "",
    options: &[],
    make: Make::Factory(|serving| {
        LET_IN.set([Sort::Password, Sort::Anonymous].map(|sort| serving.portal.takes(sort)));
        Ok(SharedFactory::new(|| Quiet))
    }),
};

thread_local! {
    /// Whether the last portal takes passwords, and lets in who shows nothing.
    static LET_IN: std::cell::Cell<[bool; 2]> = const { std::cell::Cell::new([false; 2]) };
}

/// Says only who is there.
#[tress_rpc::interface(crate = "tress_rpc")]
trait Crowd {
    /// Everybody.
    async fn everybody(&self) -> Result<Vec<String>>;
}

struct Nobody;

impl Crowd for Nobody {
    async fn everybody(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl Provider for Nobody {
    fn object(&self, interface: &str) -> Option<Object> {
        (interface == "Crowd").then(|| <dyn DynCrowd>::object(Rc::new(Self)))
    }
}

const CROWD: ProviderKind = ProviderKind {
    name: "crowd",
    doc: "",
    options: &[],
    interfaces: &[
        <dyn tress_protocols::finger::DynFinger>::DESCRIPTOR,
        <dyn DynCrowd>::DESCRIPTOR,
    ],
    make: |_, _| Ok(Box::new(Nobody)),
    sharing: Sharing::PerWorker,
};

/// What is said of a file with these sections, or whom it lets in.
fn served(auth: &str, serve: &str) -> String {
    let directory = Directory::new();
    directory.file("pw", "secret\n");
    let file = directory.file("users", "alice:secret\n");
    let file = file.with_file_name("f.toml").display().to_string();
    let mut registry = Registry::builtin();
    registry.register_provider(CROWD).register_exposure(EVERY);
    LET_IN.set([false; 2]);
    let text = format!(
        "[provide.all]\nkind = 'crowd'\n{auth}[[serve]]\nwhat = 'all'\nas = 'every'\n{serve}\n"
    );
    let table = Table::new();
    let loaded = Application::parse(&file, text.as_bytes(), &registry, table.reactor());
    match loaded {
        Ok(_) => format!("{:?}", LET_IN.get()),
        Err(problems) => problems.to_string().replace(&format!("{file}:"), ""),
    }
}

#[test]
fn where_others_reach_it_the_file_says_who_may_call() {
    let open = "others than this machine reach it, and nothing says who may call; expected `auth`, `anonymous = true`, or \
                an endpoint such as";
    for (serve, expected) in [
        ("at = 'tcp:7:interface=127.0.0.1'", "[false, true]"),
        ("at = 'tcp:7:interface=\\:\\:1'", "[false, true]"),
        ("at = 'unix:/tmp/x'", "[false, true]"),
        ("at = 'haproxy:tcp:7:interface=127.0.0.1'", "[false, true]"),
        (
            "at = ['unix:/tmp/x', 'tcp:7']",
            &format!("6: serve.at: {open} `tcp:7:interface=127.0.0.1`"),
        ),
        (
            "at = 'tcp:7:interface=192.0.2.2'",
            &format!("6: serve.at: {open} `tcp:7:interface=192.0.2.2:interface=127.0.0.1`"),
        ),
        ("at = 'tcp:7'\nanonymous = true", "[false, true]"),
        (
            "at = 'unix:/tmp/x'\nanonymous = false",
            "7: serve.anonymous: nobody could call: expected `auth` beside it, or `anonymous = true`",
        ),
        (
            "at = 'unix:/tmp/x'\ninterface = 'Finger'",
            "5: serve.as: `all` is a `crowd`, which cannot be served as `every`: `getUser` takes something; expected one of",
        ),
        (
            "at = 'unix:/tmp/x'\ninterface = 'Crwd'",
            "7: serve.interface: unknown interface `Crwd`; expected one of `Finger`, `Crowd`; did you mean `Crowd`?",
        ),
    ] {
        let found = served("", serve);
        assert!(
            found.starts_with(expected),
            "{serve}\n  {found}\n  {expected}"
        );
    }
}

#[test]
fn checkers_are_named_and_secrets_are_elsewhere() {
    let memory = "[auth.staff]\nkind = 'memory'\nusers = { alice = { file = 'pw' } }\n";
    for (auth, serve, expected) in [
        (
            memory,
            "at = 'unix:/tmp/x'\nauth = 'staff'",
            "[true, false]",
        ),
        (
            memory,
            "at = 'unix:/tmp/x'\nauth = 'staff'\nanonymous = true",
            "[true, true]",
        ),
        (
            memory,
            "at = 'unix:/tmp/x'\nauth = 'stuff'",
            "10: serve.auth: unknown auth `stuff`; expected `staff`; did you mean `staff`?",
        ),
        (
            "[auth.robots]\nkind = 'tokens'\nusers = { robot = { file = 'pw' } }\n",
            "at = 'unix:/tmp/x'\nauth = 'robots'",
            "10: serve.auth: `robots` cannot check what callers show through `every`: a password",
        ),
        (
            "[auth.staff]\nkind = 'memory'\nusers = { alice = 'secret' }\n",
            "at = 'unix:/tmp/x'\nauth = 'staff'",
            "5: auth.staff.users.alice: expected where the secret is: `{ env = \"NAME\" }` or `{ file = \"path\" }`",
        ),
        (
            "[auth.staff]\nkind = 'memory'\nusers = { alice = { env = 'TRESS_NO_SUCH' } }\n",
            "at = 'unix:/tmp/x'\nauth = 'staff'",
            "5: auth.staff.users.alice: the environment has no variable `TRESS_NO_SUCH`",
        ),
        (
            "[auth.staff]\nkind = 'file'\npath = 'users'\n",
            "at = 'unix:/tmp/x'\nauth = 'staff'",
            "5: auth.staff.path: line 1: expected an Argon2 hash, such as `$argon2id$v=19$m=19456,t=2,p=1$…`",
        ),
    ] {
        let found = served(auth, serve);
        assert!(
            found.starts_with(expected),
            "{auth}{serve}\n  {found}\n  {expected}"
        );
    }
}

#[test]
fn passwords_cross_no_network_in_the_clear_unless_the_file_says_so() {
    let memory = "[auth.staff]\nkind = 'memory'\nusers = { alice = { file = 'pw' } }\n";
    let clear = "9: serve.at: passwords and tokens would cross the network as they are; expected `ssl:…`, an endpoint that only \
                 this machine reaches, or `plaintext = true` where something else encrypts";
    for (auth, serve, expected) in [
        (memory, "at = 'tcp:7'\nauth = 'staff'", clear),
        (
            memory,
            "at = ['unix:/tmp/x', 'haproxy:tcp:7']\nauth = 'staff'",
            clear,
        ),
        (
            memory,
            "at = 'tcp:7'\nauth = 'staff'\nplaintext = false",
            clear,
        ),
        (
            memory,
            "at = 'tcp:7'\nauth = 'staff'\nplaintext = true",
            "[true, false]",
        ),
        (
            memory,
            "at = 'tcp:7:interface=127.0.0.1'\nauth = 'staff'",
            "[true, false]",
        ),
        (
            memory,
            "at = 'tcp:7'\nauth = 'staff'\nplaintext = 1",
            "11: serve.plaintext: expected true or false, found an integer",
        ),
        (
            "",
            "at = 'tcp:7'\nanonymous = true\nplaintext = true",
            "8: serve.plaintext: no password and no token is shown here",
        ),
    ] {
        let found = served(auth, serve);
        assert!(
            found.starts_with(expected),
            "{auth}{serve}\n  {found}\n  {expected}"
        );
    }
    // Whatever is wrong with the certificate, it is TLS.
    let found = served(memory, "at = 'ssl:7:privateKey=no.pem'\nauth = 'staff'");
    assert!(!found.contains("cross the network"), "{found}");
}

#[test]
fn what_is_for_everybody_has_no_logins() {
    let table = Table::new();
    let check = |serve: &str, expected: &str| {
        let text = format!(
            "{USERS}[auth.a]\nkind = 'tokens'\nusers = {{}}\n[[serve]]\nwhat = 'users'\n{serve}"
        );
        assert_eq!(load(&table, &text).unwrap_err().to_string(), expected);
    };
    check(
        "as = 'finger'\nat = 'tcp:79'\nauth = 'a'",
        "f.toml:11: serve.auth: `finger` has no logins: it is for everybody",
    );
    check(
        "as = 'finger-setter'\nat = 'tcp:79'\nauth = 'a'",
        "f.toml:11: serve.auth: `finger-setter` has no logins",
    );
}
