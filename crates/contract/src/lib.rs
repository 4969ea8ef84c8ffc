//! Nouns that controller and agent share: volume, portal, WWID, secrets, publish context
