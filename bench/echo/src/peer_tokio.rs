//! The tokio peer: a current-thread runtime, one task per connection, a 4 KiB buffer in each, as tokio's example has it.

use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Serves until the process is killed.
///
/// # Errors
/// No port was given, or it cannot be listened on.
pub fn run(port: Option<&str>) -> io::Result<()> {
    let port: u16 = port
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::other("peer-tokio PORT"))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(port))
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = listen(port)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(tokio::spawn(echo(stream)));
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(4096)
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let got = stream.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..got]).await?;
    }
}
