//! Which object is where under one listener, and what it speaks there. Reads no request.

use crate::{
    calls::ExposureLimits,
    descriptor::{Descriptor, Method},
    object::Object,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map},
    error::Error,
    fmt,
};
use tress_core::wording::quoted;

/// What is spoken at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP+JSON: every method has a path of its own below the mount's, `POST /Quoter/quote`.
    Json,
    /// JSON-RPC 2.0.
    JsonRpc,
    /// XML-RPC, with introspection.
    XmlRpc,
    /// Prometheus' text format: `GET` answers with the text that the object's first method gives, which is called without
    /// arguments.
    Metrics,
}

impl Dialect {
    /// What it is called in files, and in errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "http",
            Self::JsonRpc => "jsonrpc",
            Self::XmlRpc => "xmlrpc",
            Self::Metrics => "metrics",
        }
    }
}

/// An object, and where it is.
#[derive(Clone, Debug)]
pub struct Mount {
    object: Object,
    limits: ExposureLimits,
    prefix: Option<String>,
    at: Vec<(Dialect, Option<String>)>,
}

impl Mount {
    /// The object with these limits, nowhere yet. Objects that share a path share the lowest of their limits on
    /// requests, answers, nesting and batches.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
            prefix: None,
            at: Vec::new(),
        }
    }

    /// Speaks this at its usual path: `/jsonrpc`, `/RPC2`, `/metrics`, and for JSON the prefix or else the interface's name,
    /// `/Quoter`.
    #[must_use]
    pub fn speaking(mut self, dialect: Dialect) -> Self {
        self.at.push((dialect, None));
        self
    }

    /// Speaks this at this path.
    #[must_use]
    pub fn speaking_at(mut self, dialect: Dialect, path: impl Into<String>) -> Self {
        self.at.push((dialect, Some(path.into())));
        self
    }

    /// Names its methods `prefix.method` in JSON-RPC and XML-RPC, so that other objects may share the path. Without a
    /// prefix they may be called by their own names and by those with the interface before them, `Quoter.quote`.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// The same path without a slash at its end.
    fn path(&self, dialect: Dialect, path: Option<&str>) -> Result<String, MountError> {
        let path = match (path, dialect) {
            (Some(path), _) => path.to_owned(),
            (None, Dialect::JsonRpc) => "/jsonrpc".to_owned(),
            (None, Dialect::XmlRpc) => "/RPC2".to_owned(),
            (None, Dialect::Metrics) => "/metrics".to_owned(),
            (None, Dialect::Json) => {
                let name = self.object.descriptor().name;
                format!("/{}", self.prefix.as_deref().unwrap_or(name))
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !path.starts_with('/') || path.contains("//") || !path.chars().all(plain) {
            return Err(MountError::Path { path });
        }
        Ok(path.strip_suffix('/').unwrap_or(&path).to_owned())
    }

    /// What a method is called where several objects share a path.
    fn named(&self, method: &Method) -> String {
        match &self.prefix {
            None => method.name.to_owned(),
            Some(prefix) => format!("{prefix}.{}", method.name),
        }
    }
}

/// Mounts that cannot be together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountError {
    /// There is none, or one that is nowhere.
    Nothing {
        /// The interface that is nowhere; none if there is no mount.
        interface: Option<&'static str>,
    },
    /// A path that is none.
    Path {
        /// It.
        path: String,
    },
    /// A prefix that is none, or that the protocol keeps for itself.
    Prefix {
        /// It.
        prefix: String,
    },
    /// Two methods at one path have the same name.
    SameName {
        /// The path.
        path: String,
        /// What both would be called.
        method: String,
        /// Whose methods they are.
        interfaces: [&'static str; 2],
    },
    /// Two things are spoken at one path.
    SamePath {
        /// The path.
        path: String,
        /// What would be spoken there.
        spoken: [&'static str; 2],
    },
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { interface: None } => f.write_str("nothing is served"),
            Self::Nothing {
                interface: Some(interface),
            } => write!(
                f,
                "`{interface}` speaks nothing: expected at least one of `http`, `jsonrpc`, `xmlrpc`, `metrics`"
            ),
            Self::Path { path } => write!(
                f,
                "{} is no path: expected `/` and letters, digits, `-`, `.`, `_`, `~`, as in `/Quoter`",
                quoted(path)
            ),
            Self::Prefix { prefix } => write!(
                f,
                "{} is no prefix: expected letters, digits and `_`, and neither `system` nor `rpc`",
                quoted(prefix)
            ),
            Self::SameName {
                path,
                method,
                interfaces: [one, other],
            } => write!(
                f,
                "`{one}` and `{other}` both have a method `{method}` at `{path}`: give one of them a prefix or another path"
            ),
            Self::SamePath {
                path,
                spoken: [one, other],
            } => write!(
                f,
                "`{one}` and `{other}` are both at `{path}`: give one of them another path"
            ),
        }
    }
}

