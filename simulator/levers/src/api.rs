//! Faults of the management API: rules that pick calls, and what goes wrong with those.
//!
//! What HTTP shows (late, refused, cut) is done before the array's skin sees the call; what needs
//! the array (jobs, objects that show late) the skin does, told by [`Verdict::mishaps`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::latency::{Latency, MAX_DELAY};
use crate::pattern::Pattern;

/// Rules that may be there at once.
pub const MAX_API_RULES: usize = 256;

/// A value that a rule does not take.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ApiRuleError {
    /// No probability.
    #[error("{0} is no probability: give a number from 0 (never) to 1 (always)")]
    Probability(f64),
    /// No status that refuses.
    #[error("{0} is no status of a refusal: give one from 400 to 599")]
    Status(u16),
    /// Too many rules.
    #[error("there are {MAX_API_RULES} rules already: remove one first")]
    TooMany,
}

/// How likely something is, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Default for Probability {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Probability {
    type Error = ApiRuleError;

    fn try_from(value: f64) -> Result<Self, ApiRuleError> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(ApiRuleError::Probability(value)) }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// An HTTP status of a refusal, 400 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RefusedStatus(u16);

impl TryFrom<u16> for RefusedStatus {
    type Error = ApiRuleError;

    fn try_from(value: u16) -> Result<Self, ApiRuleError> {
        if (400..=599).contains(&value) { Ok(Self(value)) } else { Err(ApiRuleError::Status(value)) }
    }
}

impl From<RefusedStatus> for u16 {
    fn from(status: RefusedStatus) -> Self {
        status.0
    }
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ApiFault {
    /// It is late; the delays of several rules add up.
    Latency(Latency),
    /// It is refused, and nothing is done.
    Refuse {
        /// The status.
        status: RefusedStatus,
        /// Seconds in a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u64>,
        /// The message in the body; the array's usual one for the status when absent.
        #[serde(default)]
        message: Option<String>,
    },
    /// Credentials are no longer known: the array's own 401.
    ExpireAuth {
        /// Whose.
        #[serde(default)]
        user: Pattern,
    },
    /// The connection is closed without an answer, and nothing is done.
    Cut {},
    /// The call is carried out and the connection closed without an answer.
    LoseAnswer {},
    /// It is accepted and its job fails; nothing is done. A call without a job fails at once.
    FailJob {
        /// The array's error number.
        #[serde(default)]
        code: u64,
        /// The job's message.
        #[serde(default = "injected")]
        message: String,
    },
    /// It is done by half, and told to have failed: what was made stays.
    HalfDone {
        /// Fields of the body, dotted, that are not carried out.
        #[serde(default)]
        without: Vec<String>,
        /// The array's error number.
        #[serde(default)]
        code: u64,
        /// The message.
        #[serde(default = "injected")]
        message: String,
    },
    /// Its job shows as running although all is done.
    StickJob {
        /// For so many milliseconds; until the rule is removed when absent.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// What it made is not shown yet.
    AppearLate {
        /// For so many milliseconds; until the rule is removed when absent.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// What it deleted is still shown, though gone.
    DisappearLate {
        /// For so many milliseconds; until the rule is removed when absent.
        #[serde(default)]
        ms: Option<u64>,
    },
}

fn injected() -> String {
    "Injected failure".to_owned()
}

impl ApiFault {
    /// Its name, as it is written.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Refuse { .. } => "refuse",
            Self::ExpireAuth { .. } => "expire_auth",
            Self::Cut {} => "cut",
            Self::LoseAnswer {} => "lose_answer",
            Self::FailJob { .. } => "fail_job",
            Self::HalfDone { .. } => "half_done",
            Self::StickJob { .. } => "stick_job",
            Self::AppearLate { .. } => "appear_late",
            Self::DisappearLate { .. } => "disappear_late",
        }
    }

    fn concerns(&self, call: &ApiCall<'_>) -> bool {
        match self {
            Self::Latency(_) | Self::Refuse { .. } | Self::Cut {} | Self::LoseAnswer {} => true,
            Self::ExpireAuth { user } => user.fits(call.user),
            Self::FailJob { .. } | Self::HalfDone { .. } | Self::StickJob { .. } => {
                call.kind != CallKind::Read
            }
            Self::AppearLate { .. } => call.kind == CallKind::Create,
            Self::DisappearLate { .. } => call.kind == CallKind::Delete,
        }
    }
}

/// A rule: which calls, how many of them, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRule {
    /// HTTP method.
    #[serde(default)]
    pub method: Pattern,
    /// Path, without the query.
    #[serde(default)]
    pub path: Pattern,
    /// What is called where the path does not tell: the method of a JSON-RPC call.
    #[serde(default)]
    pub operation: Pattern,
    /// So many fitting calls go well first.
    #[serde(default)]
    pub skip: u64,
    /// So many calls are hit and then no more; no end when absent.
    #[serde(default)]
    pub count: Option<u64>,
    /// How likely a fitting call is hit.
    #[serde(default)]
    pub probability: Probability,
    /// The rule begins so many milliseconds after it was set.
    #[serde(default)]
    pub after_ms: u64,
    /// What goes wrong.
    pub fault: ApiFault,
}

