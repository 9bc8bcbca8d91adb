//! The process's log: where it goes, in which form, from which level on. All three can be changed
//! while it runs.

mod sink;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{Layer, Registry};

use crate::model::{LogFormat, LogSettings};

use super::plain::Plain;
use sink::Sink;

/// Read where no level is given on the command line.
const LEVEL_VARIABLE: &str = "APPPROXY_LOG";

/// What was said on the command line; it goes before what a configuration says.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// How lines look.
    pub format: Option<LogFormat>,
    /// A level, or directives. Where it is absent, `APPPROXY_LOG` counts, then the configuration,
    /// then `info`.
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
    /// Another log was set up before, or none was.
    #[error("the log of this process is already set up")]
    AlreadySet,
    /// It cannot go where it should.
    #[error("the log cannot go to {0}: {1}")]
    Target(String, std::io::Error),
    /// The system gives no thread to write it.
    #[error("the log cannot be written: {0}")]
    Thread(#[from] std::io::Error),
}

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Output = Box<dyn Layer<Filtered> + Send + Sync>;

/// The log of this process.
struct Log {
    options: LogOptions,
    filter: Handle<EnvFilter, Registry>,
    output: Handle<Output, Filtered>,
    /// What the configuration says, and where that is.
    settings: Mutex<(LogSettings, Sink)>,
    /// Where audit records go, where they have a place of their own.
    audit: ArcSwapOption<Sink>,
}

/// Writes what still waits when it is dropped, at the end of the process.
#[derive(Debug)]
#[must_use = "lines that wait are lost where it is not kept"]
pub struct LogEnd(());

impl Drop for LogEnd {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.settings().1.finish();
            if let Some(audit) = log.audit.load_full() {
                audit.finish();
            }
        }
    }
}

