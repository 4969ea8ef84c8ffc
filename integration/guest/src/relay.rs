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