impl Error for MountError {}

/// The pages of HTTP+JSON, where that is spoken at all.
pub(super) const PAGES: [&str; 2] = ["/", "/openapi.json"];

/// A method of the mount at that place.
pub(super) type Target = (usize, &'static Method);

/// The methods at a path, by the names that callers use, and the limits there.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) methods: BTreeMap<String, Target>,
    /// The names of methods without a prefix with their interface before them, `Quoter.quote`.
    long: BTreeMap<String, Target>,
    pub(super) limits: ExposureLimits,
}

impl Table {
    /// The method of that name.
    pub(super) fn find(&self, name: &str) -> Option<Target> {
        self.methods
            .get(name)
            .or_else(|| self.long.get(name))
            .copied()
    }
}

/// What is at a path for who posts to it.
#[derive(Clone, Debug)]
pub(super) enum Post {
    Json(Target),
    JsonRpc(Table),
    XmlRpc(Table),
}

impl Post {
    /// The mounts whose methods can be called there.
    pub(super) fn mounts(&self) -> BTreeSet<usize> {
        match self {
            Self::Json((mount, _)) => [*mount].into(),
            Self::JsonRpc(table) | Self::XmlRpc(table) => {
                table.methods.values().map(|(mount, _)| *mount).collect()
            }
        }
    }
}

/// Everything that is served.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) mounts: Vec<(Object, ExposureLimits)>,
    pub(super) posts: HashMap<String, Post>,
    /// Texts, by their paths.
    pub(super) texts: BTreeMap<String, Target>,
    /// Where HTTP+JSON is spoken, for which mount.
    pub(super) json: BTreeMap<String, usize>,
}

impl Routes {
    pub(super) fn new(mounts: impl IntoIterator<Item = Mount>) -> Result<Self, MountError> {
        let mut routes = Self {
            mounts: Vec::new(),
            posts: HashMap::new(),
            texts: BTreeMap::new(),
            json: BTreeMap::new(),
        };
        for mount in mounts {
            routes.add(&mount)?;
        }
        if routes.mounts.is_empty() {
            return Err(MountError::Nothing { interface: None });
        }
        routes.paths_are_apart()?;
        Ok(routes)
    }

    /// A text is read where nothing else is: neither what is called nor the pages of HTTP+JSON.
    fn paths_are_apart(&self) -> Result<(), MountError> {
        for path in self.texts.keys() {
            let page = !self.json.is_empty() && PAGES.contains(&path.as_str());
            let other = match self.posts.get(path) {
                Some(Post::Json(_)) => Some(Dialect::Json),
                Some(Post::JsonRpc(_)) => Some(Dialect::JsonRpc),
                Some(Post::XmlRpc(_)) => Some(Dialect::XmlRpc),
                None => page.then_some(Dialect::Json),
            };
            if let Some(other) = other {
                return Err(same_path(path.clone(), [other, Dialect::Metrics]));
            }
        }
        Ok(())
    }

