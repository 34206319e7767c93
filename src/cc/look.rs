//! What classification asks of the disk, answered by the disk.
