//! The agent's decisions: intents and facts in, plans out; no IO
