//! What both simulators show to HTTPS clients: TLS identity, basic auth, listener
