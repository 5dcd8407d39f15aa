//! Asks plug-ins what they give: each is started, asked, and ended again, before the file that names them is checked.

use super::{DynPlugin, Hello, Plugin, PluginClient, PluginSpec, Told, VERSION, link::Link, told};
use crate::{
    config::{self, Config, Problem, Problems},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};
use tress_core::{Deferred, Failure, Reactor, Result, error::TimedOut, wording::quoted};
use tress_rpc::{CallContext, Disconnected, Fault, NoAnswer};

/// Where plug-ins are when a file does not say it, beside the file.
const DIRECTORY: &str = "plugins.d";
/// The most plug-ins in a directory.
const PLUGINS_MAX: usize = 256;

/// Which plug-ins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose kinds the file names: what else lies there cannot disturb it.
    Named,
    /// All that are there.
    All,
}

/// What `registry` holds, and the kinds of the plug-ins of this file: those in `plugins.d` beside it, or in the directory
/// that `plugins` in `[app]` names. What else is wrong with the file, or that it is not there, is for others to say. `make`
/// is called when there is somebody to ask: the loop on which that is done.
///
/// # Errors
/// What is wrong with a plug-in's file, or with what the plug-in tells; one for each of them.
pub fn learn(
    file: &Path,
    which: Which,
    registry: &Registry,
    make: impl FnOnce() -> Result<Reactor>,
) -> Result<Registry, Vec<Problems>> {
    let mut registry = registry.clone();
    let Ok(bytes) = config::read_file(file) else {
        return Ok(registry);
    };
    let shown = file.to_string_lossy();
    let config = Config::read(&bytes, &mut Problems::new(&*shown));
    let found = found(file, &config, which, &registry).map_err(|problem| {
        let mut problems = Problems::new(&*shown);
        problems.push(problem);
        vec![problems]
    })?;
    let mut wrong = Vec::new();
    let mut specs = Vec::new();
    for path in found {
        match PluginSpec::read(&path) {
            Ok(spec) => specs.push(spec),
            Err(problems) => wrong.push(problems),
        }
    }
    if specs.is_empty() {
        return if wrong.is_empty() {
            Ok(registry)
        } else {
            Err(wrong)
        };
    }
    let mut refuse = |spec: &str, why: String| {
        let mut problems = Problems::new(spec);
        problems.push(config::whole(why));
        wrong.push(problems);
    };
    let asked = make().and_then(|reactor| {
        let all: Vec<_> = specs.iter().map(|spec| ask(&reactor, spec)).collect();
        reactor.run_until(async move {
            let mut told = Vec::new();
            for asked in all {
                told.push(asked.await);
            }
            Ok(told)
        })
    });
    match asked {
        Err(failure) => refuse(&shown, format!("its plug-ins cannot be asked: {failure}")),
        Ok(all) => {
            for (spec, told) in specs.into_iter().zip(all) {
                let file = spec.file.clone();
                let added = told
                    .map_err(|failure| failure.to_string())
                    .and_then(|told| registry.register_plugin(spec, told));
                if let Err(why) = added {
                    refuse(&file, why);
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(registry)
    } else {
        Err(wrong)
    }
}

/// The files of the plug-ins.
fn found(
    file: &Path,
    config: &Config,
    which: Which,
    registry: &Registry,
) -> Result<Vec<PathBuf>, Problem> {
    let given = config.app.options.optional_path("plugins").ok().flatten();
    let beside = file.parent().unwrap_or_else(|| Path::new(""));
    let directory = given.clone().unwrap_or_else(|| beside.join(DIRECTORY));
    let shown = directory.display();
    let mut names = match names(&directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => Vec::new(),
        Err(error) => {
            let message = format!("cannot read the directory `{shown}`: {error}");
            return Err(config.app.options.problem("plugins", message));
        }
    };
    if names.len() > PLUGINS_MAX {
        let message = format!("more than {PLUGINS_MAX} plug-ins in `{shown}`");
        return Err(config.app.options.problem("plugins", message));
    }
    names.sort();
    if which == Which::Named {
        let unknown = config.provide.iter().map(|section| &*section.kind);
        let unknown: Vec<&str> = unknown
            .filter(|kind| registry.provider(kind).is_none())
            .filter_map(|kind| kind.split_once('.').map(|(plugin, _)| plugin))
            .collect();
        names.retain(|name| unknown.contains(&&**name));
    }
    Ok(names
        .into_iter()
        .map(|name| directory.join(format!("{name}.toml")))
        .collect())
}

/// NAME of each NAME.toml; of no more than are too many.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_plugin = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if let (true, Some(name)) = (is_plugin, stem) {
            names.push(name.to_owned());
        }
        if names.len() > PLUGINS_MAX {
            break;
        }
    }
    Ok(names)
}

