//! ONC-RPC (RFC 5531): from the bytes of a connection to a call of a program, and back.

pub(crate) mod call;
mod connection;
mod duplicate;
mod fault;
mod queue;
mod record;
mod reply;
mod service;

pub(crate) use call::Credential;
#[cfg(test)]
pub(crate) use call::SysCredential;
pub(crate) use connection::{serve_datagrams, serve_streams};
pub(crate) use record::read_record;
pub(crate) use reply::Refusal;
pub(crate) use service::{Caller, Dispatcher, Service};
