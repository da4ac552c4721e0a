//! Rule 3 by table, and against voters that live through random histories: what is said to be no majority is none.

use std::time::Duration;

use liveness::Moment;
use liveness::profile::STANDARD;
use liveness::quorum::{Beside, LOOK_EVERY, Look, Member, Report, Told, Word, least, no_majority};
use proptest::prelude::*;

/// Of the voters, milliseconds.
const ELECTION: u64 = 500;

fn at(ms: u64) -> Moment {
    Moment::since_boot(Duration::from_millis(ms))
}

fn report(member: Member, word: Word, since: u64, until: u64) -> Option<Report> {
    Some(Report { word, member: Some(member), since: at(since), until: at(until), lost: None })
}

/// A name, what is known of the voters, until when nobody had a majority.
type Case = (&'static str, Vec<Option<Report>>, Option<u64>);

fn judge(reports: &[Option<Report>]) -> Option<Moment> {
    let voters: Vec<_> = reports.iter().map(|one| [*one, None]).collect();
    no_majority(&voters, least(&STANDARD)).map(|span| span.until)
}

#[test]
fn a_blocking_set_without_leader_for_longer_than_the_gap_counts_and_nothing_less() {
    use Word::{Gone, Leaderless, Names, Still};
    let long = |member, word| report(member, word, 1_000, 4_000);
    let cases: [Case; 14] = [
        ("two of three are gone", vec![long(1, Gone), long(2, Gone), None], Some(4_000)),
        ("all are frozen", vec![long(1, Still), long(2, Still), long(3, Still)], Some(4_000)),
        ("one of three", vec![long(1, Gone), None, None], None),
        ("one of two", vec![long(1, Leaderless), None], Some(4_000)),
        ("one of one", vec![long(1, Leaderless)], Some(4_000)),
        ("two of four", vec![long(1, Gone), long(2, Leaderless), None, None], Some(4_000)),
        ("two of five", vec![long(1, Gone), long(2, Gone), None, None, None], None),
        ("nobody says anything", vec![None, None, None], None),
        ("a stale leader that is gone", vec![long(1, Gone), long(2, Names(1)), None], Some(4_000)),
        (
            "a stale leader that has stepped down",
            vec![long(1, Leaderless), long(2, Names(1)), long(3, Names(1))],
            Some(4_000),
        ),
        ("a leader that nobody looked at", vec![None, long(2, Names(1)), long(3, Names(1))], None),
        (
            "a leader that leads two",
            vec![long(1, Names(1)), long(2, Names(1)), long(3, Gone)],
            None,
        ),
        (
            "too short a time in common",
            vec![report(1, Gone, 1_000, 3_500), report(2, Gone, 2_500, 4_000), None],
            None,
        ),
        (
            "until the first of them",
            vec![report(1, Gone, 1_000, 3_500), report(2, Gone, 2_000, 4_000), None],
            Some(3_500),
        ),
    ];
    for (name, reports, wanted) in cases {
        assert_eq!(judge(&reports), wanted.map(at), "{name}");
    }
    assert_eq!(no_majority(&[], least(&STANDARD)), None);
}

fn look(word: Word, term: u64, process: u64, ms: u64) -> Look {
    Look { word, member: Some(1), term, process, began: at(ms), ended: at(ms + 5) }
}

#[test]
fn looks_become_spans_where_nothing_can_have_happened_between() {
    use Word::{Gone, Leaderless, Names, Still};
    let spans = |looks: &[Look]| {
        let mut beside = Beside::new();
        looks.iter().for_each(|one| beside.look(Some(*one)));
        beside.report().map(|r| (r.since, r.until))
    };
    let one = look(Leaderless, 3, 7, 1_000);
    assert_eq!(spans(&[one]), Some((at(1_005), at(1_000))), "one look is no span");
    let lost = [look(Names(2), 3, 7, 2_000), look(Leaderless, 3, 7, 2_100)];
    assert_eq!(spans(&lost), Some((at(1_605), at(2_100))), "lost by a whole time-out");
    let restarted = [look(Names(2), 3, 7, 2_000), look(Leaderless, 3, 8, 2_100)];
    assert_eq!(spans(&restarted), Some((at(2_105), at(2_100))), "another process");
    let voted = [look(Names(2), 3, 7, 2_000), look(Leaderless, 4, 7, 2_100)];
    assert_eq!(spans(&voted), Some((at(2_105), at(2_100))), "another election");
    let again =
        [look(Leaderless, 3, 7, 2_000), look(Leaderless, 3, 7, 2_300), look(Names(2), 3, 7, 2_400)];
    assert_eq!(spans(&again), Some((at(2_405), at(2_400))), "an old leader's late sign of life");
    let mut beside = Beside::new();
    again.iter().for_each(|one| beside.look(Some(*one)));
    for ms in (2_700..=3_100).step_by(200) {
        beside.look(Some(look(Names(2), 3, 7, ms)));
    }
    let late = beside.report().expect("seen");
    assert_eq!(late.lost, Some((at(2_005), at(2_300))));
    let led = report(2, Leaderless, 1_000, 3_050);
    assert_eq!(judge(&[Some(late), led, None]), Some(at(3_050)), "its leader leads nobody");
    let leads = report(2, Names(2), 1_000, 3_050);
    assert_eq!(judge(&[Some(late), leads, report(3, Gone, 0, 4_000)]), None);
    let died = [look(Leaderless, 3, 7, 1_000), look(Gone, 0, 7, 1_100), look(Gone, 0, 7, 1_200)];
    assert_eq!(
        spans(&died),
        Some((at(1_105), at(1_200))),
        "it may have won a leader before it died"
    );
    let back = [look(Gone, 0, 7, 1_000), look(Leaderless, 3, 8, 1_100)];
    assert_eq!(spans(&back), Some((at(1_005), at(1_100))), "who starts has no leader");
    let anew = [look(Gone, 0, 7, 1_000), look(Gone, 0, 8, 1_100)];
    assert_eq!(spans(&anew), Some((at(1_105), at(1_100))), "another one ran between");
    let away = [look(Leaderless, 3, 7, 1_000), look(Leaderless, 3, 7, 1_500)];
    assert_eq!(spans(&away), Some((at(1_505), at(1_500))), "nobody looked between");
    let frozen = |began, ended| Look { began: at(began), ended: at(ended), ..look(Still, 0, 7, 0) };
    assert_eq!(spans(&[frozen(1_000, 1_100), frozen(1_000, 1_400)]), Some((at(1_000), at(1_400))));
    assert_eq!(
        spans(&[frozen(1_000, 1_100), frozen(1_101, 1_400)]),
        Some((at(1_101), at(1_400))),
        "it moved between"
    );
    let mut beside = Beside::new();
    beside.look(Some(one));
    beside.look(None);
    assert_eq!(beside.report(), None, "a look that taught nothing");
}

#[test]
fn what_is_told_is_older_by_the_way_it_took() {
    let ms = Duration::from_millis;
    let lost = Some((ms(3_000), ms(2_100)));
    let (word, member) = (Word::Names(2), Some(1));
    let told = Told { word, member, since: ms(2_000), until: ms(50), lost };
    let heard = Report::heard(&told, at(9_700), at(10_000));
    assert_eq!((heard.since, heard.until), (at(8_000), at(9_650)));
    assert_eq!(heard.lost, Some((at(7_000), at(7_600))));
    assert_eq!(heard.told(at(10_000)).since, ms(2_000));
}

/// A stretch of a voter's life.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    word: Word,
    term: u64,
    process: u64,
    from: u64,
    to: u64,
    /// Up to then it answers whom it names.
    answers_to: u64,
}

