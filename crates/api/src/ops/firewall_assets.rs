//! What the Internet border protects: EIPs, each with the word whether it does.

use super::nat_firewalls::{account, is_of_account, only_ours, synchronised};
use super::{A, C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::service::{self, now};
use crate::spec::invalid;
use control::metering::Of;
use control::records::{AssetKind, Eip, EipBinding, Seconds};
use control::{Cloud, Draft};
use model::Id;
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeAssetList", A(list)),
    ("DescribeAssetStatistic", Q(statistic)),
    ("CreateInstanceSyncTask", Q(synchronised)),
    (
        "PutEnableFwSwitch",
        C(|call, draft| switch(call, draft, true)),
    ),
    (
        "PutDisableFwSwitch",
        C(|call, draft| switch(call, draft, false)),
    ),
    (
        "PutEnableAllFwSwitch",
        C(|call, draft| switch_all(call, draft, true)),
    ),
    (
        "PutDisableAllFwSwitch",
        C(|call, draft| switch_all(call, draft, false)),
    ),
    ("SetAutoProtectNewAssets", C(auto_protect)),
];

const HOUR: Seconds = 3_600;
const DAY: Seconds = 24 * HOUR;

/// How the cloud calls EIPs that are not old yet, and up to which age.
const NEW: [(&str, Seconds); 3] = [
    ("discovered in 1 hour", HOUR),
    ("discovered in 1 day", DAY),
    ("discovered in 7 days", 7 * DAY),
];

/// An EIP with what it is bound to.
struct Asset<'a> {
    eip: &'a Eip,
    kind: &'static str,
    bound_to: &'a str,
    bound_name: &'a str,
    private: String,
    region: &'a str,
}

fn asset<'a>(call: &'a Call, cloud: &'a Cloud, eip: &'a Eip) -> Asset<'a> {
    let address = |eni| {
        let eni: Option<&control::records::Eni> = eni;
        eni.map(|it| it.address.to_string()).unwrap_or_default()
    };
    let (bound_to, bound_name, private) = match &eip.binding {
        None => ("", "", String::new()),
        Some(EipBinding::Instance(id)) => {
            let instance = cloud.instances.get(id);
            let name = instance.map_or("", |it| &*it.meta.name);
            (&**id, name, address(cloud.primary_eni(id)))
        }
        Some(EipBinding::Eni(id)) => {
            let eni = cloud.enis.get(id);
            let name = eni.map_or("", |it| &*it.meta.name);
            (&**id, name, address(eni))
        }
        Some(EipBinding::NatGateway(id)) => {
            let gateway = cloud.nat_gateways.get(id);
            let name = gateway.map_or("", |it| &*it.meta.name);
            let private = gateway.and_then(|it| it.private_address);
            let private = private.map(|it| it.to_string());
            (&**id, name, private.unwrap_or_default())
        }
    };
    Asset {
        eip,
        kind: AssetKind::of(eip).name(),
        bound_to,
        bound_name,
        private,
        region: match &*eip.region {
            "" => call.region,
            region => region,
        },
    }
}

impl Asset<'_> {
    fn status(&self) -> &'static str {
        match self.eip.protected {
            true => "open",
            false => "closed",
        }
    }

    fn is_found_by(&self, text: &str) -> bool {
        let texts = [
            &*self.eip.id,
            self.bound_to,
            &*self.eip.meta.name,
            self.bound_name,
        ];
        let address = self.eip.address.to_string();
        texts.iter().any(|it| it.contains(text)) || address.contains(text) || self.private == text
    }
}

fn list(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    let now = now();
    let age = |eip: &Eip| now.saturating_sub(eip.meta.created);
    let newest = NEW.map(|(word, _)| word);
    let newest = call.word("NewResourceTag", &newest)?;
    let newest = NEW.iter().find(|(word, _)| newest == Some(word));
    let assets = cloud.eips.iter().map(|it| asset(call, &cloud, it));
    let assets = assets.filter(|it| {
        let text = call.text("SearchItem");
        is_of_account(call)
            && call.is("RegionNo", it.region)
            && call.is("ResourceType", it.kind)
            && call.is("Type", it.kind)
            && call.is("Status", it.status())
            && call.is("IpVersion", "4")
            && call.is("UserType", "buy")
            // Nobody has looked for sensitive data, and nothing is said of security groups.
            && call.is("SensitiveStatus", "")
            && call.is("SgStatus", "")
            && newest.is_none_or(|(_, limit)| age(it.eip) <= *limit)
            && text.is_none_or(|text| it.is_found_by(text))
    });
    let (page, [count, ..]) = call.page_of("CurrentPage", assets.collect(), 100)?;
    let ids: Vec<&str> = page.iter().map(|it| &*it.eip.id).collect();
    let sent = sent(service, &ids, now)?;
    let page = page.into_iter().zip(sent).map(|(it, sent)| {
        let new = NEW.iter().find(|(_, limit)| age(it.eip) <= *limit);
        json!({
            "AliUid": account(),
            "MemberUid": account(),
            "BindInstanceId": it.bound_to,
            "BindInstanceName": it.bound_name,
            "CreateTimeStamp": plain_stamp(it.eip.meta.created),
            "InternetAddress": it.eip.address.to_string(),
            "IntranetAddress": it.private,
            "IpVersion": 4,
            "Last7DayOutTrafficBytes": sent,
            "Name": it.eip.meta.name,
            "NewResourceTag": new.map(|it| it.0).unwrap_or_default(),
            "ProtectStatus": it.status(),
            "RegionID": it.region,
            "RegionStatus": "enable",
            "ResourceInstanceId": it.eip.id,
            "ResourceType": it.kind,
            "SyncStatus": "enable",
        })
    });
    Ok(json!({"TotalCount": count, "Assets": page.collect::<Vec<_>>()}))
}

