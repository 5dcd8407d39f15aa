//! The server of tokio-rustls: a current-thread runtime, a task per connection, an 8 KiB buffer in each.

use super::servers::{Got, Order, PIECE, Service, wanted};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::ServerSessionMemoryCache;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What `tokio::io::copy` takes, bytes.
const BUFFER: usize = 8 * 1024;

/// Serves until the process is killed.
pub(super) fn serve(order: &Order) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config(order)?));
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(accept(order, acceptor))
}

/// As tress has it.
fn config(order: &Order) -> io::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&order.certificate)
        .and_then(Iterator::collect)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(&order.key).map_err(io::Error::other)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    config.session_storage = ServerSessionMemoryCache::new(tress::tls::SESSIONS_KEPT);
    Ok(config)
}

async fn accept(order: &Order, acceptor: TlsAcceptor) -> io::Result<()> {
    let listener = listen(order.port)?;
    let service = order.service;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        drop(tokio::spawn(serve_one(acceptor, stream, service)));
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(4096)
}

async fn serve_one(acceptor: TlsAcceptor, stream: TcpStream, service: Service) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; BUFFER];
    match service {
        Service::Echo => echo(&mut stream, &mut buffer).await?,
        Service::Sink => sink(&mut stream, &mut buffer).await?,
        Service::Source => source(&mut stream, &mut buffer).await?,
    }
    stream.shutdown().await
}

async fn echo(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
    }
}

async fn sink(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> io::Result<()> {
    let mut got = Got::default();
    loop {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let answer = got.more(count);
        if !answer.is_empty() {
            stream.write_all(answer).await?;
            stream.flush().await?;
        }
    }
}

async fn source(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> io::Result<()> {
    static BYTES: [u8; PIECE] = [b'x'; PIECE];
    loop {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut left = wanted(&buffer[..count])?;
        while left > 0 {
            let count = left.min(PIECE);
            stream.write_all(&BYTES[..count]).await?;
            left -= count;
        }
        stream.flush().await?;
    }
}
