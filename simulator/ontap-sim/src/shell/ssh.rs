//! The shell over SSH (RFC 4251–4254): password and public key, `ssh host` and `ssh host command`.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Server, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Pty};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::console::{Console, Want};
use super::{Failure, Prepared};
use crate::array::Array;
use crate::state::account::Caller;

/// How long a wrong password takes to be refused.
const REJECTION: Duration = Duration::from_millis(200);
/// How long a session may idle.
const IDLE: Duration = Duration::from_secs(1800);
/// Channels of one connection.
const MOST_CHANNELS: usize = 16;

/// What a client shows to prove who they are.
#[derive(Debug)]
pub(crate) enum Proof<'a> {
    /// A password.
    Password(&'a str),
    /// A key whose possession is proved, or will be.
    Key(&'a PublicKey),
}

/// Who may come in: the account of a user with such a proof.
pub(crate) type Door = Arc<dyn Fn(&str, Proof<'_>) -> Option<Caller> + Send + Sync>;

/// A running SSH server.
#[derive(Debug)]
pub(crate) struct Serving {
    local_address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Waits until it has stopped after its token was cancelled.
    pub(crate) async fn stopped(self) {
        // The task can only end by returning or by a panic that was already reported.
        let _ended = self.task.await;
    }
}

/// Serves the shell of `array` on `listener` until `stop` is cancelled.
///
/// # Errors
/// When the listener has no address.
pub(crate) fn serve(
    listener: TcpListener,
    key: PrivateKey,
    array: Array,
    door: Door,
    stop: CancellationToken,
) -> std::io::Result<Serving> {
    let local_address = listener.local_addr()?;
    let config = Config {
        methods: MethodSet::from([MethodKind::PublicKey, MethodKind::Password].as_slice()),
        auth_rejection_time: REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: Some(IDLE),
        keys: vec![key],
        nodelay: true,
        ..Config::default()
    };
    let mut clients = Clients { array, door };
    let task = tokio::spawn(async move {
        let mut server = clients.run_on_socket(Arc::new(config), &listener);
        let handle = server.handle();
        let ended = tokio::select! {
            ended = &mut server => ended,
            () = stop.cancelled() => {
                handle.shutdown("the simulator stops".into());
                server.await
            }
        };
        if let Err(error) = ended {
            warn!(%error, "the SSH server ended");
        }
    });
    Ok(Serving { local_address, task })
}

struct Clients {
    array: Array,
    door: Door,
}

impl Server for Clients {
    type Handler = Client;

    fn new_client(&mut self, _: Option<SocketAddr>) -> Client {
        Client { array: self.array.clone(), door: self.door.clone(), within: None, channels: HashMap::new() }
    }

    fn handle_session_error(&mut self, error: russh::Error) {
        debug!(%error, "an SSH connection ended");
    }
}

/// One connection.
struct Client {
    array: Array,
    door: Door,
    /// The array as the account that logged in may ask it.
    within: Option<Array>,
    channels: HashMap<ChannelId, Line>,
}

/// One channel: a session on it, once a shell or a command was asked for.
#[derive(Debug, Default)]
struct Line {
    pty: bool,
    console: Option<Console>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("admitted", &self.within.is_some()).finish_non_exhaustive()
    }
}

impl Client {
    fn admit(&mut self, user: &str, proof: Proof<'_>) -> Auth {
        match (self.door)(user, proof) {
            Some(caller) => {
                self.within = Some(self.array.acting_for(caller));
                Auth::Accept
            }
            None => Auth::reject(),
        }
    }

    fn svm(&self) -> Option<String> {
        self.within.as_ref().and_then(Array::own_svm)
    }

    /// Runs a command where it may take its time.
    async fn run(&self, prepared: Prepared, answers: Vec<String>) -> Result<String, Failure> {
        let denied = || Failure("Error: not authorized for that command".into());
        let array = self.within.clone().ok_or_else(denied)?;
        let running = tokio::task::spawn_blocking(move || array.run_typed(prepared, answers));
        running.await.unwrap_or_else(|error| {
            warn!(%error, "a command failed");
            Err(Failure("Error: command failed: An internal error occurred".into()))
        })
    }

    /// Does what a session wants until it waits for bytes or is over.
    async fn satisfy(
        &mut self,
        channel: ChannelId,
        wants: Vec<Want>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let mut wants = std::collections::VecDeque::from(wants);
        while let Some(want) = wants.pop_front() {
            let Some(line) = self.channels.get_mut(&channel) else { return Ok(()) };
            match want {
                Want::Show(text) => {
                    // A terminal that is not cooked needs the carriage return.
                    let text = if line.pty { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
                    session.data(channel, text.into_bytes())?;
                }
                Want::Run(prepared, answers) => {
                    let outcome = self.run(prepared, answers).await;
                    let console = self.channels.get_mut(&channel).and_then(|line| line.console.as_mut());
                    wants.extend(console.map(|console| console.ran(outcome)).unwrap_or_default());
                }
                Want::End(status) => {
                    self.channels.remove(&channel);
                    session.exit_status_request(channel, status)?;
                    session.eof(channel)?;
                    return session.close(channel);
                }
            }
        }
        Ok(())
    }

    async fn start(
        &mut self,
        channel: ChannelId,
        console: impl FnOnce(Option<String>, bool) -> Console,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let svm = self.svm();
        let Some(line) = self.channels.get_mut(&channel).filter(|line| line.console.is_none()) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        let console = line.console.insert(console(svm, line.pty));
        let wants = console.begin();
        self.satisfy(channel, wants, session).await
    }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.admit(user, Proof::Password(password)))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        let known = (self.door)(user, Proof::Key(offer.public_key)).is_some();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(self.admit(user, Proof::Key(key.public_key)))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.channels.len() < MOST_CHANNELS {
            self.channels.insert(channel.id(), Line::default());
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        // Nothing more is typed: what waits for it ends, what runs has ended.
        if self.channels.get(&channel).is_some_and(|line| line.console.is_some()) {
            self.satisfy(channel, vec![Want::End(0)], session).await?;
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(line) = self.channels.get_mut(&channel) {
            line.pty = true;
        }
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        let cluster = self.array.read(|cluster| cluster.about.name.clone());
        self.start(channel, |svm, echo| Console::interactive(&cluster, svm, echo), session).await
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let commands = String::from_utf8_lossy(data).into_owned();
        self.start(channel, |svm, echo| Console::script(&commands, svm, echo), session).await
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        for byte in data {
            let console = self.channels.get_mut(&channel).and_then(|line| line.console.as_mut());
            let Some(console) = console.filter(|console| console.listens()) else { break };
            let wants = console.key(*byte);
            if !wants.is_empty() {
                self.satisfy(channel, wants, session).await?;
            }
        }
        Ok(())
    }
}