    /// What the interface of a mount is.
    pub(super) fn descriptor(&self, mount: usize) -> &'static Descriptor {
        self.mounts[mount].0.descriptor()
    }

    fn add(&mut self, mount: &Mount) -> Result<(), MountError> {
        let interface = Some(mount.object.descriptor().name);
        if mount.at.is_empty() {
            return Err(MountError::Nothing { interface });
        }
        if let Some(prefix) = &mount.prefix {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let kept = ["system", "rpc"].contains(&prefix.as_str());
            if prefix.is_empty() || kept || !prefix.chars().all(plain) {
                let prefix = prefix.clone();
                return Err(MountError::Prefix { prefix });
            }
        }
        let index = self.mounts.len();
        self.mounts.push((mount.object.clone(), mount.limits));
        for (dialect, path) in &mount.at {
            let path = mount.path(*dialect, path.as_deref())?;
            match dialect {
                Dialect::Json => self.add_json(mount, index, path)?,
                Dialect::JsonRpc | Dialect::XmlRpc => {
                    self.add_table(mount, index, *dialect, path)?;
                }
                Dialect::Metrics => self.add_text(mount, index, path)?,
            }
        }
        Ok(())
    }

    fn add_json(&mut self, mount: &Mount, index: usize, path: String) -> Result<(), MountError> {
        for method in mount.object.descriptor().methods {
            let full = format!("{path}/{}", method.name);
            if let Some(other) = self.posts.get(&full) {
                let dialect = match other {
                    Post::Json((other, _)) => {
                        return Err(self.same_name(path, method.name, [*other, index]));
                    }
                    Post::JsonRpc(_) => Dialect::JsonRpc,
                    Post::XmlRpc(_) => Dialect::XmlRpc,
                };
                return Err(same_path(full, [dialect, Dialect::Json]));
            }
            self.posts.insert(full, Post::Json((index, method)));
        }
        self.json.entry(path).or_insert(index);
        Ok(())
    }

    fn add_text(&mut self, mount: &Mount, index: usize, path: String) -> Result<(), MountError> {
        let path = if path.is_empty() {
            "/".to_owned()
        } else {
            path
        };
        let descriptor = mount.object.descriptor();
        let Some(method) = descriptor.methods.first() else {
            let interface = Some(descriptor.name);
            return Err(MountError::Nothing { interface });
        };
        match self.texts.insert(path.clone(), (index, method)) {
            None => Ok(()),
            Some(_) => Err(same_path(path, [Dialect::Metrics; 2])),
        }
    }

    fn add_table(
        &mut self,
        mount: &Mount,
        index: usize,
        dialect: Dialect,
        path: String,
    ) -> Result<(), MountError> {
        let full = if path.is_empty() { "/" } else { &path };
        let limits = mount.limits;
        let post = self.posts.entry(full.to_owned()).or_insert_with(|| {
            let table = Table {
                methods: BTreeMap::new(),
                long: BTreeMap::new(),
                limits,
            };
            match dialect {
                Dialect::XmlRpc => Post::XmlRpc(table),
                Dialect::Json | Dialect::JsonRpc | Dialect::Metrics => Post::JsonRpc(table),
            }
        });
        let (table, there) = match post {
            Post::Json(_) => return Err(same_path(path, [Dialect::Json, dialect])),
            Post::JsonRpc(table) => (table, Dialect::JsonRpc),
            Post::XmlRpc(table) => (table, Dialect::XmlRpc),
        };
        if there != dialect {
            return Err(same_path(path, [there, dialect]));
        }
        table.limits = lowest(table.limits, limits);
        let descriptor = mount.object.descriptor();
        for method in descriptor.methods {
            if mount.prefix.is_none() {
                let long = format!("{}.{}", descriptor.name, method.name);
                table.long.insert(long, (index, method));
            }
            match table.methods.entry(mount.named(method)) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert((index, method));
                }
                btree_map::Entry::Occupied(entry) => {
                    let (other, name) = (entry.get().0, entry.key().clone());
                    return Err(self.same_name(path, &name, [other, index]));
                }
            }
        }
        Ok(())
    }

    fn same_name(&self, path: String, method: &str, mounts: [usize; 2]) -> MountError {
        MountError::SameName {
            path,
            method: method.to_owned(),
            interfaces: mounts.map(|mount| self.descriptor(mount).name),
        }
    }
}

fn same_path(path: String, spoken: [Dialect; 2]) -> MountError {
    let spoken = spoken.map(Dialect::name);
    MountError::SamePath { path, spoken }
}

