//! Lists of threat indicators in each format, and of the networks of cloud services: read or refused, and what is read is
//! found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{CloudService, FeedFormat};
use policy::{CloudServices, Indicator, Threats, feed};
use std::time::Duration;

/// 2026-11-30.
const NOW: u64 = 1_796_000_000;

fuzz_target!(|data: &[u8]| {
    let Some((first, list)) = data.split_first() else {
        return;
    };
    let format = match first % 8 {
        0 => FeedFormat::Plain,
        1 => FeedFormat::Hosts,
        2 => FeedFormat::Csv,
        3 => FeedFormat::Stix,
        wanted => return services(list, wanted & 1 == 1, wanted & 2 == 2),
    };
    let mut found = Vec::new();
    let Ok(report) = feed::read(list, format, NOW, &mut |it, category| {
        found.push((it, category))
    }) else {
        return;
    };
    assert_eq!(report.indicators, found.len() as u64);
    assert!(report.first_skipped.len() as u64 <= report.skipped);
    assert!(report.changes.is_none_or(|it| it > NOW));
    for skipped in &report.first_skipped {
        assert!(skipped.line > 0 && skipped.why.to_string().len() < 1_000);
    }
    let all = found
        .iter()
        .map(|(it, category)| (it.clone(), category.unwrap_or("other")));
    let threats = Threats::new(all);
    for (indicator, _) in &found {
        match indicator {
            Indicator::Net(net) => {
                assert!(net.prefix_len() >= 8);
                assert!(threats.find_address(net.network()).is_some());
                assert!(threats.find_address(net.broadcast()).is_some());
            }
            Indicator::Host(name) => assert!(threats.find_domain(name).is_some()),
            Indicator::Domain(name) => {
                assert!(threats.find_domain(name).is_some());
                assert!(threats.find_domain(&format!("www.{name}")).is_some());
            }
        }
    }
});

/// A list of networks, of which all are wanted, or those of some services or regions.
fn services(list: &[u8], by_service: bool, by_region: bool) {
    let some = |words: &[&str], on: bool| match on {
        true => words.iter().map(ToString::to_string).collect(),
        false => Vec::new(),
    };
    let read = |services, regions| {
        let service = CloudService {
            location: "/list".into(),
            services,
            regions,
            refresh: Duration::from_secs(60),
        };
        let mut found = Vec::new();
        let report = feed::read_networks(list, &service, &mut |it| found.push(it)).ok()?;
        assert_eq!(report.indicators, found.len() as u64);
        for skipped in &report.first_skipped {
            assert!(skipped.line > 0 && skipped.why.to_string().len() < 1_000);
        }
        Some(found)
    };
    let wanted = (
        some(&["a", "S3"], by_service),
        some(&["b", "eu-west-1"], by_region),
    );
    let Some(found) = read(wanted.0, wanted.1) else {
        return;
    };
    // What is wanted is a part of what there is.
    let all = read(Vec::new(), Vec::new()).unwrap_or_default();
    assert!(found.iter().all(|net| all.contains(net)));
    let services = CloudServices::new([("found", found.clone()), ("all", all)]);
    for net in found {
        assert!(net.prefix_len() >= 8 && net == net.trunc());
        for address in [net.network(), net.broadcast()] {
            let mut books = Vec::new();
            services.find(address, &mut |it| books.push(it.to_owned()));
            assert_eq!(books, ["found", "all"]);
        }
    }
}
