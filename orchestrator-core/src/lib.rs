//! x
pub mod model;
pub mod machine;
pub mod port;
pub mod process;
#[cfg(feature = "git")]
pub mod git;
