//! `sluice firewall`: NAT firewalls and the Internet border, by operations of the cloud API.

use super::call::{self, Params};
use crate::cli::Gateway;
use crate::cli::firewall::{Eips, Firewall, FirewallVerb};
use crate::error::Error;
use crate::output;
use crate::output::table::{Column, Table};
use serde_json::{Map, Value};
use std::io::Write;

use Column::Text as T;

const FIREWALLS: &[Column] = &[
    T("ID"),
    T("NAME"),
    T("NAT GATEWAY"),
    T("STATUS"),
    T("MODE"),
    T("DEFAULT"),
    T("INBOUND"),
    T("ROUTE TABLES"),
    T("VSWITCH"),
];
const CHECKS: &[Column] = &[T("ITEM"), T("RESULT"), T("FOUND"), T("WHAT TO DO")];
const BYPASSES: &[Column] = &[
    T("WAY"),
    T("ROUTE TABLE"),
    T("DESTINATION"),
    T("TO"),
    T("VSWITCHES"),
];
const ASSETS: &[Column] = &[
    T("EIP"),
    T("ADDRESS"),
    T("NAME"),
    T("KIND"),
    T("BOUND TO"),
    T("PROTECTED"),
];

/// How many are asked for at once: what every list gives.
const PAGE: usize = 50;

/// Calls an operation of Cloud Firewall.
pub(super) fn cfw(
    gateway: &Gateway,
    action: &str,
    params: Params,
) -> Result<Map<String, Value>, Error> {
    call::call(gateway, call::product("cloudfw")?, action, params)
}

