//! The fields of a line of the log as text without colour.
//!
//! The same as tracing-subscriber writes, which asks for a style before and behind every name even
//! where there is none: half of what an access line costs, and there is one for each request.

use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// Writes `name=value` for each field, and the message without its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            is_empty: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        let pad = if self.is_empty { "" } else { " " };
        self.is_empty = false;
        let writer = &mut self.writer;
        self.result = self.result.and_then(|()| {
            writer.write_str(pad)?;
            writer.write_str(name)?;
            writer.write_char('=')?;
            writer.write_fmt(value)
        });
    }

    /// As tracing-subscriber does it: messages and errors have escapes of their own.
    fn default(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), self.is_empty);
            record(&mut visitor);
            self.result = visitor.finish();
            self.is_empty = false;
        }
    }
}

fn is_message(field: &Field) -> bool {
    field.name() == "message"
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_message(field) {
            return self.default(|visitor| visitor.record_str(field, value));
        }
        self.write(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.default(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_message(field) {
            return self.default(|visitor| visitor.record_debug(field, value));
        }
        self.write(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::fmt::format::DefaultFields;

    use super::super::logs::tests::Lines;
    use super::*;

    fn line<F>(fields: F, act: impl FnOnce()) -> String
    where
        F: for<'w> FormatFields<'w> + Send + Sync + 'static,
    {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .fmt_fields(fields)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        lines.text()
    }

    #[test]
    fn lines_are_those_of_tracing_subscriber() {
        let events: [fn(); 5] = [
            || tracing::info!("message alone"),
            || {
                tracing::info!(
                    number = 1,
                    float = 0.25,
                    yes = true,
                    "with \u{1b}[31m {}",
                    "words"
                )
            },
            || tracing::warn!(text = "a\nb\u{1b}", display = %"c d", debug = ?Some("e"), none = None::<u8>),
            || tracing::info!(r#type = "raw", last = i64::MIN, "message between",),
            || {
                let why = io::Error::other(fmt::Error);
                let why: &(dyn Error + 'static) = &why;
                tracing::error!(first = 7_u8, error = why, after = 2_u64, "failed");
            },
        ];
        for event in events {
            let plain = line(Plain, event);
            assert_eq!(plain, line(DefaultFields::new(), event));
            assert_eq!(plain.lines().count(), 1, "{plain}");
        }
    }
}