fn lowest(one: ExposureLimits, other: ExposureLimits) -> ExposureLimits {
    ExposureLimits {
        request_bytes: one.request_bytes.min(other.request_bytes),
        response_bytes: one.response_bytes.min(other.response_bytes),
        nesting: one.nesting.min(other.nesting),
        batch: one.batch.min(other.batch),
        ..one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{self as tress_rpc, interface};
    use std::rc::Rc;
    use tress_core::Result;

    #[interface(crate = "tress_rpc")]
    trait Quoter {
        async fn quote(&self) -> Result<()>;
        async fn quotes(&self) -> Result<()>;
    }

    #[interface(crate = "tress_rpc")]
    trait Clock {
        async fn time(&self) -> Result<()>;
        async fn quote(&self) -> Result<()>;
    }

    /// Is never asked.
    struct Both;

    impl Quoter for Both {
        async fn quote(&self) -> Result<()> {
            Ok(())
        }

        async fn quotes(&self) -> Result<()> {
            Ok(())
        }
    }

    impl Clock for Both {
        async fn time(&self) -> Result<()> {
            Ok(())
        }

        async fn quote(&self) -> Result<()> {
            Ok(())
        }
    }

    fn quoter() -> Mount {
        let object = <dyn DynQuoter>::object(Rc::new(Both));
        Mount::new(&object, ExposureLimits::default())
    }

    fn clock() -> Mount {
        let object = <dyn DynClock>::object(Rc::new(Both));
        let limits = ExposureLimits {
            batch: 2,
            nesting: 64,
            ..ExposureLimits::default()
        };
        Mount::new(&object, limits)
    }

    #[test]
    fn objects_and_protocols_share_a_listener() {
        let all = |mount: Mount| {
            mount
                .speaking(Dialect::Json)
                .speaking(Dialect::JsonRpc)
                .speaking(Dialect::XmlRpc)
        };
        let routes = Routes::new([all(quoter()), all(clock().prefixed("Time"))]).unwrap();
        let mut paths: Vec<_> = routes.posts.keys().map(String::as_str).collect();
        paths.sort_unstable();
        let expect = [
            "/Quoter/quote",
            "/Quoter/quotes",
            "/RPC2",
            "/Time/quote",
            "/Time/time",
            "/jsonrpc",
        ];
        assert_eq!(paths, expect);
        let Some(Post::XmlRpc(table)) = routes.posts.get("/RPC2") else {
            panic!("it speaks XML-RPC");
        };
        let names: Vec<_> = table.methods.keys().map(String::as_str).collect();
        assert_eq!(names, ["Time.quote", "Time.time", "quote", "quotes"]);
        let found = |name| table.find(name).map(|(mount, method)| (mount, method.name));
        assert_eq!(found("Time.quote"), Some((1, "quote")));
        assert_eq!(found("Quoter.quote"), Some((0, "quote")));
        assert_eq!(found("Clock.quote"), None);
        assert_eq!((table.limits.batch, table.limits.nesting), (2, 32));
        assert_eq!(routes.json.keys().collect::<Vec<_>>(), ["/Quoter", "/Time"]);
    }

    #[test]
    fn what_cannot_be_together_says_why() {
        #[track_caller]
        fn refused(mounts: impl IntoIterator<Item = Mount>, expect: &str) {
            let error = Routes::new(mounts).expect_err(expect);
            assert_eq!(error.to_string(), expect);
        }
        use Dialect::{Json, JsonRpc, XmlRpc};
        refused([], "nothing is served");
        refused(
            [quoter()],
            "`Quoter` speaks nothing: expected at least one of `http`, `jsonrpc`, `xmlrpc`, `metrics`",
        );
        refused(
            [quoter().speaking(XmlRpc), clock().speaking(XmlRpc)],
            "`Quoter` and `Clock` both have a method `quote` at `/RPC2`: give one of them a prefix or another path",
        );
        refused(
            [
                quoter().speaking_at(Json, "/a/"),
                clock().speaking_at(Json, "/a"),
            ],
            "`Quoter` and `Clock` both have a method `quote` at `/a`: give one of them a prefix or another path",
        );
        refused(
            [
                quoter().speaking_at(JsonRpc, "/rpc"),
                clock().prefixed("c").speaking_at(XmlRpc, "/rpc"),
            ],
            "`jsonrpc` and `xmlrpc` are both at `/rpc`: give one of them another path",
        );
        refused(
            [quoter()
                .speaking(Json)
                .speaking_at(JsonRpc, "/Quoter/quote")],
            "`http` and `jsonrpc` are both at `/Quoter/quote`: give one of them another path",
        );
        for path in ["", "rpc", "/a b", "//a", "/a?b", "/ä"] {
            let error = Routes::new([quoter().speaking_at(Json, path)]).unwrap_err();
            assert!(matches!(error, MountError::Path { .. }), "{path}: {error}");
        }
        for prefix in ["", "system", "rpc", "a.b", "a b"] {
            let mount = quoter().prefixed(prefix).speaking(Json);
            let error = Routes::new([mount]).unwrap_err();
            assert!(
                matches!(error, MountError::Prefix { .. }),
                "{prefix}: {error}"
            );
        }
    }
}
