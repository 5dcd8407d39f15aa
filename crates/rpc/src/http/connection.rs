//! One connection: hyper reads the requests one after the other, and each is checked, sent where it belongs and answered
//! before the next. Knows no dialect's inside.

use super::{
    Leaving, Shown, Site,
    answer::{self, Answer, Refusal},
    guard::{check_content, credentials, unauthorized},
    json, jsonrpc,
    mounts::{Post, Target},
    openapi, text, xmlrpc,
};
use crate::{
    arguments::{Arguments, BadCall},
    calls::{Calls, ExposureLimits},
    cred::{self, Avatar, Sort, Unauthorized},
    fault::{self, Fault},
    object::CallContext,
    value::Value,
};
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
};
use tress_core::{
    Address, Canceller, Deferred, Failure, Protocol, Reactor, Result, Transport,
    received::Received, wording::quoted,
};
use tress_streams::{StreamProtocol, stream};

/// The protocol of one HTTP connection; an [`HttpFactory`](super::HttpFactory) makes it.
pub struct HttpConnection {
    shown: Shown,
    leaving: Leaving,
    state: State,
}

enum State {
    New,
    Serving {
        stream: StreamProtocol,
        /// An answer has been made and nothing has come since.
        between: Rc<Cell<bool>>,
        /// Ends the task that serves, with all its calls.
        canceller: Option<Canceller>,
    },
    Lost,
}

impl HttpConnection {
    pub(super) fn new(shown: &Shown, leaving: &Leaving) -> Self {
        Self {
            shown: Rc::clone(shown),
            leaving: Rc::clone(leaving),
            state: State::New,
        }
    }

    /// The bytes are there: passes them on. The first of a request start its deadline.
    fn arrived(
        &mut self,
        transport: &Transport,
        give: impl FnOnce(&mut StreamProtocol) -> Result,
    ) -> Result {
        let State::Serving {
            stream, between, ..
        } = &mut self.state
        else {
            return Ok(());
        };
        if between.replace(false) {
            transport.start_handshake();
        }
        give(stream)
    }
}

#[diagnostic::do_not_recommend]
impl Protocol for HttpConnection {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let (mut protocol, stream) = stream();
        protocol.connection_made(transport)?;
        let reactor = transport.reactor()?;
        transport.start_handshake();
        let idle = reactor.limits().idle;
        let site = Rc::clone(&self.shown.borrow());
        let slowest = site.slowest();
        if !idle.is_zero() && slowest >= idle {
            // A call that may take so long is not idle.
            transport.set_idle_timeout(Some(slowest + idle));
        }
        let between = Rc::<Cell<bool>>::default();
        let (shown, client) = (Rc::clone(&self.shown), transport.clone());
        let session = RefCell::new(Rc::new(Session::new(&site, &client, &between)));
        let answered = Rc::clone(&between);
        let leaving = Rc::clone(&self.leaving);
        let service = service_fn(move |request| {
            let site = shown.borrow();
            let mut session = session.borrow_mut();
            if !Rc::ptr_eq(&site, &session.site) {
                *session = Rc::new(Session::new(&site, &client, &answered));
            }
            let session = Rc::clone(&session);
            let leaving = Rc::clone(&leaving);
            async move {
                let mut answer = session.answer(request).await;
                if leaving.get() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let limits = &site.limits;
        let mut builder = http1::Builder::new();
        builder
            .auto_date_header(false)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER));
        if limits.headers != HEADERS {
            builder.max_headers(limits.headers);
        }
        let connection = builder.serve_connection(stream, service);
        let task = reactor.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "tress", "an HTTP connection ended early: {error}");
            }
            Ok(())
        });
        let canceller = task.canceller();
        task.add_errback(|_| Ok(())).detach();
        self.state = State::Serving {
            stream: protocol,
            between,
            canceller,
        };
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.arrived(transport, |stream| stream.data_received(transport, data))
    }

    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.arrived(transport, |stream| {
            stream.buffer_received(transport, received)
        })
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        match &mut self.state {
            State::Serving { stream, .. } => stream.read_closed(transport),
            State::New | State::Lost => Ok(()),
        }
    }

    fn write_resumed(&mut self, transport: &Transport) -> Result {
        match &mut self.state {
            State::Serving { stream, .. } => stream.write_resumed(transport),
            State::New | State::Lost => Ok(()),
        }
    }

    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        match &mut self.state {
            State::Serving { stream, .. } => stream.layer_pushed(transport),
            State::New | State::Lost => Ok(()),
        }
    }

    fn connection_lost(&mut self, reason: Failure) {
        let state = std::mem::replace(&mut self.state, State::Lost);
        if let State::Serving {
            mut stream,
            canceller,
            ..
        } = state
        {
            if let Some(canceller) = canceller {
                canceller.cancel();
            }
            stream.connection_lost(reason);
        }
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpConnection")
    }
}

