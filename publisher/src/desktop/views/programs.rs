//! What single DJ programs need to be told, as a part of the settings form.

use maud::{Markup, html};

use super::Fields;
use crate::choices::Filled;

/// A box a program; the one that is used is open.
pub fn programs(fields: &Fields<'_>, filled: &Filled) -> Markup {
    let chosen: Vec<&str> = filled.source.split(',').map(str::trim).collect();
    let program = |source: &str, label: &str, content: Markup| {
        let is_wrong = fields.is_any_wrong(&format!("{}_", source.replace('-', "_")));
        html! {
            details open[chosen.contains(&source) || is_wrong] {
                summary { (label) }
                div.fields { (content) }
            }
        }
    };
    html! {
        (program("virtualdj-live", "VirtualDJ, by its Network Control", html! {
            (fields.text("virtualdj_live_url", "Its address", &filled.virtualdj_live_url, "http://127.0.0.1:8080; when it is empty, the usual ports of this machine are tried"))
            (fields.password("virtualdj_live_password", "The password set there", &filled.virtualdj_live_password))
        }))
        (program("icecast", "A broadcast, from Traktor, Mixxx, butt and others", html! {
            (fields.text("icecast_port", "Port that your program sends to", &filled.icecast_port, ""))
            (fields.password("icecast_password", "Password that it sends with", &filled.icecast_password))
            (fields.text("icecast_collection", "Traktor's collection.nml, for tempo and key", &filled.icecast_collection, "found by itself when it is empty"))
            label.choice { input type="checkbox" name="icecast_network" value="on" checked[filled.icecast_network]; span { "Programs on other machines may send, too" } }
        }))
        (program("rekordbox", "rekordbox", html! {
            (fields.password("rekordbox_key", "Key of its database, 64 digits", &filled.rekordbox_key))
            span.small { "Its history is encrypted, and the key is not ours to give." }
        }))
        (program("smtc", "Players on a Windows desktop", html! {
            (fields.text("smtc_players", "Their names, with commas", &filled.smtc_players, ""))
        }))
        (program("mpris", "Players on a Linux desktop", html! {
            (fields.text("mpris_players", "Their names, with commas", &filled.mpris_players, ""))
        }))
        (program("jriver", "JRiver Media Center", html! {
            (fields.text("jriver_url", "Its address", &filled.jriver_url, ""))
            (fields.text("jriver_user", "User", &filled.jriver_user, ""))
            (fields.password("jriver_password", "Password", &filled.jriver_password))
        }))
        (program("http", "Scripts and other programs, over HTTP", html! {
            (fields.text("http_port", "Port on this machine", &filled.http_port, ""))
            (fields.password("http_token", "Token that they have to know", &filled.http_token))
        }))
        (program("text", "A text file", html! {
            label for="text" { "What it holds" }
            select id="text" name="text" {
                option value="whole" { "the current track" }
                option value="last_line" selected[filled.text == "last_line"] { "a log: its last line is the current track" }
            }
        }))
        details open[!filled.ignored_decks.is_empty() || filled.deck_mode == "oldest"] {
            summary { "Several decks" }
            div.fields {
                label for="deck_mode" { "When several play, and the program does not say which is heard" }
                select id="deck_mode" name="deck_mode" {
                    option value="newest" { "the one that began last" }
                    option value="oldest" selected[filled.deck_mode == "oldest"] { "the one that began first; for long blends" }
                }
                (fields.text("ignored_decks", "Decks that are never told, such as samplers", &filled.ignored_decks, "Numbers, with commas"))
            }
        }
    }
}
