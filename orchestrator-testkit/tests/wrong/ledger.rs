//! Wrong ledgers.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use orchestrator_core::{
    model::{LedgerId, Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, Sequence},
    store::MemoryLedger,
};
use orchestrator_testkit::conformance::{
    Opener,
    ledger::{CLAUSES, LedgerFixture, check},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    IsAnotherEachTime,
    BeginsAtZero,
    ReadsBackwards,
    IgnoresTheLimit,
    TrimsTexts,
    KeepsToItself,
    AlwaysTheSameEpoch,
    LetsTheOvertakenWrite,
    TakesAnyEpoch,
    AppendsWhateverIsExpected,
    ChecksThenAppends,
    WritesOneByOne,
    RecordsEmptyBatches,
}

#[test]
fn each_clause_of_the_ledger_suite_catches_a_fault() {
    use Fault::*;
    let faults = [
        ("a_ledger_has_an_id_of_its_own", IsAnotherEachTime),
        ("an_empty_ledger_begins_at_one", BeginsAtZero),
        ("what_was_appended_is_read", ReadsBackwards),
        ("a_part_can_be_read", IgnoresTheLimit),
        ("records_come_back_as_they_were", TrimsTexts),
        ("another_handle_sees_what_was_appended", KeepsToItself),
        ("each_opening_has_a_greater_epoch", AlwaysTheSameEpoch),
        ("who_was_overtaken_is_refused", LetsTheOvertakenWrite),
        ("an_epoch_that_was_never_given_is_refused", TakesAnyEpoch),
        (
            "a_batch_that_does_not_follow_is_refused",
            AppendsWhateverIsExpected,
        ),
        (
            "of_many_with_one_expectation_one_appends",
            ChecksThenAppends,
        ),
        ("a_dropped_append_is_whole_or_nothing", WritesOneByOne),
        ("an_empty_batch_changes_nothing", RecordsEmptyBatches),
    ];
    super::caught(CLAUSES, &faults, |clause, fault, deadline| {
        check(clause, &Bent(fault), deadline)
    });
}

#[derive(Debug)]
struct Bent(Fault);

impl LedgerFixture for Bent {
    fn place(&self) -> Opener<dyn Ledger> {
        let fault = self.0;
        let shared = Arc::new(MemoryLedger::default());
        Box::new(move || {
            let inner = if fault == Fault::KeepsToItself {
                Arc::default()
            } else {
                Arc::clone(&shared)
            };
            Arc::new(BentLedger {
                inner,
                fault,
                newest: Mutex::default(),
            })
        })
    }
}

#[derive(Debug)]
struct BentLedger {
    inner: Arc<MemoryLedger>,
    fault: Fault,
    /// The newest epoch that it knows of.
    newest: Mutex<u64>,
}

impl BentLedger {
    /// What follows, and who may write, told by who asks.
    async fn append_as_newest(
        &self,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let opening = self.inner.open().await?;
        *self.newest.lock().expect("no panic") = opening.epoch.0;
        self.inner
            .append(opening.epoch, opening.next, at, records)
            .await
    }
}

#[async_trait]
impl Ledger for BentLedger {
    async fn open(&self) -> Result<Opening, LedgerError> {
        let mut opening = self.inner.open().await?;
        match self.fault {
            Fault::IsAnotherEachTime => opening.ledger = LedgerId::random(),
            Fault::BeginsAtZero => opening.next.0 -= 1,
            Fault::AlwaysTheSameEpoch => opening.epoch = Epoch(1),
            _ => {}
        }
        Ok(opening)
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        match self.fault {
            Fault::LetsTheOvertakenWrite
            | Fault::TakesAnyEpoch
            | Fault::AppendsWhateverIsExpected => self.append_as_newest(at, records).await,
            Fault::ChecksThenAppends => {
                let next = self.inner.read(Sequence(1), usize::MAX).await?.len() as u64 + 1;
                tokio::task::yield_now().await;
                if next == expected.0 {
                    self.append_as_newest(at, records).await
                } else {
                    Err(LedgerError::Fenced)
                }
            }
            Fault::WritesOneByOne => {
                let mut next = expected;
                for record in records {
                    next = self
                        .inner
                        .append(epoch, next, at, std::slice::from_ref(record))
                        .await?;
                    tokio::task::yield_now().await;
                }
                Ok(next)
            }
            Fault::RecordsEmptyBatches if records.is_empty() => {
                let record = Record::RoadmapRefused {
                    tip: "0".repeat(40).parse().expect("an id"),
                    why: String::new(),
                };
                self.inner.append(epoch, expected, at, &[record]).await
            }
            Fault::TrimsTexts => {
                let trimmed = records.iter().cloned().map(|record| match record {
                    Record::RoadmapRefused { tip, why } => Record::RoadmapRefused {
                        tip,
                        why: why.trim().to_owned(),
                    },
                    other => other,
                });
                self.inner
                    .append(epoch, expected, at, &trimmed.collect::<Vec<_>>())
                    .await
            }
            _ => self.inner.append(epoch, expected, at, records).await,
        }
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let limit = if self.fault == Fault::IgnoresTheLimit {
            usize::MAX
        } else {
            limit
        };
        let mut entries = self.inner.read(from, limit).await?;
        if self.fault == Fault::ReadsBackwards {
            entries.reverse();
        }
        Ok(entries)
    }
}
