//! The scenarios over UNIX sockets and datagrams. As in `scenarios`.

use crate::{
    actor::Actor,
    gram::GramLife,
    scenarios::{ALL, echoes, pattern},
    stage::{Check, Scenario, Stage, to},
};
use std::{
    os::{
        fd::OwnedFd,
        unix::{fs::symlink, net::UnixListener},
    },
    rc::Rc,
    time::Duration,
};
use tress_core::{Address, DatagramTransport, Result, driver::Interface, process::Command};

/// When the ports of a scenario with datagrams are closed: whatever gets lost, then it is over.
const OVER: Duration = Duration::from_millis(10);
/// No process has such an id: Linux has at most 2^22.
const DEAD: &str = "2147483646";

const fn on_all(name: &'static str, play: fn(&Rc<Stage>) -> Result<Check>) -> Scenario {
    Scenario {
        name,
        kinds: ALL,
        makes_reactor: false,
        play,
    }
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    on_all("unix, with a lock file", |stage| unix(stage, "")),
    on_all("unix, with a mode", |stage| {
        unix(stage, ":lockfile=0:mode=600")
    }),
    on_all("unix, a stale socket", stale),
    on_all("unix, a stale lock", stale_lock),
    on_all("unix, abstract", abstract_name),
    on_all("unix, nobody there", nobody_there),
    on_all("unix, open files", open_files),
    on_all("a child", |stage| child(stage, 10)),
    on_all("a child that says much", |stage| child(stage, 200_000)),
    on_all("udp, echo", |stage| udp(stage, 5)),
    on_all("udp, many", |stage| udp(stage, 150)),
    on_all("unixgram, many", unixgram),
    on_all("udp, refused", udp_refused),
    on_all("udp, multicast", multicast),
];

fn path(stage: &Stage, name: &str) -> String {
    stage.directory.join(name).display().to_string()
}

fn unix(stage: &Rc<Stage>, options: &str) -> Result<Check> {
    let at = format!("unix:{}{options}", path(stage, "socket"));
    let port = stage.listen(&at, Actor::echo)?;
    let options = if options.is_empty() {
        ":lockfile=1"
    } else {
        ""
    };
    echoes(stage, &format!("{}{options}", to(&port)), 1000)
}

/// Somebody has left a socket behind.
fn stale(stage: &Rc<Stage>) -> Result<Check> {
    let path = path(stage, "socket");
    drop(UnixListener::bind(&path)?);
    let port = stage.listen(&format!("unix:{path}"), Actor::echo);
    if port.is_err() {
        // It is as it was.
        std::fs::remove_file(&path)?;
    }
    echoes(stage, &to(&port?), 1000)
}

/// Somebody has died and left a lock behind.
fn stale_lock(stage: &Rc<Stage>) -> Result<Check> {
    let path = path(stage, "socket");
    let lock = format!("{path}.lock");
    symlink(DEAD, &lock)?;
    let port = stage.listen(&format!("unix:{path}"), Actor::echo);
    if std::fs::read_link(&lock).is_ok_and(|of| of.as_os_str() == DEAD) {
        // It is as it was.
        std::fs::remove_file(&lock)?;
    }
    echoes(stage, &to(&port?), 1000)
}

fn abstract_name(stage: &Rc<Stage>) -> Result<Check> {
    let name = format!("unix:@tress-faults-{}", std::process::id());
    let port = stage.listen(&name, Actor::echo)?;
    echoes(stage, &to(&port), 1000)
}

fn nobody_there(stage: &Rc<Stage>) -> Result<Check> {
    stage.is_rough.set(true);
    let to = format!("unix:{}", path(stage, "nobody"));
    stage.connect_to(&to, Actor::new());
    Ok(Box::new(|| {}))
}

/// Open files go both ways, each with its byte, and more bytes around them.
fn open_files(stage: &Rc<Stage>) -> Result<Check> {
    let at = format!("unix:{}", path(stage, "socket"));
    let port = stage.listen(&at, || {
        Actor::new().on_file(|transport, file| {
            transport.send_file_descriptor(file)?;
            transport.write(b"back");
            Ok(())
        })
    })?;
    let client = Actor::new()
        .on_made(|transport| {
            transport.write(pattern(1000));
            for _ in 0..3 {
                let (reader, _) = std::io::pipe()?;
                transport.send_file_descriptor(OwnedFd::from(reader))?;
                transport.write(pattern(100));
            }
            transport.lose_write_connection();
            Ok(())
        })
        .on_file(|_, file| {
            drop(file);
            Ok(())
        });
    let client = stage.connect(&port, client);
    Ok(Box::new(move || {
        assert_eq!(client.files.get(), 3);
        assert_eq!(*client.received.borrow(), b"backbackback");
    }))
}

