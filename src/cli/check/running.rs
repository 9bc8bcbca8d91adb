//! The gateway that runs beside a check, and what it says of itself.

use std::thread;
use std::time::Duration;

use http::Method;

use super::Exit;
use crate::check::gateway::Running;
use crate::check::{Area, Line};
use crate::cli::orders::{self, Unheard, paths};
use crate::cli::reload::InForce;
use crate::config::GatewayConfig;
use crate::model::Finding;

/// For a gateway to say who is connected; it has to look at nothing for that.
const SHORT: Duration = Duration::from_secs(3);

/// For it to read its configuration beside: thousands of applications take a while.
const LONG: Duration = Duration::from_secs(6);

/// What it told, and the line that this comes to.
pub(super) fn look(config: &GatewayConfig) -> Result<(Running, Line), Exit> {
    let (connected, in_force) = thread::scope(|scope| {
        let in_force =
            scope.spawn(|| orders::ask::<InForce>(config, Method::GET, paths::IN_FORCE, LONG));
        let connected = orders::ask::<Vec<String>>(config, Method::GET, paths::CONNECTED, SHORT);
        (connected, in_force.join())
    });
    let in_force = in_force.map_err(|_| Exit::failed("the gateway could not be asked"))?;
    let connected = match connected {
        Ok(None) => {
            let line = Line::pass(Area::Configuration, SUBJECT, "does not run");
            return Ok((Running::No, line));
        }
        Ok(Some(connected)) => connected,
        Err(unheard) => {
            let line = Line::found(Area::Configuration, SUBJECT, not_heard(config, &unheard));
            return Ok((Running::Unheard, line));
        }
    };
    // It may have ended in between.
    let in_force = in_force.ok().flatten();
    let line = by_what(config, in_force.as_ref());
    let (listening, open_files) =
        in_force.map_or((None, None), |one| (one.listening, one.open_files));
    let running = Running::Told {
        listening,
        open_files,
        connected,
    };
    Ok((running, line))
}

const SUBJECT: &str = "gateway";

fn not_heard(config: &GatewayConfig, unheard: &Unheard) -> Finding {
    let socket = config.admin_socket();
    let socket = socket.display();
    match unheard {
        Unheard::Silent(patience) => Finding::error(
            "gateway_silent",
            format!(
                "a gateway runs here (it takes orders at {socket}) and gave no answer within {patience:?}"
            ),
            "see what it does: `systemctl status appproxy-gateway`, `journalctl -u appproxy-gateway`; where it hangs, restart it: `systemctl restart appproxy-gateway`",
        ),
        Unheard::Denied(error) => Finding::error(
            "gateway_forbidden",
            format!("a gateway runs here, and this account may not ask it at {socket} ({error})"),
            "run this as root, or as the account that the gateway runs as: `sudo -u appproxy appproxy check`",
        ),
        Unheard::Failed(why) => Finding::error(
            "gateway_unheard",
            format!("a gateway runs here, and cannot be asked at {socket}: {why}"),
            "where it is of another version than this program, restart it; else its log says more: `journalctl -u appproxy-gateway`",
        ),
    }
}

/// By which file it goes, and whether by what this one says.
fn by_what(config: &GatewayConfig, in_force: Option<&InForce>) -> Line {
    let area = Area::Configuration;
    let Some(InForce {
        file, is_current, ..
    }) = in_force
    else {
        let why = "one runs, and does not tell in time by which configuration";
        return Line::skip(area, SUBJECT, why);
    };
    if std::fs::canonicalize(&config.file).ok().as_ref() != Some(file) {
        let seen = format!("one runs, by {}", file.display());
        return Line::pass(area, SUBJECT, seen);
    }
    if *is_current {
        return Line::pass(area, SUBJECT, "runs, with this configuration");
    }
    let finding = Finding::warning(
        "not_in_force",
        "the gateway that runs goes by another configuration than is in this file now",
        format!(
            "have it read the file again: `appproxy gateway reload --config {}`",
            config.file.display()
        ),
    );
    Line::found(area, SUBJECT, finding)
}
