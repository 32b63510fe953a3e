//! What policies can name, the engine mode of the Internet border, and threat intelligence.

use super::border_policies::application_id;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::spec::{invalid, missing};
use control::{Cloud, Draft};
use model::{App, EngineMode, Policy, ThreatAction};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeAclApps", Q(applications)),
    ("ModifyPolicyAdvancedConfig", C(set_mode)),
    ("DescribePolicyAdvancedConfig", Q(mode)),
    ("DescribeFirewallDefaults", Q(defaults)),
    ("ModifyFirewallDefaults", C(set_defaults)),
    ("DescribeThreatIntelligenceSwitch", Q(threats)),
    ("ModifyThreatIntelligenceSwitch", C(set_threats)),
];

/// How dangerous it is to let an application out: 1 to 3.
fn risk(app: App) -> i32 {
    match app {
        App::Https | App::Dns | App::Quic | App::Ssl | App::Imaps | App::Pops | App::Smtps => 1,
        App::Http | App::Imap | App::Pop3 | App::Smtp | App::Ssh | App::Mqtt => 2,
        App::Ftp | App::Memcache | App::MongoDb | App::MySql | App::Rdp => 3,
        App::Redis | App::SslNoCert | App::Vnc => 3,
    }
}

/// Whether many policies name it.
fn is_popular(app: App) -> bool {
    use App::{Ftp, Http, Https, MySql, Rdp, Redis, Smtp, Ssh, Ssl};
    matches!(
        app,
        Http | Https | Ftp | MySql | Rdp | Redis | Smtp | Ssh | Ssl
    )
}

fn applications(call: &Call, _: &Cloud) -> Answer {
    call.word("AclType", &["Internet", "NAT", "VPC", "All"])?;
    let wanted = call.list("Protocols");
    let popular = call.int("Popular")?;
    let protocols = |app: App| {
        let mut protocols = Vec::new();
        protocols.extend(app.over_tcp().then_some("TCP"));
        protocols.extend(app.over_udp().then_some("UDP"));
        protocols
    };
    let any = json!({
        "AppId": 0,
        "AppName": "ANY",
        "Protocols": ["TCP", "UDP", "ICMP", "ANY"],
        "RiskLevel": 1,
        "SupportFqdn": 1,
        "Popular": 1,
    });
    let all = App::ALL.iter().map(|&app| {
        json!({
            "AppId": application_id(app),
            "AppName": app.name(),
            "Protocols": protocols(app),
            "RiskLevel": risk(app),
            "SupportFqdn": i32::from(app.has_domain()),
            "Popular": i32::from(is_popular(app)),
        })
    });
    let all = std::iter::once(any).chain(all);
    let fits = |app: &Value| {
        let over = app["Protocols"].as_array();
        let over = over.into_iter().flatten().filter_map(Value::as_str);
        let mut over = over.filter(|it| wanted.iter().any(|w| w.eq_ignore_ascii_case(it)));
        (wanted.is_empty() || over.next().is_some())
            && popular.is_none_or(|it| app["Popular"] == it)
    };
    let (page, [count, ..]) = call.page_of("PageNo", all.filter(fits).collect(), 100)?;
    Ok(json!({"AclApps": page, "TotalCount": count}))
}

fn set_mode(call: &Call, draft: &mut Draft) -> Answer {
    let mode = match call.word("InternetSwitch", &["on", "off"])? {
        Some("on") => EngineMode::Strict,
        Some(_) => EngineMode::Loose,
        None => return Err(missing("InternetSwitch")),
    };
    let eips = call.list("Eips");
    if eips.len() > 100 {
        return Err(invalid("Eips", "At most 100 EIPs are set at once."));
    }
    draft.set_border_mode(mode, &eips)?;
    Ok(json!({}))
}

fn mode(_: &Call, cloud: &Cloud) -> Answer {
    let settings = cloud.shared_settings();
    let strict = settings
        .strict_eips
        .iter()
        .filter_map(|id| cloud.eips.get(id));
    let strict: Vec<String> = strict.map(|it| it.address.to_string()).collect();
    let switch = match settings.border.mode {
        EngineMode::Strict => "on",
        EngineMode::Loose => "off",
    };
    Ok(json!({"InternetSwitch": switch, "Eips": strict}))
}

fn defaults(_: &Call, cloud: &Cloud) -> Answer {
    let settings = cloud.shared_settings();
    Ok(json!({
        "BorderAction": settings.border.default_action.to_string(),
        "DnsAction": settings.dns_default.to_string(),
    }))
}

fn set_defaults(call: &Call, draft: &mut Draft) -> Answer {
    let action = |name: &str| -> Result<Option<Policy>, ApiError> {
        let word = call.word(name, &["accept", "drop"])?;
        Ok(word.map(|word| match word {
            "drop" => Policy::Drop,
            _ => Policy::Accept,
        }))
    };
    let (border, dns) = (action("BorderAction")?, action("DnsAction")?);
    if border.or(dns).is_none() {
        return Err(missing("BorderAction"));
    }
    draft.set_defaults(border, dns);
    Ok(json!({}))
}

fn threats(call: &Call, cloud: &Cloud) -> Answer {
    let switches = cloud.threat_switches(call.text("ProxyId"))?;
    let list = switches.iter().map(|it| {
        json!({
            "CategoryId": it.category,
            "CategoryName": it.name,
            "CategoryDescribe": it.description,
            "Action": it.action.to_string(),
            "EnableStatus": i32::from(it.enabled),
        })
    });
    let list: Vec<Value> = list.collect();
    Ok(json!({"TotalCount": list.len(), "CategoryList": list}))
}

fn set_threats(call: &Call, draft: &mut Draft) -> Answer {
    let objects = call.params.objects("CategoryList");
    if objects.is_empty() {
        return Err(missing("CategoryList"));
    }
    for object in objects {
        let field = |name: &str| format!("{object}.{name}");
        let action = call.word(&field("Action"), &["alert", "drop"])?;
        let action = action.map(|word| match word {
            "drop" => ThreatAction::Drop,
            _ => ThreatAction::Alert,
        });
        let enabled = call.word(&field("EnableStatus"), &["0", "1"])?;
        let enabled = enabled.map(|it| it == "1");
        let category = call.need(&field("CategoryId"))?;
        draft.switch_threat(call.text("ProxyId"), category, action, enabled)?;
    }
    Ok(json!({}))
}