/// Fewer bytes hyper does not read at once.
const MIN_BUFFER: usize = 8192;
/// So many headers it reads without a list of its own.
pub(super) const HEADERS: usize = 100;

/// What the requests of one connection share, for as long as the same is served.
pub(super) struct Session {
    site: Rc<Site>,
    /// One for each mount.
    calls: Vec<Calls>,
    /// What the realm has given to whoever asked last, by the mount, in place of those.
    rooms: RefCell<BTreeMap<usize, Room>>,
    transport: Transport,
    here: Address,
    between: Rc<Cell<bool>>,
    /// Logins that have failed.
    failed: Cell<usize>,
}

/// What somebody calls in place of a mount's object.
struct Room {
    /// For whom it was asked.
    who: Avatar,
    /// Ends before the session.
    calls: Rc<Calls>,
    session: cred::Session,
}

impl Session {
    fn new(site: &Rc<Site>, transport: &Transport, between: &Rc<Cell<bool>>) -> Self {
        let mounts = site.routes.mounts.iter();
        Self {
            site: Rc::clone(site),
            calls: mounts
                .map(|(object, limits)| Calls::new(object, *limits))
                .collect(),
            rooms: RefCell::default(),
            transport: transport.clone(),
            here: transport.host(),
            between: Rc::clone(between),
            failed: Cell::new(0),
        }
    }

    /// Makes a call.
    pub(super) fn call(
        &self,
        context: &CallContext,
        target: Target,
        arguments: Arguments,
    ) -> Deferred<Result<Value, Fault>> {
        let (resolver, called) = Deferred::pair();
        self.call_with(context, target, arguments, |result| {
            resolver.resolve(result);
        });
        called
    }

