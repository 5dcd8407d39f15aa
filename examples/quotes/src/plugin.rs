//! The plug-ins: what a file may name beside what tress brings along. A line beside each has every program know it that this
//! crate is part of.

use crate::{
    fortune::FortuneQuoter,
    qotd::QotdFactory,
    quoter::{DynQuoter, StaticQuoter},
};
use std::{path::PathBuf, rc::Rc};
use tress::{
    Failure, Reactor, Result, SharedFactory,
    app::{
        Access, Exposure, Make, Provider, ProviderKind, Serves, Sharing,
        config::{OptionSpec, ValueKind},
        files::Files,
        plug_in,
    },
    rpc::Object,
};

/// The largest fortune file that is read, bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

plug_in!(STATIC);
/// `kind = "quoter.static"`
const STATIC: ProviderKind = ProviderKind {
    name: "quoter.static",
    doc: "One quote, each time.",
    options: &[OptionSpec {
        name: "quote",
        value: ValueKind::String,
        required: false,
        default: "An apple a day keeps the doctor away.",
        doc: "The quote.",
    }],
    interfaces: &[<dyn DynQuoter>::DESCRIPTOR],
    make: |_, options| {
        let quoter = StaticQuoter::new(options.string("quote")?);
        let object = <dyn DynQuoter>::object(Rc::new(quoter));
        Ok(Box::new(Static(object)))
    },
    sharing: Sharing::PerWorker,
};

struct Static(Object);

impl Provider for Static {
    fn object(&self, interface: &str) -> Option<Object> {
        (interface == self.0.descriptor().name).then(|| self.0.clone())
    }
}

plug_in!(FORTUNE);
/// `kind = "quoter.fortune"`
const FORTUNE: ProviderKind = ProviderKind {
    name: "quoter.fortune",
    doc: "Quotes of a fortune file: texts with lines `%` between them. Read when the application starts or reloads.",
    options: &[OptionSpec {
        name: "path",
        value: ValueKind::Path,
        required: true,
        default: "",
        doc: "The file, relative to the directory of the configuration file.",
    }],
    interfaces: &[<dyn DynQuoter>::DESCRIPTOR],
    make: |context, options| {
        Ok(Box::new(Fortune {
            path: options.path("path")?,
            files: Rc::clone(context.files),
            quoter: Rc::new(FortuneQuoter::new(context.reactor)),
        }))
    },
    sharing: Sharing::PerWorker,
};

struct Fortune {
    path: PathBuf,
    files: Rc<dyn Files>,
    quoter: Rc<FortuneQuoter>,
}

impl Fortune {
    fn read(&self) -> Result {
        let bad = |why: &dyn std::fmt::Display| {
            Failure::msg(format!("fortune file `{}`: {why}", self.path.display()))
        };
        let read = self.files.read(&self.path, MAX_FILE_BYTES + 1);
        let (bytes, _) = read.map_err(|error| bad(&error))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(bad(&"it is larger than 1 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| bad(&"it is not UTF-8 text"))?;
        self.quoter.learn(&text).map_err(|failure| bad(&failure))
    }
}

impl Provider for Fortune {
    fn object(&self, interface: &str) -> Option<Object> {
        let quoter = || <dyn DynQuoter>::object(Rc::clone(&self.quoter));
        (interface == <dyn DynQuoter>::DESCRIPTOR.name).then(quoter)
    }

    fn start(&mut self, _reactor: &Reactor) -> Result {
        self.read()
    }

    /// A file that is wrong changes nothing.
    fn reload(&mut self) {
        if let Err(failure) = self.read() {
            tracing::warn!("{failure}; the quotes stay as they were");
        }
    }
}

plug_in!(QOTD);
/// `as = "qotd"`
const QOTD: Exposure = Exposure {
    name: "qotd",
    serves: Serves::Interface(<dyn DynQuoter>::DESCRIPTOR),
    access: Access::Public,
    doc: "Quote of the Day (RFC 865): a quote for everybody who connects.",
    options: &[],
    make: Make::Factory(|serving| {
        let quoter = serving.object.get::<dyn DynQuoter>();
        let quoter = quoter.map_err(|error| serving.options.problem("what", error.to_string()))?;
        Ok(SharedFactory::new(QotdFactory::new(quoter)))
    }),
};
