//! `sluice apply`

use super::ask;
use crate::cli::Apply;
use crate::error::Error;
use crate::output::{self, units};
use crate::socket::client::ClientError;
use crate::socket::protocol::{Applied, Change, Request, Response};
use crate::socket::socket_path;
use crate::state::{read_config, read_text};
use model::Config;
use std::io::{self, Write};

pub fn run(args: &Apply, out: &mut impl Write) -> Result<(), Error> {
    let (text, name) = if args.file.as_os_str() == "-" {
        let text = read_text(io::stdin()).map_err(Error::Input)?;
        (text, "standard input".to_owned())
    } else {
        (read_config(&args.file)?, args.file.display().to_string())
    };
    if text.trim().is_empty() {
        return Err(Error::Empty(name));
    }
    let given = args.daemon.given();
    let named = || model::file::system_name(&text).map(|name| socket_path(&name));
    let socket = match given.clone().or_else(named) {
        Some(socket) => socket,
        // Then it is no configuration, and this says why.
        None => socket_path(&check(args, &text)?.system.name),
    };
    let request = Request::Apply {
        text: text.clone(),
        check: args.check,
    };
    let answer = ask(&socket, &request, |response| match response {
        Response::Applied(applied) => Ok(applied),
        other => Err(other),
    });
    let applied = match answer {
        Ok(applied) => Some(applied),
        Err(error) => {
            // The gateway reads it, and finds what is wrong with it. Here it is read only if it was not taken: as a file,
            // of which a name can be told; and without a gateway.
            check(args, &text)?;
            let nobody = matches!(
                error,
                Error::Client(ClientError::NotRunning(_) | ClientError::NotAllowed(_))
            );
            if !(nobody && args.check && given.is_none()) {
                return Err(error);
            }
            None
        }
    };
    if args.json {
        output::json(out, &applied)
    } else {
        out.write_all(render(applied).as_bytes())
    }
    .map_err(Error::Output)
}

/// Finds out whether anything is wrong with the file itself.
fn check(args: &Apply, text: &str) -> Result<Config, Error> {
    let wrong = |error| Error::Config {
        path: args.file.clone(),
        error,
    };
    model::file::parse(text).map_err(wrong)
}

fn render(applied: Option<Applied>) -> String {
    let Some(applied) = applied else {
        return "The configuration is valid. No gateway of its name can be asked what it would change.\n"
            .into();
    };
    let mut text = String::new();
    for change in &applied.changes {
        text += &line(change);
    }
    for note in &applied.notes {
        text += &format!("Note: {note}.\n");
    }
    let time = units::micros(applied.micros);
    text += &match (applied.changes.is_empty(), applied.check) {
        (true, true) => "The configuration is valid and would change nothing.\n".to_owned(),
        (true, false) => format!("Nothing to change ({time}).\n"),
        (false, true) => "The configuration is valid. Nothing was changed yet.\n".to_owned(),
        (false, false) => format!("Applied in {time}.\n"),
    };
    text
}

/// `instance: 2 added (web-1, web-2), 1 removed (db)`
fn line(change: &Change) -> String {
    let parts: Vec<String> = [
        (&change.added, "added"),
        (&change.removed, "removed"),
        (&change.changed, "changed"),
    ]
    .into_iter()
    .filter(|(ids, _)| !ids.is_empty())
    .map(|(ids, what)| format!("{} {what} ({})", units::count(ids.len() as u64), few(ids)))
    .collect();
    format!("{}: {}\n", change.kind, parts.join(", "))
}

/// The first few of a list.
fn few(ids: &[String]) -> String {
    const MOST: usize = 8;
    let more = if ids.len() > MOST { ", …" } else { "" };
    ids[..ids.len().min(MOST)].join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_summary_names_what_changed_and_how_long_it_took() {
        let many: Vec<String> = (0..1_000).map(|n| format!("e{n}")).collect();
        let applied = Applied {
            check: false,
            changes: vec![
                Change {
                    kind: "instance".into(),
                    added: ids(&["web-1", "web-2"]),
                    removed: ids(&["db"]),
                    changed: vec![],
                },
                Change {
                    kind: "EIP".into(),
                    changed: many,
                    ..Change::default()
                },
            ],
            notes: vec!["it rains".into()],
            micros: 1_500,
        };
        assert_eq!(
            render(Some(applied)),
            "instance: 2 added (web-1, web-2), 1 removed (db)\n\
             EIP: 1,000 changed (e0, e1, e2, e3, e4, e5, e6, e7, …)\n\
             Note: it rains.\n\
             Applied in 1.5 ms.\n"
        );
    }

    #[test]
    fn nothing_changed_and_only_checked_are_said() {
        let nothing = |check| Applied {
            check,
            changes: vec![],
            notes: vec![],
            micros: 10,
        };
        assert_eq!(render(Some(nothing(false))), "Nothing to change (10 µs).\n");
        assert!(render(Some(nothing(true))).contains("would change nothing"));
        assert!(render(None).contains("is valid"));
    }
}
