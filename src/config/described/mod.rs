//! A gateway's configuration in words, and what is different between two: what an operator is told
//! before a reload and after it.

mod backend;
mod rules;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{GatewayConfig, start_only};

/// Who is let in where nobody is kept out.
const EVERYBODY: &str = "everybody";

/// Who is let in where nobody is kept out who has signed in.
const ANYBODY_KNOWN: &str = "anyone_signed_in";

/// What is written down in a configuration, setting by setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Described {
    /// The gateway's own.
    gateway: Settings,
    /// Those of each application.
    applications: BTreeMap<String, Settings>,
}

type Settings = BTreeMap<String, Setting>;

/// The values of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    values: Vec<String>,
    opens: Opens,
}

/// When a change of a setting lets in what was kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Opens {
    /// With each further value.
    More,
    /// With each value that is gone.
    Fewer,
    /// With any other value: what it comes to is not compared.
    Any,
    /// Never.
    Never,
}

/// One difference between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The application; `None`: the gateway itself.
    pub application: Option<String>,
    /// What became of it.
    pub what: What,
    /// It lets in what was kept out before.
    pub wider: bool,
    /// It keeps out what was let in before.
    pub narrower: bool,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// The application is new.
    Added {
        /// Where people open it.
        external_urls: String,
        /// Where the connector finds it.
        internal_urls: String,
    },
    /// The application is gone.
    Removed {
        /// Where people opened it.
        external_urls: String,
    },
    /// A setting has other values.
    Setting {
        /// Its key.
        key: String,
        /// Its values before; empty where it had none.
        before: String,
        /// Its values now.
        after: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match &self.application {
            Some(name) => format!("application {name}"),
            None => "gateway".to_owned(),
        };
        match &self.what {
            What::Added {
                external_urls,
                internal_urls,
            } => write!(
                f,
                "{subject}: new, {external_urls} leads to {internal_urls}"
            )?,
            What::Removed { external_urls } => write!(f, "{subject}: removed, {external_urls}")?,
            What::Setting { key, before, after } => {
                let or_default = |values: &str| match values {
                    "" => "(nothing)".to_owned(),
                    values => values.to_owned(),
                };
                let (before, after) = (or_default(before), or_default(after));
                write!(f, "{subject}: {key}: {before} -> {after}")?;
                if self.application.is_none() && start_only::KEYS.contains(&key.as_str()) {
                    f.write_str(" (needs a restart)")?;
                }
            }
        }
        match (self.wider, self.narrower) {
            (true, true) => f.write_str(" [wider in one thing, narrower in another]"),
            (true, false) => f.write_str(" [wider]"),
            (false, true) => f.write_str(" [narrower]"),
            (false, false) => Ok(()),
        }
    }
}

impl Change {
    /// What is different in `after`; the gateway's own first, then by application.
    #[must_use]
    pub fn between(before: &GatewayConfig, after: &GatewayConfig) -> Vec<Self> {
        Described::of(before).changes(&Described::of(after))
    }
}

impl Described {
    /// In words.
    #[must_use]
    pub fn of(config: &GatewayConfig) -> Self {
        let applications = config.applications.iter();
        Self {
            gateway: words::gateway(config),
            applications: applications
                .map(|a| (a.name.to_string(), words::application(a)))
                .collect(),
        }
    }

    /// What is different in `after`; the gateway's own first, then by application.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = settings(None, &self.gateway, &after.gateway);
        let names: BTreeSet<_> = [self, after]
            .into_iter()
            .flat_map(|described| described.applications.keys())
            .collect();
        for name in names {
            let urls = |of: &Settings, key| of.get(key).map(Setting::text).unwrap_or_default();
            let (was, is) = (self.applications.get(name), after.applications.get(name));
            let (what, wider) = match (was, is) {
                (Some(was), Some(is)) => {
                    changes.extend(settings(Some(name), was, is));
                    continue;
                }
                (None, Some(is)) => {
                    let what = What::Added {
                        external_urls: urls(is, EXTERNAL_URLS),
                        internal_urls: urls(is, INTERNAL_URLS),
                    };
                    (what, true)
                }
                (Some(was), None) => {
                    let what = What::Removed {
                        external_urls: urls(was, EXTERNAL_URLS),
                    };
                    (what, false)
                }
                (None, None) => continue,
            };
            changes.push(Change {
                application: Some(name.clone()),
                what,
                wider,
                narrower: !wider,
            });
        }
        changes
    }
}

fn settings(application: Option<&String>, before: &Settings, after: &Settings) -> Vec<Change> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (was, is) = (before.get(key), after.get(key));
        if was == is {
            return None;
        }
        let values =
            |setting: Option<&Setting>| setting.map(|s| s.values.clone()).unwrap_or_default();
        let (was_values, is_values) = (values(was), values(is));
        let opens = is.or(was).map_or(Opens::Any, |setting| setting.opens);
        let grows = |from: &[String], to: &[String]| match opens {
            Opens::More => to.iter().any(|value| !is_covered(value, from)),
            Opens::Fewer => from.iter().any(|value| !is_covered(value, to)),
            Opens::Any => true,
            Opens::Never => false,
        };
        Some(Change {
            application: application.cloned(),
            wider: grows(&was_values, &is_values),
            narrower: grows(&is_values, &was_values),
            what: What::Setting {
                key: key.clone(),
                before: was.map(Setting::text).unwrap_or_default(),
                after: is.map(Setting::text).unwrap_or_default(),
            },
        })
    });
    differing.collect()
}

