//! x
pub mod model;
pub mod machine;
pub mod port;
