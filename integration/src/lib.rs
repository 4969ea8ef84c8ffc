//! Journeys and hazards, played on worker nodes against the simulators
