//! The agent's decisions: intents and facts in, plans out. No IO, no async, no clock, no unsafe.
//!
//! ```text
//! Intent ─┐
//! Facts  ─┼→ plan() → Plan (short, printable) → lint → the agent applies each Step, observes, plans again
//! Record ─┘     └→ Refusal (names its hazard and the cure)
//! ```
//!
//! A plan never spans an unknown: staging an iSCSI volume is several short plans (sessions;
//! devices; filesystem and mount), each from facts read after the one before. An intent is
//! fulfilled when the plan from fresh facts is empty, and only then.
//!
//! Safety is in types: [`proof::Blank`], [`proof::Verified`] and [`proof::Idle`] have private
//! constructors, come only from [`facts::Facts`], and are consumed by the step that needs them.
#![forbid(unsafe_code)]

pub mod areas;
pub mod facts;
mod facts_text;
pub mod intent;
mod lint;
pub mod outcome;
pub mod path;
pub mod plan;
pub mod progress;
pub mod proof;
pub mod record;
pub mod refusal;
pub mod step;
