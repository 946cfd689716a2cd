//! The landing lane: which candidate is built, which gate runs on which tree, and what follows from their reports.
//!
//! One gate runs at a time, on a tree: a candidate's, or the tip's own. What gates said is looked up in
//! one book, whoever asked for it.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    context::{Context, IllegalEvent},
    entry::{Active, Attempt, TaskEntry},
    follow::Source,
    plan::Plan,
    state::State,
    step::{Asked, Checked, Reviewed, Step},
    tasks::List,
    verdict::{CandidateCase, candidate_verdict, red_findings},
};
use crate::model::{
    Acceptance, AttemptId, Change, Effect, EffectId, EndCause, Finding, Findings, GateHead,
    GateOutcome, GateReport, GateSpec, Grant, Granted, HandoffReport, HoldItem, HoldReason,
    Landing, Obstacle, Predecessor, Record, RedGate, RunMode, Severity, Submission, TreeId,
    Verdict,
};

/// The only directory in which gates run.
const SLOT: u32 = 0;

/// What is known of a candidate.
enum Judgement {
    /// This gate has yet to run on its tree.
    Lacks(GateSpec),
    /// It is red, and this gate has yet to run on the tip by itself.
    LacksTip(GateSpec),
    /// All of it, and this follows.
    Follows(Vec<Record>),
}

impl State {
    /// What a gate said of the target's tip; `None` also where the tip's tree is not known.
    #[must_use]
    pub fn tip_report(&self, gate: &GateSpec) -> Option<&GateReport> {
        self.gates.get(self.tip_tree?, gate)
    }

    /// What gates said of the target's tip.
    #[must_use]
    pub fn tip_reports(&self) -> &[GateReport] {
        self.tip_tree.map_or(&[], |tree| self.gates.of(tree))
    }

    /// What gates said of an attempt's candidate: of the one in the lane, or of the last one.
    #[must_use]
    pub fn candidate_reports(&self, active: &Active) -> &[GateReport] {
        active.step.tree().map_or(&[], |tree| self.gates.of(tree))
    }

    /// Whether an attempt waits for the lane and cannot be judged on this tip: a gate that failed on
    /// its candidate fails on the tip by itself.
    #[must_use]
    pub fn is_stuck(&self, active: &Active) -> bool {
        let Step::Merge {
            asked: Asked::Due,
            reviewed,
        } = &active.step
        else {
            return false;
        };
        let is_red = |gate: &GateSpec| self.tip_report(gate).is_some_and(|tip| !tip.passed());
        reviewed.red_gates(&active.attempt.contract).any(is_red)
    }

    /// The attempts that wait for the lane and cannot be judged, since the tip is itself red.
    pub(super) fn stuck(&self) -> impl Iterator<Item = &Active> {
        let listed = self.tasks.on(List::Stuck).filter_map(TaskEntry::active);
        listed.filter(|active| self.is_stuck(active))
    }
}

