//! Kernel uevents: subscribe, then look, then wait.
//!
//! The order is the point. A listener opened before the action (or before the first look) cannot
//! miss what the action causes; the events themselves carry no truth, they only say "look again".
//! Group 1 is the kernel's own: no udev rule has to run first, none has to be installed.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use kobject_uevent::ActionType;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// Multicast group of events as the kernel sends them (`lib/kobject_uevent.c`).
const KERNEL_GROUP: u32 = 1;
/// A mass attach sends hundreds of events while we look; the default buffer holds few.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Events are far smaller (`UEVENT_BUFFER_SIZE` is 2048 plus the path).
const LARGEST_EVENT: usize = 16 << 10;

/// The kernel could not be listened to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen to kernel uevents")]
pub struct UeventError(#[source] io::Error);

/// One reason to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a device.
    Device {
        /// What.
        action: ActionType,
        /// Path below `/sys`.
        path: String,
        /// `block`, `scsi` …
        subsystem: String,
    },
    /// Events were lost (ENOBUFS): anything may have happened.
    Lost,
}

/// An open subscription.
#[derive(Debug)]
pub struct Uevents {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

impl Uevents {
    /// Subscribes. Events of everything that happens from now on are kept until they are read.
    ///
    /// # Errors
    /// [`UeventError`]; needs a tokio runtime with IO.
    pub fn subscribe() -> Result<Self, UeventError> {
        let failed = |errno: Errno| UeventError(errno.into());
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .map_err(failed)?;
        // Beyond the system's limit only with CAP_NET_ADMIN; without it the plain option has to do.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(failed)?;
        }
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP)).map_err(failed)?;
        Ok(Self { socket: sys::readable(socket).map_err(UeventError)?, buffer: vec![0; LARGEST_EVENT] })
    }

    /// The next event of a block device, or `None` at the deadline.
    ///
    /// # Errors
    /// [`UeventError`].
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Event>, UeventError> {
        match tokio::time::timeout_at(deadline.into(), self.receive()).await {
            Ok(event) => event.map(Some),
            Err(_elapsed) => Ok(None),
        }
    }

    async fn receive(&mut self) -> Result<Event, UeventError> {
        let Self { socket, buffer } = self;
        loop {
            let mut ready = socket.readable().await.map_err(UeventError)?;
            let received = ready.try_io(|socket| {
                recv(socket.as_raw_fd(), buffer, MsgFlags::empty()).map_err(io::Error::from)
            });
            match received {
                Err(_would_block) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Event::Lost),
                Ok(Err(error)) => return Err(UeventError(error)),
                Ok(Ok(length)) => {
                    let packet = buffer.get(..length).unwrap_or_default();
                    // An attach sends many events of hosts, targets and queues: they are not read.
                    if mentions_block(packet)
                        && let Some(event) = parse(packet)
                    {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// Drops what has been received: the look that follows sees what it told of.
    fn forget_burst(&mut self) {
        // Datagrams: the rest of each that does not fit is dropped with it.
        let mut head = [0_u8; 8];
        loop {
            match recv(self.socket.as_raw_fd(), &mut head, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(_empty_or_broken) => return,
            }
        }
    }

    /// Looks, and looks again after every event of a block device, until `look` answers `Some` or the
    /// deadline comes.
    /// Events that came in a burst cost one look. Bursts apart, a look is due at least every
    /// `heartbeat`: some states (a path's, an open count) change without an event.
    ///
    /// # Errors
    /// Of the subscription or of the look.
    pub async fn await_until<T, E: From<UeventError>>(
        &mut self,
        deadline: Instant,
        heartbeat: Duration,
        mut look: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let until = deadline.min(Instant::now() + heartbeat);
            if self.next(until).await?.is_some() {
                self.forget_burst();
            }
        }
    }
}

fn mentions_block(packet: &[u8]) -> bool {
    packet.split(|byte| *byte == 0).any(|field| field == b"SUBSYSTEM=block")
}

/// Reads `action@path\0KEY=VALUE\0…`; `None` for what is not the kernel's (udev's own messages).
pub(crate) fn parse(packet: &[u8]) -> Option<Event> {
    let event = kobject_uevent::UEvent::from_netlink_packet(packet).ok()?;
    Some(Event::Device {
        action: event.action,
        path: event.devpath.to_string_lossy().into_owned(),
        subsystem: event.subsystem,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kernel_event_is_read() {
        let packet = b"change@/devices/virtual/block/dm-0\0ACTION=change\0DEVPATH=/devices/virtual/block/dm-0\0SUBSYSTEM=block\0SEQNUM=7\0";
        let wanted = Event::Device {
            action: ActionType::Change,
            path: "/devices/virtual/block/dm-0".into(),
            subsystem: "block".into(),
        };
        assert_eq!(parse(packet), Some(wanted));
    }

    #[test]
    fn only_events_of_block_devices_wake() {
        assert!(mentions_block(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=block\0SEQNUM=7\0"));
        assert!(!mentions_block(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=scsi_host\0NAME=block\0"));
    }

    #[test]
    fn udevs_own_messages_are_passed_over() {
        assert_eq!(parse(b"libudev\0\xfe\xed\xca\xfe"), None);
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_parser_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = parse(&packet);
        }
    }
}