/// How a stretch goes on: which kind of end, how long it lasts, whom it names next.
type Turn = (u8, u64, u64);

fn life(first: Member, turns: &[Turn]) -> Vec<Stretch> {
    let mut out = Vec::new();
    let (mut word, mut term, mut process, mut from) = (Word::Names(first), 1, 1, 0);
    for (kind, lasts, next) in turns {
        let to = from + lasts;
        let (now, ran) = (term, process);
        let mut answers_to = from;
        let following = match word {
            Word::Names(_) => {
                answers_to = to;
                match kind % 4 {
                    // A leader is lost by a whole election time-out.
                    0 if *lasts > ELECTION => {
                        answers_to = to - ELECTION;
                        Word::Leaderless
                    }
                    0 | 1 => Word::Gone,
                    2 => Word::Still,
                    _ => {
                        term += 1;
                        Word::Names(*next)
                    }
                }
            }
            Word::Gone => {
                process += 1;
                Word::Leaderless
            }
            // It goes on as it was, or finds that another leads by now.
            Word::Still if kind % 2 == 0 => out.last().map_or(word, |s: &Stretch| s.word),
            Word::Still => {
                term += 1;
                Word::Names(*next)
            }
            Word::Leaderless if kind % 3 == 0 => Word::Gone,
            Word::Leaderless => {
                // A term has one leader.
                let named = out.iter().rev().find_map(|s: &Stretch| match s.word {
                    Word::Names(leader) if s.term == term => Some(leader),
                    _ => None,
                });
                if named.is_some_and(|leader| leader != *next) {
                    term += 1;
                }
                Word::Names(*next)
            }
        };
        let gone = word == Word::Gone;
        out.push(Stretch {
            word,
            term: if gone { 0 } else { now },
            process: ran,
            from,
            to,
            answers_to,
        });
        word = following;
        from = to;
    }
    out
}