/// The bytes that EIPs have sent in the last seven days, by the hour; 0 where nothing is metered.
fn sent(service: &service::Cloud, eips: &[&str], now: Seconds) -> Result<Vec<u64>, ApiError> {
    let Ok(metering) = service.metering() else {
        return Ok(vec![0; eips.len()]);
    };
    let since = now.saturating_sub(7 * DAY) / HOUR * HOUR;
    let sums = metering.sums(Of::Eip, eips, since..now + 1, now)?;
    Ok(sums.iter().map(|it| it.amounts.bytes_out).collect())
}

/// A point in time as assets have it: `2026-11-21 00:00:00`.
fn plain_stamp(seconds: Seconds) -> String {
    stamp(seconds).replace('T', " ").replace('Z', "")
}

fn statistic(_: &Call, cloud: &Cloud) -> Answer {
    let license = cloud.license();
    let protected = cloud.eips.iter().filter(|it| it.protected).count();
    Ok(json!({
        "AutoResourceEnable": cloud.shared_settings().auto_protect,
        "GeneralInstanceSpecStatistic": {
            "TotalNatGeneralInstanceCnt": license.firewalls,
            "TotalNatGeneralInstanceUsedCnt": cloud.nat_firewalls.len(),
        },
        "ResourceSpecStatistic": {"IpNumSpec": cloud.eips.len(), "IpNumUsed": protected},
    }))
}

/// Switches the protection of EIPs: of those that are in each list that the call gives.
fn switch(call: &Call, draft: &mut Draft, on: bool) -> Answer {
    let [addresses, regions, kinds] =
        ["IpaddrList", "RegionList", "ResourceTypeList"].map(|it| call.list(it));
    if [&addresses, &regions, &kinds]
        .iter()
        .all(|it| it.is_empty())
    {
        let why = "One of IpaddrList, RegionList and ResourceTypeList is needed.";
        return Err(ApiError::bad("MissingParameter", why));
    }
    only_ours(call)?;
    call.word("IpVersion", &["4"])?;
    let text = |eip: &Eip| eip.address.to_string();
    let unknown: Vec<&str> = addresses
        .iter()
        .filter(|address| !draft.eips.iter().any(|it| text(it) == **address))
        .copied()
        .collect();
    if let (false, Some(address)) = (on, unknown.first()) {
        return Err(invalid(
            "IpaddrList",
            format!("There is no EIP {address:?}."),
        ));
    }
    let among = |list: &[&str], it: &str| list.is_empty() || list.contains(&it);
    let assets = draft.eips.iter().map(|it| asset(call, draft, it));
    let meant = assets.filter(|it| {
        among(&addresses, &text(it.eip)) && among(&regions, it.region) && among(&kinds, it.kind)
    });
    let meant: Vec<Id> = meant.map(|it| it.eip.id.clone()).collect();
    for id in meant {
        draft.protect_eip(&id, on)?;
    }
    if !on {
        return Ok(json!({}));
    }
    let unknown = unknown.into_iter().map(|address| {
        json!({
            "Resource": address,
            "Status": "ip_not_sync",
            "Msg": format!("There is no EIP {address}."),
        })
    });
    Ok(json!({"AbnormalResourceStatusList": unknown.collect::<Vec<Value>>()}))
}

fn switch_all(call: &Call, draft: &mut Draft, on: bool) -> Answer {
    only_ours(call)?;
    let all: Vec<Id> = draft.eips.iter().map(|it| it.id.clone()).collect();
    for id in all {
        draft.protect_eip(&id, on)?;
    }
    Ok(json!({}))
}

/// Whether EIPs are protected from when they are allocated.
fn auto_protect(call: &Call, draft: &mut Draft) -> Answer {
    draft.set_auto_protect(call.flag("AutoProtect")? == Some(true))?;
    Ok(json!({}))
}
