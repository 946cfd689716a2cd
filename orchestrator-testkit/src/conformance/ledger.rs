//! What every [`Ledger`] must do.

use std::{fmt::Debug, sync::Arc};

use orchestrator_core::{
    model::{CommitId, Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Sequence},
};

use super::{Checked, Opener, Violation, must, polled_once, suite};

/// How ledgers of this kind are opened.
pub trait LedgerFixture: Debug + Send + Sync {
    /// A new, empty ledger, which can be opened again and again: each call gives a handle of its own to the same records, as
    /// another process would have.
    fn place(&self) -> Opener<dyn Ledger>;
}

suite! { $ ledger_conformance in ledger: LedgerFixture;
    /// A ledger has an id, the same in every opening, and no other ledger has it.
    a_ledger_has_an_id_of_its_own,
    /// An empty ledger has no records, and the next is the first.
    an_empty_ledger_begins_at_one,
    /// What was appended is read, in its order, with its numbers and times.
    what_was_appended_is_read,
    /// A part of it can be read, and what lies beyond its end is nothing.
    a_part_can_be_read,
    /// Records come back as they were, whatever is in them.
    records_come_back_as_they_were,
    /// Another handle sees what was appended.
    another_handle_sees_what_was_appended,
    /// Each opening has an epoch of its own, greater than all before.
    each_opening_has_a_greater_epoch,
    /// Who was overtaken is refused, and changes nothing.
    who_was_overtaken_is_refused,
    /// An epoch that was never given is refused.
    an_epoch_that_was_never_given_is_refused,
    /// A batch that does not follow what is there is refused, and changes nothing.
    a_batch_that_does_not_follow_is_refused,
    /// Of many who expect the same number, one appends.
    of_many_with_one_expectation_one_appends,
    /// A batch is there whole or not at all, also when the call was dropped.
    a_dropped_append_is_whole_or_nothing,
    /// An empty batch changes nothing.
    an_empty_batch_changes_nothing,
}

/// A record that says something.
fn said(text: &str) -> Record {
    let tip: CommitId = "0123456789abcdef0123456789abcdef01234567"
        .parse()
        .expect("an id");
    Record::RoadmapRefused {
        tip,
        why: text.to_owned(),
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp(1_790_000_000_000 + millis)
}

async fn all(ledger: &dyn Ledger) -> Result<Vec<LedgerEntry>, Violation> {
    Ok(ledger.read(Sequence(1), usize::MAX).await?)
}

/// A ledger with these texts in it, one batch each.
async fn with(
    fixture: &dyn LedgerFixture,
    texts: &[&str],
) -> Result<(Opener<dyn Ledger>, Arc<dyn Ledger>, Epoch, Sequence), Violation> {
    let place = fixture.place();
    let ledger = place();
    let opening = ledger.open().await?;
    let mut next = opening.next;
    for text in texts {
        next = ledger
            .append(opening.epoch, next, at(0), &[said(text)])
            .await?;
    }
    Ok((place, ledger, opening.epoch, next))
}

async fn a_ledger_has_an_id_of_its_own(fixture: &dyn LedgerFixture) -> Checked {
    let place = fixture.place();
    let first = place().open().await?.ledger;
    let again = place().open().await?.ledger;
    must(first == again, || {
        format!("opened again, ledger {first} is {again}")
    })?;
    let other = fixture.place()().open().await?.ledger;
    must(first != other, || {
        format!("another ledger has the id {first} as well")
    })
}

async fn an_empty_ledger_begins_at_one(fixture: &dyn LedgerFixture) -> Checked {
    let place = fixture.place();
    let ledger = place();
    let opening = ledger.open().await?;
    must(
        opening.next == Sequence(1) && opening.mended.is_none(),
        || format!("a new ledger opens as {opening:?}"),
    )?;
    let entries = all(&*ledger).await?;
    must(entries.is_empty(), || {
        format!("a new ledger holds {entries:?}")
    })
}

async fn what_was_appended_is_read(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, next) = with(fixture, &[]).await?;
    let next = ledger
        .append(epoch, next, at(1), &[said("a"), said("b")])
        .await?;
    must(next == Sequence(3), || {
        format!("after two records the next is {next:?}")
    })?;
    let next = ledger.append(epoch, next, at(2), &[said("c")]).await?;
    must(next == Sequence(4), || {
        format!("after three records the next is {next:?}")
    })?;
    let expected =
        [("a", 1, 1), ("b", 2, 1), ("c", 3, 2)].map(|(text, sequence, time)| LedgerEntry {
            sequence: Sequence(sequence),
            at: at(time),
            record: said(text),
        });
    let read = all(&*ledger).await?;
    must(read == expected, || format!("it reads {read:?}"))
}

async fn a_part_can_be_read(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, ..) = with(fixture, &["a", "b", "c", "d"]).await?;
    for (from, limit, expected) in [
        (2, 2, vec![2, 3]),
        (4, 10, vec![4]),
        (5, 10, vec![]),
        (9, 1, vec![]),
        (1, 0, vec![]),
    ] {
        let read: Vec<_> = ledger
            .read(Sequence(from), limit)
            .await?
            .into_iter()
            .map(|entry| entry.sequence.0)
            .collect();
        must(read == expected, || {
            format!("from {from}, at most {limit}: it reads {read:?}")
        })?;
    }
    Ok(())
}

