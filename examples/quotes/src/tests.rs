//! The file as it is, run in the simulator: what each port says.

use super::*;
use std::{cell::RefCell, path::Path, rc::Rc};
use tress::{
    app::{Application, Registry},
    prelude::*,
    sim::World,
};

/// Says something, and keeps what it hears.
struct Asker(Vec<u8>, Rc<RefCell<Vec<u8>>>);

impl Protocol for Asker {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(&self.0);
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.1.borrow_mut().extend_from_slice(data);
        Ok(())
    }
}

/// Everything that tress brings along, and quotes.
fn registry() -> Registry {
    Registry::plugged().expect("each has a name of its own")
}

/// An application that runs in the simulator.
struct Served {
    world: World,
    host: Reactor,
}

impl Served {
    fn start(load: impl FnOnce(&Reactor) -> Application) -> Self {
        let world = World::new(7);
        let host = Reactor::with(world.host("10.0.0.1"));
        let mut application = load(&host);
        application.start(&host).expect("it starts");
        Self { world, host }
    }

    fn example() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/quotes.toml");
        Self::start(|host| {
            let loaded = Application::load(Path::new(file), &registry(), host);
            loaded.expect("the file is right")
        })
    }

    /// What a port answers within a second.
    fn ask(&self, port: u16, says: impl Into<Vec<u8>>) -> String {
        let heard = Rc::<RefCell<Vec<u8>>>::default();
        let asker = Asker(says.into(), Rc::clone(&heard));
        let to = format!("tcp:127.0.0.1:{port}");
        self.host.connect_protocol(&to, asker).detach();
        let second = std::time::Duration::from_secs(1);
        self.world
            .run_for(second, &[&self.host])
            .expect("it goes on");
        String::from_utf8_lossy(&heard.take()).into_owned()
    }

    fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.ask(8008, request)
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> String {
        let length = body.len();
        self.ask(
            8008,
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
    }
}

const QUOTES: &str = include_str!("../quotes");

/// Whether the fortune file has this text.
fn is_quote(text: &str) -> bool {
    !text.is_empty() && QUOTES.contains(&text.replace("\r\n", "\n"))
}

#[test]
fn the_file_serves_what_it_says() {
    let served = Served::example();
    let qotd = served.ask(8007, "");
    assert!(is_quote(&qotd), "{qotd}");
    let lines = served.ask(8011, "quote\nquotes 0\n");
    let (quote, refused) = lines.split_once("\r\n\r\n").expect("two answers");
    assert!(is_quote(quote), "{lines}");
    let expected =
        "! bad-arguments: `Quoter.quotes`: `count`: expected 1 to 1000, found the integer 0";
    assert!(refused.starts_with(expected), "{lines}");
    let json = served.ask(
        8012,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quotes\",\"params\":{\"count\":4294967295}}\n",
    );
    assert!(
        json.contains("\"code\":-32602") && json.contains("1 to 1000"),
        "{json}"
    );
    let amp = served.ask(8010, "\0\x04_ask\0\x011\0\x08_command\0\x05quote\0\0");
    assert!(
        amp.starts_with("\0\x07_answer\0\x011\0\x06result\0"),
        "{amp:?}"
    );
    let hello = b"\x04\x82none\x02\x80\x07\x82version\x06\x81";
    let call = b"\x07\x80\x07\x82message\x01\x81\x04\x82root\x05\x82quote\x01\x81\x01\x80\x05\x82tuple\x01\x80\x0a\x82dictionary";
    let pb = served.ask(8009, [&hello[..], call].concat());
    let (_, answer) = pb.split_once("answer").expect("an answer");
    let quote = answer.rsplit('\u{fffd}').next().unwrap_or_default();
    assert!(is_quote(quote), "{pb:?}");
}

#[test]
fn one_port_speaks_all_of_http() {
    let served = Served::example();
    let page = served.get("/");
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<html"),
        "{page}"
    );
    let document = served.get("/openapi.json");
    assert!(
        document.contains("Says something worth remembering.")
            && document.contains("/Quoter/quote"),
        "{document}"
    );
    let json = served.post("/Quoter/quotes", "application/json", "{\"count\":2}");
    assert!(
        json.starts_with("HTTP/1.1 200 OK\r\n") && json.contains("\r\n\r\n[\""),
        "{json}"
    );
    let json = served.post("/Quoter/quote", "application/json", "{}");
    assert!(json.contains("\r\n\r\n\""), "{json}");
    let xml = "<methodCall><methodName>quotes</methodName><params><param><value><int>2</int></value></param></params></methodCall>";
    let xml = served.post("/RPC2", "text/xml", xml);
    assert!(
        xml.contains("<methodResponse>") && xml.matches("<string>").count() == 2,
        "{xml}"
    );
    let call = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"quote\"}";
    let rpc = served.post("/jsonrpc", "application/json", call);
    assert!(
        rpc.contains("\"id\":7") && rpc.contains("\"result\":\""),
        "{rpc}"
    );
}

#[test]
fn a_static_quoter_says_its_quote_or_the_seeds() {
    for (option, expected) in [
        ("", "An apple a day keeps the doctor away.\r\n"),
        ("quote = 'Carpe diem.'", "Carpe diem.\r\n"),
    ] {
        let text = format!(
            "[provide.quoter]\nkind = 'quoter.static'\n{option}\n[[serve]]\nwhat = 'quoter'\nas = 'qotd'\nat = 'tcp:8007'\n"
        );
        let served = Served::start(|host| {
            let loaded = Application::parse("a.toml", text.as_bytes(), &registry(), host);
            loaded.expect("the file is right")
        });
        assert_eq!(served.ask(8007, ""), expected);
    }
}

#[test]
fn fortunes_are_told_in_turns_and_a_wrong_file_changes_nothing() {
    let world = World::new(7);
    let reactor = Reactor::with(world.host("10.0.0.1"));
    let quoter = FortuneQuoter::new(&reactor);
    assert!(quoter.learn("%\n\n%\n").is_err());
    quoter.learn("one\n%\ntwo\nlines\n%\n").expect("two quotes");
    assert!(quoter.learn("").is_err());
    let quoter = Rc::new(quoter);
    let asked = reactor.spawn(async move { Quoter::quotes(&*quoter, 20).await });
    let quotes = asked.try_result().expect("at once").expect("it knows two");
    assert!(
        quotes
            .iter()
            .all(|quote| quote == "one" || quote == "two\nlines")
    );
    assert!(quotes.windows(2).all(|two| two[0] != two[1]), "{quotes:?}");
}
