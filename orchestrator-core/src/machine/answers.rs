//! What follows from a person's answer.

use super::{
    consequence::{Consequence, consequence},
    context::{Context, reopened},
    entry::{Active, Held, TaskEntry, Then},
};
use crate::model::{
    Answer, Completion, Decision, EndCause, Grant, Granted, HoldItem, HoldOption, HoldReason,
    Observation, Obstacle, ParkReason, Predecessor, PrivilegedPath, Record, TaskId, Waiver,
};

impl Context<'_> {
    pub(super) fn answered(&self, answer: Answer) -> Vec<Record> {
        if let Some(entry) = self.state.parked(answer.hold)
            && answer.option == HoldOption::Retry
        {
            return vec![reopened(&entry.task.id, answer.note)];
        }
        let asked = self
            .state
            .accepts(&answer)
            .and_then(|()| self.state.asked(&answer));
        let (entry, held) = match asked {
            Ok(asked) => asked,
            Err(why) => return vec![Record::AnswerRefused { answer, why }],
        };
        let mut records = vec![Record::HoldAnswered {
            hold: answer.hold,
            answer: Some(answer.clone()),
            at: self.at,
        }];
        records.extend(limits_reset(entry, &held.hold.about));
        records.extend(advice(entry, held, &answer));
        if let Some(means) = consequence(&held.hold, answer.option) {
            self.follows(entry, held, &answer, means, &mut records);
        }
        records
    }

    fn follows(
        &self,
        entry: &TaskEntry,
        held: &Held,
        answer: &Answer,
        means: Consequence,
        records: &mut Vec<Record>,
    ) {
        let task = &entry.task.id;
        let attempt = match &held.then {
            Then::Resume(active) => Some(&**active),
            Then::Wait(_) | Then::Landed(_) => None,
        };
        match means {
            Consequence::Start => records.push(self.granted(task, answer, [Granted::Dispatch])),
            Consequence::Land => records.push(self.granted(task, answer, [Granted::Landing])),
            Consequence::ChangeFiles => {
                let paths = files(&held.hold.about).iter();
                let paths = paths.map(|file| file.path.clone());
                records.push(self.granted(task, answer, paths.map(Granted::Change)));
            }
            Consequence::LandUnproven => {
                records.extend(attempt.map(|active| self.waived(active, held, answer)));
            }
            Consequence::WaiveFindings | Consequence::GoOnWithoutReview => {
                if let Some(active) = attempt {
                    records.extend(self.waived_and_judged(entry, active, held, answer));
                }
            }
            Consequence::Observe => {
                records.extend(attempt.map(|active| self.seen(active, held, answer)));
            }
            Consequence::CountAsComplete => {
                records.extend(attempt.map(|active| self.completed_by(active, answer)));
            }
            Consequence::Tick => {
                records.push(self.granted(task, answer, [Granted::NoChange]));
                records.extend(attempt.map(|active| self.completed_by(active, answer)));
            }
            Consequence::Continue => {
                let note = answer.note.as_deref();
                records.extend(attempt.and_then(|active| self.goes_on_after(entry, active, note)));
            }
            // The same session has been told twice: another begins, with what the person says.
            Consequence::AnotherAttempt => {
                let note = answer.note.as_deref();
                records.extend(attempt.map(|active| self.ended_by_a_person(active, note, None)));
            }
            Consequence::ReviewAgain => records.extend(attempt.map(|active| {
                let attempt = active.attempt.id.clone();
                Record::ReviewDue { attempt }
            })),
            Consequence::CountAsDone => {
                let task = task.clone();
                records.push(Record::LandingMoved { task, commit: None });
            }
            Consequence::DoAgain => records.push(reopened(task, answer.note.clone())),
            Consequence::CheckTargetAgain => records.push(Record::TipForgotten),
            Consequence::UseAgent => records.extend(self.agent_again(held)),
            Consequence::AdoptContract => records.extend(self.adopted(attempt, held)),
            Consequence::ResetLimits | Consequence::TryAgain => {}
            Consequence::Park => records.extend(self.parked_by(entry, attempt, answer)),
        }
    }

    fn granted(
        &self,
        task: &TaskId,
        answer: &Answer,
        what: impl IntoIterator<Item = Granted>,
    ) -> Record {
        let grants = what.into_iter().map(|what| Grant {
            what,
            decision: self.decision(answer),
        });
        Record::Granted {
            task: task.clone(),
            grants: grants.collect(),
        }
    }

    fn waived(&self, active: &Active, held: &Held, answer: &Answer) -> Record {
        Record::Waived {
            attempt: active.attempt.id.clone(),
            waivers: self.waivers(held, answer),
        }
    }

    /// What an approval waives.
    fn waivers(&self, held: &Held, answer: &Answer) -> Vec<Waiver> {
        let items = named(&held.hold.items, answer);
        let waivers = items.map(|item| Waiver {
            item: item.clone(),
            decision: self.decision(answer),
        });
        waivers.collect()
    }

    /// What comes after what was waived was not looked at yet: what other reviewers found, and
    /// whether anybody has said that the work is complete.
    fn waived_and_judged(
        &self,
        entry: &TaskEntry,
        active: &Active,
        held: &Held,
        answer: &Answer,
    ) -> Vec<Record> {
        let waivers = self.waivers(held, answer);
        let all = [active.attempt.waivers.as_slice(), waivers.as_slice()].concat();
        let attempt = active.attempt.id.clone();
        let mut records = vec![Record::Waived { attempt, waivers }];
        if let Some(reviewed) = active.step.reviewed() {
            let work = &reviewed.work;
            records.extend(self.judge_head(entry, active, work, &reviewed.reviews, &all));
        }
        records
    }

    /// That a person has seen claims hold.
    fn seen(&self, active: &Active, held: &Held, answer: &Answer) -> Record {
        let items = named(&held.hold.items, answer);
        let claims = items.filter_map(|item| match item {
            HoldItem::Claim { claim, .. } => Some(claim),
            HoldItem::Reviewer { .. } | HoldItem::Finding(_) => None,
        });
        let observations = claims.filter_map(|claim| {
            Some(Observation {
                claim: claim.id.clone(),
                surface: claim.surface.clone(),
                commit: active.attempt.head?,
                artifact: answer.artifact.clone(),
                decision: self.decision(answer),
            })
        });
        Record::Observed {
            attempt: active.attempt.id.clone(),
            observations: observations.collect(),
        }
    }

    fn completed_by(&self, active: &Active, answer: &Answer) -> Record {
        Record::Completed {
            attempt: active.attempt.id.clone(),
            completion: Completion::Person(self.decision(answer)),
        }
    }

    fn decision(&self, answer: &Answer) -> Decision {
        Decision {
            hold: answer.hold,
            by: answer.by.clone(),
            note: answer.note.clone(),
            at: self.at,
        }
    }

    /// The same work is reviewed again, and gated, under the contract as it is now. Of a target that is
    /// red one question is asked, so the answer holds for all that wait for it.
    fn adopted(&self, attempt: Option<&Active>, held: &Held) -> Vec<Record> {
        let asked = attempt.zip(held.hold.redefined.clone());
        let mut adopted: Vec<_> = asked.into_iter().collect();
        if matches!(held.hold.about, HoldReason::TipRed { .. }) {
            let others = self.state.stuck().filter_map(|active| {
                let id = &active.attempt.id.task;
                let task = &self.state.task(id)?.task;
                let redefined = self.redefinition(active, task, &held.hold.about)?;
                let other = self.state.tasks.in_the_way(id, &redefined.contract);
                other.is_none().then_some((active, redefined))
            });
            adopted.extend(others);
        }
        let records = adopted.into_iter().flat_map(|(active, redefined)| {
            let attempt = active.attempt.id.clone();
            let adopted = Record::ContractAdopted {
                attempt: attempt.clone(),
                contract: redefined.contract,
            };
            [adopted, Record::ReviewDue { attempt }]
        });
        records.collect()
    }

    fn agent_again(&self, held: &Held) -> Option<Record> {
        let HoldReason::Agent { agent, trouble } = &held.hold.about else {
            return None;
        };
        Some(Record::AgentRecovered {
            agent: agent.clone(),
            at: self.at,
            from: Some(trouble.clone()),
        })
    }

    fn parked_by(
        &self,
        entry: &TaskEntry,
        attempt: Option<&Active>,
        answer: &Answer,
    ) -> Vec<Record> {
        let note = &answer.note;
        let cause = || EndCause::Parked { note: note.clone() };
        let ended = attempt.map(|active| self.attempt_ended(active, cause(), true, None));
        let parked = Record::Parked {
            task: entry.task.id.clone(),
            reason: ParkReason::Person { note: note.clone() },
            hold: Some(answer.hold),
        };
        ended.into_iter().chain([parked]).collect()
    }

    /// A person wants the session to go on that was cut off, or another attempt where it cannot.
    fn goes_on_after(
        &self,
        entry: &TaskEntry,
        active: &Active,
        note: Option<&str>,
    ) -> Option<Record> {
        let attempt = &active.attempt;
        let ended = attempt.ended.as_ref()?;
        if self.may_go_on(entry, active) {
            let note = note.map(str::to_owned);
            return Some(self.continued(active, ended, attempt.head, note));
        }
        let left = attempt.head.map(|head| Predecessor {
            head,
            tip: attempt.base,
            obstacle: Obstacle::Unfinished,
        });
        Some(self.ended_by_a_person(active, note, left))
    }

    fn ended_by_a_person(
        &self,
        active: &Active,
        note: Option<&str>,
        left: Option<Predecessor>,
    ) -> Record {
        let note = note.map(str::to_owned);
        self.attempt_ended(active, EndCause::Person { note }, true, left)
    }
}

