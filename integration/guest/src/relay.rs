//! A TCP door to a Unix socket: the host reaches the agent's CSI socket over the management
//! network, with nothing between but bytes.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use anyhow::Context as _;

/// Listens, and joins every connection to a new one of the socket. Lives as long as the node.
pub(crate) fn listen(address: SocketAddr, socket: String) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // Whoever dialled sees the connection close when nobody listens on the socket.
            if let Ok(inner) = UnixStream::connect(&socket) {
                let _ended_already = join(connection, inner);
            }
        }
    });
    Ok(address)
}

fn join(outer: TcpStream, inner: UnixStream) -> io::Result<()> {
    outer.set_nodelay(true)?;
    let (mut outer_reader, mut outer_writer) = (outer.try_clone()?, outer);
    let (mut inner_reader, mut inner_writer) = (inner.try_clone()?, inner);
    std::thread::spawn(move || {
        let _end = io::copy(&mut outer_reader, &mut inner_writer);
        let _closed = inner_writer.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _end = io::copy(&mut inner_reader, &mut outer_writer);
        let _closed = outer_writer.shutdown(Shutdown::Write);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::os::unix::net::UnixListener;

    #[test]
    fn bytes_and_the_end_of_each_direction_pass_through() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let server = UnixListener::bind(&path).unwrap();
        let door =
            super::listen("127.0.0.1:0".parse().unwrap(), path.to_string_lossy().into_owned()).unwrap();
        let echo = std::thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let mut question = Vec::new();
            connection.read_to_end(&mut question).unwrap();
            question.reverse();
            connection.write_all(&question).unwrap();
        });
        let mut client = TcpStream::connect(door).unwrap();
        client.write_all(b"abc").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        echo.join().unwrap();
        assert_eq!(answer, b"cba");
    }
}
