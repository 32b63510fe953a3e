//! The rules of security groups.

use super::ecs::page;
use super::security_groups::view;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, parse_cidr, stamp};
use crate::spec::{invalid, missing};
use control::records::SecurityRule;
use control::security_group::Rule;
use control::{Cloud, Draft, names};
use model::text::{TCP, UDP};
use model::{Direction, Policy, RulePeer};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeSecurityGroupAttribute", Q(describe)),
    ("AuthorizeSecurityGroup", C(authorize_ingress)),
    ("AuthorizeSecurityGroupEgress", C(authorize_egress)),
    ("RevokeSecurityGroup", C(revoke_ingress)),
    ("RevokeSecurityGroupEgress", C(revoke_egress)),
    ("ModifySecurityGroupRule", C(modify_ingress)),
    ("ModifySecurityGroupEgressRule", C(modify_egress)),
];

/// The most rules of one call.
const MAX_PERMISSIONS: usize = 100;

/// The protocols with a name.
const PROTOCOLS: [(&str, Option<u8>); 5] = [
    ("TCP", Some(TCP)),
    ("UDP", Some(UDP)),
    ("ICMP", Some(1)),
    ("GRE", Some(47)),
    ("ALL", None),
];

/// What stands for all ports of TCP and UDP, and of protocols without ports.
const ALL_PORTS: RangeInclusive<u16> = 1..=65535;
const NO_PORTS: &str = "-1/-1";

fn bad(code: &'static str, why: impl Into<String>) -> ApiError {
    ApiError::bad(code, why)
}