impl ApiRule {
    /// A rule that hits every call it concerns.
    #[must_use]
    pub fn new(fault: ApiFault) -> Self {
        let (method, path, operation) = Default::default();
        let probability = Probability::default();
        Self { method, path, operation, skip: 0, count: None, probability, after_ms: 0, fault }
    }
}

/// What kind of thing a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Looks.
    Read,
    /// Makes something.
    Create,
    /// Changes something.
    Change,
    /// Deletes something.
    Delete,
}

/// A call, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// JSON-RPC method; empty where there is none.
    pub operation: &'a str,
    /// Name of the user it claims to be from; empty where there is none.
    pub user: &'a str,
    /// What it does.
    pub kind: CallKind,
}

/// The number of a rule, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u64);

/// A fault that hit a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The rule's number.
    pub rule: RuleId,
    /// The fault.
    pub fault: ApiFault,
}

/// What goes wrong with one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// It waits so long first.
    pub delay: Duration,
    /// Every fault that hit, in order of the rules.
    pub hits: Vec<Hit>,
}

impl Verdict {
    /// The first fault that keeps the call from the array.
    #[must_use]
    pub fn ending(&self) -> Option<&ApiFault> {
        let ends = |fault: &&ApiFault| {
            matches!(fault, ApiFault::Refuse { .. } | ApiFault::ExpireAuth { .. } | ApiFault::Cut {})
        };
        self.hits.iter().map(|hit| &hit.fault).find(ends)
    }

    /// Whether the answer is lost.
    #[must_use]
    pub fn loses_answer(&self) -> bool {
        self.hits.iter().any(|hit| hit.fault == ApiFault::LoseAnswer {})
    }
}

/// A rule and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleState {
    /// Its number.
    pub id: RuleId,
    /// Fitting calls so far.
    pub matched: u64,
    /// Calls hit so far.
    pub hits: u64,
    /// The rule.
    pub rule: ApiRule,
}

/// The lever of the management API. Clones are the same lever.
#[derive(Clone, Debug, Default)]
pub struct ApiLever(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is any rule: all that a call at rest looks at.
    armed: AtomicBool,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    next: u64,
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    begins: Instant,
    state: RuleState,
}

impl Active {
    fn new(id: u64, rule: ApiRule) -> Self {
        let begins = Instant::now() + Duration::from_millis(rule.after_ms).min(MAX_DELAY);
        Self { begins, state: RuleState { id: RuleId(id), matched: 0, hits: 0, rule } }
    }

    /// Whether the rule hits the call; counts.
    fn hits(&mut self, call: &ApiCall<'_>, now: Instant, dice: &mut impl Rng) -> bool {
        let RuleState { matched, hits, rule, .. } = &mut self.state;
        let fits = now >= self.begins
            && rule.fault.concerns(call)
            && rule.method.fits(call.method)
            && rule.path.fits(call.path)
            && rule.operation.fits(call.operation);
        if !fits {
            return false;
        }
        *matched += 1;
        let left = rule.count.is_none_or(|count| *hits < count);
        if *matched <= rule.skip || !left || !dice.random_bool(rule.probability.0) {
            return false;
        }
        *hits += 1;
        true
    }
}

