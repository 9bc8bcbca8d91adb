//! The password of an application, as it is in its place by now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};

use crate::config::GatewayConfig;
use crate::model::{Application, Basic, Finding};

/// How long what was read counts: a password that is exchanged is soon the one that is used.
const FRESH: Duration = Duration::from_secs(10);

/// How long a file may take to be read; then the one that is known goes on.
const READ: Duration = Duration::from_secs(1);

/// A password that was read once at least, or none: it is looked at before a configuration is in force.
#[derive(Debug)]
pub(in crate::gateway) struct Password {
    settings: Arc<Basic>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    password: Option<Arc<SecretString>>,
    at: Option<Instant>,
    /// The log was told that it cannot be read.
    is_said: bool,
}

impl Password {
    /// That of an application, where it has one; not read yet.
    pub(in crate::gateway) fn of(application: &Application) -> Option<Arc<Self>> {
        let settings = Arc::clone(application.sign_on.basic.as_ref()?);
        Some(Arc::new(Self {
            settings,
            known: Mutex::default(),
        }))
    }

    /// The password; `None` where it was never read.
    pub(super) async fn get(&self) -> Option<Arc<SecretString>> {
        if let Some(fresh) = self.fresh() {
            return Some(fresh);
        }
        let settings = Arc::clone(&self.settings);
        // Its file may lie on a disk that is slow.
        let reading = tokio::task::spawn_blocking(move || read(&settings));
        let failed = match timeout(READ, reading).await {
            Ok(Ok(Ok(password))) => return Some(self.learn(password)),
            Ok(Ok(Err(what))) => what,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} is not read within {READ:?}", self.settings.password),
        };
        let mut known = self.known();
        if !std::mem::replace(&mut known.is_said, true) {
            let place = &self.settings.place;
            tracing::error!(
                key = place.key,
                error = failed,
                "a password cannot be read: the one that was read last goes on"
            );
        }
        known.password.clone()
    }

    fn fresh(&self) -> Option<Arc<SecretString>> {
        let known = self.known();
        let is_fresh = known.at.is_some_and(|at| at.elapsed() < FRESH);
        known.password.clone().filter(|_| is_fresh)
    }

    fn learn(&self, password: SecretString) -> Arc<SecretString> {
        let password = Arc::new(password);
        *self.known() = Known {
            password: Some(Arc::clone(&password)),
            at: Some(Instant::now()),
            is_said: false,
        };
        password
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one, and says what is wrong with it without repeating it.
fn read(settings: &Basic) -> Result<SecretString, String> {
    let source = &settings.password;
    let password = source.read().map_err(|error| error.to_string())?;
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(format!("the password in {source} is empty"));
    }
    // RFC 7617 section 2.
    if text.contains(char::is_control) {
        return Err(format!(
            "the password in {source} has control characters, such as a second line"
        ));
    }
    Ok(password)
}

/// Looks at the passwords of applications, so that a start says what is wrong with them.
#[must_use]
pub fn look_at_passwords(config: &GatewayConfig) -> Vec<Finding> {
    let applications = config.applications.iter();
    let all = applications.filter_map(|one| one.sign_on.basic.as_ref());
    let bad = all.filter_map(|settings| Some((read(settings).err()?, &settings.place)));
    bad.map(|(what, place)| {
        let remedy = "make it readable for the account appproxy runs as, or correct the place";
        Finding::error("bad_secret", what, remedy).at(place.clone())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::model::{Place, SecretSource, Username};

    fn password(file: &std::path::Path) -> Password {
        let settings = Basic {
            username: Username::Fixed("service".into()),
            password: SecretSource::File(file.into()),
            place: Place {
                file: PathBuf::from("gateway.yaml"),
                line: 1,
                column: 1,
                key: "password".into(),
            },
        };
        Password {
            settings: Arc::new(settings),
            known: Mutex::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_exchanged_counts_soon_and_what_is_gone_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p");
        let password = password(&file);
        assert!(password.get().await.is_none());
        fs::write(&file, "one\n").unwrap();
        let read = async || password.get().await.unwrap().expose_secret().to_owned();
        assert_eq!(read().await, "one");
        fs::write(&file, "two\n").unwrap();
        assert_eq!(read().await, "one");
        tokio::time::advance(FRESH).await;
        assert_eq!(read().await, "two");
        for bad in ["", "\n", "a\nb\n", "a\u{0}b"] {
            tokio::time::advance(FRESH).await;
            fs::write(&file, bad).unwrap();
            assert_eq!(read().await, "two", "{bad:?}");
        }
        fs::remove_file(&file).unwrap();
        tokio::time::advance(FRESH).await;
        assert_eq!(read().await, "two");
        assert!(!format!("{password:?}").contains("two"));
    }
}