/// Starts it, asks it, and ends it. Fails with what is wrong, in words.
pub(super) fn ask(reactor: &Reactor, spec: &PluginSpec) -> Deferred<Told> {
    let link = match Link::start(spec, reactor) {
        Ok(link) => Rc::new(link),
        Err(failure) => return Deferred::fail(failure),
    };
    let (on, patience) = (reactor.clone(), spec.stop);
    introduced(reactor, &link, spec).add_both(move |told| {
        let ended = link.stop(&on, patience);
        ended.add_both(move |_| {
            drop(link);
            told
        })
    })
}

/// What a child that was started tells. Fails with what is wrong, in words.
pub(super) fn introduced(reactor: &Reactor, link: &Rc<Link>, spec: &PluginSpec) -> Deferred<Told> {
    let context = CallContext::local(reactor);
    let object = <dyn DynPlugin>::TWIN(link.client.clone());
    let plugin = match object.get::<dyn DynPlugin>() {
        Ok(plugin) => PluginClient::new(plugin, context),
        Err(wrong) => return Deferred::fail(wrong),
    };
    let (link, within) = (Rc::clone(link), spec.handshake);
    let (on, started) = (reactor.clone(), link.when_started());
    let told = started.add_callback(move |()| on.spawn(introduce(plugin)));
    told.add_timeout(reactor, within).add_both(move |told| {
        let failure = match told {
            Ok(told) => return Deferred::succeed(told),
            Err(failure) => failure,
        };
        let late = failure.check::<TimedOut>().is_some() || failure.check::<NoAnswer>().is_some();
        if failure.check::<Disconnected>().is_some() {
            // How it ended says more.
            let ended = link.when_ended();
            return ended
                .add_callback(|why| Err(Failure::msg(format!("it cannot be asked: {why}"))));
        }
        Deferred::fail(if late {
            Failure::msg(format!(
                "it has not told what it gives within {within:?} (`handshake`)"
            ))
        } else {
            failure
        })
    })
}

/// Asks all that there is to know.
async fn introduce(plugin: PluginClient) -> Result<Told> {
    let engine = concat!("tress ", env!("CARGO_PKG_VERSION")).to_owned();
    let hello = plugin.hello(VERSION, engine).await;
    let Hello {
        version,
        name,
        release,
        kinds,
    } = hello.map_err(|failure| answered("hello", &failure))?;
    if version != VERSION {
        return Err(Failure::msg(format!(
            "it speaks version {version} of the protocol of plug-ins; expected {VERSION}"
        )));
    }
    let plain = |what: &str, text: &str| {
        let plain = tress_rpc::told::plain_text(text);
        plain.map_err(|why| Failure::msg(format!("its `{what}`: {why}")))
    };
    let name = format!("{} {}", plain("name", &name)?, plain("release", &release)?);
    if kinds.is_empty() || kinds.len() > told::KINDS_MAX {
        let found = kinds.len();
        let most = told::KINDS_MAX;
        return Err(Failure::msg(format!(
            "it gives {found} kinds; expected 1 to {most}"
        )));
    }
    let mut about = BTreeMap::new();
    for kind in kinds {
        told::kind_name(&kind).map_err(Failure::msg)?;
        let described = plugin.describe(kind.clone()).await;
        let described = described.map_err(|failure| answered("describe", &failure))?;
        let described = serde_json::to_value(&described)?;
        if about.insert(kind.clone(), described).is_some() {
            let kind = quoted(&kind);
            return Err(Failure::msg(format!("it gives the kind {kind} twice")));
        }
    }
    Ok(Told { name, kinds: about })
}

/// What it said instead of an answer; how a connection ended is for others to say.
fn answered(asked: &str, failure: &Failure) -> Failure {
    if failure.check::<Disconnected>().is_some() || failure.check::<NoAnswer>().is_some() {
        return failure.clone();
    }
    let fault = failure.check::<Fault>().map(ToString::to_string);
    let said = fault.unwrap_or_else(|| failure.to_string());
    Failure::msg(format!("it answers `{asked}` with {}", quoted(&said)))
}
