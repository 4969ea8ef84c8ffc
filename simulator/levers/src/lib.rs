//! Fault levers and the event log of a simulated array
