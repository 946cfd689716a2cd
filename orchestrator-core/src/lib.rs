//! x
pub mod agent;
#[cfg(feature = "driver")]
pub mod driver;
pub mod gate;
#[cfg(feature = "git")]
pub mod git;
pub mod machine;
pub mod model;
pub mod port;
pub mod process;
pub mod prompt;
pub mod review;
#[cfg(feature = "driver")]
pub mod source;
pub mod status;
#[cfg(feature = "store")]
pub mod store;
