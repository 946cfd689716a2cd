//! Who mends what only a person can mend.

use orchestrator_core::model::{Hold, HoldReason, Record, Trouble};

use crate::{model::Fault, stage::Stage};

/// Looks at the ledger whenever something was said, as long as there is something to mend.
#[derive(Debug, Default)]
pub(crate) struct Person {
    answered: bool,
}

impl Person {
    pub(crate) fn looks_at(&mut self, stage: &Stage) {
        let is_away = stage.model.lasts(Fault::Outage);
        let is_logged_out = !self.answered && stage.model.lasts(Fault::Login);
        let unknown = stage.model.unknown();
        if !is_away && !is_logged_out && unknown.is_none() {
            return;
        }
        let records = stage.records();
        if unknown.is_some_and(|fault| records.iter().any(|record| tells(record, fault))) {
            stage.model.is_known();
        }
        // The service comes back as soon as its outage is known.
        if is_away && records.iter().any(|record| tells(record, Fault::Outage)) {
            stage.model.repair(Fault::Outage);
        }
        // The other agent must have gone on before the login is repaired.
        let asked = records
            .iter()
            .position(|record| login_question(record).is_some());
        if let Some(asked) = asked.filter(|_| is_logged_out)
            && records[asked..].iter().any(is_landing_of_claude)
        {
            self.repairs_the_login(stage, login_question(&records[asked]).expect("is one"));
        }
    }

    fn repairs_the_login(&mut self, stage: &Stage, hold: &Hold) {
        stage.model.repair(Fault::Login);
        let hold = hold.id.to_string();
        let answer = ["answer", &hold, "retry", "--by", "Ada", "--note", "again"];
        let answered = stage.supervise(&answer);
        assert!(answered.status.success(), "{answered:?}");
        self.answered = true;
    }
}

/// Whether this fault is what an agent's trouble is recorded for.
fn tells(record: &Record, fault: Fault) -> bool {
    let Record::AgentTroubled { agent, trouble, .. } = record else {
        return false;
    };
    match fault {
        Fault::ClaudeLimit => agent.as_str() == "claude" && *trouble == Trouble::UsageLimit,
        Fault::CodexLimit => agent.as_str() == "codex" && *trouble == Trouble::UsageLimit,
        Fault::Outage => matches!(trouble, Trouble::Outage { .. }),
        Fault::Login => matches!(trouble, Trouble::Login { .. }),
        Fault::Stop | Fault::Kill => false,
    }
}

pub(crate) fn is_landing_of_claude(record: &Record) -> bool {
    matches!(record, Record::Landed { attempt, .. } if attempt.task.as_str().starts_with('C'))
}

/// The question about a login, if that is what is asked.
pub(crate) fn login_question(record: &Record) -> Option<&Hold> {
    let Record::HoldOpened { hold } = record else {
        return None;
    };
    let is_login = matches!(
        &hold.about,
        HoldReason::Agent {
            trouble: Trouble::Login { .. },
            ..
        }
    );
    is_login.then_some(hold)
}
