//! What a worker would like to see, taken for what was seen.
use orchestrator_core::model::{ClaimedLabel, Label};

fn main() {
    let _: Label = ClaimedLabel::Direct.into();
}
