//! Longer explanations, each compiled and run where it holds code.

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("machine.md")]
pub mod driving_the_machine {}

#[doc = include_str!("threats.md")]
pub mod threats {}
