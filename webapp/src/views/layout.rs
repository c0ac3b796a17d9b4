//! What surrounds every page: head, top bar, foot, mark.

use maud::{DOCTYPE, Markup, Render, html};

use crate::live::board::Accent;
use crate::views::Screen;
use crate::web::{Asset, Assets, accent_path};
use crate::words::{Language, Words};

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// A phone in light mode must not light up a dark room, so this is the default whatever the phone says.
    #[default]
    Dark,
    Light,
}

impl Look {
    pub fn as_str(self) -> &'static str {
        match self {
            Look::Dark => "dark",
            Look::Light => "light",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        [Look::Dark, Look::Light].into_iter().find(|look| look.as_str() == text)
    }

    fn ground(self) -> &'static str {
        match self {
            Look::Dark => "#0d0b10",
            Look::Light => "#fbf8f3",
        }
    }
}

/// What every page wears: whom it speaks to, and in which light.
#[derive(Debug, Clone, Copy)]
pub struct Skin<'a> {
    pub assets: &'a Assets,
    pub words: Words,
    pub look: Look,
    /// What the request is called in the log, for pages that say what went wrong.
    pub request: Option<&'a str>,
}

/// A page that is kept current by the script.
#[derive(Debug, Clone)]
pub struct Live {
    /// `event/floor`
    pub floor: String,
    pub screen: Screen,
}

/// A whole page around its content.
#[derive(Debug)]
pub struct Document<'a> {
    pub skin: Skin<'a>,
    pub title: String,
    /// For link previews and search engines.
    pub about: Option<String>,
    pub accent: Option<Accent>,
    /// Whose page it is: event, floor.
    pub place: Option<(&'a str, &'a str)>,
    pub live: Option<Live>,
    /// Where the manifest of the installable page is.
    pub manifest: Option<String>,
    /// The page shows what is new after so many seconds, unless it is live.
    pub refresh_s: Option<u32>,
    pub class: &'static str,
    /// Attributes of `body` for the script, without their `data-`.
    pub data: Vec<(&'static str, String)>,
    pub content: Markup,
}

impl<'a> Document<'a> {
    /// A page with nothing but its content.
    pub fn plain(skin: Skin<'a>, class: &'static str, title: String, content: Markup) -> Self {
        Self {
            skin,
            title,
            about: None,
            accent: None,
            place: None,
            live: None,
            manifest: None,
            refresh_s: None,
            class,
            data: Vec::new(),
            content,
        }
    }

    /// Nothing around the content: for projectors and videos.
    fn is_bare(&self) -> bool {
        matches!(self.live, Some(Live { screen: Screen::Stage | Screen::Overlay, .. }))
    }
}

impl Render for Document<'_> {
    fn render(&self) -> Markup {
        let Skin { assets, words, look, .. } = self.skin;
        let screen = self.live.as_ref().map(|live| live.screen.as_str());
        let data = |name| self.data.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        html! {
            (DOCTYPE)
            html lang=(words.language().code()) class=(look.as_str()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                    meta name="color-scheme" content=(look.as_str());
                    meta name="theme-color" content=(look.ground());
                    title { (self.title) }
                    @if let Some(about) = &self.about {
                        meta name="description" content=(about);
                        meta property="og:title" content=(self.title);
                        meta property="og:description" content=(about);
                    }
                    link rel="icon" type="image/svg+xml" href=(assets.path(Asset::Mark));
                    link rel="apple-touch-icon" href=(assets.path(Asset::Icon180));
                    link rel="stylesheet" href=(assets.path(Asset::Style));
                    @if let Some(accent) = self.accent {
                        link rel="stylesheet" href=(accent_path(accent));
                    }
                    @if let Some(manifest) = &self.manifest { link rel="manifest" href=(manifest); }
                    @if let Some(seconds) = self.refresh_s {
                        noscript { meta http-equiv="refresh" content=(seconds); }
                    }
                    script src=(assets.path(Asset::Script)) type="module" {}
                }
                body class=(self.class)
                    data-live=[self.live.as_ref().map(|live| &live.floor)]
                    data-screen=[screen]
                    data-again=[self.refresh_s.filter(|_| self.live.is_none())]
                    data-desk=[data("desk")] data-delay=[data("delay")] data-forgotten=[data("forgotten")]
                {
                    @if !self.is_bare() {
                        header.top {
                            a.brand href="/" aria-label=(words.say("to-the-floors")) { (Mark) span { "pika" } }
                            @if let Some((event, floor)) = self.place {
                                p.place { span.event { (event) } span.floor { (floor) } }
                            }
                        }
                    }
                    main { (self.content) }
                    @if !self.is_bare() { (Foot { skin: self.skin }) }
                }
            }
        }
    }
}

/// The other languages and the other light, for every page.
struct Foot<'a> {
    skin: Skin<'a>,
}

impl Render for Foot<'_> {
    fn render(&self) -> Markup {
        let Skin { words, look, .. } = self.skin;
        let others = Language::ALL.into_iter().filter(|language| *language != words.language());
        html! {
            footer.foot {
                nav aria-label=(words.say("settings")) {
                    a href="/me" { (words.say("my-likes")) }
                    a href="/admin" rel="nofollow" { (words.say("for-djs")) }
                    @for language in others {
                        a href={ "?lang=" (language.code()) } lang=(language.code()) hreflang=(language.code()) rel="nofollow" {
                            (language.name())
                        }
                    }
                    @match look {
                        Look::Dark => a href="?look=light" rel="nofollow" { (words.say("look-light")) },
                        Look::Light => a href="?look=dark" rel="nofollow" { (words.say("look-dark")) },
                    }
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
                g.ear { circle cx="17" cy="19" r="15" {} circle cx="17" cy="19" r="10" {} circle.label cx="17" cy="19" r="5" {} }
                g.ear { circle cx="47" cy="19" r="15" {} circle cx="47" cy="19" r="10" {} circle.label cx="47" cy="19" r="5" {} }
                path.head d="M32 20c13 0 22 9 22 21 0 11-9 19-22 19S10 52 10 41c0-12 9-21 22-21z" {}
                circle.eye cx="24" cy="40" r="3" {} circle.eye cx="40" cy="40" r="3" {}
                path.nose d="M28.5 47h7l-3.5 4z" {}
            }
        }
    }
}
