//! Everything that needs running clusters, as one binary: each more would link DataFusion again.

mod differential;
