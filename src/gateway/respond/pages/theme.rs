//! The brand as pages show it: what is read, computed and hashed once for a configuration.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::{fs, io};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::asset::{self, Asset, FIXED, Served};
use super::link::OwnPath;
use crate::model::{Application, ApplicationName, Brand, Colour, Finding, LogoFile, SupportLink};

/// The largest logo or icon, in octets. A drawing needs a few KiB; everybody's first page waits for it.
const LARGEST_LOGO: u64 = 256 * 1024;

/// What cards are at night; a test holds it to the stylesheet.
pub(super) const DARK_CARD: Colour = Colour::new(0x18, 0x1c, 0x22);

/// What a button needs against the card it lies on (WCAG 2.2, 1.4.11).
const CONTRAST: f64 = 3.0;

/// How pages look in one configuration.
#[derive(Debug)]
pub(crate) struct Theme {
    pub(super) name: Option<Arc<str>>,
    pub(super) support: Option<SupportLink>,
    pub(super) logo: Option<Served>,
    /// The brand's colours, loaded after the stylesheet.
    pub(super) colours: Option<Served>,
    /// The style of pages that load none.
    pub(super) inline: String,
    /// The same, as a source of a policy.
    pub(super) inline_source: String,
    /// The pictures of applications.
    icons: BTreeMap<ApplicationName, Served>,
}

impl Theme {
    /// Reads the logo and the pictures of applications, and gets everything ready.
    ///
    /// # Errors
    /// Where one of them cannot be read, or is no picture that pages show.
    pub(crate) fn new<'a>(
        brand: &Brand,
        applications: impl IntoIterator<Item = &'a Arc<Application>>,
    ) -> Result<Self, LogoError> {
        let logo = brand
            .logo
            .as_ref()
            .map(|file| picture(file, "logo"))
            .transpose()?;
        let mut icons = BTreeMap::new();
        for application in applications {
            if let Some(icon) = &application.front.icon {
                icons.insert(application.name.clone(), picture(icon, "icon")?);
            }
        }
        let colours = brand.colour.map(colours);
        let inline = [asset::base(), colours.as_deref().unwrap_or_default()].concat();
        let hash = STANDARD.encode(digest(&SHA256, inline.as_bytes()));
        Ok(Self {
            name: brand.name.clone(),
            support: brand.support.clone(),
            logo,
            colours: colours.map(|text| Served::style("brand", text)),
            inline_source: format!("'sha256-{hash}'"),
            inline,
            icons,
        })
    }

    /// The picture of an application.
    pub(crate) fn icon(&self, application: &ApplicationName) -> Option<OwnPath> {
        OwnPath::parse(&self.icons.get(application)?.path)
    }

    /// Whether pages look the same, the pictures' files among it.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let logo = |theme: &Self| theme.logo.as_ref().map(|logo| logo.path.clone());
        let icons = |theme: &Self| {
            let all = theme.icons.iter();
            let all = all.map(|(name, served)| (name.clone(), served.path.clone()));
            all.collect::<Vec<_>>()
        };
        (&self.name, &self.support, &self.inline) == (&other.name, &other.support, &other.inline)
            && logo(self) == logo(other)
            && icons(self) == icons(other)
    }

    /// What is served under this path, which is the same on every host.
    pub(crate) fn asset(&self, path: &str) -> Option<Asset> {
        let own = self
            .logo
            .iter()
            .chain(&self.colours)
            .chain(self.icons.values());
        let mut all = FIXED.all().into_iter().chain(own);
        all.find(|served| served.path == path)
            .map(|served| served.asset.clone())
    }
}

/// Why a logo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("cannot read the picture {path}: {error}", path = .0.path.display(), error = .1)]
    Unreadable(LogoFile, io::Error),
    /// The file is too large.
    #[error("the picture {path} has more than 256 KiB", path = .0.path.display())]
    TooLarge(LogoFile),
    /// The file is something else than its name says.
    #[error("the picture {path} is no SVG and no PNG file", path = .0.path.display())]
    NoPicture(LogoFile),
}

impl LogoError {
    /// What an operator is told.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let (code, logo, remedy) = match self {
            Self::Unreadable(logo, _) => (
                "file_unreadable",
                logo,
                "make it readable for the gateway, or correct its path",
            ),
            Self::TooLarge(logo) => (
                "logo_too_large",
                logo,
                "make it smaller: it is shown some 32 pixels high",
            ),
            Self::NoPicture(logo) => (
                "bad_logo",
                logo,
                "save it as SVG or PNG, with the extension that fits",
            ),
        };
        Finding::error(code, self.to_string(), remedy).at(logo.place.clone())
    }
}

fn picture(file: &LogoFile, name: &str) -> Result<Served, LogoError> {
    let unreadable = |error| LogoError::Unreadable(file.clone(), error);
    let opened = fs::File::open(&file.path).map_err(unreadable)?;
    // A pipe or a device could make the start wait for ever.
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("this is no regular file")));
    }
    let mut octets = Vec::new();
    opened
        .take(LARGEST_LOGO + 1)
        .read_to_end(&mut octets)
        .map_err(unreadable)?;
    if octets.len() as u64 > LARGEST_LOGO {
        return Err(LogoError::TooLarge(file.clone()));
    }
    let is_svg = file
        .path
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("svg"));
    let (kind, content_type, fits) = if is_svg {
        let fits = str::from_utf8(&octets).is_ok_and(|text| text.contains("<svg"));
        ("svg", "image/svg+xml", fits)
    } else {
        // The signature (PNG, Third Edition, section 5.2).
        ("png", "image/png", octets.starts_with(b"\x89PNG\r\n\x1a\n"))
    };
    if !fits {
        return Err(LogoError::NoPicture(file.clone()));
    }
    Ok(Served::new(name, kind, content_type, octets))
}

