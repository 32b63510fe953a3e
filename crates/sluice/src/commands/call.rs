//! `sluice call`: any operation of the cloud API, over the control socket.

use super::ask;
use crate::cli::{Call, Cli, Gateway};
use crate::error::Error;
use crate::output;
use crate::remote;
use crate::socket::protocol::{Request, Response};
use api::spec::{Field, Operation, Product, Type, products};
use clap::CommandFactory;
use serde_json::{Map, Value};
use std::io::Write;

/// The parameters of a call.
pub type Params = Vec<(String, String)>;

pub fn run(args: &Call, out: &mut impl Write) -> Result<(), Error> {
    let Some(name) = &args.product else {
        return help(out).map_err(Error::Output);
    };
    let product = product(name)?;
    let Some(action) = &args.action else {
        return list(product, out).map_err(Error::Output);
    };
    let operation = operation(product, action)?;
    if args.help
        || args
            .params
            .words
            .iter()
            .any(|it| it == "--help" || it == "-h")
    {
        return describe(action, operation, out).map_err(Error::Output);
    }
    let params = params(operation, &args.params.words)?;
    let answer = call(&args.daemon.find()?, product, action, params)?;
    output::json(out, &answer).map_err(Error::Output)
}

/// Calls an operation.
pub fn call(
    gateway: &Gateway,
    product: &Product,
    action: &str,
    params: Params,
) -> Result<Map<String, Value>, Error> {
    let socket = match gateway {
        Gateway::Socket(socket) => socket,
        Gateway::Remote(profile) => {
            return remote::call(profile, &product.version, action, params);
        }
    };
    let request = Request::Call {
        version: product.version.clone(),
        action: action.into(),
        params,
    };
    ask(socket, &request, |response| match response {
        Response::Answer { answer } => Ok(answer),
        other => Err(other),
    })
}

/// A product by its name, in any case.
pub fn product(name: &str) -> Result<&'static Product, Error> {
    let known = products()
        .iter()
        .find(|it| it.product.eq_ignore_ascii_case(name));
    known.ok_or_else(|| {
        let names: Vec<String> = products()
            .iter()
            .map(|it| it.product.to_lowercase())
            .collect();
        Error::Other(format!(
            "there is no product `{name}`: there are {}",
            names.join(", ")
        ))
    })
}

/// An operation of a product.
pub fn operation(product: &'static Product, action: &str) -> Result<&'static Operation, Error> {
    if let Some(operation) = product.operations.get(action) {
        return Ok(operation);
    }
    let near = product
        .operations
        .keys()
        .filter(|it| it.eq_ignore_ascii_case(action));
    let near: Vec<&str> = near.map(|it| &**it).collect();
    let hint = match &*near {
        [] => format!(
            "`sluice call {}` lists what there is",
            product.product.to_lowercase()
        ),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Err(Error::Other(format!(
        "there is no operation `{action}`: {hint}"
    )))
}

/// Reads `--Name value`, `--Name=value` and `--name-of-it value`.
pub fn params(operation: &Operation, words: &[String]) -> Result<Params, Error> {
    let mut params = Params::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            let why = format!("`{word}` is no parameter: write --Name value");
            return Err(Error::Other(why));
        };
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match words.next() {
                Some(value) => (name, value.clone()),
                None => return Err(Error::Other(format!("--{name} has no value"))),
            },
        };
        let unknown = |first: String| {
            let help = where_listed(operation);
            Error::Other(format!("there is no parameter --{first}: {help}"))
        };
        let name = full_name(&operation.request, name).map_err(unknown)?;
        params.push((name, value));
    }
    Ok(params)
}

/// What lists the parameters of an operation.
fn where_listed(operation: &Operation) -> String {
    let all = products().iter().flat_map(|product| {
        let operations = product.operations.iter();
        operations.map(move |(action, it)| (product.product.to_lowercase(), action, it))
    });
    let mut same = all.filter(|(_, _, it)| std::ptr::eq(*it, operation));
    match same.next() {
        Some((product, action, _)) => format!("`sluice call {product} {action} --help` lists them"),
        None => "`sluice call PRODUCT OPERATION --help` lists them".into(),
    }
}

