//! `sluice policy` and what `sluice intel` says of categories, by operations of the cloud API.

use super::call::Params;
use super::firewall::{all, cfw, items, pairs, print, read, text};
use crate::cli::Gateway;
use crate::cli::policy::{IntelVerb, Policy, PolicyVerb};
use crate::error::Error;
use crate::output;
use crate::output::table::Column;
use crate::output::units::{bytes, count};
use serde_json::{Value, json};
use std::io::Write;
use std::net::Ipv4Addr;

use Column::{Number as N, Text as T};

const POLICIES: &[Column] = &[
    T("FIREWALL"),
    N("ORDER"),
    T("ID"),
    T("ACTION"),
    T("SOURCE"),
    T("DESTINATION"),
    T("PROTOCOL"),
    T("PORTS"),
    T("APPLICATIONS"),
    T("WHEN"),
    N("HITS"),
    N("BYTES"),
    T("DESCRIPTION"),
];
const FOUND: &[Column] = &[T("FIREWALL"), T("POLICY"), T("FLAW"), T("LEVEL"), T("WHY")];
const BACKUPS: &[Column] = &[T("TIME"), N("POLICIES"), T("DESCRIPTION")];
const APPS: &[Column] = &[T("APPLICATION"), T("OVER"), T("TELLS NAMES"), N("RISK")];
const CATEGORIES: &[Column] = &[T("CATEGORY"), T("ACTION"), T("WHAT IT IS")];

/// A firewall that has policies, and what its operations are called.
struct Kind {
    list: &'static str,
    create: &'static str,
    modify: &'static str,
    delete: &'static str,
    /// What the place is called when a policy is created.
    order: &'static str,
    /// What is said of the firewall in each call.
    which: Params,
}

/// The firewall with a name.
fn kind(firewall: &str) -> Kind {
    let border = |direction: &str| Kind {
        list: "DescribeControlPolicy",
        create: "AddControlPolicy",
        modify: "ModifyControlPolicy",
        delete: "DeleteControlPolicy",
        order: "NewOrder",
        which: pairs(&[("Direction", direction)]),
    };
    match firewall {
        "border-out" => border("out"),
        "border-in" => border("in"),
        "dns" => Kind {
            list: "DescribeDnsFirewallPolicy",
            create: "AddDnsFirewallPolicy",
            modify: "ModifyDnsFirewallPolicy",
            delete: "DeleteDnsFirewallPolicy",
            order: "Priority",
            which: Params::new(),
        },
        gateway => Kind {
            list: "DescribeNatFirewallControlPolicy",
            create: "CreateNatFirewallControlPolicy",
            modify: "ModifyNatFirewallControlPolicy",
            delete: "DeleteNatFirewallControlPolicy",
            order: "NewOrder",
            which: pairs(&[("NatGatewayId", gateway), ("Direction", "out")]),
        },
    }
}

/// The firewalls that have policies.
fn firewalls(gateway: &Gateway) -> Result<Vec<String>, Error> {
    let answer = cfw(gateway, "DescribeNatFirewallAclGroupList", Params::new())?;
    let groups = items(&answer, "NatFirewalls");
    let gateways = groups.iter().filter(|it| it["AclRuleCount"] != json!(0));
    let gateways = gateways.map(|it| text(it, "NatGatewayId").to_owned());
    let border = ["border-out", "border-in"].map(str::to_owned);
    Ok(border
        .into_iter()
        .chain(gateways)
        .chain(["dns".to_owned()])
        .collect())
}

/// The policies of a firewall that meet some conditions.
fn list(gateway: &Gateway, firewall: &str, given: &[String]) -> Result<Vec<Value>, Error> {
    let kind = kind(firewall);
    let mut params = read(kind.list, given)?;
    params.extend(kind.which);
    let mut policies = all(gateway, kind.list, "CurrentPage", "Policys", &params)?;
    for policy in &mut policies {
        if let Some(fields) = policy.as_object_mut() {
            fields.insert("Firewall".into(), firewall.into());
        }
    }
    Ok(policies)
}

/// The policy with an identifier, wherever it is.
fn find(gateway: &Gateway, id: &str) -> Result<Value, Error> {
    let by_id = ["--acl-uuid".to_owned(), id.to_owned()];
    for firewall in firewalls(gateway)? {
        if let Some(policy) = list(gateway, &firewall, &by_id)?.into_iter().next() {
            return Ok(policy);
        }
    }
    Err(Error::Other(format!("there is no policy {id:?}")))
}

