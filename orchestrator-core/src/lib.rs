//! x
pub mod model;
pub mod machine;
pub mod port;
pub mod process;
#[cfg(feature = "git")]
pub mod git;
pub mod agent;
pub mod gate;
pub mod prompt;
pub mod review;
#[cfg(feature = "driver")]
pub mod source;
#[cfg(feature = "store")]
pub mod store;