/// Whether a value adds nothing to others.
fn is_covered(value: &str, by: &[String]) -> bool {
    let network = |text: &str| text.parse::<IpNet>().ok();
    let value_network = network(value);
    by.iter().any(|other| {
        other == value
            || other == EVERYBODY
            || other == ANYBODY_KNOWN && value != EVERYBODY
            || value_network
                .is_some_and(|inner| network(other).is_some_and(|outer| outer.contains(&inner)))
    })
}

const EXTERNAL_URLS: &str = "external_url";
const INTERNAL_URLS: &str = "internal_url";

impl Setting {
    fn text(&self) -> String {
        self.values.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(listen: &str, applications: &str) -> GatewayConfig {
        let text = format!(
            "version: 1\nkind: gateway\nlisten: {{ https: ['[::]:443'], {listen} }}\nstore: sqlite:x\n\
             certificates: [{{ chain: a, key: b }}]\napplications:\n{applications}"
        );
        GatewayConfig::from_text(Path::new("gateway.yaml"), &text).unwrap()
    }

    fn wiki(more: &str) -> String {
        format!(
            "  - {{ name: wiki, external_url: 'https://w.example.com/', internal_url: 'http://w.corp/', \
             pre_authentication: [passthrough]{more} }}\n"
        )
    }

    #[test]
    fn what_lets_in_more_is_told_from_what_does_not() {
        let base = config("", &wiki(""));
        for (listen, more, key, wider, narrower) in [
            (
                "",
                ", timeouts: { idle: 1m }",
                "timeouts.idle",
                false,
                false,
            ),
            ("", ", maintenance: true", "open_for", false, true),
            (
                "",
                ", maintenance: { allow: [192.0.2.0/24] }",
                "open_for",
                false,
                true,
            ),
            (
                "",
                ", connector_groups: [default, hq]",
                "connector_groups",
                true,
                false,
            ),
            (
                "",
                ", connector_groups: [hq]",
                "connector_groups",
                true,
                true,
            ),
            (
                "",
                ", alternate_external_urls: ['https://x.example.com/']",
                "external_url",
                true,
                false,
            ),
            ("", ", limits: { rate: 5/s }", "limits.rate", false, false),
            (
                "",
                ", health_check: { path: /a }",
                "health_check",
                false,
                false,
            ),
            (
                "proxy_protocol: [192.0.2.0/24]",
                "",
                "listen.proxy_protocol",
                true,
                false,
            ),
        ] {
            let other = config(listen, &wiki(more));
            let changes = Change::between(&base, &other);
            let [change] = &changes[..] else {
                panic!("{more}: {changes:?}");
            };
            let What::Setting { key: changed, .. } = &change.what else {
                panic!("{change:?}");
            };
            assert_eq!(
                (changed.as_str(), change.wider, change.narrower),
                (key, wider, narrower)
            );
            // The way back is the opposite.
            let back = Change::between(&other, &base);
            assert_eq!(
                (back[0].wider, back[0].narrower),
                (narrower, wider),
                "{back:?}"
            );
        }
        assert_eq!(Change::between(&base, &base), []);
    }

    #[test]
    fn networks_and_everybody_hold_what_lies_in_them() {
        let allow =
            |nets: &str| config("", &wiki(&format!(", maintenance: {{ allow: [{nets}] }}")));
        for (before, after, wider, narrower) in [
            ("192.0.2.0/24", "192.0.2.0/25", false, true),
            ("192.0.2.0/24", "192.0.2.7", false, true),
            ("192.0.2.0/25", "192.0.2.0/24", true, false),
            ("192.0.2.7", "192.0.2.8", true, true),
            ("192.0.2.0/24", "192.0.2.0/24, 2001:db8::/32", true, false),
        ] {
            let changes = Change::between(&allow(before), &allow(after));
            assert_eq!(
                (changes[0].wider, changes[0].narrower),
                (wider, narrower),
                "{changes:?}"
            );
        }
        let open = Change::between(&allow("192.0.2.7"), &config("", &wiki("")));
        assert_eq!((open[0].wider, open[0].narrower), (true, false), "{open:?}");
    }

    #[test]
    fn applications_that_come_and_go_are_told_with_their_urls() {
        let blog = "  - { name: blog, external_url: 'https://b.example.com/', internal_url: 'http://b.corp/', pre_authentication: [passthrough] }\n";
        let (one, two) = (config("", &wiki("")), config("", &(wiki("") + blog)));
        let [added] = &Change::between(&one, &two)[..] else {
            panic!();
        };
        assert_eq!(
            added.to_string(),
            "application blog: new, https://b.example.com/ leads to http://b.corp/ [wider]"
        );
        let [removed] = &Change::between(&two, &one)[..] else {
            panic!();
        };
        assert_eq!(
            removed.to_string(),
            "application blog: removed, https://b.example.com/ [narrower]"
        );
        // As it goes over the admin socket.
        let text = serde_json::to_string(&Described::of(&two)).unwrap();
        let read: Described = serde_json::from_str(&text).unwrap();
        assert_eq!(read, Described::of(&two));
    }
}