impl ApiLever {
    /// Whether there is any rule. One atomic load.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::Acquire)
    }

    /// Adds a rule behind those there are.
    ///
    /// # Errors
    /// [`ApiRuleError::TooMany`].
    pub fn add(&self, rule: ApiRule) -> Result<RuleId, ApiRuleError> {
        let mut rules = self.0.rules.lock();
        if rules.active.len() >= MAX_API_RULES {
            return Err(ApiRuleError::TooMany);
        }
        let id = rules.next;
        rules.next += 1;
        rules.active.push(Active::new(id, rule));
        self.0.armed.store(true, Ordering::Release);
        Ok(RuleId(id))
    }

    /// Removes a rule; what it held up goes on. False: there is none of that number.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.0.rules.lock();
        let before = rules.active.len();
        rules.active.retain(|active| active.state.id != id);
        self.0.armed.store(!rules.active.is_empty(), Ordering::Release);
        rules.active.len() < before
    }

    /// Removes every rule.
    pub fn clear(&self) {
        let mut rules = self.0.rules.lock();
        rules.active.clear();
        self.0.armed.store(false, Ordering::Release);
    }

    /// The rules, in order, with what came of them.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleState> {
        self.0.rules.lock().active.iter().map(|active| active.state.clone()).collect()
    }

    /// Whether the rule is still there.
    #[must_use]
    pub fn holds(&self, id: RuleId) -> bool {
        self.0.rules.lock().active.iter().any(|active| active.state.id == id)
    }

    /// What goes wrong with `call`; counts it.
    pub(crate) fn judge(&self, call: &ApiCall<'_>, dice: &mut impl Rng) -> Verdict {
        let mut verdict = Verdict::default();
        let now = Instant::now();
        for active in &mut self.0.rules.lock().active {
            // A call that an earlier rule ended is not there for the later ones.
            if verdict.ending().is_some() || !active.hits(call, now, dice) {
                continue;
            }
            let fault = active.state.rule.fault.clone();
            if let ApiFault::Latency(latency) = &fault {
                verdict.delay = verdict.delay.saturating_add(latency.draw(dice)).min(MAX_DELAY);
            }
            verdict.hits.push(Hit { rule: active.state.id, fault });
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Levers;

    fn call<'a>(method: &'a str, path: &'a str) -> ApiCall<'a> {
        let kind = if method == "GET" { CallKind::Read } else { CallKind::Create };
        ApiCall { method, path, operation: "", user: "admin", kind }
    }

    fn rule(value: serde_json::Value) -> ApiRule {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_rule_spares_those_before_hits_as_many_as_it_says_and_no_other_path() {
        let levers = Levers::seeded(1);
        let fault = json!({ "refuse": { "status": 503, "retry_after": 2 } });
        levers
            .api()
            .add(rule(json!({ "path": "/api/storage/*", "skip": 1, "count": 2, "fault": fault })))
            .unwrap();
        let hit = |path| levers.judge(&call("GET", path)).ending().is_some();
        assert!(!hit("/api/cluster"));
        assert_eq!([(); 5].map(|()| hit("/api/storage/volumes")), [false, true, true, false, false]);
        let state = &levers.api().rules()[0];
        assert_eq!((state.matched, state.hits), (5, 2));
    }

    #[test]
    fn chance_is_repeated_by_its_seed() {
        let draws = |seed| {
            let levers = Levers::seeded(seed);
            levers.api().add(rule(json!({ "probability": 0.5, "fault": { "cut": {} } }))).unwrap();
            (0..64).map(|_| levers.judge(&call("GET", "/")).ending().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draws(5), draws(5));
        assert_ne!(draws(5), draws(6));
        let hits = draws(5).into_iter().filter(|hit| *hit).count();
        assert!((16..48).contains(&hits), "{hits} of 64, every other one asked for");
    }

    #[test]
    fn delays_add_up_and_the_first_refusal_ends_the_call() {
        let levers = Levers::seeded(1);
        for fault in [
            json!({ "latency": { "fixed": { "us": 5 } } }),
            json!({ "latency": { "fixed": { "us": 7 } } }),
            json!({ "expire_auth": { "user": "admin" } }),
            json!({ "refuse": { "status": 500 } }),
        ] {
            levers.api().add(rule(json!({ "fault": fault }))).unwrap();
        }
        let verdict = levers.judge(&call("GET", "/api/cluster"));
        assert_eq!(verdict.delay, Duration::from_micros(12));
        assert!(matches!(verdict.ending(), Some(ApiFault::ExpireAuth { .. })));
        assert_eq!(levers.api().rules()[3].matched, 0);
    }

    #[test]
    fn faults_of_jobs_and_objects_spare_the_calls_that_only_look() {
        let levers = Levers::seeded(1);
        levers.api().add(rule(json!({ "fault": { "stick_job": {} } }))).unwrap();
        levers.api().add(rule(json!({ "fault": { "disappear_late": {} } }))).unwrap();
        assert!(levers.judge(&call("GET", "/")).hits.is_empty());
        assert_eq!(levers.judge(&call("POST", "/")).hits.len(), 1);
    }

    #[test]
    fn a_removed_rule_hits_nobody_and_no_rule_is_no_work() {
        let levers = Levers::new();
        assert!(!levers.api().is_armed());
        let id = levers.api().add(ApiRule::new(ApiFault::Cut {})).unwrap();
        assert!(levers.api().is_armed() && levers.api().holds(id));
        assert!(levers.api().remove(id) && !levers.api().remove(id));
        assert!(!levers.api().is_armed() && levers.judge(&call("GET", "/")).hits.is_empty());
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name_and_rules_are_bounded() {
        let refused =
            |value: serde_json::Value| serde_json::from_value::<ApiRule>(value).unwrap_err().to_string();
        assert!(refused(json!({ "probability": 1.5, "fault": { "cut": {} } })).contains("1.5"));
        assert!(refused(json!({ "fault": { "refuse": { "status": 200 } } })).contains("200"));
        assert!(refused(json!({ "pathh": "/", "fault": { "cut": {} } })).contains("pathh"));
        let lever = ApiLever::default();
        for _ in 0..MAX_API_RULES {
            lever.add(ApiRule::new(ApiFault::Cut {})).unwrap();
        }
        assert_eq!(lever.add(ApiRule::new(ApiFault::Cut {})), Err(ApiRuleError::TooMany));
    }
}
