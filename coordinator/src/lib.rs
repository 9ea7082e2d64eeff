pub mod catalog;
pub mod session_api;
