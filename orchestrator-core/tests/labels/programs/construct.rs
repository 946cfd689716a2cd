//! A label out of thin air.
use orchestrator_core::model::Label;

fn main() {
    let _ = Label(0);
    let _ = Label::Direct;
    let _: Label = Default::default();
}
