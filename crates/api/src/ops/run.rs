//! Making instances.
//!
//! An instance is a network namespace, or an interface that exists; see [`super::ecs::driver`] for the parameters
//! that say so. Image, type and system disk are kept as the caller names them. What the cloud's operations say about
//! data disks, passwords, key pairs, placement and payment means nothing here and is passed over.

use super::Handler;
use super::disks::system_disk;
use super::ecs::{description, driver, groups, name, no_ipv6, secondary};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::keys::Sealer;
use crate::spec::{invalid, missing};
use control::Draft;
use control::eni::NewEni;
use control::instance::NewInstance;
use control::records::{Instance, Meta};
use model::Driver;
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("RunInstances", Handler::Seal(run)),
    ("CreateInstance", Handler::Seal(create)),
];

/// The most instances of one call.
const MAX_AMOUNT: i64 = 100;

/// The longest text of user data: 32 KiB, encoded.
const MAX_USER_DATA: usize = 32_768_usize.div_ceil(3) * 4;

/// Checks a host name: 2 to 64 characters, letters, digits, `.` and `-`, these neither first, last nor in a row.
pub(super) fn host_name(text: &str) -> Result<String, ApiError> {
    if model::names::host_name(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err(ApiError::bad(
        "InvalidHostName.Malformed",
        "A host name has 2 to 64 characters: letters and digits, and single `.` and `-` between them.",
    ))
}

/// Checks user data: Base64, at most 32 KiB before encoding.
fn check_user_data(call: &Call) -> Result<(), ApiError> {
    let Some(text) = call.text("UserData") else {
        return Ok(());
    };
    if text.len() > MAX_USER_DATA {
        let why = "The specified parameter \"UserData\" exceeds the size: at most 32 KiB.";
        return Err(ApiError::bad("InvalidUserData.SizeExceeded", why));
    }
    let bare = text.trim_end_matches('=');
    let base64 = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/');
    if text.len() % 4 != 0 || text.len() - bare.len() > 2 || !bare.bytes().all(base64) {
        let why = "The specified parameter \"UserData\" is not valid: encode it in Base64.";
        return Err(ApiError::bad("InvalidUserData.Base64FormatInvalid", why));
    }
    Ok(())
}

/// Keeps the user data of a call, if it was sent, to be told back: nothing here runs it. It may hold secrets, so it is
/// sealed.
pub(super) fn keep_user_data(
    call: &Call,
    draft: &mut Draft,
    sealer: &Sealer,
    instance: &str,
) -> Result<(), ApiError> {
    check_user_data(call)?;
    let sealed = match call.params.sent("UserData") {
        None => return Ok(()),
        Some("") => String::new(),
        Some(text) => sealer.seal(instance, text)?,
    };
    if let Some(instance) = draft.instances.get_mut(instance) {
        instance.user_data = sealed;
    }
    Ok(())
}

/// What is not there is refused, not passed over, if one would miss it.
fn refuse_unsupported(call: &Call) -> Result<(), ApiError> {
    no_ipv6(call, &["Ipv6Address", "Ipv6AddressCount"])?;
    if call.int("InternetMaxBandwidthOut")?.unwrap_or(0) != 0 {
        let why =
            "Instances have no public address of their own: leave it at 0, and associate an EIP.";
        return Err(invalid("InternetMaxBandwidthOut", why));
    }
    if call
        .text("InstanceChargeType")
        .is_some_and(|it| it != "PostPaid")
    {
        let code = "InvalidInstanceChargeType.ValueNotSupported";
        return Err(ApiError::bad(code, "There is only PostPaid."));
    }
    for template in ["LaunchTemplateId", "LaunchTemplateName"] {
        if let Some(name) = call.text(template) {
            let why = format!("There is no launch template {name:?}.");
            return Err(ApiError::not_found("InvalidLaunchTemplate.NotFound", why));
        }
    }
    check_user_data(call)
}

/// An instance as the parameters that `RunInstances` and `CreateInstance` share say it.
fn new_instance(call: &Call, draft: &Draft, running: bool) -> Result<NewInstance, ApiError> {
    refuse_unsupported(call)?;
    let image = call.text("ImageId").or(call.text("ImageFamily"));
    let mut meta = draft.meta(
        name(call, "InstanceName", "InvalidInstanceName.Malformed")?.unwrap_or_default(),
        description(call, "Description", "InvalidDescription.Malformed")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let host = call.text("HostName").map(host_name).transpose()?;
    Ok(NewInstance {
        meta,
        vswitch: call.text("VSwitchId").unwrap_or_default().into(),
        address: call.address("PrivateIpAddress")?,
        secondary: control::eni::Secondary::Count(0),
        security_groups: groups(call, "SecurityGroupId", "SecurityGroupIds")?,
        driver: driver(call)?,
        eni: draft.meta("", ""),
        running,
        host_name: host.unwrap_or_default(),
        image: image.ok_or_else(|| missing("ImageId"))?.into(),
        instance_type: call.need("InstanceType")?.into(),
        deletion_protection: call.flag("DeletionProtection")? == Some(true),
        disk: system_disk(call)?,
    })
}

fn create(call: &Call, draft: &mut Draft, sealer: &Sealer) -> Answer {
    let new = new_instance(call, draft, false)?;
    let instance = make(call, draft, new)?;
    keep_user_data(call, draft, sealer, &instance.id)?;
    Ok(json!({"InstanceId": instance.id}))
}

/// Makes an instance that has a vSwitch, in the zone that the call may name.
fn make(call: &Call, draft: &mut Draft, new: NewInstance) -> Result<Instance, ApiError> {
    if new.vswitch.is_empty() {
        return Err(missing("VSwitchId"));
    }
    let zone = draft.zone_of(draft.vswitch(&new.vswitch)?);
    if call.text("ZoneId").is_some_and(|it| it != zone) {
        let why = format!("The vSwitch {} is in the zone {zone}.", new.vswitch);
        return Err(invalid("ZoneId", why));
    }
    Ok(draft.create_instance(new)?)
}

/// A further network interface of each instance: one to be made, or one that exists.
enum Further {
    New(Box<NewEni>),
    Existing(String),
}

/// The network interfaces in `NetworkInterface.N`: the primary one goes into `new`, the others are returned.
fn network_interfaces(
    call: &Call,
    draft: &Draft,
    new: &mut NewInstance,
) -> Result<Vec<Further>, ApiError> {
    let objects = call.params.objects("NetworkInterface");
    let mut further = Vec::new();
    let mut primary = false;
    for object in &objects {
        let field = |name: &str| format!("{object}.{name}");
        no_ipv6(call, &[&field("Ipv6Address"), &field("Ipv6AddressCount")])?;
        let id = call.text(&field("NetworkInterfaceId"));
        let vswitch = call.text(&field("VSwitchId"));
        let address = call.address(&field("PrimaryIpAddress"))?;
        let groups = groups(call, &field("SecurityGroupId"), &field("SecurityGroupIds"))?;
        let count = field("SecondaryPrivateIpAddressCount");
        let secondary = secondary(call, &field("PrivateIpAddress"), &count)?;
        let meta = draft.meta(
            name(call, &field("NetworkInterfaceName"), "InvalidParameter")?.unwrap_or_default(),
            description(call, &field("Description"), "InvalidParameter")?.unwrap_or_default(),
        );
        let kind = call.word(&field("InstanceType"), &["Primary", "Secondary"])?;
        if kind == Some("Primary") {
            if std::mem::replace(&mut primary, true) {
                let why = "There is one primary network interface.";
                return Err(invalid(&field("InstanceType"), why));
            }
            if id.is_some() {
                let why = "The primary network interface is made with its instance.";
                return Err(invalid(&field("NetworkInterfaceId"), why));
            }
            if !new.vswitch.is_empty() || !new.security_groups.is_empty() || new.address.is_some() {
                let why = "VSwitchId, SecurityGroupId and PrivateIpAddress are said of the instance or of its primary \
                           network interface, not both.";
                return Err(invalid(object, why));
            }
            new.vswitch = vswitch.unwrap_or_default().into();
            new.address = address;
            new.security_groups = groups;
            new.secondary = secondary;
            new.eni = meta;
        } else if let Some(id) = id {
            further.push(Further::Existing(id.to_owned()));
        } else {
            further.push(Further::New(Box::new(NewEni {
                meta,
                vswitch: vswitch.unwrap_or_default().into(),
                address,
                secondary,
                security_groups: groups,
                driver: Driver::Netns,
                delete_on_release: call.flag(&field("DeleteOnRelease"))? != Some(false),
            })));
        }
    }
    Ok(further)
}

/// Makes the further network interfaces of an instance; what is not said of one is as in the primary one.
fn add_further(
    draft: &mut Draft,
    instance: &Instance,
    further: &[Further],
) -> Result<(), ApiError> {
    for one in further {
        let eni = match one {
            Further::Existing(id) => id.clone(),
            Further::New(new) => {
                let mut new = NewEni::clone(new);
                let primary = draft.eni(&instance.eni)?;
                if new.vswitch.is_empty() {
                    new.vswitch.clone_from(&primary.vswitch);
                }
                if new.security_groups.is_empty() {
                    new.security_groups.clone_from(&primary.security_groups);
                }
                draft.create_eni(new)?.id
            }
        };
        draft.attach_eni(&eni, &instance.id)?;
    }
    Ok(())
}

/// Makes instances and starts them: `Amount`, but `MinAmount` are enough if the vSwitch has no more addresses.
fn run(call: &Call, draft: &mut Draft, sealer: &Sealer) -> Answer {
    let amount = call.int("Amount")?.unwrap_or(1);
    if !(1..=MAX_AMOUNT).contains(&amount) {
        let why = format!("{amount} is not between 1 and {MAX_AMOUNT}.");
        return Err(invalid("Amount", why));
    }
    let enough = call.int("MinAmount")?.unwrap_or(amount);
    if !(1..=amount).contains(&enough) {
        let why = format!("{enough} is not between 1 and the Amount {amount}.");
        return Err(invalid("MinAmount", why));
    }
    let mut new = new_instance(call, draft, true)?;
    let further = network_interfaces(call, draft, &mut new)?;
    let one_of_a_kind = new.address.is_some()
        || new.driver != Driver::Netns
        || further.iter().any(|it| match it {
            Further::Existing(_) => true,
            Further::New(new) => new.address.is_some(),
        });
    if amount > 1 && one_of_a_kind {
        let why = "An address, a device or a network interface that is named is for one instance.";
        return Err(invalid("Amount", why));
    }
    let hosts = call.list("HostNames");
    if !hosts.is_empty() && !new.host_name.is_empty() {
        return Err(invalid(
            "HostNames",
            "Give HostName or HostNames, not both.",
        ));
    }
    let suffix = amount > 1 && call.flag("UniqueSuffix")? == Some(true);
    let mut ids = Vec::new();
    for n in 1..=amount {
        let mut one = new.clone();
        if suffix {
            one.meta = suffixed(&new.meta, n)?;
            if !one.host_name.is_empty() {
                one.host_name = host_name(&format!("{}{n:03}", new.host_name))?;
            }
        }
        if let Some(host) = hosts.get(ids.len()) {
            one.host_name = host_name(host)?;
        }
        let mut attempt = draft.clone();
        let made = make(call, &mut attempt, one).and_then(|instance| {
            add_further(&mut attempt, &instance, &further)?;
            keep_user_data(call, &mut attempt, sealer, &instance.id)?;
            Ok(instance.id)
        });
        match made {
            Ok(id) => ids.push(id),
            Err(error) if n > enough && error.code == "InvalidVSwitchId.IpNotEnough" => break,
            Err(error) => return Err(error),
        }
        *draft = attempt;
    }
    Ok(json!({"InstanceIdSets": {"InstanceIdSet": ids}}))
}

/// A name with the number of the instance; without a name the identifier is enough.
fn suffixed(meta: &Meta, n: i64) -> Result<Meta, ApiError> {
    let mut meta = meta.clone();
    if !meta.name.is_empty() {
        let name = format!("{}{n:03}", meta.name);
        meta.name = control::names::name(&name, 2, "InvalidInstanceName.Malformed")?;
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in ["ab", "web-1", "a.b.c", "1a"] {
            assert!(host_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "a", "-ab", "ab-", "a..b", "a.-b", "a_b", &*long] {
            assert!(host_name(bad).is_err(), "{bad}");
        }
    }
}
