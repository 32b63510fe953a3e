//! `sluice vpc list`, `sluice eip create` and so on: the operations of the cloud API by the names of resources.

use super::call::{self, Params};
use crate::cli::{Gateway, Resource, Verb};
use crate::error::Error;
use crate::output;
use crate::output::table::{Column, Table};
use api::spec::{Field, Operation, Product};
use serde_json::{Map, Value};
use std::io::Write;

/// A kind of resource: the operations of its verbs, and how a list of it is shown.
pub struct Kind {
    /// What the command is called.
    pub name: &'static str,
    product: &'static str,
    /// The parameter that holds an identifier, in all operations but `list`.
    id: &'static str,
    list: &'static str,
    /// Where the resources are in the answer to `list`.
    items: &'static str,
    /// The parameter of `list` that picks one by its identifier; `{}` stands for it.
    pick: (&'static str, &'static str),
    create: &'static str,
    modify: &'static str,
    delete: &'static str,
    /// Fields of a resource, by their paths, under their headers.
    columns: &'static [(&'static str, &'static str)],
    headers: &'static [Column],
}

use Column::Text as T;

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "vpc",
        product: "vpc",
        id: "VpcId",
        list: "DescribeVpcs",
        items: "/Vpcs/Vpc",
        pick: ("VpcId", "{}"),
        create: "CreateVpc",
        modify: "ModifyVpcAttribute",
        delete: "DeleteVpc",
        columns: &[
            ("/VpcId", ""),
            ("/VpcName", ""),
            ("/CidrBlock", ""),
            ("/Status", ""),
            ("/CreationTime", ""),
        ],
        headers: &[T("ID"), T("NAME"), T("CIDR"), T("STATUS"), T("CREATED")],
    },
    Kind {
        name: "vswitch",
        product: "vpc",
        id: "VSwitchId",
        list: "DescribeVSwitches",
        items: "/VSwitches/VSwitch",
        pick: ("VSwitchId", "{}"),
        create: "CreateVSwitch",
        modify: "ModifyVSwitchAttribute",
        delete: "DeleteVSwitch",
        columns: &[
            ("/VSwitchId", ""),
            ("/VSwitchName", ""),
            ("/VpcId", ""),
            ("/CidrBlock", ""),
            ("/ZoneId", ""),
            ("/AvailableIpAddressCount", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("VPC"),
            T("CIDR"),
            T("ZONE"),
            Column::Number("FREE"),
        ],
    },
    Kind {
        name: "eip",
        product: "vpc",
        id: "AllocationId",
        list: "DescribeEipAddresses",
        items: "/EipAddresses/EipAddress",
        pick: ("AllocationId", "{}"),
        create: "AllocateEipAddress",
        modify: "ModifyEipAddressAttribute",
        delete: "ReleaseEipAddress",
        columns: &[
            ("/AllocationId", ""),
            ("/Name", ""),
            ("/IpAddress", ""),
            ("/Bandwidth", ""),
            ("/Status", ""),
            ("/InstanceId", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("ADDRESS"),
            Column::Number("MBIT/S"),
            T("STATUS"),
            T("BOUND TO"),
        ],
    },
    Kind {
        name: "nat",
        product: "vpc",
        id: "NatGatewayId",
        list: "DescribeNatGateways",
        items: "/NatGateways/NatGateway",
        pick: ("NatGatewayId", "{}"),
        create: "CreateNatGateway",
        modify: "ModifyNatGatewayAttribute",
        delete: "DeleteNatGateway",
        columns: &[
            ("/NatGatewayId", ""),
            ("/Name", ""),
            ("/VpcId", ""),
            ("/IpLists/IpList", "IpAddress"),
            ("/SnatTableIds/SnatTableId", ""),
            ("/ForwardTableIds/ForwardTableId", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("VPC"),
            T("EIPS"),
            T("SNAT TABLE"),
            T("DNAT TABLE"),
        ],
    },
    Kind {
        name: "snat",
        product: "vpc",
        id: "SnatEntryId",
        list: "DescribeSnatTableEntries",
        items: "/SnatTableEntries/SnatTableEntry",
        pick: ("SnatEntryId", "{}"),
        create: "CreateSnatEntry",
        modify: "ModifySnatEntry",
        delete: "DeleteSnatEntry",
        columns: &[
            ("/SnatEntryId", ""),
            ("/SnatEntryName", ""),
            ("/SnatTableId", ""),
            ("/SourceCIDR", ""),
            ("/SourceVSwitchId", ""),
            ("/SnatIp", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("TABLE"),
            T("SOURCE"),
            T("VSWITCH"),
            T("EIPS"),
        ],
    },
    Kind {
        name: "dnat",
        product: "vpc",
        id: "ForwardEntryId",
        list: "DescribeForwardTableEntries",
        items: "/ForwardTableEntries/ForwardTableEntry",
        pick: ("ForwardEntryId", "{}"),
        create: "CreateForwardEntry",
        modify: "ModifyForwardEntry",
        delete: "DeleteForwardEntry",
        columns: &[
            ("/ForwardEntryId", ""),
            ("/ForwardEntryName", ""),
            ("/ForwardTableId", ""),
            ("/IpProtocol", ""),
            ("/ExternalIp", ""),
            ("/ExternalPort", ""),
            ("/InternalIp", ""),
            ("/InternalPort", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("TABLE"),
            T("PROTOCOL"),
            T("EIP"),
            T("PORT"),
            T("INTERNAL"),
            T("PORT"),
        ],
    },
    Kind {
        name: "route",
        product: "vpc",
        id: "RouteEntryId",
        list: "DescribeRouteEntryList",
        items: "/RouteEntrys/RouteEntry",
        pick: ("RouteEntryId", "{}"),
        create: "CreateRouteEntry",
        modify: "ModifyRouteEntry",
        delete: "DeleteRouteEntry",
        columns: &[
            ("/RouteEntryId", ""),
            ("/RouteEntryName", ""),
            ("/DestinationCidrBlock", ""),
            ("/Type", ""),
            ("/NextHops/NextHop", "NextHopType"),
            ("/NextHops/NextHop", "NextHopId"),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("DESTINATION"),
            T("TYPE"),
            T("NEXT HOP"),
            T(""),
        ],
    },
    Kind {
        name: "sg",
        product: "ecs",
        id: "SecurityGroupId",
        list: "DescribeSecurityGroups",
        items: "/SecurityGroups/SecurityGroup",
        pick: ("SecurityGroupId", "{}"),
        create: "CreateSecurityGroup",
        modify: "ModifySecurityGroupAttribute",
        delete: "DeleteSecurityGroup",
        columns: &[
            ("/SecurityGroupId", ""),
            ("/SecurityGroupName", ""),
            ("/VpcId", ""),
            ("/SecurityGroupType", ""),
            ("/CreationTime", ""),
        ],
        headers: &[T("ID"), T("NAME"), T("VPC"), T("TYPE"), T("CREATED")],
    },
    Kind {
        name: "instance",
        product: "ecs",
        id: "InstanceId",
        list: "DescribeInstances",
        items: "/Instances/Instance",
        pick: ("InstanceIds", "[\"{}\"]"),
        create: "RunInstances",
        modify: "ModifyInstanceAttribute",
        delete: "DeleteInstance",
        columns: &[
            ("/InstanceId", ""),
            ("/InstanceName", ""),
            ("/Status", ""),
            ("/VpcAttributes/PrivateIpAddress/IpAddress", ""),
            ("/VpcAttributes/VSwitchId", ""),
            ("/EipAddress/IpAddress", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("STATUS"),
            T("ADDRESS"),
            T("VSWITCH"),
            T("EIP"),
        ],
    },
    Kind {
        name: "book",
        product: "cloudfw",
        id: "GroupUuid",
        list: "DescribeAddressBook",
        items: "/Acls",
        pick: ("GroupUuid", "{}"),
        create: "AddAddressBook",
        modify: "ModifyAddressBook",
        delete: "DeleteAddressBook",
        columns: &[
            ("/GroupUuid", ""),
            ("/GroupName", ""),
            ("/GroupType", ""),
            ("/AddressListCount", ""),
            ("/ReferenceCount", ""),
            ("/Description", ""),
        ],
        headers: &[
            T("ID"),
            T("NAME"),
            T("TYPE"),
            Column::Number("ENTRIES"),
            Column::Number("POLICIES"),
            T("DESCRIPTION"),
        ],
    },
];

/// The largest page that every list gives.
const PAGE: usize = 50;

pub fn run(name: &str, args: &Resource, out: &mut impl Write) -> Result<(), Error> {
    let kind = KINDS.iter().find(|it| it.name == name);
    let kind = kind.ok_or_else(|| Error::Other(format!("there is no kind {name:?}")))?;
    let product = call::product(kind.product)?;
    let gateway = args.daemon.find()?;
    match &args.verb {
        Verb::List { json, params } => {
            let items = list(kind, product, &gateway, &params.words)?;
            if *json {
                return output::json(out, &items).map_err(Error::Output);
            }
            let text = render(kind, &items);
            out.write_all(text.as_bytes()).map_err(Error::Output)
        }
        Verb::Show { id, params } => {
            let item = show(kind, product, &gateway, id, &params.words)?;
            output::json(out, &item).map_err(Error::Output)
        }
        Verb::Create { params } => {
            let params = call::params(call::operation(product, kind.create)?, &params.words)?;
            answer(&gateway, product, kind.create, params, out)
        }
        Verb::Modify { id, params } => {
            let params = with_id(kind, product, &gateway, kind.modify, id, &params.words)?;
            answer(&gateway, product, kind.modify, params, out)
        }
        Verb::Delete { id, params } => {
            let params = with_id(kind, product, &gateway, kind.delete, id, &params.words)?;
            answer(&gateway, product, kind.delete, params, out)
        }
    }
}

/// Calls an operation and prints what it tells, if that is anything.
fn answer(
    gateway: &Gateway,
    product: &Product,
    action: &str,
    params: Params,
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut answer = call::call(gateway, product, action, params)?;
    answer.remove("RequestId");
    match answer.is_empty() {
        true => Ok(()),
        false => output::json(out, &answer).map_err(Error::Output),
    }
}

/// All resources that meet the parameters, page by page.
fn list(
    kind: &Kind,
    product: &'static Product,
    gateway: &Gateway,
    words: &[String],
) -> Result<Vec<Value>, Error> {
    let operation = call::operation(product, kind.list)?;
    let given = call::params(operation, words)?;
    let mut items = pages(kind, product, gateway, operation, &given)?;
    if let Some((name, value)) = besides(kind)
        && given.iter().all(|(it, _)| it != name)
    {
        let more = (name.into(), value.into());
        let given: Params = given.into_iter().chain([more]).collect();
        items.extend(pages(kind, product, gateway, operation, &given)?);
    }
    Ok(items)
}

/// What the operation leaves out of a list unless it is asked for.
fn besides(kind: &Kind) -> Option<(&'static str, &'static str)> {
    // Those of cloud services.
    (kind.name == "book").then_some(("GroupType", "allCloud"))
}

fn pages(
    kind: &Kind,
    product: &'static Product,
    gateway: &Gateway,
    operation: &Operation,
    given: &Params,
) -> Result<Vec<Value>, Error> {
    // Products have their own names for it.
    let number = ["PageNumber", "CurrentPage"];
    let number = number.into_iter().find(|number| {
        let mut fields = operation.request.iter();
        fields.any(|it| it.name == *number)
    });
    let mut items = Vec::new();
    for page in 1.. {
        let mut params = given.clone();
        if let Some(number) = number {
            params.push((number.into(), page.to_string()));
            params.push(("PageSize".into(), PAGE.to_string()));
        }
        let more = take(&call::call(gateway, product, kind.list, params)?, kind);
        let last = number.is_none() || more.len() < PAGE;
        items.extend(more);
        if last {
            break;
        }
    }
    Ok(items)
}

fn show(
    kind: &Kind,
    product: &'static Product,
    gateway: &Gateway,
    id: &str,
    words: &[String],
) -> Result<Value, Error> {
    let mut params = call::params(call::operation(product, kind.list)?, words)?;
    params.push((kind.pick.0.into(), kind.pick.1.replace("{}", id)));
    let mut items = take(&call::call(gateway, product, kind.list, params)?, kind);
    match items.is_empty() {
        true => Err(Error::Other(format!("there is no {} {id:?}", kind.name))),
        false => Ok(items.remove(0)),
    }
}

/// The parameters of an operation on one resource. What it needs besides the identifier, and the resource itself
/// tells, need not be given: the table that an entry is in.
fn with_id(
    kind: &Kind,
    product: &'static Product,
    gateway: &Gateway,
    action: &str,
    id: &str,
    words: &[String],
) -> Result<Params, Error> {
    let operation = call::operation(product, action)?;
    let mut params = call::params(operation, words)?;
    params.push((kind.id.into(), id.into()));
    let needs = |it: &&Field| {
        it.required && it.name != "RegionId" && params.iter().all(|(name, _)| *name != it.name)
    };
    let missing: Vec<&Field> = operation.request.iter().filter(needs).collect();
    if !missing.is_empty() {
        let item = show(kind, product, gateway, id, &[])?;
        for field in missing {
            if let Some(Value::String(value)) = item.get(&field.name) {
                params.push((field.name.clone(), value.clone()));
            }
        }
    }
    Ok(params)
}

fn take(answer: &Map<String, Value>, kind: &Kind) -> Vec<Value> {
    let mut path = kind.items.split('/').skip(1);
    let first = path.next().and_then(|name| answer.get(name));
    let items = path.try_fold(first, |value, name| Some(value?.get(name)));
    let items = items.flatten().and_then(Value::as_array);
    items.cloned().unwrap_or_default()
}

fn render(kind: &Kind, items: &[Value]) -> String {
    let mut table = Table::new(kind.headers);
    for item in items {
        let cells = kind
            .columns
            .iter()
            .map(|(path, field)| cell(item.pointer(path), field));
        table.row_of(cells.collect());
    }
    table.part()
}

/// A value as a cell: of a list all elements, of objects in it the field.
fn cell(value: Option<&Value>, field: &str) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let cells = list.iter().map(|it| match field {
                "" => cell(Some(it), ""),
                field => cell(it.get(field), ""),
            });
            cells.collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_names_operations_and_fields_that_there_are() {
        for kind in KINDS {
            let product = call::product(kind.product).unwrap();
            for action in [kind.list, kind.create, kind.modify, kind.delete] {
                call::operation(product, action).unwrap();
            }
            for action in [kind.modify, kind.delete] {
                let operation = call::operation(product, action).unwrap();
                assert!(
                    operation.request.iter().any(|it| it.name == kind.id),
                    "{action}"
                );
            }
            assert_eq!(kind.columns.len(), kind.headers.len(), "{}", kind.name);
            // An empty resource, completed, has every field that is shown.
            let operation = call::operation(product, kind.list).unwrap();
            let mut item = json!([{}]);
            for name in kind.items.rsplit('/').filter(|it| !it.is_empty()) {
                item = json!({ name: item });
            }
            let Value::Object(mut answer) = item else {
                unreachable!()
            };
            operation.complete(&mut answer).unwrap();
            let item = take(&answer, kind).remove(0);
            for (path, _) in kind.columns {
                assert!(item.pointer(path).is_some(), "{} {path}", kind.name);
            }
        }
    }

    #[test]
    fn lists_in_cells_are_joined() {
        assert_eq!(cell(Some(&json!(["a", "b"])), ""), "a, b");
        assert_eq!(cell(Some(&json!([{"x": "a"}, {"x": 1}])), "x"), "a, 1");
        assert_eq!(cell(None, ""), "");
    }
}
