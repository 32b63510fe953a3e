//! Lists of threat indicators in each format: read or refused, and what is read is found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::FeedFormat;
use policy::{Indicator, Threats, feed};

fuzz_target!(|data: &[u8]| {
    let Some((first, list)) = data.split_first() else {
        return;
    };
    let format = match first % 4 {
        0 => FeedFormat::Plain,
        1 => FeedFormat::Hosts,
        2 => FeedFormat::Csv,
        _ => FeedFormat::Stix,
    };
    let mut found = Vec::new();
    let Ok(report) = feed::read(list, format, &mut |it, category| found.push((it, category)))
    else {
        return;
    };
    assert_eq!(report.indicators, found.len() as u64);
    assert!(report.first_skipped.len() as u64 <= report.skipped);
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