async fn records_come_back_as_they_were(fixture: &dyn LedgerFixture) -> Checked {
    let long = "long ".repeat(300_000);
    let texts = [
        "",
        "two\nlines\r\n",
        "\"quoted\" \\ and {\"json\": true}",
        "naïve, 日本語, \u{1f980}",
        "\u{0}\u{1b}\u{7f}\u{2028}",
        &long,
    ];
    let (place, ledger, ..) = with(fixture, &texts).await?;
    for ledger in [ledger, place()] {
        let read = all(&*ledger).await?;
        must(read.len() == texts.len(), || {
            format!("of {} records it reads {}", texts.len(), read.len())
        })?;
        for (entry, text) in read.iter().zip(texts) {
            must(entry.record == said(text), || {
                format!(
                    "`{}` comes back otherwise",
                    text.chars().take(40).collect::<String>().escape_debug()
                )
            })?;
        }
    }
    Ok(())
}

async fn another_handle_sees_what_was_appended(fixture: &dyn LedgerFixture) -> Checked {
    let (place, ledger, epoch, next) = with(fixture, &["a"]).await?;
    let other = place();
    let before = all(&*other).await?;
    must(before.len() == 1, || {
        format!("another handle reads {before:?}")
    })?;
    ledger.append(epoch, next, at(1), &[said("b")]).await?;
    let after = all(&*other).await?;
    must(after.len() == 2, || {
        format!("a handle that was there before reads {after:?}")
    })?;
    drop(ledger);
    let opening = place().open().await?;
    must(opening.next == Sequence(3), || {
        format!(
            "when it was closed and opened again the next is {:?}",
            opening.next
        )
    })
}

async fn each_opening_has_a_greater_epoch(fixture: &dyn LedgerFixture) -> Checked {
    let place = fixture.place();
    let mut before = Epoch(0);
    for turn in 0..4 {
        let epoch = place().open().await?.epoch;
        must(epoch > before, || {
            format!("opening {turn} has {epoch:?}, after {before:?}")
        })?;
        before = epoch;
    }
    Ok(())
}

async fn who_was_overtaken_is_refused(fixture: &dyn LedgerFixture) -> Checked {
    let (place, ledger, epoch, next) = with(fixture, &["a"]).await?;
    let other = place();
    let taken = other.open().await?;
    let refused = ledger.append(epoch, next, at(1), &[said("late")]).await;
    must(matches!(refused, Err(LedgerError::Fenced)), || {
        format!("who was overtaken was told {refused:?}")
    })?;
    let through = other.append(epoch, next, at(1), &[said("late")]).await;
    must(matches!(through, Err(LedgerError::Fenced)), || {
        format!("the old epoch, through the new handle, was told {through:?}")
    })?;
    let next = other
        .append(taken.epoch, taken.next, at(2), &[said("b")])
        .await?;
    must(next == Sequence(3), || {
        format!("who took over goes on at {next:?}")
    })
}

async fn an_epoch_that_was_never_given_is_refused(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, next) = with(fixture, &["a"]).await?;
    let refused = ledger
        .append(Epoch(epoch.0 + 1), next, at(1), &[said("x")])
        .await;
    must(refused.is_err(), || {
        format!("an epoch that nobody was given was told {refused:?}")
    })?;
    let entries = all(&*ledger).await?.len();
    must(entries == 1, || format!("and {entries} records are there"))
}

async fn a_batch_that_does_not_follow_is_refused(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, next) = with(fixture, &["a", "b"]).await?;
    for wrong in [next.0 - 1, next.0 + 1, 1, 0] {
        let refused = ledger
            .append(epoch, Sequence(wrong), at(1), &[said("x")])
            .await;
        must(matches!(refused, Err(LedgerError::Conflict { .. })), || {
            format!("{wrong}, where {next:?} follows, was told {refused:?}")
        })?;
    }
    let entries = all(&*ledger).await?.len();
    must(entries == 2, || format!("and {entries} records are there"))
}

async fn of_many_with_one_expectation_one_appends(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, next) = with(fixture, &["a"]).await?;
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                ledger
                    .append(
                        epoch,
                        next,
                        at(1),
                        &[said(&number.to_string()), said("and more")],
                    )
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut appended = 0;
    for writer in writers {
        appended += usize::from(writer.await?);
    }
    must(appended == 1, || {
        format!("{appended} of 8 were told that they have appended")
    })?;
    let entries = all(&*ledger).await?;
    let numbers: Vec<_> = entries.iter().map(|entry| entry.sequence.0).collect();
    must(numbers == [1, 2, 3], || {
        format!("the records are {numbers:?}")
    })
}

async fn a_dropped_append_is_whole_or_nothing(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, mut next) = with(fixture, &["a"]).await?;
    for round in 0..20 {
        let batch = [said("x"), said("y"), said("z")];
        polled_once(ledger.append(epoch, next, at(round), &batch)).await;
        // What the call left running, if anything, is over when a batch of our own was taken or refused.
        let probe = ledger
            .append(epoch, next, at(round), &[said("probe")])
            .await;
        let entries = all(&*ledger).await?;
        let added = entries.len() as u64 + 1 - next.0;
        let fine = if probe.is_ok() {
            added == 1
        } else {
            added == 3
        };
        must(fine, || {
            format!(
                "after an append that was dropped, {added} records are there, and the next batch was told {probe:?}"
            )
        })?;
        next = Sequence(entries.len() as u64 + 1);
    }
    Ok(())
}

async fn an_empty_batch_changes_nothing(fixture: &dyn LedgerFixture) -> Checked {
    let (_place, ledger, epoch, next) = with(fixture, &["a"]).await?;
    let same = ledger.append(epoch, next, at(1), &[]).await?;
    let entries = all(&*ledger).await?.len();
    must(same == next && entries == 1, || {
        format!("after an empty batch the next is {same:?}, and {entries} records are there")
    })
}
