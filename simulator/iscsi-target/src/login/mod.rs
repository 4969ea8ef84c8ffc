//! Login phase (RFC 7143 §6.3, §11.12, §11.13): a pure machine from request to response.
//!
//! ```text
//! security (0) ─ CHAP or none ─► operational (1) ─ parameters ─► full feature (3)
//! ```
//! A stage may be skipped by the initiator; security only where none is required.

mod parameters;
mod status;

pub(crate) use parameters::{MAX_RECEIVE, Parameters, is_known};
pub(crate) use status::Refusal;

use std::collections::BTreeSet;

use crate::chap::{ChapAlgorithm, Credentials, Exchange, Progress};
use crate::pdu::{CONTINUE, FINAL, Pdu, opcode};
use crate::portal::Redirect;
use crate::target::{Auth, normal_name};
use crate::text::{Text, TextCollector};

/// Commands an initiator may have outstanding; MaxCmdSN runs this far ahead.
pub(crate) const COMMAND_WINDOW: u32 = 128;

/// Longest data segment of a login request (RFC 7143 §13.12: the default), in bytes.
pub(crate) const LOGIN_SEGMENT: usize = 8192;
/// Requests a login may take; the longest honest one is text of 64 KiB in PDUs of 8 KiB, twice.
const MAX_REQUESTS: u32 = 64;

const SECURITY: u8 = 0;
const OPERATIONAL: u8 = 1;
const FULL_FEATURE: u8 = 3;

/// What login asks of the server.
pub(crate) trait Directory {
    /// The target of that name at this portal: its own spelling, portal group tag, alias and what
    /// the initiator must prove. Names are normal names.
    fn find_target(&self, iqn: &str, initiator: &str) -> Option<TargetEntry>;
    /// Everything an initiator can prove anywhere at this portal (for a discovery session).
    fn all_credentials(&self, initiator: &str) -> Vec<Credentials>;
    /// What a login that names a session by this TSIH, from this peer and for this CID, is about.
    fn find_session(&self, tsih: u16, peer: &Peer, connection: u16) -> Handle;
}

/// What a session handle in a login stands for (RFC 7143 §6.3.4, §11.12.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    /// The one connection of that session, which is to be reinstated.
    SameConnection,
    /// A further connection to that session.
    OtherConnection,
    /// No session of this initiator.
    Unknown,
}

/// A target as login needs it.
#[derive(Clone, Debug)]
pub(crate) struct TargetEntry {
    pub(crate) tag: u16,
    pub(crate) alias: Option<String>,
    pub(crate) auth: Auth,
    /// Where to send the initiator instead.
    pub(crate) redirect: Option<Redirect>,
}

/// Who logs in, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// As given, for people.
    pub(crate) initiator_name: String,
    /// Normal form, for comparison.
    pub(crate) initiator: String,
    /// Normal form of the target name; none in a discovery session.
    pub(crate) target: Option<String>,
    pub(crate) isid: [u8; 6],
}

/// A completed login.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) peer: Peer,
    pub(crate) parameters: Parameters,
    /// What the initiator proved, if it had to.
    pub(crate) proven: Option<Credentials>,
    pub(crate) connection_id: u16,
    /// The session whose connection this login reinstates.
    pub(crate) reinstates: Option<u16>,
    pub(crate) stat_sn: u32,
    pub(crate) exp_cmd_sn: u32,
}

/// What to do after a request.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this and read on.
    Reply(Pdu),
    /// Send this with a TSIH put in by [`grant`]; the login is complete.
    Complete(Pdu, Box<Accepted>),
    /// Send this and close.
    Refuse(Pdu, Refusal),
}

#[derive(Debug)]
enum Security {
    /// Nothing to prove.
    Open,
    /// These can be proven; `required` unless this is a discovery session.
    Offered {
        candidates: Vec<Credentials>,
        required: bool,
    },
    InExchange(Exchange),
    Proven(Credentials),
}

/// One login, request by request.
#[derive(Debug)]
pub(crate) struct Login {
    chap: Vec<ChapAlgorithm>,
    begun: Option<Begun>,
    text: TextCollector,
    peer: Option<Peer>,
    security: Option<Security>,
    parameters: Parameters,
    /// Our MaxRecvDataSegmentLength has been told.
    declared: bool,
    /// Operational keys the initiator has offered or declared.
    seen: BTreeSet<String>,
    requests: u32,
    reinstates: Option<u16>,
}

/// From the first request; later ones must agree.
#[derive(Clone, Copy, Debug)]
struct Begun {
    stage: u8,
    stat_sn: u32,
    cmd_sn: u32,
    connection_id: u16,
    isid: [u8; 6],
}

impl Login {
    /// A login in which these algorithms are spoken.
    pub(crate) fn new(chap: &[ChapAlgorithm]) -> Self {
        Self {
            chap: chap.to_vec(),
            begun: None,
            text: TextCollector::default(),
            peer: None,
            security: None,
            parameters: Parameters::default(),
            declared: false,
            seen: BTreeSet::new(),
            requests: 0,
            reinstates: None,
        }
    }