/// The API's name of a parameter that may be written in small letters with dashes: `--tag.1.key` is `Tag.1.Key`. If there
/// is none, the part of the name that is wrong.
fn full_name(fields: &[Field], name: &str) -> Result<String, String> {
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    let Some(field) = fields.iter().find(|it| plain(&it.name) == plain(first)) else {
        return Err(first.to_owned());
    };
    let Some(rest) = rest else {
        return Ok(field.name.clone());
    };
    let (index, inner) = match field.kind {
        Type::Object => (None, Some(rest)),
        _ => match rest.split_once('.') {
            Some((index, inner)) => (Some(index), Some(inner)),
            None => (Some(rest), None),
        },
    };
    let inner = inner
        .map(|inner| full_name(&field.fields, inner))
        .transpose()?;
    let parts = [Some(&*field.name), index, inner.as_deref()];
    Ok(parts.into_iter().flatten().collect::<Vec<_>>().join("."))
}

/// The help of the command itself.
fn help(out: &mut impl Write) -> std::io::Result<()> {
    let mut program = Cli::command();
    match program.find_subcommand_mut("call") {
        Some(command) => write!(out, "{}", command.render_long_help()),
        None => Ok(()),
    }
}

fn list(product: &Product, out: &mut impl Write) -> std::io::Result<()> {
    for action in product
        .operations
        .keys()
        .filter(|it| api::answers(&product.version, it))
    {
        writeln!(out, "{action}")?;
    }
    Ok(())
}

/// Parameters that the cloud has for its accounts; they mean nothing here.
const ACCOUNTS: [&str; 4] = [
    "OwnerAccount",
    "OwnerId",
    "ResourceOwnerAccount",
    "ResourceOwnerId",
];

fn describe(action: &str, operation: &Operation, out: &mut impl Write) -> std::io::Result<()> {
    fn fields(fields: &[Field], prefix: &str, out: &mut impl Write) -> std::io::Result<()> {
        for field in fields.iter().filter(|it| !ACCOUNTS.contains(&&*it.name)) {
            let index = match field.kind {
                Type::Objects | Type::Texts | Type::Ints => ".N",
                _ => "",
            };
            let name = format!("{prefix}{}{index}", field.name);
            if matches!(field.kind, Type::Object | Type::Objects) {
                fields_of(field, &name, out)?;
                continue;
            }
            let kind = match field.kind {
                Type::Int | Type::Ints => "number",
                Type::Float => "number",
                Type::Bool => "true|false",
                _ => "text",
            };
            let required = if field.required { "  (required)" } else { "" };
            writeln!(out, "  --{name} {kind}{required}")?;
        }
        Ok(())
    }
    fn fields_of(field: &Field, name: &str, out: &mut impl Write) -> std::io::Result<()> {
        fields(&field.fields, &format!("{name}."), out)
    }
    writeln!(out, "{action}: {}\n", operation.group)?;
    fields(&operation.request, "", out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(action: &str, words: &[&str]) -> Result<Params, String> {
        let vpc = product("VPC").unwrap();
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        params(operation(vpc, action).unwrap(), &words).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_may_be_written_both_ways() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read(
                "CreateVpc",
                &[
                    "--CidrBlock",
                    "10.0.0.0/8",
                    "--vpc-name=a=b",
                    "--tag.1.key",
                    "k"
                ]
            ),
            Ok(vec![
                pair("CidrBlock", "10.0.0.0/8"),
                pair("VpcName", "a=b"),
                pair("Tag.1.Key", "k")
            ])
        );
        assert_eq!(
            read("AssociateEipAddressBatch", &["--instance-ids.2", "eip-1"]),
            Ok(vec![pair("InstanceIds.2", "eip-1")])
        );
    }

    #[test]
    fn what_is_no_parameter_is_told() {
        assert_eq!(
            read("CreateVpc", &["--nope", "1"]).unwrap_err(),
            "there is no parameter --nope: `sluice call vpc CreateVpc --help` lists them"
        );
        assert!(
            read("CreateVpc", &["--vpc-name"])
                .unwrap_err()
                .contains("no value")
        );
        assert!(
            read("CreateVpc", &["vpc"])
                .unwrap_err()
                .contains("--Name value")
        );
        let error = operation(product("vpc").unwrap(), "createvpc").unwrap_err();
        assert!(error.to_string().contains("CreateVpc"));
        assert!(product("oss").unwrap_err().to_string().contains("vpc, ecs"));
    }
}
