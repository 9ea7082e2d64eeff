//! The worker through its door, in process and over a real socket.

mod changes;
mod fixture;
mod foreign_keys;
mod inputs;
mod queries;
mod shards;
mod transactions;
