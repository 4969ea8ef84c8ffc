//! Worker nodes as virtual machines: image, boot, snapshot, control channel
