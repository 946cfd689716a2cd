//! Longer explanations, each compiled and run where it holds code.
//!
//! | chapter | for whoever |
//! | --- | --- |
//! | [`formats`] | writes a roadmap, a policy, a handoff, or an agent that is a plain command |
//! | [`choosing_a_policy`] | begins with a repository |
//! | [`recipes`] | has a project of one of these kinds |
//! | [`the_day_as_it_goes`] | wants to know what follows from what |
//! | [`who_looks_and_who_decides`] | reviews, waives, observes |
//! | [`writing_a_backend`], [`writing_a_source`], [`writing_a_reviewer`], [`writing_a_store`] | adds something behind a port |
//! | [`driving_the_machine`], [`crash_recovery`] | builds a loop of their own |
//! | [`threats`] | has to answer for it |

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("policy.md")]
pub mod choosing_a_policy {}

/// Policies for kinds of projects. Each is run in a test as it stands here: a roadmap of six tasks lands with it, without a person.
pub mod recipes {
    #[doc = include_str!("recipes/javascript.md")]
    pub mod javascript {}

    #[doc = include_str!("recipes/python.md")]
    pub mod python {}

    #[doc = include_str!("recipes/lfs.md")]
    pub mod lfs {}

    #[doc = include_str!("recipes/rust.md")]
    pub mod rust {}

    #[doc = include_str!("recipes/submodules.md")]
    pub mod submodules {}
}

#[cfg(feature = "driver")]
#[doc = include_str!("day.md")]
pub mod the_day_as_it_goes {}

#[cfg(feature = "driver")]
#[doc = include_str!("review.md")]
pub mod who_looks_and_who_decides {}

#[doc = include_str!("backend.md")]
pub mod writing_a_backend {}

#[cfg(feature = "driver")]
#[doc = include_str!("source.md")]
pub mod writing_a_source {}

#[doc = include_str!("reviewer.md")]
pub mod writing_a_reviewer {}

#[doc = include_str!("store.md")]
pub mod writing_a_store {}

#[doc = include_str!("machine.md")]
pub mod driving_the_machine {}

#[doc = include_str!("recovery.md")]
pub mod crash_recovery {}

#[doc = include_str!("threats.md")]
pub mod threats {}