pub fn run(args: &Policy, out: &mut impl Write) -> Result<(), Error> {
    let gateway = &args.daemon.find()?;
    match &args.verb {
        PolicyVerb::List {
            json,
            firewall,
            params,
        } => {
            let named = firewall.iter().filter(|it| !it.starts_with("--"));
            let named: Vec<String> = named.cloned().collect();
            // The first parameter is no firewall.
            let words = firewall.iter().filter(|it| it.starts_with("--"));
            let words: Vec<String> = words.chain(&params.words).cloned().collect();
            let which = match named.is_empty() {
                true => firewalls(gateway)?,
                false => named,
            };
            let mut policies = Vec::new();
            for firewall in &which {
                policies.extend(list(gateway, firewall, &words)?);
            }
            print(out, *json, &policies, POLICIES, row)
        }
        PolicyVerb::Show { id } => output::json(out, &find(gateway, id)?).map_err(Error::Output),
        PolicyVerb::Create { firewall, params } => {
            let kind = kind(firewall);
            let params = completed(&kind, firewall, read(kind.create, &params.words)?);
            let mut answer = cfw(gateway, kind.create, params)?;
            answer.remove("RequestId");
            output::json(out, &answer).map_err(Error::Output)
        }
        PolicyVerb::Modify { id, params } => {
            let kind = kind(text(&find(gateway, id)?, "Firewall"));
            let mut params = read(kind.modify, &params.words)?;
            params.extend(kind.which);
            params.push(("AclUuid".into(), id.clone()));
            cfw(gateway, kind.modify, params).map(drop)
        }
        PolicyVerb::Move { id, place } => {
            let policy = find(gateway, id)?;
            let place = place.to_string();
            let firewall = text(&policy, "Firewall");
            let (action, params) = match firewall {
                "dns" => (
                    "ModifyDnsFirewallPolicy",
                    pairs(&[("AclUuid", id), ("Priority", &place)]),
                ),
                "border-in" | "border-out" => (
                    "ModifyControlPolicyPriority",
                    pairs(&[("AclUuid", id), ("Order", &place)]),
                ),
                nat => (
                    "ModifyNatFirewallControlPolicyPosition",
                    pairs(&[("AclUuid", id), ("NatGatewayId", nat), ("NewOrder", &place)]),
                ),
            };
            cfw(gateway, action, params).map(drop)
        }
        PolicyVerb::Delete { ids } => {
            for id in ids {
                let kind = kind(text(&find(gateway, id)?, "Firewall"));
                let mut params = kind.which;
                params.push(("AclUuid".into(), id.clone()));
                cfw(gateway, kind.delete, params)?;
            }
            Ok(())
        }
        PolicyVerb::Reset { id } => {
            let policy = find(gateway, id)?;
            let action = match text(&policy, "Firewall") {
                "border-in" | "border-out" | "dns" => "ResetRuleHitCount",
                _ => "ResetNatFirewallRuleHitCount",
            };
            cfw(gateway, action, pairs(&[("AclUuid", id)])).map(drop)
        }
        PolicyVerb::Backup { description } => {
            let now = datapath::wall().to_string();
            let params = pairs(&[("BackUpTime", &now), ("Description", description)]);
            cfw(gateway, "AddAclBackupData", params)?;
            writeln!(out, "{now}").map_err(Error::Output)
        }
        PolicyVerb::Backups { json } => {
            let (action, page) = ("DescribeAclBackupList", "CurrentPage");
            let backups = all(gateway, action, page, "Backups", &Params::new())?;
            print(out, *json, &backups, BACKUPS, |it| {
                let number = |name: &str| it[name].to_string();
                let about = text(it, "Description").to_owned();
                vec![number("BackUpTime"), number("AclCount"), about]
            })
        }
        PolicyVerb::Restore { time } => {
            let params = pairs(&[("BackUpTime", &time.to_string())]);
            cfw(gateway, "UseAclBackupData", params).map(drop)
        }
        PolicyVerb::DeleteBackup { time } => {
            let params = pairs(&[("BackUpTime", &time.to_string())]);
            cfw(gateway, "DeleteAclBackupData", params).map(drop)
        }
        PolicyVerb::Apps { json } => {
            let params = pairs(&[("AclType", "All")]);
            let apps = all(gateway, "DescribeAclApps", "PageNo", "AclApps", &params)?;
            print(out, *json, &apps, APPS, |it| {
                let protocols = it["Protocols"].as_array().cloned().unwrap_or_default();
                let protocols: Vec<&str> = protocols.iter().filter_map(Value::as_str).collect();
                let names = if it["SupportFqdn"] == 1 { "yes" } else { "no" };
                vec![
                    text(it, "AppName").to_owned(),
                    protocols.join(", "),
                    names.to_owned(),
                    it["RiskLevel"].to_string(),
                ]
            })
        }
        PolicyVerb::Check { json, whose } => check(gateway, whose, *json, out),
    }
}

