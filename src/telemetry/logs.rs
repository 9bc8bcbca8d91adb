//! The process's log: where it goes, in which form, from which level on.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Read where no level is given on the command line.
const LEVEL_VARIABLE: &str = "APPPROXY_LOG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `target`, `message` and the event's own
    /// fields beside them.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// How lines look.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,access=off,appproxy::tunnel=debug`. Where it is absent, `APPPROXY_LOG` counts, then
    /// `info`.
    pub level: Option<String>,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "the log level `{0}` is not understood: write error, warn, info, debug or trace, or directives such as info,access=off"
    )]
    Level(String),
    /// Another log was set up before.
    #[error("the log of this process is already set up")]
    AlreadySet,
}

/// Sends the process's log to standard error.
///
/// # Errors
/// Where the level cannot be read, or a log stands already.
pub fn init(options: &LogOptions) -> Result<(), LogError> {
    let variable = std::env::var(LEVEL_VARIABLE).ok();
    let level = level(options.level.as_deref(), variable.as_deref());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let colour = !plain && io::stderr().is_terminal();
    let subscriber = subscriber(options.format, level, colour, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)
}

fn level<'a>(given: Option<&'a str>, variable: Option<&'a str>) -> &'a str {
    [given, variable]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|level| !level.is_empty())
        .unwrap_or("info")
}

fn subscriber<W>(
    format: LogFormat,
    level: &str,
    colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|_| LogError::Level(level.to_owned()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // A line that cannot be written is lost. Reporting it on standard error, as is the
        // default, panics where standard error is the closed pipe.
        .log_internal_errors(false);
    Ok(match format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(
            builder
                .with_ansi(false)
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn json(&self) -> Vec<serde_json::Value> {
            let text = self.text();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }
    }

    /// Runs `act` and gives what it logged.
    pub(crate) fn logged(format: LogFormat, level: &str, act: impl FnOnce()) -> Lines {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, level, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        lines
    }

    #[test]
    fn json_is_one_object_a_line_with_the_message_on_top() {
        let lines = logged(LogFormat::Json, "info", || {
            tracing::info!(listen = "[::]:443", "gateway ready");
            tracing::debug!("unseen");
        });
        let [line] = lines.json().try_into().unwrap();
        assert_eq!(line["message"], "gateway ready");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["listen"], "[::]:443");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_is_one_line_without_colour_unless_asked() {
        let lines = logged(LogFormat::Text, "info", || {
            tracing::info!(host = "a\nb\u{1b}[31m", "gateway ready");
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains(r#"gateway ready host="a\nb\u{1b}[31m""#),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn the_command_line_goes_before_the_variable() {
        assert_eq!(level(Some("debug"), Some("warn")), "debug");
        assert_eq!(level(None, Some("warn")), "warn");
        assert_eq!(level(None, Some(" ")), "info");
        assert_eq!(level(None, None), "info");
    }

    #[test]
    fn a_target_has_a_level_of_its_own() {
        let lines = logged(LogFormat::Json, "info,access=off", || {
            tracing::info!(target: "access", "request");
            tracing::info!("other");
        });
        let [line] = lines.json().try_into().unwrap();
        assert_eq!(line["message"], "other");
    }

    #[test]
    fn a_level_that_is_none_is_named() {
        for bad in ["a=b=c", "info,,x=loud", "appproxy=verbose"] {
            let error = subscriber(LogFormat::Text, bad, false, io::sink).err();
            let text = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(text.contains(bad), "{bad}: {text}");
        }
    }
}
