//! The Raft shell: alone on disk, and three members over a network that loses messages.

mod alone;
mod grpc;
mod network;