/// What a new policy says besides what it is told to.
fn completed(kind: &Kind, firewall: &str, mut params: Params) -> Params {
    let given = |params: &Params, name: &str| {
        let mut params = params.iter();
        let found = params.find(|(it, _)| it == name || it.starts_with(&format!("{name}.")));
        found.map(|(_, value)| value.clone())
    };
    let destination = given(&params, "Destination");
    let is_net = |text: &str| {
        let address = text.split('/').next().unwrap_or_default();
        address.parse::<Ipv4Addr>().is_ok()
    };
    let named = destination.as_deref().is_some_and(|it| !is_net(it));
    let everything = "0.0.0.0/0".to_owned();
    let what = destination.clone().unwrap_or(everything.clone());
    let action = given(&params, "AclAction").unwrap_or_default();
    let mut usual: Vec<(&str, String)> = vec![
        (kind.order, "-1".into()),
        ("Description", format!("{action} {what}")),
        ("SourceType", "net".into()),
        ("Source", everything.clone()),
        (
            "DestinationType",
            if named { "domain" } else { "net" }.into(),
        ),
        ("Destination", everything),
    ];
    if firewall == "dns" {
        usual.push(("IpVersion", "4".into()));
        usual.push(("Release", "true".into()));
    } else {
        let has_port = given(&params, "DestPort").is_some();
        let app = given(&params, "ApplicationNameList").or(given(&params, "ApplicationName"));
        let over_tcp = named || has_port || app.is_some_and(|it| it != "ANY");
        usual.push(("Proto", if over_tcp { "TCP" } else { "ANY" }.into()));
        if given(&params, "ApplicationName").is_none() {
            usual.push(("ApplicationNameList", "ANY".into()));
        }
        if given(&params, "DestPortGroup").is_none() {
            usual.push(("DestPort", "0/0".into()));
        }
    }
    for (name, value) in usual {
        if given(&params, name).is_none() {
            let name = match name {
                "ApplicationNameList" => "ApplicationNameList.1",
                name => name,
            };
            params.push((name.into(), value));
        }
    }
    params.extend(kind.which.clone());
    params
}

fn row(it: &Value) -> Vec<String> {
    let number = |name: &str| it.get(name).and_then(Value::as_u64).unwrap_or(0);
    let place = number("Order").max(number("Priority")).to_string();
    let ends = |kind: &str, name: &str| match (text(it, kind), text(it, name)) {
        ("net", "0.0.0.0/0") => "any".to_owned(),
        ("group", name) => format!("book {name}"),
        (_, text) => text.to_owned(),
    };
    let ports = match (text(it, "DestPortGroup"), text(it, "DestPort")) {
        ("", "0/0") => "any".to_owned(),
        ("", range) => match range.split_once('/') {
            Some((a, b)) if a == b => a.to_owned(),
            Some((a, b)) => format!("{a}-{b}"),
            None => range.to_owned(),
        },
        (group, _) => format!("book {group}"),
    };
    let apps = it.get("ApplicationNameList").and_then(Value::as_array);
    let apps = apps.into_iter().flatten().filter_map(Value::as_str);
    let apps = apps.map(|it| if it == "ANY" { "any" } else { it });
    let when = match (text(it, "Release"), text(it, "RepeatType")) {
        ("false", _) => "off",
        (_, "" | "Permanent") => "always",
        (_, "None") => "once",
        (_, "Daily") => "daily",
        (_, "Weekly") => "weekly",
        _ => "monthly",
    };
    vec![
        text(it, "Firewall").into(),
        place,
        text(it, "AclUuid").into(),
        text(it, "AclAction").into(),
        ends("SourceType", "Source"),
        ends("DestinationType", "Destination"),
        text(it, "Proto").to_lowercase(),
        ports,
        apps.collect::<Vec<_>>().join(", "),
        when.into(),
        count(number("HitTimes")),
        bytes(number("HitBytes")),
        text(it, "Description").into(),
    ]
}

