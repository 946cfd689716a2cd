//! Longer explanations, each compiled and run where it holds code.

#[doc = include_str!("formats.md")]
pub mod formats {}

#[cfg(feature = "driver")]
#[doc = include_str!("day.md")]
pub mod the_day_as_it_goes {}

#[cfg(feature = "driver")]
#[doc = include_str!("review.md")]
pub mod who_looks_and_who_decides {}

#[doc = include_str!("machine.md")]
pub mod driving_the_machine {}

#[doc = include_str!("threats.md")]
pub mod threats {}