/// The variables of the stylesheet that are the brand's.
fn colours(colour: Colour) -> String {
    let night = at_night(colour);
    let (on_day, on_night) = (on(colour), on(night));
    format!(
        ":root{{--accent:{colour};--on:{on_day}}}\n\
         @media(prefers-color-scheme:dark){{:root{{--accent:{night};--on:{on_night}}}}}\n"
    )
}

/// The colour, as much lighter as it must be to be seen on a dark card.
pub(super) fn at_night(colour: Colour) -> Colour {
    (0..=u8::MAX)
        .step_by(8)
        .map(|share| colour.lighter(share))
        .find(|lighter| lighter.contrast(DARK_CARD) >= CONTRAST)
        .unwrap_or(Colour::WHITE)
}

/// What text on the colour is drawn in: of any colour, white or black has 4.5 and more.
pub(super) fn on(colour: Colour) -> Colour {
    if colour.contrast(Colour::WHITE) >= colour.contrast(Colour::BLACK) {
        Colour::WHITE
    } else {
        Colour::BLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";

    fn of(name: &str, octets: &[u8]) -> Result<Theme, LogoError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, octets).unwrap();
        let place = Place::default();
        Theme::new(
            &Brand {
                logo: Some(LogoFile { path, place }),
                ..Brand::default()
            },
            [],
        )
    }

    #[test]
    fn a_logo_is_served_under_its_hash() {
        for (name, octets, content_type) in [
            ("a.svg", SVG, "image/svg+xml"),
            ("a.PNG", b"\x89PNG\r\n\x1a\nrest", "image/png"),
        ] {
            let theme = of(name, octets).unwrap();
            let path = &theme.logo.as_ref().unwrap().path;
            assert!(path.starts_with("/.appproxy/assets/logo-"), "{path}");
            let asset = theme.asset(path).unwrap();
            assert_eq!(asset.content_type, content_type);
            assert_eq!(asset.octets, octets);
            assert!(theme.asset(&path.replace("logo-", "logo-0")).is_none());
        }
    }

    #[test]
    fn what_is_no_logo_is_refused() {
        let large = |octets| {
            let mut all = SVG.to_vec();
            all.resize(octets, b' ');
            of("a.svg", &all)
        };
        assert!(large(256 * 1024).is_ok());
        assert_eq!(
            large(256 * 1024 + 1).unwrap_err().finding().code,
            "logo_too_large"
        );
        for (name, octets) in [
            ("a.png", SVG),
            ("a.svg", b"\x89PNG\r\n\x1a\n"),
            ("a.svg", b"\xff<svg"),
            ("a.svg", b""),
        ] {
            assert_eq!(of(name, octets).unwrap_err().finding().code, "bad_logo");
        }
        for path in ["no-such-file.svg", "/dev"] {
            let logo = LogoFile {
                path: path.into(),
                place: Place::default(),
            };
            let brand = Brand {
                logo: Some(logo),
                ..Brand::default()
            };
            let found = Theme::new(&brand, []).unwrap_err().finding();
            assert_eq!(found.code, "file_unreadable");
            assert!(found.what.contains(path), "{found}");
        }
    }

    /// Every colour the configuration takes, by day and at night.
    #[test]
    fn text_and_buttons_have_the_contrast_of_aa() {
        let steps = || (0..=255_u8).step_by(15);
        let mut seen = 0;
        for red in steps() {
            for (green, blue) in steps().flat_map(|green| steps().map(move |blue| (green, blue))) {
                let colour = Colour::new(red, green, blue);
                let night = at_night(colour);
                assert!(night.contrast(DARK_CARD) >= 3.0, "{colour}");
                for colour in [colour, night] {
                    assert!(colour.contrast(on(colour)) >= 4.5, "{colour}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 18 * 18 * 18 * 2);
    }

    #[test]
    fn the_brand_s_colours_come_after_the_usual_ones() {
        let theme = Theme::new(
            &Brand {
                colour: Colour::parse("#003366"),
                ..Brand::default()
            },
            [],
        )
        .unwrap();
        let colours = theme.colours.as_ref().unwrap();
        let text = str::from_utf8(&colours.asset.octets).unwrap();
        assert!(
            text.starts_with(":root{--accent:#003366;--on:#ffffff}\n@media"),
            "{text}"
        );
        let (_, night) = text.split_once("@media").unwrap();
        assert!(!night.contains("#003366"), "{night}");
        assert!(theme.inline.ends_with(text));
        assert!(theme.asset(&colours.path).is_some());
        let plain = Theme::new(&Brand::default(), []).unwrap();
        assert!(plain.colours.is_none() && plain.logo.is_none());
        assert_ne!(plain.inline_source, theme.inline_source);
    }
}
