//! How a desk joins somebody's server: who is near, what is typed, and the six digits.

use maud::{Markup, html};

use crate::desktop::join::Joining;
use crate::desktop::nearby::Found;

/// Servers in this network, as buttons of the form around it.
pub fn nearby(found: &[Found]) -> Markup {
    html! {
        ul.nearby #nearby {
            @for server in found {
                li {
                    button name="found" value=(server.url) {
                        b { (server.event) } span.small { (server.url.trim_start_matches("http://")) }
                    }
                }
            }
            @if found.is_empty() { li.small { "None is heard in this network. Some networks keep their guests apart; an address works all the same." } }
        }
    }
}

/// How it stands, and what the DJ has to do.
pub fn joining(joining: &Joining) -> Markup {
    let leave = |label: &str| html! { form method="post" action="/leave" { button.quiet { (label) } } };
    html! {
        div.joining #joining role="status" {
            @match joining {
                Joining::No => {}
                Joining::Asking { url } => { p { "Asking " (url) "…" } (leave("Stop")) }
                Joining::Shown { event, code, .. } => {
                    p { "Read this to the organizer of " b { (event) } ":" }
                    p.code { (code) }
                    p.small { "Typed there with " code { "pika desk pair" } ", or on the console of the laptop that is the server. Good for ten minutes." }
                    (leave("Stop"))
                }
                Joining::LetIn { event, code, granted, .. } => {
                    p { b { (event) } " lets you in as " code { (granted.granted.desk) } ". Did the organizer type this?" }
                    p.code { (code) }
                    div.acts-row {
                        form method="post" action="/joined" {
                            input type="hidden" name="code" value=(code);
                            button.go { "Yes, play there" }
                        }
                        (leave("No, somebody else did"))
                    }
                }
                Joining::Failed { why } => { p.why role="alert" { (why) } (leave("All right")) }
            }
        }
    }
}