impl Plan<'_> {
    /// Who is let into the landing lane: the first that waits for it and can be judged on this tip.
    pub(super) fn next_in_lane(&self) -> Option<usize> {
        let state = self.cx.state;
        let tasks = &state.tasks;
        let taken = tasks.count(List::InLane) > 0 || state.gate_run.is_some();
        if taken || !self.may_ask_remote() || !self.knows_history() {
            return None;
        }
        tasks.places(List::Queued).find(|at| {
            let entry = &tasks.entries()[*at];
            entry.withdrawn.is_none()
                && entry.active().is_some_and(|active| !state.is_stuck(active))
        })
    }

    /// Builds a candidate. Where gates failed on an older tip by itself, they are asked about this one first: as long as one fails, no
    /// candidate can be judged.
    pub(super) fn enter_lane(&mut self, active: &Active, reviewed: &Reviewed) {
        let state = self.cx.state;
        let mut red = reviewed.red_gates(&active.attempt.contract);
        let unknown = red.find(|gate| state.tip_report(gate).is_none());
        if let (Some(gate), Some(tip), Some(tree)) = (unknown, state.tip, state.tip_tree) {
            return self.run_gate(tree, gate.clone(), GateHead::Tip(tip), None);
        }
        let Submission { base, head, .. } = *reviewed.work;
        let waivers = active.attempt.waivers.iter();
        let waived = waivers.filter_map(|waiver| match &waiver.item {
            HoldItem::Finding(finding) => Some(finding.id()),
            HoldItem::Claim { .. } | HoldItem::Reviewer { .. } => None,
        });
        self.request(Effect::Merge {
            attempt: active.attempt.id.clone(),
            base,
            head,
            contract: Arc::clone(&active.attempt.contract),
            waived: waived.collect(),
        });
    }

    /// Runs the next gate that a candidate needs, or judges it.
    pub(super) fn gate(&mut self, entry: &TaskEntry, active: &Active, checked: &Checked) {
        if self.cx.state.gate_run.is_some() {
            return;
        }
        let candidate = &checked.candidate;
        let (tip, head) = (candidate.tip, candidate.head);
        match self.cx.judge_candidate(entry, active, checked) {
            Judgement::Lacks(gate) => {
                let attempt = active.attempt.id.clone();
                let at = GateHead::Merge { tip, head };
                self.run_gate(candidate.tree, gate, at, Some(attempt));
            }
            Judgement::LacksTip(gate) => {
                self.run_gate(candidate.tip_tree, gate, GateHead::Tip(tip), None);
            }
            Judgement::Follows(records) => self.records.extend(records),
        }
    }

    fn run_gate(&mut self, tree: TreeId, gate: GateSpec, at: GateHead, of: Option<AttemptId>) {
        self.request(Effect::RunGate {
            tree,
            gate,
            at,
            candidate_of: of,
            slot: SLOT,
        });
    }

    /// Stops a gate that runs on a tree by which nothing is decided any more.
    pub(super) fn cancel_gate(&mut self) {
        let state = self.cx.state;
        let Some(running) = state.gate_run.filter(|running| !running.cancelled) else {
            return;
        };
        let lane = state.tasks.on(List::InLane).filter_map(TaskEntry::active);
        let mut candidates = lane.filter_map(|active| active.step.tree());
        let is_needed =
            state.tip_tree == Some(running.tree) || candidates.any(|tree| tree == running.tree);
        if !is_needed {
            self.request(Effect::CancelGate {
                gate: running.effect,
            });
        }
    }

    /// Asks for the next default gate on the target, where work has begun and the lane is free: what it says is known before a
    /// candidate fails on it. Whoever wants to land goes first: what gates say of the tree that lands is said of the tip as well.
    pub(super) fn baseline(&mut self) {
        let state = self.cx.state;
        let (Some(tip), Some(tree)) = (state.tip, state.tip_tree) else {
            return;
        };
        let wanted = state.run.as_ref().is_some_and(|run| run.baseline);
        let works = state.tasks.active().next().is_some();
        if !wanted || !works || state.mode != RunMode::Active || self.lane_is_taken() {
            return;
        }
        let by_default = self.cx.policy.gates.iter().filter(|(_, rule)| rule.default);
        let mut gates = by_default.map(|(name, rule)| rule.named(name, &self.cx.policy.setup));
        // Each is asked for once: what a later tip is worth is asked when a candidate fails on it.
        let is_due = |gate: &GateSpec| {
            state.tip_report(gate).is_none() && !state.baseline.contains(&gate.name)
        };
        if let Some(gate) = gates.find(is_due) {
            self.run_gate(tree, gate, GateHead::Tip(tip), None);
        }
    }

    /// Whether something is in the lane, or was let into it just now.
    fn lane_is_taken(&self) -> bool {
        let state = self.cx.state;
        let entered = self.records.iter().any(|record| {
            let Record::Requested { what, .. } = record else {
                return false;
            };
            matches!(what, Effect::Merge { .. } | Effect::RunGate { .. })
        });
        entered || state.gate_run.is_some() || state.tasks.count(List::InLane) > 0
    }

    /// Asks a person about a tip that is itself red: one question, however many attempts it keeps from landing.
    pub(super) fn ask_about_tip(&mut self) {
        let state = self.cx.state;
        let (Some(active), Some(tip)) = (state.stuck().next(), state.tip) else {
            return;
        };
        if state
            .holds()
            .any(|hold| matches!(hold.about, HoldReason::TipRed { .. }))
        {
            return;
        }
        let red = state.tip_reports().iter().filter(|report| !report.passed());
        let gates = red.map(|report| RedGate {
            gate: report.gate.name.clone(),
            outcome: report.outcome.clone(),
            lacked: report.lacked.clone(),
        });
        let gates = gates.collect();
        let about = HoldReason::TipRed { tip, gates };
        self.records
            .push(self.cx.ask(&active.attempt.id.task, about));
    }
}