fn check(gateway: &Gateway, whose: &str, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let made = cfw(gateway, "CreateAclCheck", pairs(&[("AclType", whose)]))?;
    let mut found = Vec::new();
    for task in items(&made, "TaskIds") {
        let Some(task) = task.as_str() else { continue };
        for page in 1.. {
            let page = page.to_string();
            let params = [("TaskId", task), ("PageNo", &*page), ("PageSize", "50")];
            let answer = cfw(gateway, "DescribeAclCheck", pairs(&params))?;
            let record = answer.get("CheckRecord").cloned().unwrap_or_default();
            let list = record.get("Acls").and_then(Value::as_array);
            let list = list.cloned().unwrap_or_default();
            let last = list.len() < 50;
            found.extend(list.iter().map(|it| {
                json!({
                    "Firewall": it["Firewall"],
                    "Policy": it["Acl"]["AclUuid"],
                    "Flaw": record["CheckName"],
                    "Level": record["Level"],
                    "Why": it["AclAssessmentDetail"],
                })
            }));
            if last {
                break;
            }
        }
    }
    print(out, json, &found, FOUND, |it| {
        let names = ["Firewall", "Policy", "Flaw", "Level", "Why"];
        names.map(|name| text(it, name).to_owned()).into()
    })
}

/// Which NAT firewall a call is about, if it is about one.
fn of_firewall(id: Option<&str>) -> Params {
    let id = id.into_iter();
    id.map(|id| ("ProxyId".to_owned(), id.to_owned())).collect()
}

/// What `sluice intel` does about categories of threats.
pub fn intel(gateway: &Gateway, verb: &IntelVerb, out: &mut impl Write) -> Result<(), Error> {
    match verb {
        IntelVerb::List { firewall, json } => {
            let params = of_firewall(firewall.as_deref());
            let answer = cfw(gateway, "DescribeThreatIntelligenceSwitch", params)?;
            let list = items(&answer, "CategoryList");
            print(out, *json, &list, CATEGORIES, |it| {
                let action = match it.get("EnableStatus").and_then(Value::as_i64) {
                    Some(1) => text(it, "Action"),
                    _ => "off",
                };
                let cells = [text(it, "CategoryId"), action, text(it, "CategoryDescribe")];
                cells.map(str::to_owned).into()
            })
        }
        IntelVerb::Set {
            firewall,
            category,
            action,
        } => {
            let mut params = of_firewall(firewall.as_deref());
            params.push(("CategoryList.1.CategoryId".into(), category.clone()));
            match &**action {
                "off" => params.push(("CategoryList.1.EnableStatus".into(), "0".into())),
                action => params.extend(pairs(&[
                    ("CategoryList.1.EnableStatus", "1"),
                    ("CategoryList.1.Action", action),
                ])),
            }
            cfw(gateway, "ModifyThreatIntelligenceSwitch", params).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(firewall: &str, given: &[(&str, &str)]) -> Params {
        let kind = kind(firewall);
        completed(&kind, firewall, pairs(given))
    }

    fn value<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
        let mut found = params.iter().filter(|(it, _)| it == name);
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "{name} is said twice");
        value
    }

    #[test]
    fn a_new_policy_is_about_everything_unless_it_says_otherwise() {
        let params = create("ngw-1", &[("AclAction", "drop")]);
        for (name, expected) in [
            ("NatGatewayId", "ngw-1"),
            ("NewOrder", "-1"),
            ("Proto", "ANY"),
            ("Destination", "0.0.0.0/0"),
            ("DestinationType", "net"),
            ("ApplicationNameList.1", "ANY"),
            ("Description", "drop 0.0.0.0/0"),
        ] {
            assert_eq!(value(&params, name), Some(expected), "{name}");
        }
        let given = [
            ("AclAction", "drop"),
            ("Destination", "*.social.example"),
            ("ApplicationNameList.1", "HTTPS"),
        ];
        let params = create("ngw-1", &given);
        assert_eq!(value(&params, "DestinationType"), Some("domain"));
        assert_eq!(value(&params, "Proto"), Some("TCP"));
        assert_eq!(value(&params, "ApplicationNameList.1"), Some("HTTPS"));
        let params = create("dns", &[("Destination", "a.example"), ("Priority", "1")]);
        assert_eq!(value(&params, "Priority"), Some("1"));
        assert_eq!(value(&params, "Proto"), None);
        let params = create("border-in", &[("ApplicationName", "SSH")]);
        assert_eq!(value(&params, "ApplicationNameList.1"), None);
        assert_eq!(value(&params, "Direction"), Some("in"));
    }

    #[test]
    fn every_operation_is_there() {
        for firewall in ["ngw-1", "border-out", "border-in", "dns"] {
            let kind = kind(firewall);
            for action in [kind.list, kind.create, kind.modify, kind.delete] {
                assert!(read(action, &[]).is_ok(), "{action}");
            }
        }
    }
}