/// How a call tells a rule: in parameters of its own, with an empty prefix, or in `Permissions.N.`.
struct Reader<'a> {
    call: &'a Call<'a>,
    prefix: String,
    direction: Direction,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.call.text(&format!("{}{name}", self.prefix))
    }

    /// What is not there yet is refused, not passed over.
    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        let (other, other_end, lists) = match self.direction {
            Direction::Ingress => (
                "DestCidrIp",
                "InvalidParam.DestCidrIp",
                "SourcePrefixListId",
            ),
            Direction::Egress => (
                "SourceCidrIp",
                "InvalidParam.SourceCidrIp",
                "DestPrefixListId",
            ),
        };
        if self.text(other).is_some() {
            let why = format!("Rules that name their own end by {other} are not supported.");
            return Err(bad(other_end, why));
        }
        if self.text("Ipv6SourceCidrIp").is_some() {
            return Err(bad(
                "InvalidParam.Ipv6SourceCidrIp",
                "IPv6 is not supported yet.",
            ));
        }
        if self.text("Ipv6DestCidrIp").is_some() {
            return Err(bad(
                "InvalidParam.Ipv6DestCidrIp",
                "IPv6 is not supported yet.",
            ));
        }
        if let Some(list) = self.text(lists) {
            let why = format!("There is no prefix list {list:?}.");
            return Err(ApiError::not_found("InvalidPrefixListId.NotFound", why));
        }
        if let Some(list) = self.text("PortRangeListId")
            && self.text("PortRange").is_none()
        {
            let why = format!("There is no port list {list:?}.");
            return Err(bad("InvalidPortRangeListId.NotFound", why));
        }
        if self
            .text("SourcePortRange")
            .is_some_and(|it| it != NO_PORTS)
        {
            let why = "Rules about source ports are not supported: leave it out or write -1/-1.";
            return Err(bad("InvalidSourcePortRange.Malformed", why));
        }
        if self
            .text("NicType")
            .is_some_and(|it| !it.eq_ignore_ascii_case("intranet"))
        {
            let why = "In a VPC it is intranet.";
            return Err(bad("InvalidNicType.ValueNotSupported", why));
        }
        Ok(())
    }

    /// A protocol: its name or its number, or all.
    fn protocol(&self) -> Result<Option<Option<u8>>, ApiError> {
        let Some(text) = self.text("IpProtocol") else {
            return Ok(None);
        };
        let named = PROTOCOLS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        match (named, text.parse()) {
            (Some((_, protocol)), _) => Ok(Some(*protocol)),
            (None, Ok(number)) => Ok(Some(Some(number))),
            (None, Err(_)) => Err(bad(
                "InvalidIpProtocol.ValueNotSupported",
                format!("{text:?} is none of TCP, UDP, ICMP, GRE, ALL, and no number up to 255."),
            )),
        }
    }

    /// Ports; `Some(None)`: all.
    fn ports(&self) -> Result<Option<Option<RangeInclusive<u16>>>, ApiError> {
        let Some(text) = self.text("PortRange") else {
            return Ok(None);
        };
        if text == NO_PORTS {
            return Ok(Some(None));
        }
        let range = text
            .split_once('/')
            .and_then(|(start, end)| Some(start.parse().ok()?..=end.parse().ok()?));
        match range {
            Some(range) if *range.start() >= 1 && range.start() <= range.end() => {
                Ok(Some(Some(range)))
            }
            _ => {
                let why =
                    format!("{text:?} is no range of ports such as 80/80, within 1 to 65535.");
                Err(bad("InvalidParam.PortRange", why))
            }
        }
    }

    fn policy(&self) -> Result<Option<Policy>, ApiError> {
        match self.text("Policy") {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("accept") => Ok(Some(Policy::Accept)),
            Some(text) if text.eq_ignore_ascii_case("drop") => Ok(Some(Policy::Drop)),
            Some(text) => Err(bad(
                "InvalidPolicy.Malformed",
                format!("{text:?} is neither accept nor drop."),
            )),
        }
    }

    fn priority(&self) -> Result<Option<u8>, ApiError> {
        let Some(text) = self.text("Priority") else {
            return Ok(None);
        };
        let number: i64 = text.parse().map_err(|_| {
            let why = format!("The priority {text:?} is not a whole number.");
            bad("InvalidPriority.Malformed", why)
        })?;
        match u8::try_from(number) {
            Ok(priority) if model::limits::PRIORITY.contains(&priority) => Ok(Some(priority)),
            _ => Err(bad(
                "InvalidPriority.ValueNotSupported",
                format!("The priority {number} is not between 1 and 100."),
            )),
        }
    }

    /// The other end: addresses, or a group. If both are given, the addresses count, as in the cloud.
    fn peer(&self) -> Result<Option<RulePeer>, ApiError> {
        let (cidr, group, malformed) = match self.direction {
            Direction::Ingress => (
                "SourceCidrIp",
                "SourceGroupId",
                "InvalidSourceCidrIp.Malformed",
            ),
            Direction::Egress => ("DestCidrIp", "DestGroupId", "InvalidDestCidrIp.Malformed"),
        };
        if let Some(text) = self.text(cidr) {
            let block = match text.parse::<Ipv4Addr>() {
                Ok(address) => address.into(),
                Err(_) => parse_cidr(cidr, text).map_err(|error| bad(malformed, error.message))?,
            };
            return Ok(Some(RulePeer::Cidr(block)));
        }
        Ok(self.text(group).map(|id| RulePeer::Group(id.into())))
    }

    fn description(&self) -> Result<Option<String>, ApiError> {
        let sent = self
            .call
            .params
            .sent(&format!("{}Description", self.prefix));
        let code = "InvalidSecurityGroupDiscription.Malformed";
        let checked = sent.map(|text| names::description(text, code).map_err(ApiError::from));
        checked.transpose()
    }

    /// A rule that is told in full.
    fn rule(&self) -> Result<Rule, ApiError> {
        self.refuse_unsupported()?;
        let Some(protocol) = self.protocol()? else {
            return Err(missing(&format!("{}IpProtocol", self.prefix)));
        };
        let ports = match self.ports()? {
            None if has_ports(protocol) => {
                let why = "Say which ports of TCP or UDP: 80/80, or 1/65535 for all.";
                return Err(bad("InvalidPortRange.Malformed", why));
            }
            None => None,
            Some(ports) => fit(protocol, ports)?,
        };
        let Some(peer) = self.peer()? else {
            let (code, names) = match self.direction {
                Direction::Ingress => ("MissingParameter.Source", "SourceCidrIp or SourceGroupId"),
                Direction::Egress => ("MissingParameter.Dest", "DestCidrIp or DestGroupId"),
            };
            return Err(bad(code, format!("One of {names} must be specified.")));
        };
        Ok(Rule {
            direction: self.direction,
            policy: self.policy()?.unwrap_or_default(),
            priority: self.priority()?.unwrap_or(1),
            protocol,
            ports,
            peer,
        })
    }

    /// A rule with what is told changed.
    fn change(&self, had: Rule) -> Result<Rule, ApiError> {
        self.refuse_unsupported()?;
        let protocol = self.protocol()?.unwrap_or(had.protocol);
        let ports = match self.ports()? {
            Some(ports) => fit(protocol, ports)?,
            None if had.ports.is_some() => fit(protocol, had.ports)?,
            None => None,
        };
        Ok(Rule {
            direction: had.direction,
            policy: self.policy()?.unwrap_or(had.policy),
            priority: self.priority()?.unwrap_or(had.priority),
            protocol,
            ports,
            peer: self.peer()?.unwrap_or(had.peer),
        })
    }
}

