//! Whatever VirtualDJ does to its files: every play once, in order.

use std::cell::RefCell;
use std::path::Path;

use jiff::tz::TimeZone;
use pika_publisher::sources::folder;
use pika_publisher::sources::virtualdj::history::{Format, is_list};
use pika_publisher::sources::virtualdj::reader::{CatchUp, Reader};
use proptest::prelude::*;

use crate::folder::NOW_MS;
use crate::writer::Writer;

#[derive(Debug, Clone)]
enum Act {
    Play {
        song: u32,
        cuts: Vec<usize>,
    },
    /// Several in one go, unseen in between.
    Plays(Vec<u32>),
    Truncating {
        song: u32,
        cut: usize,
    },
    Replace,
    OldList(u32),
    MoveOld,
    NextDay,
    Wait(i64),
    Look,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u32..4, proptest::collection::vec(0usize..200, 0..3)).prop_map(|(song, cuts)| Act::Play { song, cuts }),
        2 => proptest::collection::vec(0u32..4, 2..5).prop_map(Act::Plays),
        2 => (0u32..4, 0usize..2000).prop_map(|(song, cut)| Act::Truncating { song, cut }),
        1 => Just(Act::Replace),
        1 => (0u32..3).prop_map(Act::OldList),
        1 => Just(Act::MoveOld),
        1 => Just(Act::NextDay),
        1 => (0i64..5000).prop_map(Act::Wait),
        2 => Just(Act::Look),
        1 => Just(Act::Restart),
    ]
}

/// Reads a real folder by hand, and remembers what it was told as a journal would.
struct Follower<'a> {
    folder: &'a Path,
    reader: Reader,
    identities: Vec<String>,
    told: Vec<String>,
}

impl<'a> Follower<'a> {
    fn of(folder: &'a Path) -> Self {
        Self { folder, reader: Self::reader(Vec::new()), identities: Vec::new(), told: Vec::new() }
    }

    fn reader(identities: Vec<String>) -> Reader {
        let catch_up = CatchUp { seen: identities.into_iter().collect(), since_ms: NOW_MS };
        Reader::new(Format::List, TimeZone::UTC, catch_up)
    }

    fn look(&mut self, now_ms: i64) {
        let listing = folder::list(self.folder, is_list).expect("listed");
        let folder = self.folder;
        let mut read = |name: &str| folder::read_tail(&folder.join(name), 1 << 20);
        for play in self.reader.step(now_ms, &listing, &mut read).observations {
            self.told.push(format!(
                "{}|{}",
                play.track.title.expect("a title"),
                play.started_ms.expect("a start")
            ));
            self.identities.push(play.identity);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_play_once_in_order(acts in proptest::collection::vec(act(), 1..30)) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::in_folder(dir.path(), NOW_MS);
        let follower = RefCell::new(Follower::of(dir.path()));
        let look = |writer: &Writer| follower.borrow_mut().look(writer.now_ms);
        look(&writer);
        for act in &acts {
            match act {
                Act::Play { song, cuts } => writer.play(*song, cuts, look),
                Act::Plays(songs) => songs.iter().for_each(|song| writer.play(*song, &[], |_| {})),
                Act::Truncating { song, cut } => writer.play_truncating(*song, *cut, look),
                Act::Replace => writer.replace(),
                Act::OldList(day) => writer.old_list(*day),
                Act::MoveOld => writer.move_old(),
                Act::NextDay => writer.next_day(),
                Act::Wait(ms) => writer.wait(*ms),
                Act::Look => look(&writer),
                Act::Restart => {
                    let mut follower = follower.borrow_mut();
                    follower.reader = Follower::reader(follower.identities.clone());
                }
            }
        }
        look(&writer);
        writer.wait(1000);
        look(&writer);
        prop_assert_eq!(&follower.borrow().told, &writer.played);
    }
}
