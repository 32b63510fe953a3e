//! `sluice key`, `sluice user` and `sluice access`: RAM's operations by the names of what they are about.

use super::call::{self, Params};
use crate::cli::Gateway;
use crate::cli::access::{Access, AccessVerb, Key, KeyVerb, User, UserVerb};
use crate::error::Error;
use crate::output;
use crate::output::table::{Column, Table};
use crate::state::read_config;
use serde_json::{Map, Value, json};
use std::io::Write;

use Column::Text as T;

const KEYS: &[Column] = &[T("ID"), T("USER"), T("STATUS"), T("CREATED")];
const USERS: &[Column] = &[T("NAME"), T("POLICIES"), T("CREATED")];
const POLICIES: &[Column] = &[
    T("NAME"),
    T("TYPE"),
    Column::Number("ATTACHED"),
    T("DESCRIPTION"),
];

/// How many users or policies are asked for at once.
const PAGE: &str = "100";

/// Calls an operation of RAM.
fn ram(
    gateway: &Gateway,
    action: &str,
    params: &[(&str, &str)],
) -> Result<Map<String, Value>, Error> {
    let params = params
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let params: Params = params.collect();
    call::call(gateway, call::product("ram")?, action, params)
}

/// What is at a path of an answer, as a list; none, if there is nothing.
fn items(answer: &Map<String, Value>, [outer, inner]: [&str; 2]) -> Vec<Value> {
    let list = answer.get(outer).and_then(|it| it.get(inner));
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// All items of a list that comes in pages.
fn all(gateway: &Gateway, action: &str, path: [&str; 2]) -> Result<Vec<Value>, Error> {
    let (mut found, mut marker) = (Vec::new(), String::new());
    loop {
        let page = ram(gateway, action, &[("MaxItems", PAGE), ("Marker", &marker)])?;
        found.extend(items(&page, path));
        marker = match page.get("Marker").and_then(Value::as_str) {
            Some(next) if !next.is_empty() => next.to_owned(),
            _ => return Ok(found),
        };
    }
}

fn users(gateway: &Gateway) -> Result<Vec<String>, Error> {
    let users = all(gateway, "ListUsers", ["Users", "User"])?;
    Ok(users
        .iter()
        .map(|it| text(it, "UserName").to_owned())
        .collect())
}

/// The parameters that name a user; none for the account.
fn of(user: &str) -> Vec<(&'static str, &str)> {
    match user {
        "" => Vec::new(),
        user => vec![("UserName", user)],
    }
}

/// The keys of a user, each with the user's name.
fn keys(gateway: &Gateway, user: &str) -> Result<Vec<Value>, Error> {
    let answer = ram(gateway, "ListAccessKeys", &of(user))?;
    let mut keys = items(&answer, ["AccessKeys", "AccessKey"]);
    for key in &mut keys {
        key["UserName"] = json!(user);
    }
    Ok(keys)
}

/// Everybody's keys.
fn all_keys(gateway: &Gateway) -> Result<Vec<Value>, Error> {
    let mut found = keys(gateway, "")?;
    for user in users(gateway)? {
        found.extend(keys(gateway, &user)?);
    }
    Ok(found)
}

/// Calls an operation on one key, whosever it is.
fn on_key(gateway: &Gateway, action: &str, id: &str, more: &[(&str, &str)]) -> Result<(), Error> {
    let keys = all_keys(gateway)?;
    let key = keys.iter().find(|it| text(it, "AccessKeyId") == id);
    let missing = || Error::Other(format!("there is no access key {id:?}"));
    let mut params = of(text(key.ok_or_else(missing)?, "UserName"));
    params.push(("UserAccessKeyId", id));
    params.extend(more);
    ram(gateway, action, &params).map(drop)
}

/// Runs `sluice key`.
pub fn key(args: &Key, out: &mut impl Write) -> Result<(), Error> {
    let gateway = &args.daemon.find()?;
    match &args.verb {
        KeyVerb::List { user, json } => {
            let keys = match user {
                Some(user) => keys(gateway, user)?,
                None => all_keys(gateway)?,
            };
            let cells = ["AccessKeyId", "UserName", "Status", "CreateDate"];
            list(out, *json, &keys, KEYS, |it| {
                cells.map(|name| text(it, name).to_owned()).into()
            })
        }
        KeyVerb::Create { user, json } => {
            let user = user.as_deref().unwrap_or_default();
            let made = ram(gateway, "CreateAccessKey", &of(user))?;
            let made = made.get("AccessKey").cloned().unwrap_or_default();
            if *json {
                return output::json(out, &made).map_err(Error::Output);
            }
            let (id, secret) = (text(&made, "AccessKeyId"), text(&made, "AccessKeySecret"));
            writeln!(
                out,
                "{id}\n{secret}\nThis is the secret; it is not shown again."
            )
            .map_err(Error::Output)
        }
        KeyVerb::Enable { id } => on_key(gateway, "UpdateAccessKey", id, &[("Status", "Active")]),
        KeyVerb::Disable { id } => {
            on_key(gateway, "UpdateAccessKey", id, &[("Status", "Inactive")])
        }
        KeyVerb::Delete { id } => on_key(gateway, "DeleteAccessKey", id, &[]),
    }
}

/// Runs `sluice user`.
pub fn user(args: &User, out: &mut impl Write) -> Result<(), Error> {
    let gateway = &args.daemon.find()?;
    match &args.verb {
        UserVerb::List { json } => {
            let mut users = all(gateway, "ListUsers", ["Users", "User"])?;
            for user in &mut users {
                let name = text(user, "UserName").to_owned();
                let answer = ram(gateway, "ListPoliciesForUser", &[("UserName", &name)])?;
                let policies = items(&answer, ["Policies", "Policy"]);
                let names = policies.iter().map(|it| text(it, "PolicyName"));
                user["Policies"] = names.collect();
            }
            list(out, *json, &users, USERS, |it| {
                let policies = it["Policies"].as_array().into_iter().flatten();
                let policies: Vec<&str> = policies.filter_map(Value::as_str).collect();
                let (name, created) = (text(it, "UserName"), text(it, "CreateDate"));
                vec![name.into(), policies.join(", "), created.into()]
            })
        }
        UserVerb::Create { user } => ram(gateway, "CreateUser", &[("UserName", user)]).map(drop),
        UserVerb::Delete { user } => ram(gateway, "DeleteUser", &[("UserName", user)]).map(drop),
    }
}

/// Whether a policy is one of the program's own: names are of one kind only.
fn kind(gateway: &Gateway, policy: &str) -> Result<&'static str, Error> {
    let policies = all(gateway, "ListPolicies", ["Policies", "Policy"])?;
    let known = policies.iter().find(|it| text(it, "PolicyName") == policy);
    match known.map(|it| text(it, "PolicyType")) {
        Some("System") => Ok("System"),
        Some(_) => Ok("Custom"),
        None => Err(Error::Other(format!(
            "there is no policy {policy:?}: `sluice access list` tells which there are"
        ))),
    }
}