fn has_ports(protocol: Option<u8>) -> bool {
    matches!(protocol, Some(TCP | UDP))
}

/// Ports as the rule has them: TCP and UDP have some, others none.
fn fit(
    protocol: Option<u8>,
    ports: Option<RangeInclusive<u16>>,
) -> Result<Option<RangeInclusive<u16>>, ApiError> {
    match (has_ports(protocol), ports) {
        (true, Some(ports)) => Ok(Some(ports).filter(|it| *it != ALL_PORTS)),
        (false, None) => Ok(None),
        (true, None) => Err(bad(
            "OperationDenied",
            "The specified IpProtocol and PortRange do not match: TCP and UDP have ports, 1/65535 for all.",
        )),
        (false, Some(_)) => Err(bad(
            "OperationDenied",
            "The specified IpProtocol and PortRange do not match: only TCP and UDP have ports, write -1/-1.",
        )),
    }
}

/// The rules that a call tells, with their descriptions.
fn rules(call: &Call, direction: Direction) -> Result<Vec<(Rule, String)>, ApiError> {
    let objects = call.params.objects("Permissions");
    if objects.len() > MAX_PERMISSIONS {
        return Err(invalid(
            "Permissions",
            format!(
                "{} are given: at most {MAX_PERMISSIONS} are allowed.",
                objects.len()
            ),
        ));
    }
    let prefixes = match objects.is_empty() {
        true => vec![String::new()],
        false if call.text("IpProtocol").is_some() => {
            let why =
                "The specified parameter Permissions cannot coexist with IpProtocol and the like.";
            return Err(bad("InvalidParam.Permissions", why));
        }
        false => objects.iter().map(|object| format!("{object}.")).collect(),
    };
    let mut rules: Vec<(Rule, String)> = Vec::new();
    for prefix in prefixes {
        let reader = Reader {
            call,
            prefix,
            direction,
        };
        let rule = reader.rule()?;
        if rules.iter().any(|(other, _)| *other == rule) {
            let why = format!("{} is there twice.", reader.prefix.trim_end_matches('.'));
            return Err(bad("InvalidParam.DuplicatePermissions", why));
        }
        rules.push((rule, reader.description()?.unwrap_or_default()));
    }
    Ok(rules)
}

fn authorize_ingress(call: &Call, draft: &mut Draft) -> Answer {
    authorize(call, draft, Direction::Ingress)
}

fn authorize_egress(call: &Call, draft: &mut Draft) -> Answer {
    authorize(call, draft, Direction::Egress)
}

fn authorize(call: &Call, draft: &mut Draft, direction: Direction) -> Answer {
    let group = call.need("SecurityGroupId")?;
    draft.security_group(group)?;
    draft.authorize(group, rules(call, direction)?)?;
    Ok(json!({}))
}

fn revoke_ingress(call: &Call, draft: &mut Draft) -> Answer {
    revoke(call, draft, Direction::Ingress)
}

fn revoke_egress(call: &Call, draft: &mut Draft) -> Answer {
    revoke(call, draft, Direction::Egress)
}

fn revoke(call: &Call, draft: &mut Draft, direction: Direction) -> Answer {
    let group = call.need("SecurityGroupId")?;
    draft.security_group(group)?;
    let ids = call.list("SecurityGroupRuleId");
    if ids.is_empty() {
        let rules = rules(call, direction)?;
        let rules: Vec<Rule> = rules.into_iter().map(|(rule, _)| rule).collect();
        draft.revoke(group, &rules)?;
        return Ok(json!({}));
    }
    if !call.params.objects("Permissions").is_empty() || call.text("IpProtocol").is_some() {
        let why = "Name rules by SecurityGroupRuleId or say what they say, not both.";
        return Err(bad("InvalidParam.Permissions", why));
    }
    if ids.len() > MAX_PERMISSIONS {
        return Err(invalid(
            "SecurityGroupRuleId",
            format!(
                "{} are given: at most {MAX_PERMISSIONS} are allowed.",
                ids.len()
            ),
        ));
    }
    draft.revoke_by_id(group, direction, &ids)?;
    Ok(json!({}))
}

fn modify_ingress(call: &Call, draft: &mut Draft) -> Answer {
    modify(call, draft, Direction::Ingress)
}