/// Reads the words of the command line as parameters of an operation.
pub(super) fn read(action: &str, words: &[String]) -> Result<Params, Error> {
    let product = call::product("cloudfw")?;
    call::params(call::operation(product, action)?, words)
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Params {
    let pairs = pairs.iter();
    pairs.map(|(a, b)| ((*a).into(), (*b).into())).collect()
}

pub(super) fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn items(answer: &Map<String, Value>, name: &str) -> Vec<Value> {
    let list = answer.get(name).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

/// A list of texts in one cell.
fn joined(item: &Value, name: &str, field: Option<&str>) -> String {
    let list = item.get(name).and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default().iter();
    let texts = list.map(|it| match field {
        Some(field) => text(it, field),
        None => it.as_str().unwrap_or_default(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// All items of a list that comes in pages.
pub(super) fn all(
    gateway: &Gateway,
    action: &str,
    number: &str,
    name: &str,
    given: &Params,
) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    for page in 1.. {
        let mut params = given.clone();
        params.push((number.into(), page.to_string()));
        params.push(("PageSize".into(), PAGE.to_string()));
        let more = items(&cfw(gateway, action, params)?, name);
        let last = more.len() < PAGE;
        found.extend(more);
        if last {
            break;
        }
    }
    Ok(found)
}

/// Prints items as JSON or as a table.
pub(super) fn print(
    out: &mut impl Write,
    json: bool,
    items: &[Value],
    columns: &'static [Column],
    cells: impl Fn(&Value) -> Vec<String>,
) -> Result<(), Error> {
    if json {
        return output::json(out, &items).map_err(Error::Output);
    }
    let mut table = Table::new(columns);
    items.iter().for_each(|it| table.row_of(cells(it)));
    write!(out, "{}", table.part()).map_err(Error::Output)
}

/// Runs `sluice firewall`.
pub fn run(args: &Firewall, out: &mut impl Write) -> Result<(), Error> {
    let gateway = &args.daemon.find()?;
    match &args.verb {
        FirewallVerb::List { json, params } => {
            let params = read("DescribeNatFirewallList", &params.words)?;
            let (action, name) = ("DescribeNatFirewallList", "NatFirewallList");
            let firewalls = all(gateway, action, "PageNo", name, &params)?;
            print(out, *json, &firewalls, FIREWALLS, row)
        }
        FirewallVerb::Show { id } => output::json(out, &find(gateway, id)?).map_err(Error::Output),
        FirewallVerb::Create { params } => {
            let mut answer = cfw(
                gateway,
                "CreateSecurityProxy",
                completed(gateway, &params.words)?,
            )?;
            answer.remove("RequestId");
            output::json(out, &answer).map_err(Error::Output)
        }
        FirewallVerb::Switch { id, to } => {
            let to = if to == "on" { "open" } else { "close" };
            let params = pairs(&[("ProxyId", id), ("Switch", to)]);
            cfw(gateway, "SwitchSecurityProxy", params).map(drop)
        }
        FirewallVerb::Modify { id, params } => {
            let mut params = read("UpdateSecurityProxy", &params.words)?;
            // The operation wants a name, which may stay.
            if params.iter().all(|(name, _)| name != "ProxyName") {
                let had = find(gateway, id)?;
                params.push(("ProxyName".into(), text(&had, "ProxyName").into()));
            }
            params.push(("ProxyId".into(), id.clone()));
            cfw(gateway, "UpdateSecurityProxy", params).map(drop)
        }
        FirewallVerb::Delete { id } => {
            cfw(gateway, "DeleteSecurityProxy", pairs(&[("ProxyId", id)])).map(drop)
        }
        FirewallVerb::Precheck {
            gateway: id,
            inbound,
            json,
        } => precheck(gateway, id, *inbound, *json, out),
        FirewallVerb::Bypass { id, json } => bypass(gateway, id, *json, out),
        FirewallVerb::Assets { json, params } => {
            let params = read("DescribeAssetList", &params.words)?;
            let assets = all(
                gateway,
                "DescribeAssetList",
                "CurrentPage",
                "Assets",
                &params,
            )?;
            let names = [
                "ResourceInstanceId",
                "InternetAddress",
                "Name",
                "ResourceType",
                "BindInstanceId",
            ];
            print(out, *json, &assets, ASSETS, |it| {
                let cells = names.iter().map(|name| text(it, name));
                let protected = if text(it, "ProtectStatus") == "open" {
                    "yes"
                } else {
                    "no"
                };
                cells.chain([protected]).map(str::to_owned).collect()
            })
        }
        FirewallVerb::Protect(eips) => protect(gateway, eips, "Enable"),
        FirewallVerb::Unprotect(eips) => protect(gateway, eips, "Disable"),
        FirewallVerb::AutoProtect { to } => {
            let on = if to == "on" { "true" } else { "false" };
            let params = pairs(&[("AutoProtect", on)]);
            cfw(gateway, "SetAutoProtectNewAssets", params).map(drop)
        }
        FirewallVerb::Mode { to, addresses } => mode(gateway, to.as_deref(), addresses, out),
        FirewallVerb::Default { border, dns } => {
            defaults(gateway, border.as_deref(), dns.as_deref(), out)
        }
        FirewallVerb::License { params } if params.words.is_empty() => {
            let mut license = cfw(gateway, "DescribeFirewallLicense", Params::new())?;
            license.remove("RequestId");
            output::json(out, &license).map_err(Error::Output)
        }
        FirewallVerb::License { params } => {
            let params = read("ModifyFirewallLicense", &params.words)?;
            cfw(gateway, "ModifyFirewallLicense", params).map(drop)
        }
    }
}

fn row(it: &Value) -> Vec<String> {
    let mode = match it.get("StrictMode").and_then(Value::as_i64) {
        Some(1) => "strict",
        _ => "loose",
    };
    let inbound = match it.get("Inbound").and_then(Value::as_bool) {
        Some(true) => "yes",
        _ => "no",
    };
    vec![
        text(it, "ProxyId").into(),
        text(it, "ProxyName").into(),
        text(it, "NatGatewayId").into(),
        text(it, "ProxyStatus").into(),
        mode.into(),
        text(it, "DefaultAction").into(),
        inbound.into(),
        joined(it, "NatRouteEntryList", Some("RouteTableId")),
        text(it, "ProxyVSwitchId").into(),
    ]
}

fn find(gateway: &Gateway, id: &str) -> Result<Value, Error> {
    let params = pairs(&[("ProxyId", id)]);
    let found = items(
        &cfw(gateway, "DescribeNatFirewallList", params)?,
        "NatFirewallList",
    );
    let missing = || Error::Other(format!("there is no NAT firewall {id:?}"));
    found.into_iter().next().ok_or_else(missing)
}

/// The parameters of a new firewall: what the gateway tells need not be given.
fn completed(gateway: &Gateway, words: &[String]) -> Result<Params, Error> {
    let mut params = read("CreateSecurityProxy", words)?;
    let given = |params: &Params, name: &str| {
        let mut all = params.iter();
        all.find(|(it, _)| it == name || it.starts_with(&format!("{name}.")))
            .map(|(_, value)| value.clone())
    };
    let Some(id) = given(&params, "NatGatewayId") else {
        let why = "which NAT gateway is it to protect? --nat-gateway-id ngw-…";
        return Err(Error::Other(why.into()));
    };
    let answer = cfw(
        gateway,
        "DescribeSecurityProxyResources",
        pairs(&[("NatGatewayId", &id)]),
    )?;
    let region = items(&answer, "ResourceList")
        .into_iter()
        .next()
        .unwrap_or_default();
    let vpc = region.pointer("/VpcList/0").cloned().unwrap_or_default();
    let entries = vpc
        .pointer("/NatGateways/0/NatRouteEntryList")
        .and_then(Value::as_array);
    let name: String = format!("firewall_{id}")
        .chars()
        .map(|it| if it.is_alphanumeric() { it } else { '_' })
        .take(50)
        .collect();
    for (key, value) in [
        ("RegionNo", text(&region, "RegionNo")),
        ("VpcId", text(&vpc, "VpcId")),
        ("ProxyName", &name),
    ] {
        if given(&params, key).is_none() {
            params.push((key.into(), value.into()));
        }
    }
    if given(&params, "NatRouteEntryList").is_none() {
        for (n, entry) in entries
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            for key in [
                "RouteTableId",
                "DestinationCidr",
                "NextHopId",
                "NextHopType",
            ] {
                let full = format!("NatRouteEntryList.{}.{key}", n + 1);
                params.push((full, text(entry, key).into()));
            }
        }
    }
    Ok(params)
}

fn precheck(
    gateway: &Gateway,
    id: &str,
    inbound: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Error> {
    let inbound = if inbound { "true" } else { "false" };
    let params = pairs(&[("NatGatewayId", id), ("Inbound", inbound)]);
    let answer = cfw(gateway, "DescribeNatFirewallPrecheckDetail", params)?;
    if answer.get("IsFound") != Some(&Value::Bool(true)) {
        return Err(Error::Other(format!("there is no NAT gateway {id:?}")));
    }
    let detail = answer.get("PrecheckDetail").cloned().unwrap_or_default();
    if json {
        return output::json(out, &detail).map_err(Error::Output);
    }
    let groups = detail.get("PrecheckEntityGroups").and_then(Value::as_array);
    let mut table = Table::new(CHECKS);
    for group in groups.map(Vec::as_slice).unwrap_or_default() {
        let items = group.get("PrecheckEntities").and_then(Value::as_array);
        for item in items.map(Vec::as_slice).unwrap_or_default() {
            table.row(["Name", "Status", "Info", "Suggestion"].map(|it| text(item, it).to_owned()));
        }
    }
    let verdict = match text(&detail, "PrecheckStatus") {
        "passed" => format!("{id} can have a firewall."),
        _ => format!("{id} cannot have a firewall yet."),
    };
    writeln!(out, "{}\n{verdict}", table.part()).map_err(Error::Output)
}

fn bypass(gateway: &Gateway, id: &str, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let known = find(gateway, id).is_ok();
    let name = if known { "ProxyId" } else { "NatGatewayId" };
    let answer = cfw(gateway, "DescribeNatFirewallBypass", pairs(&[(name, id)]))?;
    let found = items(&answer, "Bypasses");
    print(out, json, &found, BYPASSES, |it| {
        let [way, table, destination, target] =
            ["Way", "RouteTableId", "DestinationCidr", "TargetId"]
                .map(|name| text(it, name).to_owned());
        vec![
            way,
            table,
            destination,
            target,
            joined(it, "VSwitchIds", None),
        ]
    })?;
    if json {
        return Ok(());
    }
    for it in &found {
        let line = format!("{} {}", text(it, "Reason"), text(it, "Suggestion"));
        writeln!(out, "\n* {line}").map_err(Error::Output)?;
    }
    if found.is_empty() {
        writeln!(out, "Nothing goes around the firewall.").map_err(Error::Output)?;
    }
    Ok(())
}

/// Shows or sets the engine mode of the Internet border.
fn mode(
    gateway: &Gateway,
    to: Option<&str>,
    addresses: &[String],
    out: &mut impl Write,
) -> Result<(), Error> {
    if let Some(to) = to {
        let switch = if to == "strict" { "on" } else { "off" };
        let mut params = pairs(&[("InternetSwitch", switch)]);
        let addresses = addresses.iter().enumerate();
        params.extend(addresses.map(|(n, it)| (format!("Eips.{}", n + 1), it.clone())));
        return cfw(gateway, "ModifyPolicyAdvancedConfig", params).map(drop);
    }
    let answer = cfw(gateway, "DescribePolicyAdvancedConfig", Params::new())?;
    let answer = Value::Object(answer);
    let strict = joined(&answer, "Eips", None);
    let told = match (text(&answer, "InternetSwitch"), &*strict) {
        ("on", _) => "strict".to_owned(),
        (_, "") => "loose".to_owned(),
        (_, some) => format!("loose, strict for {some}"),
    };
    writeln!(out, "{told}").map_err(Error::Output)
}

/// Shows or sets what happens to what no policy matches.
fn defaults(
    gateway: &Gateway,
    border: Option<&str>,
    dns: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let given = [("BorderAction", border), ("DnsAction", dns)];
    let given: Vec<(&str, &str)> = given
        .into_iter()
        .filter_map(|(name, it)| Some((name, it?)))
        .collect();
    if !given.is_empty() {
        return cfw(gateway, "ModifyFirewallDefaults", pairs(&given)).map(drop);
    }
    let answer = cfw(gateway, "DescribeFirewallDefaults", Params::new())?;
    let answer = Value::Object(answer);
    for (whose, name) in [("border", "BorderAction"), ("dns", "DnsAction")] {
        writeln!(out, "{whose}: {}", text(&answer, name)).map_err(Error::Output)?;
    }
    Ok(())
}

fn protect(gateway: &Gateway, eips: &Eips, verb: &str) -> Result<(), Error> {
    if eips.all {
        return cfw(gateway, &format!("Put{verb}AllFwSwitch"), Params::new()).map(drop);
    }
    let addresses = eips.addresses.iter().enumerate();
    let params = addresses.map(|(n, it)| (format!("IpaddrList.{}", n + 1), it.clone()));
    let answer = cfw(gateway, &format!("Put{verb}FwSwitch"), params.collect())?;
    match items(&answer, "AbnormalResourceStatusList").first() {
        Some(it) => Err(Error::Other(text(it, "Msg").into())),
        None => Ok(()),
    }
}