/// Runs `sluice access`.
pub fn access(args: &Access, out: &mut impl Write) -> Result<(), Error> {
    let gateway = &args.daemon.find()?;
    match &args.verb {
        AccessVerb::List { json } => {
            let policies = all(gateway, "ListPolicies", ["Policies", "Policy"])?;
            list(out, *json, &policies, POLICIES, |it| {
                let attached = it["AttachmentCount"].to_string();
                let [name, kind, description] =
                    ["PolicyName", "PolicyType", "Description"].map(|name| text(it, name).into());
                vec![name, kind, attached, description]
            })
        }
        AccessVerb::Show { policy } => {
            let kind = kind(gateway, policy)?;
            let params = [("PolicyName", &**policy), ("PolicyType", kind)];
            let answer = ram(gateway, "GetPolicy", &params)?;
            let shown = answer.get("Policy").map(|it| text(it, "PolicyDocument"));
            writeln!(out, "{}", shown.unwrap_or_default()).map_err(Error::Output)
        }
        AccessVerb::Create {
            policy,
            file,
            description,
        } => {
            let document = read_config(file)?;
            let params = [
                ("PolicyName", &**policy),
                ("PolicyDocument", document.trim()),
                ("Description", description.as_deref().unwrap_or_default()),
            ];
            ram(gateway, "CreatePolicy", &params).map(drop)
        }
        AccessVerb::Delete { policy } => {
            ram(gateway, "DeletePolicy", &[("PolicyName", policy)]).map(drop)
        }
        AccessVerb::Attach { policy, user } => {
            let kind = kind(gateway, policy)?;
            let params = [
                ("PolicyName", &**policy),
                ("PolicyType", kind),
                ("UserName", user),
            ];
            ram(gateway, "AttachPolicyToUser", &params).map(drop)
        }
        AccessVerb::Detach { policy, user } => {
            let kind = kind(gateway, policy)?;
            let params = [
                ("PolicyName", &**policy),
                ("PolicyType", kind),
                ("UserName", user),
            ];
            ram(gateway, "DetachPolicyFromUser", &params).map(drop)
        }
    }
}

/// Prints items as a table, or as JSON.
fn list(
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
    for item in items {
        table.row_of(cells(item));
    }
    out.write_all(table.part().as_bytes())
        .map_err(Error::Output)
}
