//! What the tray shows: which items, which words. Pure; how a system draws them is for `tray`.

use protocol::Request;

use super::{Server, Setup};
use crate::controls::{Standing, Status};

/// Labels are cut: menus grow as wide as their longest.
const LABEL_CHARS_MAX: usize = 48;

/// What the DJ can click.
#[derive(Debug, Clone, PartialEq)]
pub enum Click {
    Ask(Request),
    CopyLink,
    ShowCode,
    OpenConsole,
    OpenSettings,
    StartAtLogin(bool),
    Quit,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// To be read, not clicked.
    Text(String),
    Action {
        label: String,
        click: Click,
        is_enabled: bool,
    },
    Check {
        label: String,
        click: Click,
        is_on: bool,
    },
    Line,
}

/// The menu from top to bottom.
pub fn menu(status: &Status, setup: &Setup, starts_at_login: bool) -> Vec<Item> {
    let action = |label: &str, click: Click| Item::Action { label: cut(label), click, is_enabled: true };
    let mut items = vec![Item::Text(cut(&headline(status, setup)))];
    if let Some(why) = setup.fault.as_ref().or(status.why.as_ref()) {
        items.push(Item::Text(cut(why)));
    }
    items.push(Item::Line);
    match status.set {
        Some(set_id) => items.push(action("End set", Click::Ask(Request::EndSet { set_id }))),
        None => items.push(Item::Action {
            label: "Go live".to_owned(),
            click: Click::Ask(Request::GoLive),
            is_enabled: setup.server != Server::Unset && setup.fault.is_none(),
        }),
    }
    if let Some(now) = &status.now {
        items.push(Item::Check {
            label: "Hide this track".to_owned(),
            click: Click::Ask(Request::Hide { play_id: now.play, on: !status.is_hidden }),
            is_on: status.is_hidden,
        });
    }
    if let Some((play_id, line)) = &status.last {
        items.push(action(&format!("Undo “{line}”"), Click::Ask(Request::Withdraw { play_id: *play_id })));
    }
    items.push(Item::Line);
    let has_page = setup.floor_url(status).is_some();
    for (label, click) in [("Copy link", Click::CopyLink), ("Show QR code", Click::ShowCode)] {
        items.push(Item::Action { label: label.to_owned(), click, is_enabled: has_page });
    }
    items.push(Item::Action {
        label: "Open console".to_owned(),
        click: Click::OpenConsole,
        is_enabled: setup.console_url(status).is_some(),
    });
    items.push(action("Settings…", Click::OpenSettings));
    items.push(Item::Check {
        label: "Start at login".to_owned(),
        click: Click::StartAtLogin(!starts_at_login),
        is_on: starts_at_login,
    });
    items.push(Item::Line);
    items.push(action("Quit", Click::Quit));
    items
}

/// What is on, or how the desk stands.
pub fn headline(status: &Status, setup: &Setup) -> String {
    if setup.fault.is_some() {
        return "Not running".to_owned();
    }
    if setup.server == Server::Unset {
        return "Not set up yet: open the settings".to_owned();
    }
    match (status.standing, &status.now) {
        (Standing::Error, _) => "Something is wrong".to_owned(),
        (Standing::Hidden, Some(now)) => format!("Hidden: {}", now.track.line()),
        (Standing::Queueing, Some(now)) => format!("Waiting to be sent: {}", now.track.line()),
        (Standing::Queueing, None) => "Waiting for the server".to_owned(),
        (_, Some(now)) => now.track.line(),
        (Standing::Live | Standing::Hidden, None) => "Live, nothing heard yet".to_owned(),
        (Standing::Idle, None) => "Not live".to_owned(),
    }
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    let kept: String = label.chars().take(LABEL_CHARS_MAX - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::OnNow;
    use protocol::{PlayId, SetId, Track};

    fn words(status: &Status, setup: &Setup) -> Vec<String> {
        let items = menu(status, setup, false);
        let text = |item: Item| match item {
            Item::Text(text) => text,
            Item::Action { label, is_enabled: true, .. } => format!("[{label}]"),
            Item::Action { label, .. } => format!("({label})"),
            Item::Check { label, is_on, .. } => format!("{label}: {}", if is_on { "on" } else { "off" }),
            Item::Line => "-".to_owned(),
        };
        items.into_iter().map(text).collect()
    }

    #[test]
    fn before_it_is_set_up_only_the_settings_can_be_opened() {
        assert_eq!(
            words(&Status::default(), &Setup::default()),
            [
                "Not set up yet: open the settings",
                "-",
                "(Go live)",
                "-",
                "(Copy link)",
                "(Show QR code)",
                "(Open console)",
                "[Settings…]",
                "Start at login: off",
                "-",
                "[Quit]"
            ]
        );
    }

    #[test]
    fn while_live_the_track_can_be_hidden_and_taken_back() {
        let track = Track {
            title: Some("Glass Tide".into()),
            artist: Some("Nova Harbor".into()),
            ..Track::default()
        };
        let play = PlayId::at(1, [1; 10]);
        let status = Status {
            standing: Standing::Hidden,
            set: Some(SetId::at(1, [1; 10])),
            now: Some(OnNow { play, track, started_ms: 1 }),
            last: Some((play, "Nova Harbor – Glass Tide that goes on and on and on for very long".into())),
            is_hidden: true,
            ..Status::default()
        };
        let page_url = Some("http://192.168.1.7:3002".to_owned());
        let event = "tonight".parse().ok();
        let server = Server::Remote { url: "mqtt://example.org".to_owned(), desk: "booth".to_owned() };
        let setup = Setup { server, page_url, event, ..Setup::default() };
        let words = words(&status, &setup);
        assert_eq!(words[0], "Hidden: Nova Harbor – Glass Tide");
        assert_eq!(
            words[2..5],
            ["[End set]", "Hide this track: on", "[Undo “Nova Harbor – Glass Tide that goes on and…]"]
        );
        assert_eq!(words[6..9], ["[Copy link]", "[Show QR code]", "[Open console]"]);
    }
}
