//! Text requests in full feature phase (RFC 7143 §11.10, §11.11), long ones in several PDUs.

use bytes::{Bytes, BytesMut};

use super::wire::StatSn;
use super::{PROTOCOL_ERROR, Session, send_targets};
use crate::login::is_known;
use crate::pdu::{CONTINUE, FINAL, NO_TAG, Pdu, opcode};
use crate::text::{Text, TextCollector};
use crate::transport::Closed;

/// An exchange of text under way.
#[derive(Debug, Default)]
pub(super) struct TextExchange {
    collector: TextCollector,
    /// What is still to be sent of the answer.
    rest: Bytes,
    /// Tag the initiator goes on with.
    tag: Option<u32>,
}

impl Session {
    /// One text request: a piece of text to collect, or a demand for the next piece of the answer.
    pub(super) async fn text_request(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        if pdu.transfer_tag() == NO_TAG {
            self.text = TextExchange::default();
        } else if self.text.tag != Some(pdu.transfer_tag()) {
            return self.reject(pdu, PROTOCOL_ERROR).await;
        }
        let more = pdu.flags() & CONTINUE != 0;
        let text = match self.text.collector.collect(pdu.data, more) {
            Ok(text) => text,
            Err(_) => return self.reject(pdu, PROTOCOL_ERROR).await,
        };
        if let Some(text) = text
            && self.text.rest.is_empty()
        {
            self.text.rest = self.answer_text(text);
        }
        let piece = self.text.rest.split_to(self.text.rest.len().min(self.wire.parameters.max_send as usize));
        let flags = match (self.text.rest.is_empty(), pdu.is_final()) {
            (false, _) => CONTINUE,
            (true, true) => FINAL,
            (true, false) => 0,
        };
        let tag = if flags == FINAL { NO_TAG } else { self.next_transfer_tag() };
        self.text.tag = (tag != NO_TAG).then_some(tag);
        let response = Pdu::new(opcode::TEXT_RESPONSE, flags)
            .with(8, &pdu.lun())
            .with_task_tag(pdu.task_tag())
            .with_u32(20, tag)
            .with_data(piece);
        self.wire.respond(response, StatSn::Takes).await
    }

    fn answer_text(&mut self, mut text: Text) -> Bytes {
        let mut answer = BytesMut::new();
        if let Some(which) = text.take("SendTargets") {
            answer.extend_from_slice(&send_targets::records(self, &which).to_bytes());
        }
        let mut rest = Text::default();
        if let Some(length) = text.take("MaxRecvDataSegmentLength") {
            let mut declaration = Text::default();
            declaration.push("MaxRecvDataSegmentLength", length);
            self.wire.parameters.negotiate(declaration, false, &mut rest);
        }
        for (key, _) in text {
            // Everything else that is known was agreed on at login (RFC 7143 §13, "use: LO").
            match key.as_str() {
                "InitiatorAlias" => {}
                key if is_known(key) => rest.push(key, "Reject"),
                key => rest.push(key, "NotUnderstood"),
            }
        }
        answer.extend_from_slice(&rest.to_bytes());
        answer.freeze()
    }
}
