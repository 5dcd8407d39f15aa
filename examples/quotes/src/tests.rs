//! The file as it is, run in the simulator: what each port says.

use super::*;
use std::{cell::RefCell, path::Path, rc::Rc};
use tress::{app::Application, prelude::*, sim::World};

/// Says something, and keeps what it hears.
struct Asker(&'static str, Rc<RefCell<String>>);

impl Protocol for Asker {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(self.0.as_bytes());
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.1.borrow_mut().push_str(&String::from_utf8_lossy(data));
        Ok(())
    }
}

#[test]
fn the_file_serves_what_it_says() {
    let world = World::new(7);
    let host = Reactor::with(world.host("10.0.0.1"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/quotes.toml");
    let loaded = Application::load(Path::new(file), &registry(), &host);
    let mut application = loaded.expect("the file is right");
    application.start(&host).expect("it starts");
    let ask = |port: u16, says| {
        let heard = Rc::<RefCell<String>>::default();
        let asker = Asker(says, Rc::clone(&heard));
        let to = format!("tcp:127.0.0.1:{port}");
        host.connect_protocol(&to, asker).detach();
        world
            .run_for(std::time::Duration::from_secs(1), &[&host])
            .expect("it goes on");
        heard.take()
    };
    let known = include_str!("../quotes");
    let knows = |text: &str| !text.is_empty() && known.contains(&text.replace("\r\n", "\n"));
    let qotd = ask(8007, "");
    assert!(knows(&qotd), "{qotd}");
    let lines = ask(8011, "quote\nquotes 0\n");
    let (quote, refused) = lines.split_once("\r\n\r\n").expect("two answers");
    assert!(knows(quote), "{lines}");
    let expected =
        "! bad-arguments: `Quoter.quotes`: `count`: expected 1 to 1000, found the integer 0";
    assert!(refused.starts_with(expected), "{lines}");
    let json = ask(
        8012,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quotes\",\"params\":{\"count\":4294967295}}\n",
    );
    assert!(
        json.contains("\"code\":-32602") && json.contains("1 to 1000"),
        "{json}"
    );
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").leak();
    let page = ask(8008, get("/"));
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<html"),
        "{page}"
    );
    let document = ask(8008, get("/openapi.json"));
    assert!(
        document.contains("Says something worth remembering."),
        "{document}"
    );
    let http = ask(
        8008,
        "POST /Quoter/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"count\":2}",
    );
    assert!(
        http.starts_with("HTTP/1.1 200 OK\r\n") && http.contains("\r\n\r\n[\""),
        "{http}"
    );
    let amp = ask(8010, "\0\x04_ask\0\x011\0\x08_command\0\x05quote\0\0");
    assert!(
        amp.starts_with("\0\x07_answer\0\x011\0\x06result\0"),
        "{amp:?}"
    );
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