impl Context<'_> {
    /// What follows from a gate that ran: its report is kept, whoever needs it.
    pub(super) fn gate_ran(
        &self,
        effect: EffectId,
        report: GateReport,
    ) -> Result<Vec<Record>, IllegalEvent> {
        self.closing(effect, |what| {
            let Effect::RunGate {
                tree,
                gate,
                candidate_of,
                ..
            } = what
            else {
                return None;
            };
            let is_of_this = report.tree == *tree && report.gate == *gate;
            is_of_this.then(|| {
                let candidate_of = candidate_of.clone();
                let report = Box::new(report);
                vec![Record::GateReported {
                    candidate_of,
                    report,
                }]
            })
        })
    }

    /// What follows from a gate that was stopped before it ended: it may be asked for again.
    pub(super) fn gate_cancelled(&self, effect: EffectId) -> Result<Vec<Record>, IllegalEvent> {
        match self.open(effect)? {
            None => Ok(vec![Record::Stale { effect }]),
            Some(Effect::RunGate { .. }) => Ok(vec![Record::Closed {
                effect,
                interrupted: true,
            }]),
            Some(_) => Err(IllegalEvent::WrongKind(effect)),
        }
    }

    fn judge_candidate(&self, entry: &TaskEntry, active: &Active, checked: &Checked) -> Judgement {
        let (attempt, candidate) = (&active.attempt, &checked.candidate);
        let mut reports = Vec::new();
        for gate in &attempt.contract.gates {
            match self.state.gates.get(candidate.tree, gate) {
                Some(report) => reports.push(report.clone()),
                None => return Judgement::Lacks(gate.clone()),
            }
        }
        let case = CandidateCase {
            contract: &attempt.contract,
            claimed: &attempt.claimed,
            reports: &reports,
            changes: &candidate.changes,
            authority: &self.policy.authority,
            of_task: &entry.grants,
            of_head: &attempt.grants,
            waivers: &attempt.waivers,
            observations: &attempt.observations,
        };
        match candidate_verdict(&case) {
            Verdict::Revise { .. }
            | Verdict::Reject { .. }
            | Verdict::GaveUp { .. }
            | Verdict::Blocked { .. } => self.red_candidate(entry, active, checked, &reports),
            Verdict::Escalate(question) => Judgement::Follows(self.hold_due(active, *question)),
            Verdict::Accept => Judgement::Follows(self.accepted(entry, active, checked, reports)),
        }
    }

    fn accepted(
        &self,
        entry: &TaskEntry,
        active: &Active,
        checked: &Checked,
        reports: Vec<GateReport>,
    ) -> Vec<Record> {
        let attempt = &active.attempt;
        let Checked {
            reviewed,
            candidate,
        } = checked;
        let risks = match &reviewed.work.handoff {
            HandoffReport::Read(handoff) => handoff.residual_risks.clone(),
            HandoffReport::Missing | HandoffReport::Broken { .. } => Vec::new(),
        };
        let acceptance = Acceptance {
            version: 1,
            attempt: attempt.id.clone(),
            contract: attempt.contract.hash(),
            head: candidate.head,
            tip: candidate.tip,
            tree: candidate.tree,
            reviews: reviewed.reviews.clone(),
            gates: reports,
            failover: attempt.failover.clone(),
            ended: attempt.ended.clone(),
            completion: attempt.completion.clone(),
            claimed: attempt.claimed.clone(),
            handoff: reviewed.work.handoff_hash,
            artifacts: reviewed.work.artifacts.clone(),
            residual_risks: risks,
            approvals: approvals(entry, attempt, &candidate.changes),
            waivers: attempt.waivers.clone(),
            observations: attempt.observations.clone(),
        };
        let run = self.state.run.as_ref();
        let run = run.map(|run| run.id.to_string()).unwrap_or_default();
        let landing = Landing {
            id: format!("{run}/{}/{}", attempt.id, self.state.last_effect + 1),
            subject: format!("{}: {}", attempt.id.task, attempt.contract.title),
            acceptance,
            at: self.at,
        };
        let judged = Record::Judged {
            attempt: attempt.id.clone(),
            head: candidate.head,
            verdict: Verdict::Accept,
            counted: Vec::new(),
        };
        let landing = Arc::new(landing);
        vec![judged, Record::Accepted { landing }]
    }

    /// Whether what a gate said of the tip by itself is nothing that a worker could make right.
    fn is_the_lanes(&self, on_tip: &GateReport) -> bool {
        let rule = self.policy.gates.get(&on_tip.gate.name);
        let by_default = rule.is_some_and(|rule| rule.default);
        let not_set_up = matches!(on_tip.outcome, GateOutcome::NotSetUp { .. });
        not_set_up || by_default && !on_tip.passed()
    }

    /// What follows from red gates on a candidate. Whose fault it is depends on the tip that it was built on, which is asked first.
    ///
    /// - A gate that applies by default must be green on the target. If it is not, the lane is at fault, not the worker.
    /// - A gate that cannot be set up on the target either is the lane's, whoever names it.
    /// - A gate that tasks name may be red until its task is done. If it is red on the tip too, the worker may mend that in its
    ///   workspace; when it cannot, a person is asked rather than another attempt made.
    /// - What is green on the tip, and red together with it, is the worker's to mend, unless its base is older than the tip.
    fn red_candidate(
        &self,
        entry: &TaskEntry,
        active: &Active,
        checked: &Checked,
        reports: &[GateReport],
    ) -> Judgement {
        let Checked {
            reviewed,
            candidate,
        } = checked;
        let attempt = active.attempt.id.clone();
        let tip = candidate.tip;
        if self.state.tip != Some(tip) {
            // The world has moved on meanwhile: another candidate tells more than this one.
            return Judgement::Follows(vec![Record::Queued { attempt }]);
        }
        let of_tip = |gate: &GateSpec| self.state.gates.get(candidate.tip_tree, gate);
        let red: Vec<&GateReport> = reports.iter().filter(|report| !report.passed()).collect();
        let mut on_tip = Vec::new();
        for report in &red {
            on_tip.extend(of_tip(&report.gate));
        }
        if on_tip.iter().any(|report| self.is_the_lanes(report)) {
            return tip_red(attempt, &red);
        }
        if let Some(unknown) = red.iter().find(|report| of_tip(&report.gate).is_none()) {
            return Judgement::LacksTip(unknown.gate.clone());
        }
        let mut findings = red_findings(reports);
        findings.extend(denied(&reviewed.work.handoff, &red));
        if on_tip.iter().all(|report| !report.passed()) {
            return if self.turn_left(entry, active) {
                Judgement::Follows(self.revise(entry, active, findings, Source::Gates))
            } else {
                tip_red(attempt, &red)
            };
        }
        if tip == active.attempt.base {
            return Judgement::Follows(self.revise(entry, active, findings, Source::Gates));
        }
        // Its worker does not have what it does not fit: another begins where it is.
        let cause = EndCause::RejectedOn {
            tip,
            findings: Findings::of(&findings),
        };
        let left = Predecessor {
            head: reviewed.work.head,
            tip,
            obstacle: Obstacle::Gates { findings },
        };
        Judgement::Follows(self.again(entry, active, cause, true, Some(left)))
    }
}

