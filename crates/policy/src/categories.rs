//! The categories of threat intelligence, and what is known to be bad before any list is read.

use crate::threats::Indicator;
use ipnet::Ipv4Net;
use model::ThreatAction;
use std::net::Ipv4Addr;

/// A category of threats, as the API lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its identifier, as in [`model::ThreatRule`].
    pub id: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// What is in it.
    pub description: &'static str,
    /// What is done about it unless something else is said.
    pub action: ThreatAction,
}

/// The categories. `IpOutThreatTorExit` is the cloud's own identifier; the documentation names no other, so the others
/// are made the same way. Lists may have categories of their own besides.
pub const CATEGORIES: &[Category] = &[
    category(
        "IpOutThreatTorExit",
        "Tor exit node",
        "Addresses where traffic of the Tor network comes out",
        ThreatAction::Alert,
    ),
    category(
        "IpOutThreatC2",
        "Command and control address",
        "Addresses from which compromised hosts take their orders",
        ThreatAction::Drop,
    ),
    category(
        "IpOutThreatMining",
        "Mining pool address",
        "Addresses of pools for which hosts mine cryptocurrency",
        ThreatAction::Drop,
    ),
    category(
        "IpOutThreatMalware",
        "Malware address",
        "Addresses from which malicious software is downloaded",
        ThreatAction::Drop,
    ),
    category(
        "IpOutThreatBotnet",
        "Botnet or scanner",
        "Addresses that are part of a botnet, scan or attack others",
        ThreatAction::Alert,
    ),
    category(
        "DomainOutThreatC2",
        "Command and control domain",
        "Names by which compromised hosts find whom they obey",
        ThreatAction::Drop,
    ),
    category(
        "DomainOutThreatMining",
        "Mining pool domain",
        "Names of pools for which hosts mine cryptocurrency",
        ThreatAction::Drop,
    ),
    category(
        "DomainOutThreatMalware",
        "Malware domain",
        "Names from which malicious software is downloaded",
        ThreatAction::Drop,
    ),
    category(
        "DomainOutThreatPhishing",
        "Phishing domain",
        "Names of pages that ask for passwords in another's name",
        ThreatAction::Drop,
    ),
];

const fn category(
    id: &'static str,
    name: &'static str,
    description: &'static str,
    action: ThreatAction,
) -> Category {
    Category {
        id,
        name,
        description,
        action,
    }
}

/// The category with an identifier, in upper or lower case.
pub fn category_of(id: &str) -> Option<&'static Category> {
    CATEGORIES.iter().find(|it| it.id.eq_ignore_ascii_case(id))
}

/// Indicators that harm nobody, to see threat intelligence at work: parts of the networks for documentation (RFC 5737), and
/// names that nobody can have (RFC 2606), with their categories.
pub fn test_indicators() -> impl Iterator<Item = (Indicator, &'static str)> {
    let net = |first, len, category| {
        let net = Ipv4Net::new(Ipv4Addr::from(first), len);
        net.ok().map(|net| (Indicator::Net(net), category))
    };
    let nets = [
        net([192, 0, 2, 240], 32, "IpOutThreatTorExit"),
        net([192, 0, 2, 241], 32, "IpOutThreatC2"),
        net([192, 0, 2, 242], 32, "IpOutThreatMining"),
        net([192, 0, 2, 243], 32, "IpOutThreatMalware"),
        net([192, 0, 2, 248], 29, "IpOutThreatBotnet"),
    ];
    let names = [
        ("c2.threat.test", "DomainOutThreatC2"),
        ("mining.threat.test", "DomainOutThreatMining"),
        ("malware.threat.test", "DomainOutThreatMalware"),
        ("phishing.threat.test", "DomainOutThreatPhishing"),
        ("phishing.example", "DomainOutThreatPhishing"),
    ];
    let names = names.map(|(name, category)| (Indicator::Domain(name.into()), category));
    nets.into_iter().flatten().chain(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threats;

    #[test]
    fn each_category_has_something_to_see_it_by() {
        let threats = Threats::new(test_indicators());
        for it in CATEGORIES {
            assert!(threats.categories().any(|id| id == it.id), "{}", it.id);
            assert_eq!(category_of(&it.id.to_lowercase()), Some(it));
        }
        assert!(threats.categories().all(|id| category_of(id).is_some()));
        let tor = threats.find_address(Ipv4Addr::new(192, 0, 2, 240));
        assert_eq!(tor, Some("IpOutThreatTorExit"));
        let phishing = threats.find_domain("login.phishing.example");
        assert_eq!(phishing, Some("DomainOutThreatPhishing"));
    }
}