fn during(life: &[Stretch], ms: u64) -> Option<&Stretch> {
    life.iter().find(|s| s.from <= ms && ms < s.to)
}

/// Whom this voter gives a leader's answers at that moment.
fn answers(life: &[Stretch], ms: u64) -> Option<Member> {
    let stretch = during(life, ms)?;
    match stretch.word {
        Word::Names(leader) if ms < stretch.answers_to => Some(leader),
        _ => None,
    }
}

fn has_majority(lives: &[Vec<Stretch>], ms: u64) -> bool {
    (1..=lives.len() as u64).any(|leader| {
        let own = usize::try_from(leader - 1).expect("small");
        answers(&lives[own], ms) == Some(leader)
            && lives.iter().filter(|life| answers(life, ms) == Some(leader)).count()
                > lives.len() / 2
    })
}

fn lives() -> impl Strategy<Value = Vec<Vec<Stretch>>> {
    (2_usize..=5).prop_flat_map(|n| {
        let lasts = prop_oneof![20_u64..400, 600_u64..4_000];
        let turn = (any::<u8>(), lasts, 1..=n as u64);
        let one = proptest::collection::vec(turn, 6..20);
        proptest::collection::vec(one, n)
            .prop_map(|all| all.iter().map(|turns| life(1, turns)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever voters live through, and however reports travel: nobody had a majority at the moment that is named, nor
    /// for the gap before it.
    #[test]
    fn nobody_had_a_majority_when_it_is_said(
        lives in lives(),
        delays in proptest::collection::vec((0_u64..90, 0_u64..250, 0_u64..250, any::<u8>()), 64),
    ) {
        let mut besides: Vec<Beside> =
            lives.iter().map(|_| Beside::new()).collect();
        let mut heard: Vec<[Option<Report>; 2]> = vec![[None; 2]; lives.len()];
        let mut draw = delays.iter().cycle();
        let step = u64::try_from(LOOK_EVERY.as_millis()).expect("short");
        for round in 1..100 {
            let now = round * step;
            for (n, life) in lives.iter().enumerate() {
                let (takes, there, back, luck) = *draw.next().expect("endless");
                if luck < 20 {
                    besides[n].look(None);
                } else if luck > 30 {
                    // The answer is of some moment of the look; being still needs the whole look.
                    let of = now + takes * u64::from(luck) / 255;
                    let found = during(life, of).filter(|s| {
                        s.word != Word::Still || (s.from <= now && now + takes < s.to)
                    });
                    besides[n].look(found.map(|s| Look {
                        word: s.word,
                        member: Some(n as u64 + 1),
                        term: s.term,
                        process: s.process,
                        began: at(now),
                        ended: at(now + takes),
                    }));
                }
                // Sent when the look was over; what it echoes was sent before that, and it arrives later.
                let sent = now + takes;
                if let Some(report) = besides[n].report().filter(|_| luck % 5 != 0) {
                    let told = report.told(at(sent));
                    let echoed = at(sent.saturating_sub(there));
                    heard[n] = [Some(Report::heard(&told, echoed, at(sent + back))), None];
                }
            }
            if let Some(span) = no_majority(&heard, least(&STANDARD)) {
                let ms = |m: Moment| u64::try_from(m.after_boot().as_millis()).expect("short");
                let (begin, end) = (ms(span.since), ms(span.until));
                prop_assert!(begin + 1_000 < end && end <= now + 100);
                for ms in begin..=end {
                    prop_assert!(!has_majority(&lives, ms), "a majority at {ms}, said none until {end}");
                }
            }
        }
    }
}

/// The property is not empty: histories in which nobody has a majority for long are seen as such.
#[test]
fn a_loss_of_two_voters_is_seen_within_a_second_and_a_half() {
    let mut besides = [Beside::new(); 3];
    let seen = (0..30_u64).map(|n| n * 100).find(|now| {
        let (now, words) = (*now, [Word::Gone, Word::Gone, Word::Names(1)]);
        for (n, beside) in besides.iter_mut().enumerate() {
            beside.look(Some(Look { member: Some(n as u64 + 1), ..look(words[n], 3, 7, now) }));
        }
        let voters = besides.map(|b| [b.report(), None]);
        no_majority(&voters, least(&STANDARD)).is_some()
    });
    assert!(seen.is_some_and(|ms| ms <= 1_500), "{seen:?}");
}
