//! What travels between coordinators and workers: the requests as plain Rust ([`worker`]), their
//! protobuf messages, and the gRPC client and server that carry them.

pub mod worker;
