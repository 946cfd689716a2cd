//! The agent in the box: any command.

mod command;

pub use command::CommandAgent;
