//! Asking: one line, one answer.

use std::any::Any;
use std::io::{self, BufRead, Write};

use zeroize::Zeroizing;

use super::questions::Question;

/// How often a question is asked before it is given up.
pub(super) const TRIES: u32 = 3;

/// The longest answer, in octets.
const LONGEST: u64 = 16 * 1024;

/// Turns a terminal's echo off for as long as what it returns lives.
pub(super) type Hush<'a> = &'a dyn Fn() -> io::Result<Box<dyn Any>>;

/// Where answers come from and questions go to.
pub(super) struct Console<'a> {
    pub(super) input: &'a mut dyn BufRead,
    pub(super) output: &'a mut dyn Write,
    pub(super) hush: Hush<'a>,
    /// `--yes`: nothing is asked.
    pub(super) silent: bool,
}

impl Console<'_> {
    /// The answer to a question: what its flag said, or what somebody types, or the default. It is
    /// asked for again where `check` refuses it.
    ///
    /// # Errors
    /// In words for the person who typed it, where there is no good answer.
    pub(super) fn ask<T>(
        &mut self,
        question: Question,
        given: Option<&str>,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        let flag = question.flag;
        let given = given.or_else(|| default.filter(|_| self.silent));
        if let Some(given) = given {
            return check(given).map_err(|why| format!("--{flag}: {why}"));
        }
        if self.silent {
            return Err(format!("--{flag} is missing, and --yes asks nothing"));
        }
        let shown = match default {
            Some("") | None => String::new(),
            Some(default) => format!(" [{default}]"),
        };
        for _ in 0..TRIES {
            self.say(&format!("{}{shown}: ", question.asks))?;
            let line = self.line(question)?;
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                ("", None) => {
                    self.say("  This has no default: write something.\n")?;
                    continue;
                }
                (answer, _) => answer,
            };
            match check(answer) {
                Ok(value) => return Ok(value),
                Err(why) => self.say(&format!("  {why}.\n"))?,
            }
        }
        Err(gave_up(question))
    }

    /// A secret, typed or pasted without being shown, and as it was typed; nothing is an answer as well.
    ///
    /// # Errors
    /// As [`Console::ask`], and where the echo cannot be turned off.
    pub(super) fn ask_secret<T>(
        &mut self,
        question: Question,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.silent {
            return check("").map_err(|why| format!("--{}: {why}", question.flag));
        }
        for _ in 0..TRIES {
            // Before it is asked for: what is pasted at once must not be shown either.
            let quiet = (self.hush)().map_err(|error| {
                format!("the terminal's echo cannot be turned off: {error}; name a file that holds the secret by --{}", question.flag)
            })?;
            self.say(&format!("{} (it will not be shown): ", question.asks))?;
            let line = self.line(question)?;
            drop(quiet);
            self.say("\n")?;
            match check(line.trim_end_matches(['\r', '\n'])) {
                Ok(value) => return Ok(value),
                Err(why) => self.say(&format!("  {why}.\n"))?,
            }
        }
        Err(gave_up(question))
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), String> {
        self.output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush())
            .map_err(|error| format!("cannot write: {error}"))
    }

    fn line(&mut self, question: Question) -> Result<Zeroizing<String>, String> {
        let mut line = Zeroizing::new(String::new());
        let read = io::Read::take(&mut *self.input, LONGEST).read_line(&mut line);
        match read {
            Ok(0) => Err(format!(
                "the input ended before an answer to: {}. Nothing was written; --{} answers it",
                question.asks, question.flag
            )),
            Ok(_) => Ok(line),
            Err(error) => Err(format!(
                "cannot read an answer: {error}. Nothing was written"
            )),
        }
    }
}

pub(super) fn gave_up(question: Question) -> String {
    format!(
        "no usable answer in {TRIES} tries to: {}. Nothing was written; --{} answers it",
        question.asks, question.flag
    )
}