    /// Answers one request.
    pub(crate) fn answer<Data: AsRef<[u8]>>(
        &mut self,
        request: &Pdu<Data>,
        directory: &dyn Directory,
    ) -> Step {
        let request = Pdu { header: request.header, data: request.data.as_ref() };
        match self.try_answer(&request, directory) {
            Ok(step) => step,
            Err(refusal) => Step::Refuse(self.refuse(&request, &refusal), refusal),
        }
    }

    /// The response that tells a refusal.
    pub(crate) fn refuse(&mut self, request: &Pdu<&[u8]>, refusal: &Refusal) -> Pdu {
        let (class, detail) = refusal.status();
        let mut text = Text::default();
        if let Refusal::Moved(to) = refusal {
            // RFC 7143 §13.8: without a portal group tag.
            text.push("TargetAddress", to.address.to_string());
        }
        self.respond(request, 0).with(36, &[class, detail]).with_data(text.to_bytes())
    }

    /// Who this is, once it said so.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    fn try_answer(&mut self, request: &Pdu<&[u8]>, directory: &dyn Directory) -> Result<Step, Refusal> {
        if request.opcode() != opcode::LOGIN {
            return Err(Refusal::NotALogin);
        }
        self.requests += 1;
        if self.requests > MAX_REQUESTS {
            return Err(Refusal::Endless);
        }
        let flags = request.flags();
        let (transit, more) = (flags & FINAL != 0, flags & CONTINUE != 0);
        let (current, next) = (flags >> 2 & 3, flags & 3);
        let begun = *self.begun.get_or_insert_with(|| Begun::of(request, current));
        if request.header[3] > 0 {
            return Err(Refusal::Version);
        }
        let ordered =
            matches!((current, next), (SECURITY, OPERATIONAL | FULL_FEATURE) | (OPERATIONAL, FULL_FEATURE));
        if current > OPERATIONAL || current != begun.stage || transit && (more || !ordered) {
            return Err(Refusal::Stage);
        }
        let Some(text) = self.text.collect(request.data, more).map_err(Refusal::Text)? else {
            return Ok(Step::Reply(self.respond(request, current << 2)));
        };
        self.answer_text(request, text, directory, transit.then_some(next))
    }

    fn answer_text(
        &mut self,
        request: &Pdu<&[u8]>,
        mut text: Text,
        directory: &dyn Directory,
        next: Option<u8>,
    ) -> Result<Step, Refusal> {
        let mut answers = Text::default();
        if self.peer.is_none() {
            self.identify(request, &mut text, &mut answers, directory)?;
        }
        let stage = self.begun.map_or(SECURITY, |begun| begun.stage);
        if stage == SECURITY {
            self.secure(&mut text, &mut answers)?;
        } else if !self.is_secure() {
            return Err(Refusal::Unproven);
        }
        self.negotiate(text, &mut answers)?;
        if stage == OPERATIONAL && !std::mem::replace(&mut self.declared, true) {
            answers.push("MaxRecvDataSegmentLength", MAX_RECEIVE.to_string());
        }
        let next = next.filter(|_| self.is_secure());
        let flags = stage << 2 | next.map_or(0, |next| FINAL | next);
        let response = self.respond(request, flags).with_data(answers.to_bytes());
        match next {
            Some(FULL_FEATURE) => self.complete(response),
            Some(next) => {
                self.advance(next);
                Ok(Step::Reply(response))
            }
            None => Ok(Step::Reply(response)),
        }
    }

    /// Operational keys, each of which is negotiated once (RFC 7143 §6.2).
    fn negotiate(&mut self, text: Text, answers: &mut Text) -> Result<(), Refusal> {
        if let Some(key) = text.keys().find(|key| !self.seen.insert((*key).to_owned())) {
            return Err(Refusal::Again(key.to_owned()));
        }
        let discovery = self.peer.as_ref().is_some_and(|peer| peer.target.is_none());
        self.parameters.negotiate(text, discovery, answers);
        Ok(())
    }

    fn advance(&mut self, stage: u8) {
        if let Some(begun) = &mut self.begun {
            begun.stage = stage;
        }
    }

    /// Reads the names of the first request and settles what has to be proven.
    fn identify(
        &mut self,
        request: &Pdu<&[u8]>,
        text: &mut Text,
        answers: &mut Text,
        directory: &dyn Directory,
    ) -> Result<(), Refusal> {
        let initiator_name = text.take("InitiatorName").ok_or(Refusal::Missing("InitiatorName"))?;
        let initiator = normal_name(&initiator_name);
        let discovery = match text.take("SessionType").as_deref() {
            None | Some("Normal") => false,
            Some("Discovery") => true,
            Some(_) => return Err(Refusal::SessionType),
        };
        let target = if discovery {
            let candidates = directory.all_credentials(&initiator);
            self.security = Some(Security::offered(candidates, false));
            None
        } else {
            let iqn = normal_name(&text.take("TargetName").ok_or(Refusal::Missing("TargetName"))?);
            let entry = directory.find_target(&iqn, &initiator).ok_or(Refusal::NoTarget)?;
            self.security = Some(match (&entry.auth, entry.redirect) {
                (Auth::Deny, _) => return Err(Refusal::Denied),
                (_, Some(to)) => return Err(Refusal::Moved(to)),
                (auth, None) => Security::offered(Credentials::of(auth).into_iter().collect(), true),
            });
            // RFC 7143 §13.9: the tag goes into the first response of a normal session.
            answers.push("TargetPortalGroupTag", entry.tag.to_string());
            if let Some(alias) = entry.alias {
                answers.push("TargetAlias", alias);
            }
            Some(iqn)
        };
        let isid = self.begun.map(|begun| begun.isid).unwrap_or_default();
        let peer = Peer { initiator_name, initiator, target, isid };
        let connection = self.begun.map_or(0, |begun| begun.connection_id);
        let tsih = request.u16(14);
        if tsih != 0 {
            match directory.find_session(tsih, &peer, connection) {
                Handle::SameConnection => self.reinstates = Some(tsih),
                Handle::OtherConnection => return Err(Refusal::SecondConnection),
                Handle::Unknown => return Err(Refusal::NoSuchSession),
            }
        }
        self.peer = Some(peer);
        Ok(())
    }

    fn is_secure(&self) -> bool {
        match &self.security {
            Some(Security::Open | Security::Proven(_)) => true,
            Some(Security::Offered { required, .. }) => !required,
            Some(Security::InExchange(_)) | None => false,
        }
    }

    /// The security stage: agree on a method, then run it.
    fn secure(&mut self, text: &mut Text, answers: &mut Text) -> Result<(), Refusal> {
        if let Some(Security::InExchange(exchange)) = &mut self.security {
            let (sent, proven) = match exchange.answer(text).map_err(Refusal::Chap)? {
                Progress::Continue(sent) => (sent, None),
                Progress::Proven(credentials, sent) => (sent, Some(credentials)),
            };
            for (key, value) in sent {
                answers.push(&key, value);
            }
            if let Some(credentials) = proven {
                self.security = Some(Security::Proven(credentials));
            }
            return Ok(());
        }
        let Some(methods) = text.take("AuthMethod") else { return Ok(()) };
        let offers = |method: &str| methods.split(',').any(|offered| offered.trim() == method);
        let chosen = match self.security.take() {
            Some(Security::Offered { candidates, .. }) if offers("CHAP") => {
                self.security = Some(Security::InExchange(Exchange::new(candidates, &self.chap)));
                "CHAP"
            }
            Some(Security::Offered { required: true, .. }) => return Err(Refusal::Unproven),
            _ if offers("None") => {
                self.security = Some(Security::Open);
                "None"
            }
            _ => return Err(Refusal::NothingToProve),
        };
        answers.push("AuthMethod", chosen);
        Ok(())
    }

    fn complete(&mut self, response: Pdu) -> Result<Step, Refusal> {
        let (Some(peer), Some(begun)) = (self.peer.clone(), self.begun) else {
            return Err(Refusal::Stage);
        };
        let proven = match self.security.take() {
            Some(Security::Proven(credentials)) => Some(credentials),
            _ => None,
        };
        let accepted = Accepted {
            peer,
            parameters: self.parameters,
            proven,
            connection_id: begun.connection_id,
            reinstates: self.reinstates,
            stat_sn: begun.stat_sn,
            exp_cmd_sn: begun.cmd_sn,
        };
        Ok(Step::Complete(response, Box::new(accepted)))
    }

    /// A response to `request` with the numbers in it; the StatSN is used up.
    fn respond(&mut self, request: &Pdu<&[u8]>, flags: u8) -> Pdu {
        let begun = self.begun.get_or_insert_with(|| Begun::of(request, SECURITY));
        let response = Pdu::new(opcode::LOGIN_RESPONSE, flags)
            .with(8, &begun.isid)
            .with(14, &request.u16(14).to_be_bytes())
            .with_task_tag(request.task_tag())
            .with_u32(24, begun.stat_sn)
            .with_u32(28, begun.cmd_sn)
            .with_u32(32, begun.cmd_sn.wrapping_add(COMMAND_WINDOW - 1));
        begun.stat_sn = begun.stat_sn.wrapping_add(1);
        response
    }
}

/// Puts the session handle into the last response of a login.
pub(crate) fn grant(response: Pdu, tsih: u16) -> Pdu {
    response.with(14, &tsih.to_be_bytes())
}

impl Begun {
    fn of(request: &Pdu<&[u8]>, stage: u8) -> Self {
        let mut isid = [0; 6];
        isid.copy_from_slice(&request.header[8..14]);
        Self {
            stage,
            stat_sn: request.u32(28),
            cmd_sn: request.cmd_sn(),
            connection_id: request.u16(20),
            isid,
        }
    }
}

impl Security {
    fn offered(candidates: Vec<Credentials>, required: bool) -> Self {
        if candidates.is_empty() { Self::Open } else { Self::Offered { candidates, required } }
    }
}

#[cfg(test)]
mod tests;
