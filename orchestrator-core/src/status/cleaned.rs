//! What people and other programs see of a state holds no control characters and none that hide or reorder others: some of
//! it was said by agents, by their programs, or by a remote.

use super::{Brief, Choice, EvidenceView, HoldView, TaskView};
use crate::model::{clean, clean_line};

impl TaskView {
    pub(super) fn cleaned(mut self) -> Self {
        self.title = clean_line(&self.title);
        self.reason = self.reason.map(|reason| clean(&reason));
        self.findings = all(&self.findings);
        self.evidence = self.evidence.into_iter().map(evidence).collect();
        self.hold = self.hold.map(hold);
        for place in self.kept.values_mut() {
            *place = clean(place);
        }
        self
    }
}

fn all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| clean(text)).collect()
}

fn evidence(view: EvidenceView) -> EvidenceView {
    EvidenceView {
        reason: clean(&view.reason),
        ..view
    }
}

fn hold(view: HoldView) -> HoldView {
    HoldView {
        question: clean(&view.question),
        brief: brief(view.brief),
        ..view
    }
}

fn brief(brief: Brief) -> Brief {
    let options = brief.options.into_iter().map(|choice| Choice {
        then: clean(&choice.then),
        ..choice
    });
    Brief {
        why_now: clean(&brief.why_now),
        last_turn: all(&brief.last_turn),
        change: all(&brief.change),
        evidence: all(&brief.evidence),
        missing: all(&brief.missing),
        options: options.collect(),
        recommendation: clean(&brief.recommendation),
        work: clean(&brief.work),
    }
}
