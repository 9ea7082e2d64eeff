//! Generated messages, clients and servers. Whatever arrives in them is converted and checked by
//! [`crate::convert`] before it is used. The modules follow the packages of the .proto files.

#[allow(
    clippy::large_enum_variant,
    clippy::enum_variant_names,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod satsuma {
    pub mod v1 {
        tonic::include_proto!("satsuma.v1");
    }
    pub mod worker {
        pub mod v1 {
            tonic::include_proto!("satsuma.worker.v1");
        }
    }
    pub mod coordinator {
        pub mod v1 {
            tonic::include_proto!("satsuma.coordinator.v1");
        }
    }
    pub mod peers {
        pub mod v1 {
            tonic::include_proto!("satsuma.peers.v1");
        }
    }
}

pub use satsuma::coordinator::v1 as coordinator;
pub use satsuma::peers::v1 as peers;
pub use satsuma::v1 as types;
pub use satsuma::worker::v1 as worker;
