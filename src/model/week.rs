//! Times of the week in some place of the world.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Some days of the week, and from when until when on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Week {
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight; the end is not part of it, and may be after midnight.
    from: u16,
    to: u16,
    zone: TimeZone,
}

/// Why something is no time of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeekError {
    /// No such zone in the time zone database that is built in.
    #[error("there is no time zone `{0}`")]
    Zone(String),
    /// No time of the day.
    #[error("`{0}` is no time of the day")]
    Time(String),
    /// No day.
    #[error("`{0}` is no day of the week")]
    Day(String),
    /// It would be always or never.
    #[error("it ends when it begins")]
    Empty,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Week {
    /// On these days (`mon` to `sun`; none means all) from one time of the day to another (`08:00`,
    /// and `24:00` at the end) by the clocks of a zone.
    ///
    /// # Errors
    /// Where one of them is not what it should be.
    pub fn new(days: &[&str], from: &str, to: &str, zone: &str) -> Result<Self, WeekError> {
        let mut on = [days.is_empty(); 7];
        for day in days {
            let at = DAYS.iter().position(|known| known == day);
            let at = at.ok_or_else(|| WeekError::Day((*day).to_owned()))?;
            on[at] = true;
        }
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to || from == DAY {
            return Err(WeekError::Empty);
        }
        let found = TimeZone::get(zone).map_err(|_| WeekError::Zone(zone.to_owned()))?;
        Ok(Self {
            days: on,
            from,
            to,
            zone: found,
        })
    }

    /// Whether a moment is in it; seconds since 1970. `None` where the moment is beyond any calendar.
    #[must_use]
    pub fn has(&self, seconds: i64) -> Option<bool> {
        let moment = Timestamp::from_second(seconds).ok()?;
        let there = self.zone.to_datetime(moment);
        let minute = |part: i8| u16::try_from(part).ok();
        let now = minute(there.hour())? * 60 + minute(there.minute())?;
        let on = |day: Weekday| {
            let at = usize::try_from(day.to_monday_zero_offset()).ok()?;
            self.days.get(at).copied()
        };
        let today = on(there.weekday())?;
        if self.from < self.to {
            return Some(today && (self.from..self.to).contains(&now));
        }
        // It ends on the next day.
        let yesterday = on(there.weekday().previous())?;
        Some(today && now >= self.from || yesterday && now < self.to)
    }
}

fn minute(text: &str) -> Result<u16, WeekError> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(hour) || !digits(minute) {
            return None;
        }
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let at = hour * 60 + minute;
        (minute < 60 && at <= DAY).then_some(at)
    };
    read().ok_or_else(|| WeekError::Time(text.to_owned()))
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = DAYS.iter().zip(self.days).filter(|(_, on)| *on);
        let days: Vec<_> = named.map(|(name, _)| *name).collect();
        if days.len() < DAYS.len() {
            write!(f, "{} ", days.join(" "))?;
        }
        let clock = |at: u16| format!("{:02}:{:02}", at / 60, at % 60);
        let zone = self.zone.iana_name().unwrap_or("?");
        write!(f, "{} to {} {zone}", clock(self.from), clock(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_has_its_hours_by_the_clocks_of_its_zone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let workdays = ["mon", "tue", "wed", "thu", "fri"];
        let office = Week::new(&workdays, "08:00", "18:00", "Europe/Berlin").unwrap();
        let night = Week::new(&["fri"], "22:00", "06:00", "UTC").unwrap();
        let all = Week::new(&[], "00:00", "24:00", "America/New_York").unwrap();
        for (week, moment, expected) in [
            // Summer time, and winter time.
            (&office, "2026-07-01T05:59:59Z", false),
            (&office, "2026-07-01T06:00:00Z", true),
            (&office, "2026-07-01T15:59:59Z", true),
            (&office, "2026-07-01T16:00:00Z", false),
            (&office, "2026-12-01T06:59:59Z", false),
            (&office, "2026-12-01T07:00:00Z", true),
            (&office, "2026-12-05T10:00:00Z", false),
            (&night, "2026-12-04T21:59:59Z", false),
            (&night, "2026-12-04T22:00:00Z", true),
            (&night, "2026-12-05T05:59:59Z", true),
            (&night, "2026-12-05T06:00:00Z", false),
            (&night, "2026-12-05T22:00:00Z", false),
            (&all, "2026-12-05T23:59:59Z", true),
        ] {
            assert_eq!(week.has(at(moment)), Some(expected), "{week} at {moment}");
        }
        assert_eq!(all.has(i64::MAX), None);
        assert_eq!(
            office.to_string(),
            "mon tue wed thu fri 08:00 to 18:00 Europe/Berlin"
        );
    }

    #[test]
    fn what_is_no_time_of_the_week_is_refused() {
        for (days, from, to, zone) in [
            (&["monday"][..], "08:00", "18:00", "UTC"),
            (&[], "8:00", "18:00", "UTC"),
            (&[], "08:60", "18:00", "UTC"),
            (&[], "08:00", "24:01", "UTC"),
            (&[], "08:00", "08:00", "UTC"),
            (&[], "24:00", "08:00", "UTC"),
            (&[], "08:00", "18:00", "Europe/Bonn"),
            (&[], "+8:00", "18:00", "UTC"),
        ] {
            assert!(Week::new(days, from, to, zone).is_err(), "{from} {to}");
        }
    }
}