/// What a child writes arrives, all of it or an error.
fn child(stage: &Rc<Stage>, bytes: usize) -> Result<Check> {
    let count = format!("exec head -c {bytes} /dev/zero");
    let command = Command::new("/bin/sh").arguments(["-c", &count]);
    let output = stage.reactor.get_process_output(&command);
    let complaint = Rc::clone(&stage.complaint);
    let output = output.add_callback(move |output| {
        if output.len() != bytes {
            complaint.set(Some("output that was cut short passes for all".to_owned()));
        }
        Ok(())
    });
    stage.await_end(output).detach();
    Ok(Box::new(|| {}))
}

/// Closes them when it is over.
fn close(stage: &Stage, ports: &[DatagramTransport]) {
    let ports = ports.to_vec();
    stage.after(OVER, move || {
        for port in ports {
            port.stop_listening().detach();
        }
    });
}

/// A port that sends all back, and one that sends so many.
fn udp(stage: &Rc<Stage>, count: usize) -> Result<Check> {
    let any = "udp:0:interface=127.0.0.1";
    let (server, _) = stage.open_grams(any, false, true)?;
    let (client, life) = stage.open_grams(any, false, false)?;
    close(stage, &[server.clone(), client.clone()]);
    let to = server.local_address();
    for number in 0..count {
        client.write_to(pattern(number + 1), &to)?;
    }
    Ok(in_order(life, count))
}

/// More than the receiver has room for at once: the sender waits for it.
fn unixgram(stage: &Rc<Stage>) -> Result<Check> {
    const COUNT: usize = 60;
    let (here, there) = (path(stage, "here"), path(stage, "there"));
    let (server, life) = stage.open_grams(&format!("unixgram:{there}"), false, false)?;
    let to = format!("unixgram:{there}:bindAddress={here}");
    let (client, _) = stage.open_grams(&to, true, false)?;
    let (heard, complaint) = (Rc::clone(&life), Rc::clone(&stage.complaint));
    let (reactor, port) = (stage.reactor.downgrade(), server.clone());
    stage.after(OVER / 2, move || {
        let statistics = reactor.upgrade().map(|reactor| reactor.statistics());
        let dropped = statistics.map_or(0, |statistics| statistics.datagrams_dropped);
        let heard = heard.received.borrow().len();
        // They were closed when their driver failed.
        let are_open = port.is_listening();
        if are_open && heard + usize::try_from(dropped).unwrap_or(COUNT) < COUNT {
            let text =
                format!("hang: {heard} datagrams came, {dropped} were dropped, {COUNT} left");
            complaint.set(Some(text));
        }
    });
    close(stage, &[server, client.clone()]);
    for number in 0..COUNT {
        client.write(pattern(number + 1))?;
    }
    Ok(in_order(life, COUNT))
}

fn in_order(life: Rc<GramLife>, count: usize) -> Check {
    Box::new(move || {
        let received = life.received.borrow();
        let lengths: Vec<usize> = received.iter().map(Vec::len).collect();
        assert_eq!(lengths, (1..=count).collect::<Vec<_>>());
    })
}

/// Connected to where nobody is: it is told, and goes on.
fn udp_refused(stage: &Rc<Stage>) -> Result<Check> {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let to = gone.local_addr()?;
    drop(gone);
    let (client, life) = stage.open_grams(&format!("udp:{to}"), true, false)?;
    close(stage, std::slice::from_ref(&client));
    client.write(b"anybody?")?;
    Ok(Box::new(move || assert_eq!(life.refused.get(), 1)))
}

/// Joins a group, hears what is sent there, and leaves it.
fn multicast(stage: &Rc<Stage>) -> Result<Check> {
    let group = [239, 1, 2, 3].into();
    let on = Interface::Address([127, 0, 0, 1].into());
    let (member, life) = stage.open_grams("udp:0:reuse=1", false, false)?;
    let (sender, _) = stage.open_grams("udp:0:interface=127.0.0.1", false, false)?;
    close(stage, &[member.clone(), sender.clone()]);
    member.join_group(group, on)?;
    sender.set_multicast_interface(on)?;
    sender.set_multicast_ttl(1)?;
    let Address::Ip(own) = member.local_address() else {
        panic!("it is an IP address")
    };
    sender.write_to(b"to all", &Address::Ip((group, own.port()).into()))?;
    stage.after(OVER / 2, move || {
        member.leave_group(group, on).ok();
    });
    Ok(Box::new(move || {
        assert_eq!(*life.received.borrow(), [b"to all".to_vec()]);
    }))
}
