pub mod session_api;
