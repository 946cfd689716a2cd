//! Files in places where others can write: a worker, a gate, whoever shares the user (law 8).
//!
//! Nothing here follows a link that it was not given, opens what could keep it waiting (a FIFO, a socket, a device), recurses, or
//! reads without a bound. What is in the way of a file of ours is removed, and never written into.
//!
//! A path's last name is looked at here; the directories before it are the caller's to vouch for, or to open with
//! [`directory`] and to go down from.

mod copy;
mod mirror;
mod open;
mod remove;
mod write;

pub(crate) use copy::copy;
pub(crate) use mirror::Mirror;
pub use open::read_small;
pub(crate) use open::{DIRECTORY, directory, open_beneath, open_regular, read_beneath};
pub(crate) use remove::{remove, remove_while};
pub(crate) use write::{
    create, create_absent, fresh_directory, give, is_dir, place_beneath, write_new,
};
pub use write::{make_beneath, touch};