/// A person has spoken about what a limit, or a repetition, was reached by: it counts from zero.
fn limits_reset(entry: &TaskEntry, about: &HoldReason) -> Option<Record> {
    let budget = matches!(about, HoldReason::Exhausted { .. });
    let rejections = budget || matches!(about, HoldReason::Repeated { .. });
    rejections.then(|| Record::LimitsReset {
        task: entry.task.id.clone(),
        rejections,
        budget,
        failovers: false,
    })
}

/// What the next attempt is told, where one follows.
fn advice(entry: &TaskEntry, held: &Held, answer: &Answer) -> Option<Record> {
    let about = &held.hold.about;
    let begins = match &held.then {
        // What is said of an agent is nothing for its next attempt.
        Then::Wait(_) => !matches!(about, HoldReason::Agent { .. }),
        Then::Resume(_) => {
            consequence(&held.hold, answer.option) == Some(Consequence::AnotherAttempt)
        }
        Then::Landed(_) => false,
    };
    let advice = answer.note.clone().filter(|_| begins)?;
    let task = entry.task.id.clone();
    Some(Record::Advised { task, advice })
}

/// The files that a question is about.
fn files(about: &HoldReason) -> &[PrivilegedPath] {
    if let HoldReason::Authority { paths } = about {
        paths
    } else {
        &[]
    }
}

/// The items that an answer is about: those that it names, or all.
fn named<'a>(items: &'a [HoldItem], answer: &'a Answer) -> impl Iterator<Item = &'a HoldItem> {
    items
        .iter()
        .filter(|item| answer.items.is_empty() || answer.items.contains(&item.what().to_string()))
}
