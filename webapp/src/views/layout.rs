//! What surrounds every page: head, top bar, mark.

use maud::{DOCTYPE, Markup, Render, html};

use crate::live::board::Accent;
use crate::web::{Asset, Assets, accent_path};

/// A whole page around its content.
#[derive(Debug)]
pub struct Document<'a> {
    pub assets: &'a Assets,
    pub title: String,
    pub accent: Option<Accent>,
    /// Whose page it is: event, floor.
    pub place: Option<(&'a str, &'a str)>,
    /// Where the live script connects.
    pub live: Option<String>,
    /// Without the script the page loads itself again after so many seconds.
    pub refresh_s: Option<u32>,
    pub class: &'static str,
    pub content: Markup,
}

impl Render for Document<'_> {
    fn render(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                    meta name="color-scheme" content="dark light";
                    meta name="theme-color" content="#0d0b10" media="(prefers-color-scheme: dark)";
                    meta name="theme-color" content="#f6f2ea" media="(prefers-color-scheme: light)";
                    title { (self.title) }
                    link rel="icon" type="image/svg+xml" href=(self.assets.path(Asset::Mark));
                    link rel="stylesheet" href=(self.assets.path(Asset::Style));
                    @if let Some(accent) = self.accent {
                        link rel="stylesheet" href=(accent_path(accent));
                    }
                    @if let Some(seconds) = self.refresh_s {
                        @if self.live.is_some() {
                            noscript { meta http-equiv="refresh" content=(seconds); }
                        } @else {
                            meta http-equiv="refresh" content=(seconds);
                        }
                    }
                    @if self.live.is_some() {
                        script src=(self.assets.path(Asset::Script)) defer {}
                    }
                }
                body class=(self.class) data-live=[self.live.as_deref()] {
                    header.top {
                        a.brand href="/" aria-label="Pika, all floors" { (Mark) span { "pika" } }
                        @if let Some((event, floor)) = self.place {
                            p.place { span.event { (event) } span.floor { (floor) } }
                        }
                    }
                    main { (self.content) }
                }
            }
        }
    }
}

/// The pika whose ears are records.
#[derive(Debug)]
pub struct Mark;

impl Render for Mark {
    fn render(&self) -> Markup {
        html! {
            svg.mark viewBox="0 0 64 64" aria-hidden="true" {
                g.ear { circle cx="17" cy="19" r="15"; circle cx="17" cy="19" r="10"; circle.label cx="17" cy="19" r="5"; }
                g.ear { circle cx="47" cy="19" r="15"; circle cx="47" cy="19" r="10"; circle.label cx="47" cy="19" r="5"; }
                path.head d="M32 20c13 0 22 9 22 21 0 11-9 19-22 19S10 52 10 41c0-12 9-21 22-21z";
                circle.eye cx="24" cy="40" r="3"; circle.eye cx="40" cy="40" r="3";
                path.nose d="M28.5 47h7l-3.5 4z";
            }
        }
    }
}