fn modify_egress(call: &Call, draft: &mut Draft) -> Answer {
    modify(call, draft, Direction::Egress)
}

/// Changes a rule that is named; of one that is told by what it says, the description.
fn modify(call: &Call, draft: &mut Draft, direction: Direction) -> Answer {
    let id = call.need("SecurityGroupId")?;
    let group = draft.security_group(id)?;
    let reader = Reader {
        call,
        prefix: String::new(),
        direction,
    };
    let description = reader.description()?;
    let rules = group.rules.iter();
    let mut rules = rules.filter(|it| it.direction == direction);
    let (rule, says) = match call.text("SecurityGroupRuleId") {
        Some(rule) => {
            let Some(had) = rules.find(|it| it.id == rule) else {
                let why = format!("The security group {id} has no such rule {rule:?}.");
                return Err(bad("InvalidParam.SecurityGroupRuleId", why));
            };
            (had.id.clone(), reader.change(had.says())?)
        }
        None => {
            let says = reader.rule()?;
            let Some(had) = rules.find(|it| it.says() == says) else {
                let why = "The target security group rule does not exist.";
                return Err(ApiError::not_found("SecurityGroupRule.NotFound", why));
            };
            (had.id.clone(), says)
        }
    };
    draft.modify_rule(id, &rule, says, description)?;
    Ok(json!({}))
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let group = cloud.security_group(call.need("SecurityGroupId")?)?;
    let direction = call.word("Direction", &["ingress", "egress", "all"])?;
    let internet = call
        .text("NicType")
        .is_some_and(|it| it.eq_ignore_ascii_case("internet"));
    let rules = group.rules.iter().filter(|rule| match direction {
        _ if internet => false,
        Some("ingress") => rule.direction == Direction::Ingress,
        Some("egress") => rule.direction == Direction::Egress,
        _ => true,
    });
    let mut rules: Vec<&SecurityRule> = rules.collect();
    let paged = call.text("MaxResults").is_some() || call.text("NextToken").is_some();
    let mut next = Value::from("");
    if paged {
        let key = |it: &&SecurityRule| format!("{:020} {}", it.created, it.id);
        let position;
        (rules, position) = page(call, rules, 1000, key)?;
        next = position["NextToken"].clone();
    }
    let rules: Vec<Value> = rules.into_iter().map(|it| rule_view(cloud, it)).collect();
    let more = json!({"Permissions": {"Permission": rules}, "NextToken": next});
    Ok(join(view(call, cloud, group), more))
}

fn protocol_view(protocol: Option<u8>) -> String {
    let named = PROTOCOLS.iter().find(|(_, it)| *it == protocol);
    match (named, protocol) {
        (Some((name, _)), _) => (*name).into(),
        (None, Some(number)) => number.to_string(),
        (None, None) => String::new(),
    }
}

fn rule_view(cloud: &Cloud, rule: &SecurityRule) -> Value {
    let ports = match &rule.ports {
        None if has_ports(rule.protocol) => &ALL_PORTS,
        None => &(0..=0),
        Some(ports) => ports,
    };
    let ports = match ports.start() {
        0 => NO_PORTS.to_owned(),
        start => format!("{start}/{}", ports.end()),
    };
    let (cidr, group) = match &rule.peer {
        RulePeer::Cidr(cidr) => (cidr.to_string(), ""),
        RulePeer::Group(id) => (String::new(), &**id),
    };
    let name = cloud.security_groups.get(group);
    let name = name.map(|it| &*it.meta.name).unwrap_or_default();
    let peer = match rule.direction {
        Direction::Ingress => json!({
            "Direction": "ingress",
            "SourceCidrIp": cidr,
            "SourceGroupId": group,
            "SourceGroupName": name,
        }),
        Direction::Egress => json!({
            "Direction": "egress",
            "DestCidrIp": cidr,
            "DestGroupId": group,
            "DestGroupName": name,
        }),
    };
    let policy = match rule.policy {
        Policy::Accept => "Accept",
        Policy::Drop => "Drop",
    };
    let rest = json!({
        "SecurityGroupRuleId": rule.id,
        "IpProtocol": protocol_view(rule.protocol),
        "PortRange": ports,
        "SourcePortRange": NO_PORTS,
        "Policy": policy,
        "Priority": rule.priority.to_string(),
        "NicType": "intranet",
        "Description": rule.description,
        "CreateTime": stamp(rule.created),
    });
    join(peer, rest)
}