    /// The same, and what is done with the result.
    pub(super) fn call_with(
        &self,
        context: &CallContext,
        (mount, method): Target,
        arguments: Arguments,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    ) {
        let rooms = self.rooms.borrow();
        let Some(room) = rooms.get(&mount) else {
            drop(rooms);
            return self.calls[mount].call(context, method.name, arguments, answer);
        };
        let context = CallContext {
            avatar: room.session.avatar().clone(),
            ..context.clone()
        };
        let calls = Rc::clone(&room.calls);
        drop(rooms);
        calls.call(&context, method.name, arguments, answer);
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        // The head is complete.
        self.transport.handshake_done();
        let mut answer = match self.respond(request).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.into_answer(),
        };
        let now = self.transport.reactor().map(|reactor| reactor.wall());
        let date = now.map(|now| HeaderValue::try_from(httpdate::fmt_http_date(now)));
        if let Ok(Ok(date)) = date {
            answer.headers_mut().insert(header::DATE, date);
        }
        self.between.set(true);
        answer
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let head = Request::from_parts(head, ());
        match self.admit(&head).await {
            Ok(context) => match self.site.routes.posts.get(head.uri().path()) {
                Some(post) if head.method() == Method::POST => {
                    self.post(&context, post, &head, body).await
                }
                post => match self.site.routes.texts.get(head.uri().path()) {
                    Some(target) if reads(&head) => self.text(&context, *target).await,
                    _ => self.other(&head, post.is_some()),
                },
            },
            Err(refusal) => Err(refusal),
        }
        // Those that say so come before the whole body has been read; the rest of it is no next request.
        .map_err(|refusal| if has_body { refusal.closing() } else { refusal })
    }

    /// Whether the request may be made, and by whom.
    async fn admit(&self, head: &Request<()>) -> Result<CallContext, Refusal> {
        self.site.allowed.check(head, &self.here)?;
        // Made anew each time: whoever keeps one keeps the reactor, which keeps us.
        let mut context = CallContext::of(&self.transport).map_err(|gone| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Refusal::new(status, fault::BUSY, gone.to_string())
        })?;
        if let Some(portal) = &self.site.portal {
            let credentials = credentials(head.headers())?;
            let shown = credentials.sort() != Sort::Anonymous;
            let login = portal.authenticate(&context.reactor, credentials);
            match login.cancel_on_drop().await {
                Ok(avatar) => context.avatar = avatar,
                Err(failure) => {
                    let refusal = refused(&failure);
                    return Err(match shown {
                        true => self.failed(&context.reactor, refusal).await,
                        false => refusal,
                    });
                }
            }
        }
        Ok(context)
    }

    /// Has the realm say what this avatar calls at these mounts, unless it has: it stays so until somebody else asks over
    /// this connection, or it ends.
    async fn enter(&self, context: &CallContext, mounts: BTreeSet<usize>) -> Result<(), Refusal> {
        let portal = self.site.portal.as_ref();
        let Some(portal) = portal.filter(|portal| portal.has_realm()) else {
            return Ok(());
        };
        let others = |room: &Room| room.who != context.avatar;
        if self.rooms.borrow().values().any(others) {
            drop(self.rooms.take());
        }
        for mount in mounts {
            if self.rooms.borrow().contains_key(&mount) {
                continue;
            }
            let (object, limits) = &self.site.routes.mounts[mount];
            let who = context.avatar.clone();
            let entered = portal.enter(&context.reactor, who.clone(), object);
            let entered = entered.cancel_on_drop().await;
            let session = entered.map_err(|failure| refused(&failure))?;
            let calls = Rc::new(Calls::new(session.object(), *limits));
            let room = Room {
                who,
                calls,
                session,
            };
            self.rooms.borrow_mut().insert(mount, room);
        }
        Ok(())
    }

    /// Says it later, and after the last that may fail the connection ends.
    async fn failed(&self, reactor: &Reactor, refusal: Refusal) -> Refusal {
        let limits = self.site.login_limits();
        let failed = self.failed.get() + 1;
        self.failed.set(failed);
        let peer = self.transport.peer();
        tracing::info!(target: "tress", "{peer}: login {failed} over HTTP failed");
        let later = reactor.defer_later(limits.login_delay, || ());
        later.cancel_on_drop().await.ok();
        if failed >= limits.login_attempts {
            return refusal.closing();
        }
        refusal
    }

    async fn post(
        &self,
        context: &CallContext,
        post: &Post,
        head: &Request<()>,
        body: Incoming,
    ) -> Result<Answer, Refusal> {
        let (types, limits) = match post {
            Post::Json((mount, _)) => (json::TYPES, &self.site.routes.mounts[*mount].1),
            Post::JsonRpc(table) => (json::TYPES, &table.limits),
            Post::XmlRpc(table) => (xmlrpc::TYPES, &table.limits),
        };
        check_content(head.headers(), types)?;
        self.enter(context, post.mounts()).await?;
        let body = self.read(body, limits).await?;
        match post {
            Post::Json(target) => {
                let served = json::serve(self, context, *target, limits, &body).await;
                Ok(served.unwrap_or_else(Refusal::into_answer))
            }
            Post::JsonRpc(table) => Ok(jsonrpc::serve(self, context, table, &body).await),
            Post::XmlRpc(table) => Ok(xmlrpc::serve(self, context, table, &body).await),
        }
    }

    /// A text that is read, and not called for.
    async fn text(&self, context: &CallContext, target: Target) -> Result<Answer, Refusal> {
        self.enter(context, [target.0].into()).await?;
        let limits = &self.site.routes.mounts[target.0].1;
        let called = done(self.call(context, target, Arguments::default())).await;
        Ok(match text::of(called, limits.response_bytes) {
            Ok(text) => answer::answer(StatusCode::OK, text::TYPE, text),
            Err(fault) => answer::of_fault(&fault),
        })
    }

    /// The whole body, which has a deadline of its own.
    async fn read(&self, body: Incoming, limits: &ExposureLimits) -> Result<Vec<u8>, Refusal> {
        let most = limits.request_bytes;
        let too_large = || Refusal::too_large(most);
        if body.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        self.transport.start_handshake();
        let mut bytes = Vec::new();
        let mut body = pin!(body);
        while let Some(frame) = next(body.as_mut()).await {
            let frame = frame.map_err(Refusal::bad_request)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > most - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        self.transport.handshake_done();
        Ok(bytes)
    }

    /// What is no call.
    fn other(&self, head: &Request<()>, takes_post: bool) -> Result<Answer, Refusal> {
        let path = head.uri().path();
        let is_text = self.site.routes.texts.contains_key(path);
        let has_json = !self.site.routes.json.is_empty();
        let page = match path {
            "/" if has_json => Some(openapi::page as fn(&Site) -> Answer),
            "/openapi.json" if has_json => Some(openapi::document as fn(&Site) -> Answer),
            _ => None,
        };
        let allow = match (page, takes_post) {
            (Some(make), _) if reads(head) => return Ok(make(&self.site)),
            (Some(_), true) => "GET, HEAD, POST",
            (Some(_), false) => "GET, HEAD",
            (None, false) if is_text => "GET, HEAD",
            (None, true) => "POST",
            (None, false) => {
                let status = StatusCode::NOT_FOUND;
                let message = self.missing(path);
                return Err(Refusal::new(status, fault::UNKNOWN_METHOD, message));
            }
        };
        let message = format!("{} takes {allow} only", quoted(path));
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let refusal = Refusal::new(status, "method-not-allowed", message);
        Err(refusal.with(header::ALLOW, HeaderValue::from_static(allow)))
    }

    /// What is not at that path.
    fn missing(&self, path: &str) -> String {
        let parent = path.rsplit_once('/');
        let mount =
            parent.and_then(|(parent, name)| Some((self.site.routes.json.get(parent)?, name)));
        match mount {
            Some((mount, name)) if !name.is_empty() => {
                BadCall::unknown(self.site.routes.descriptor(*mount), name).to_string()
            }
            _ => format!("nothing is at {}", quoted(path)),
        }
    }
}

/// Whether a request asks for what is there.
fn reads(head: &Request<()>) -> bool {
    matches!(*head.method(), Method::GET | Method::HEAD)
}

/// Somebody is not let in, by a checker or by the realm, for this reason.
fn refused(failure: &Failure) -> Refusal {
    if failure.check::<Unauthorized>().is_some() {
        return unauthorized();
    }
    let fault = Fault::told(failure, format_args!("http: a login"));
    let code = answer::code(&fault);
    Refusal::new(answer::status(&fault), code, fault.message())
}

/// What a call ends with.
pub(super) async fn done(called: Deferred<Result<Value, Fault>>) -> Result<Value, Fault> {
    let called = called.await;
    called.unwrap_or_else(|failure| Err(Fault::of(&failure)))
}

/// A frame of a body.
type Frame = hyper::Result<hyper::body::Frame<Bytes>>;

async fn next(mut body: Pin<&mut Incoming>) -> Option<Frame> {
    poll_fn(|context| body.as_mut().poll_frame(context)).await
}