impl Log {
    fn settings(&self) -> MutexGuard<'_, (LogSettings, Sink)> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Begins the process's log, on standard error; a configuration may have more to say of it. Lines of
/// requests wait for one another a moment; what is returned writes the last of them.
///
/// # Errors
/// Where the level cannot be read, or a log stands already.
pub fn init(options: &LogOptions) -> Result<LogEnd, LogError> {
    let settings = LogSettings::default();
    let (filter, filter_handle) = reload::Layer::new(filter(&level(options, &settings))?);
    let sink = Sink::open(&settings.to)?;
    let (output, output_handle) = reload::Layer::new(output(options, &settings, &sink));
    let log = Log {
        options: options.clone(),
        filter: filter_handle,
        output: output_handle,
        settings: Mutex::new((settings, sink)),
        audit: ArcSwapOption::empty(),
    };
    let subscriber = Registry::default().with(filter).with(output);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    LOG.set(log).map_err(|_| LogError::AlreadySet)?;
    Ok(LogEnd(()))
}

/// Makes the log as a configuration says, where the command line does not say otherwise. A file is
/// opened again.
///
/// # Errors
/// Where it cannot be; it stays as it was then.
pub fn apply(settings: &LogSettings) -> Result<(), LogError> {
    let Some(log) = LOG.get() else { return Ok(()) };
    let mut known = log.settings();
    let filter = filter(&level(&log.options, settings))?;
    let sink = Sink::open(&settings.to)?;
    let audit = open_audit(settings)?;
    let output = output(&log.options, settings, &sink);
    // Both fail only where there is no subscriber any more, at the end of the process.
    let _ = log.output.reload(output);
    let _ = log.filter.reload(filter);
    *known = (settings.clone(), sink);
    log.audit.store(audit);
    Ok(())
}

fn open_audit(settings: &LogSettings) -> Result<Option<Arc<Sink>>, LogError> {
    let opened = settings.audit.as_ref().map(Sink::open).transpose()?;
    Ok(opened.map(Arc::new))
}

/// Has audit records of this process go where the configuration says, and its log as it is: what a command
/// did is recorded with what the gateway did.
///
/// # Errors
/// Where they cannot go there.
pub fn apply_audit(settings: &LogSettings) -> Result<(), LogError> {
    let Some(log) = LOG.get() else { return Ok(()) };
    log.audit.store(open_audit(settings)?);
    Ok(())
}

/// The place of audit records, where they have one.
pub(super) fn audit() -> Option<Place> {
    LOG.get()?.audit.load_full().map(Place)
}

/// A place for lines.
pub(super) struct Place(Arc<Sink>);

impl Place {
    /// Writes one.
    pub(super) fn line(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.0.make_writer().write_all(line)
    }
}

/// Whether the log could be made as a configuration says.
///
/// # Errors
/// Where it could not.
pub fn check(settings: &LogSettings) -> Result<(), LogError> {
    Sink::open(&settings.to)?;
    open_audit(settings).map(drop)
}

/// Opens the log's file again, as one does that was moved away.
///
/// # Errors
/// Where it cannot be; it goes on in the old one then.
pub fn reopen() -> Result<(), LogError> {
    let Some(log) = LOG.get() else { return Ok(()) };
    let mut known = log.settings();
    let (settings, sink) = &mut *known;
    let new = Sink::open(&settings.to)?;
    let audit = open_audit(settings)?;
    log.audit.store(audit);
    let _ = log.output.reload(output(&log.options, settings, &new));
    *sink = new;
    Ok(())
}

/// Logs from another level on, until the log is made anew; `None` is the level it has by itself.
/// Returns the level.
///
/// # Errors
/// Where it cannot be read; the level stays as it was then.
pub fn set_level(wanted: Option<&str>) -> Result<String, LogError> {
    let Some(log) = LOG.get() else {
        return Ok(String::new());
    };
    let known = log.settings();
    let usual = level(&log.options, &known.0);
    let level = wanted.map_or(usual, str::to_owned);
    let _ = log.filter.reload(filter(&level)?);
    Ok(level)
}

fn level(options: &LogOptions, settings: &LogSettings) -> String {
    let variable = std::env::var(LEVEL_VARIABLE).ok();
    first(&[&options.level, &variable, &settings.level]).to_owned()
}

/// The first of them that says something.
fn first<'a>(levels: &[&'a Option<String>]) -> &'a str {
    let said = levels.iter().filter_map(|level| level.as_deref());
    said.map(str::trim)
        .find(|level| !level.is_empty())
        .unwrap_or("info")
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let parsed = EnvFilter::builder().parse(level);
    parsed.map_err(|_| LogError::Level(level.to_owned()))
}

fn output(options: &LogOptions, settings: &LogSettings, sink: &Sink) -> Output {
    let format = options.format.or(settings.format).unwrap_or_default();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let colour = !plain && sink.is_stderr() && std::io::stderr().is_terminal();
    layer(format, colour, sink.clone())
}

fn layer<S, W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // A line that cannot be written is lost. Reporting it on standard error, as is the
        // default, panics where standard error is the closed pipe.
        .log_internal_errors(false);
    match format {
        LogFormat::Text if colour => Box::new(builder.with_ansi(true)),
        LogFormat::Text => Box::new(builder.with_ansi(false).fmt_fields(Plain)),
        LogFormat::Json => Box::new(
            builder
                .with_ansi(false)
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
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
        let layer = layer(format, false, move || writer.clone());
        let subscriber = Registry::default().with(filter(level).unwrap()).with(layer);
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
    fn the_command_line_goes_before_the_variable_and_that_before_the_configuration() {
        let some = |level: &str| Some(level.to_owned());
        for (levels, expected) in [
            ([some("debug"), some("warn"), some("error")], "debug"),
            ([None, some("warn"), some("error")], "warn"),
            ([None, some(" "), some("error")], "error"),
            ([None, None, None], "info"),
        ] {
            let [given, variable, configured] = &levels;
            assert_eq!(first(&[given, variable, configured]), expected);
        }
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
            let error = filter(bad).err();
            let text = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(text.contains(bad), "{bad}: {text}");
        }
    }
}
