//! `sluice intel`

use super::ask;
use crate::cli::records::Intel;
use crate::error::Error;
use crate::output::table::{Column, Table};
use crate::output::{
    self,
    units::{count, plural},
};
use crate::socket::protocol::{IntelView, NameView, Request, Response};
use std::io::Write;

const FEEDS: &[Column] = &[
    Column::Text("LIST"),
    Column::Text("CATEGORY"),
    Column::Number("INDICATORS"),
    Column::Number("NOT READ"),
    Column::Text("FETCHED"),
    Column::Text("FROM"),
    Column::Text("TROUBLE"),
];

const SERVICES: &[Column] = &[
    Column::Text("CLOUD SERVICE"),
    Column::Number("NETWORKS"),
    Column::Number("NOT USED"),
    Column::Text("FETCHED"),
    Column::Text("FROM"),
    Column::Text("TROUBLE"),
];

const NAMES: &[Column] = &[
    Column::Text("NAME"),
    Column::Text("ADDRESSES"),
    Column::Text("ANSWERED"),
    Column::Text("TROUBLE"),
];

/// Addresses of a name in a table at most.
const ADDRESSES: usize = 4;

pub fn run(args: &Intel, out: &mut impl Write) -> Result<(), Error> {
    if let Some(verb) = &args.verb {
        if args.json || args.refresh.is_some() || args.resolve.is_some() {
            let why =
                "--json stands behind the command, and --refresh and --resolve go without one";
            return Err(Error::Other(why.into()));
        }
        return super::policy::intel(&args.daemon.find()?, verb, out);
    }
    let socket = args.daemon.daemon.path();
    if let Some(name) = &args.resolve {
        let name = name.clone();
        let found = ask(&socket, &Request::Resolve { name }, |it| match it {
            Response::Resolved(found) => Ok(found),
            other => Err(other),
        })?;
        return match args.json {
            true => output::json(out, &found),
            false => out.write_all(names(&[found]).as_bytes()),
        }
        .map_err(Error::Output);
    }
    let refresh = args.refresh.clone();
    let intel = ask(&socket, &Request::Intel { refresh }, |it| match it {
        Response::Intel(intel) => Ok(intel),
        other => Err(other),
    })?;
    match args.json {
        true => output::json(out, &intel),
        false => out.write_all(render(&intel).as_bytes()),
    }
    .map_err(Error::Output)
}

fn render(intel: &IntelView) -> String {
    let lists = plural(intel.feeds.len() as u64, "list");
    let indicators = plural(intel.indicators, "indicator");
    let mut text = format!("{indicators} of threats, of {lists} and those that are built in\n");
    let mut table = Table::new(FEEDS);
    for feed in &intel.feeds {
        table.row([
            feed.id.clone(),
            feed.category.clone(),
            count(feed.indicators),
            count(feed.skipped),
            feed.fetched.clone().unwrap_or_default(),
            feed.location.clone(),
            feed.error.clone().unwrap_or_default(),
        ]);
    }
    if !table.is_empty() {
        text += &table.part();
    }
    let mut table = Table::new(SERVICES);
    for service in &intel.services {
        table.row([
            service.book.clone(),
            count(service.networks),
            count(service.skipped),
            service.fetched.clone().unwrap_or_default(),
            service.location.clone(),
            service.error.clone().unwrap_or_default(),
        ]);
    }
    if !table.is_empty() {
        text += "\n";
        text += &table.part();
    }
    if let Some(locations) = &intel.locations {
        let is = match (&locations.made, &locations.error) {
            (_, Some(error)) => error.clone(),
            (Some(made), None) => format!("of {made}"),
            (None, None) => "not read yet".into(),
        };
        text += &format!("\nLocations: {}: {is}\n", locations.path.display());
    }
    if !intel.names.is_empty() {
        text += "\n";
        text += &names(&intel.names);
    }
    text
}

fn names(names: &[NameView]) -> String {
    let mut table = Table::new(NAMES);
    for name in names {
        let shown = name.addresses.iter().take(ADDRESSES);
        let mut addresses: Vec<String> = shown.map(ToString::to_string).collect();
        if name.addresses.len() > ADDRESSES {
            addresses.push(format!("{} more", name.addresses.len() - ADDRESSES));
        }
        table.row([
            name.name.clone(),
            addresses.join(", "),
            name.answered.clone().unwrap_or_default(),
            name.error.clone().unwrap_or_default(),
        ]);
    }
    table.part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::protocol::{FeedView, LocationsView, ServiceView};

    #[test]
    fn lists_locations_and_names_are_shown_with_their_trouble() {
        let mut intel = IntelView {
            indicators: 1_002,
            ..IntelView::default()
        };
        assert_eq!(
            render(&intel),
            "1,002 indicators of threats, of 0 lists and those that are built in\n"
        );
        intel.feeds.push(FeedView {
            id: "feed-1".into(),
            category: "Mining".into(),
            location: "https://feeds.example/x".into(),
            indicators: 1_000,
            skipped: 3,
            fetched: Some("2026-11-30T01:00:00Z".into()),
            error: Some("no route".into()),
        });
        intel.services.push(ServiceView {
            book: "storage".into(),
            location: "/ranges.json".into(),
            networks: 2_000,
            skipped: 7,
            fetched: None,
            error: None,
        });
        intel.locations = Some(LocationsView {
            path: "/x.mmdb".into(),
            made: Some("2026-11-01T00:00:00Z".into()),
            error: None,
        });
        let addresses = (1..=9).map(|n| [192, 0, 2, n].into());
        intel.names.push(NameView {
            name: "a.test".into(),
            addresses: addresses.collect(),
            answered: None,
            error: None,
        });
        let text = render(&intel);
        for part in [
            "feed-1  Mining         1,000         3  2026-11-30T01:00:00Z  https://feeds.example/x  no route\n",
            "\nCLOUD SERVICE  NETWORKS  NOT USED  FETCHED  FROM          TROUBLE\nstorage           2,000         7  -        /ranges.json  -\n",
            "\nLocations: /x.mmdb: of 2026-11-01T00:00:00Z\n",
            "192.0.2.4, 5 more",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