/// The attempt waits, since these gates are red without it as well.
fn tip_red(attempt: AttemptId, red: &[&GateReport]) -> Judgement {
    let gates = red.iter().map(|report| report.gate.name.clone());
    let gates = gates.collect();
    Judgement::Follows(vec![Record::TipRed { attempt, gates }])
}

/// Gates of which the worker says that they passed, and that are red here.
fn denied(handoff: &HandoffReport, red: &[&GateReport]) -> Vec<Finding> {
    let HandoffReport::Read(handoff) = handoff else {
        return Vec::new();
    };
    let is_red = |name: &str| red.iter().any(|report| report.gate.name.as_str() == name);
    let claimed = handoff.gates.iter();
    let claimed = claimed.filter(|gate| gate.passed && is_red(&gate.name));
    claimed
        .map(|gate| {
            let message = format!(
                "the handoff says that gate `{}` passed; on the merge result it is red",
                gate.name
            );
            Finding::new(Severity::Error, "handoff/gate", message)
        })
        .collect()
}

/// What a person has allowed of what is to land, in the order of their answers.
fn approvals(entry: &TaskEntry, attempt: &Attempt, changes: &[Change]) -> Vec<Grant> {
    let touched: BTreeSet<_> = changes.iter().flat_map(Change::touched).collect();
    let counts = |grant: &&Grant| match &grant.what {
        Granted::Change(path) => touched.contains(path),
        Granted::Dispatch | Granted::Landing | Granted::NoChange => true,
    };
    let of_both = entry.grants.iter().chain(&attempt.grants);
    let mut approvals: Vec<_> = of_both.filter(counts).cloned().collect();
    approvals.sort_by_key(|grant| grant.decision.hold);
    approvals
}
