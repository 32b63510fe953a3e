//! What the cloud's operations take and give: names, types and nesting, as its SDKs have them.
//!
//! The tables are in `spec/`, one file for each product. They are the one place that says what a parameter's
//! type is and how an answer is nested: parameters are checked by them before an operation sees them, and
//! answers are completed by them, so that an SDK finds each field that it knows of. `ours.json` adds what the
//! cloud does not have.

use crate::{ApiError, Params};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// An API version of a product.
#[derive(Debug, Deserialize)]
pub struct Product {
    /// Its name, e.g. `Vpc`.
    pub product: String,
    /// Its version, e.g. `2016-04-28`.
    pub version: String,
    /// Which SDK, in which version, the table was made of, where it was made of one.
    #[serde(default)]
    pub source: String,
    /// Its operations by name.
    pub operations: BTreeMap<String, Operation>,
}

/// What an operation takes and gives.
#[derive(Debug, Deserialize)]
pub struct Operation {
    /// What it is about, for help texts.
    #[serde(default)]
    pub group: String,
    /// Its parameters.
    pub request: Vec<Field>,
    /// The fields of its answer.
    pub response: Vec<Field>,
}

/// A parameter or a field of an answer.
#[derive(Debug, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// What is in it, if it is an object or a list of objects.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "they are the types of JSON")]
pub enum Type {
    #[serde(rename = "str")]
    Text,
    #[serde(rename = "int")]
    Int,
    #[serde(rename = "float")]
    Float,
    #[serde(rename = "bool")]
    Bool,
    #[serde(rename = "object")]
    Object,
    #[serde(rename = "object[]")]
    Objects,
    #[serde(rename = "str[]")]
    Texts,
    #[serde(rename = "int[]")]
    Ints,
    #[serde(rename = "map")]
    Map,
    #[serde(rename = "map[]")]
    Maps,
}

/// All products.
pub fn products() -> &'static [Product] {
    static PRODUCTS: LazyLock<Vec<Product>> = LazyLock::new(|| {
        let mut products: Vec<Product> = [
            include_str!("../spec/vpc.json"),
            include_str!("../spec/ecs.json"),
            include_str!("../spec/vpcpeer.json"),
            include_str!("../spec/ram.json"),
            include_str!("../spec/sts.json"),
            include_str!("../spec/actiontrail.json"),
            include_str!("../spec/cloudfw.json"),
        ]
        .into_iter()
        // A table that cannot be read is found by the tests; a product less is all that can come of it.
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect();
        let ours = serde_json::from_str(include_str!("../spec/ours.json"));
        let ours: Vec<Product> = ours.unwrap_or_default();
        for more in ours {
            if let Some(product) = products.iter_mut().find(|it| it.version == more.version) {
                product.extend(more);
            }
        }
        products
    });
    &PRODUCTS
}

/// An operation of a version.
///
/// # Errors
/// `InvalidVersion` or `InvalidAction.NotFound`.
pub fn operation(
    version: &str,
    action: &str,
) -> Result<(&'static Product, &'static Operation), ApiError> {
    let Some(product) = products().iter().find(|it| it.version == version) else {
        let known: Vec<&str> = products().iter().map(|it| &*it.version).collect();
        let why = format!(
            "Specified parameter Version is not valid: there are {}.",
            known.join(", ")
        );
        return Err(ApiError::not_found("InvalidVersion", why));
    };
    match product.operations.get(action) {
        Some(operation) => Ok((product, operation)),
        None => Err(ApiError::not_found(
            "InvalidAction.NotFound",
            format!(
                "Specified api is not found: {} {version} has no operation {action:?}.",
                product.product
            ),
        )),
    }
}

impl Product {
    /// Whether it is in no region, as users and the audit trail are.
    pub fn is_global(&self) -> bool {
        matches!(&*self.product, "Ram" | "Sts" | "Actiontrail")
    }

    /// Adds operations, and fields to those that are there.
    fn extend(&mut self, more: Product) {
        for (name, more) in more.operations {
            match self.operations.get_mut(&name) {
                Some(operation) => {
                    extend(&mut operation.request, more.request);
                    extend(&mut operation.response, more.response);
                }
                None => {
                    self.operations.insert(name, more);
                }
            }
        }
    }
}

/// Adds fields to a list, and to objects that are in both.
fn extend(fields: &mut Vec<Field>, more: Vec<Field>) {
    for field in more {
        match fields.iter_mut().find(|it| it.name == field.name) {
            Some(had) => extend(&mut had.fields, field.fields),
            None => fields.push(field),
        }
    }
}

impl Operation {
    /// Checks that what must be given is given and that each value has its type. Parameters that the operation
    /// does not have are passed over, as the cloud does.
    ///
    /// # Errors
    /// `MissingParameter` or `InvalidParameter`; the message names the parameter.
    pub fn check(&self, params: &Params) -> Result<(), ApiError> {
        self.request.iter().try_for_each(|field| {
            if field.has_objects() && params.get(&field.name).is_some() {
                return Err(invalid(&field.name, "It is no JSON of objects."));
            }
            field.check(&field.name, params)
        })
    }

    /// The parameters with those lists and objects taken apart that came as one JSON text, as SDKs send some. What is
    /// another text stays, for [`check`](Operation::check).
    pub fn spread<'a>(&self, params: &'a Params) -> Cow<'a, Params> {
        let mut spread = Cow::Borrowed(params);
        for field in &self.request {
            let list = matches!(field.kind, Type::Texts | Type::Ints);
            let Some(text) = params
                .get(&field.name)
                .filter(|_| field.has_objects() || list)
            else {
                continue;
            };
            let value = serde_json::from_str(text).ok();
            if let Some(value) = value.filter(|it: &Value| it.is_array() || it.is_object()) {
                let spread = spread.to_mut();
                spread.remove(&field.name);
                flatten(field.name.clone(), value, spread);
            }
        }
        spread
    }

    /// Completes an answer: what the operation has not said is empty, and of the type that an SDK expects.
    ///
    /// # Errors
    /// The path of a field that has another type, or that the answer should not have: a mistake here.
    pub fn complete(&self, answer: &mut Map<String, Value>) -> Result<(), String> {
        complete(&self.response, answer, "")
    }
}

/// Names what is in a JSON value as clients do that have no JSON.
fn flatten(name: String, value: Value, params: &mut Params) {
    match value {
        Value::Array(list) => (1..)
            .zip(list)
            .for_each(|(at, value): (usize, Value)| flatten(format!("{name}.{at}"), value, params)),
        Value::Object(fields) => fields
            .into_iter()
            .for_each(|(field, value)| flatten(format!("{name}.{field}"), value, params)),
        Value::Null => {}
        Value::String(text) => params.insert(name, text),
        other => params.insert(name, other.to_string()),
    }
}

impl Field {
    fn has_objects(&self) -> bool {
        matches!(self.kind, Type::Object | Type::Objects)
    }

    fn check(&self, name: &str, params: &Params) -> Result<(), ApiError> {
        match self.kind {
            Type::Objects => {
                let objects = params.objects(name);
                if self.required && objects.is_empty() {
                    return Err(missing(name));
                }
                objects
                    .iter()
                    .try_for_each(|object| self.check_fields(object, params))
            }
            Type::Object => self.check_fields(name, params),
            // A list of one may be a plain text.
            Type::Texts | Type::Ints
                if self.required && params.get(name).is_none() && params.list(name).is_empty() =>
            {
                Err(missing(name))
            }
            Type::Texts | Type::Ints | Type::Map | Type::Maps => Ok(()),
            _ => match params.get(name) {
                None if self.required => Err(missing(name)),
                None => Ok(()),
                Some(text) => self.fits(name, text),
            },
        }
    }

    fn check_fields(&self, name: &str, params: &Params) -> Result<(), ApiError> {
        self.fields
            .iter()
            .try_for_each(|field| field.check(&format!("{name}.{}", field.name), params))
    }

    fn fits(&self, name: &str, text: &str) -> Result<(), ApiError> {
        let (fits, wanted) = match self.kind {
            Type::Int => (text.parse::<i64>().is_ok(), "a whole number"),
            Type::Float => (text.parse::<f64>().is_ok(), "a number"),
            Type::Bool => (parse_bool(text).is_some(), "true or false"),
            _ => (true, "a text"),
        };
        if fits {
            return Ok(());
        }
        Err(invalid(name, format!("{} is not {wanted}.", shown(text))))
    }

    /// What stands for the field when there is nothing to say.
    fn empty(&self) -> Value {
        match self.kind {
            Type::Text => json!(""),
            Type::Int => json!(0),
            Type::Float => json!(0.0),
            Type::Bool => json!(false),
            Type::Objects | Type::Texts | Type::Ints | Type::Maps => json!([]),
            Type::Map => json!({}),
            Type::Object => {
                let mut fields = Map::new();
                // It cannot fail on nothing.
                let _ = complete(&self.fields, &mut fields, "");
                Value::Object(fields)
            }
        }
    }

    fn complete(&self, value: &mut Value, path: &str) -> Result<(), String> {
        let fits = match (self.kind, &mut *value) {
            (Type::Object, Value::Object(fields)) => return complete(&self.fields, fields, path),
            (Type::Objects, Value::Array(objects)) => {
                for object in objects {
                    match object {
                        Value::Object(fields) => complete(&self.fields, fields, path)?,
                        _ => return Err(format!("{path} holds something that is no object")),
                    }
                }
                true
            }
            (Type::Texts, Value::Array(texts)) => texts.iter().all(Value::is_string),
            (Type::Ints, Value::Array(numbers)) => numbers.iter().all(Value::is_number),
            (Type::Text, value) => value.is_string(),
            (Type::Int, value) => value.is_i64() || value.is_u64(),
            (Type::Float, value) => value.is_number(),
            (Type::Bool, value) => value.is_boolean(),
            (Type::Map, value) => value.is_object(),
            (Type::Maps, Value::Array(maps)) => maps.iter().all(Value::is_object),
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => Err(format!("{path} is not {:?}: {value}", self.kind)),
        }
    }
}

fn complete(fields: &[Field], object: &mut Map<String, Value>, path: &str) -> Result<(), String> {
    if let Some(name) = object
        .keys()
        .find(|name| fields.iter().all(|it| it.name != **name))
    {
        return Err(format!("there is no field {path}.{name}"));
    }
    for field in fields {
        match object.get_mut(&field.name) {
            Some(value) => field.complete(value, &format!("{path}.{}", field.name))?,
            None => {
                object.insert(field.name.clone(), field.empty());
            }
        }
    }
    Ok(())
}

/// `true` or `false` in any case: SDKs differ.
pub fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A parameter that must be given.
pub fn missing(name: &str) -> ApiError {
    ApiError::bad(
        "MissingParameter",
        format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        ),
    )
}

/// A parameter with a value that cannot be.
pub fn invalid(name: &str, why: impl Into<String>) -> ApiError {
    ApiError::bad(
        "InvalidParameter",
        format!(
            "The specified parameter \"{name}\" is not valid: {}",
            why.into()
        ),
    )
}

/// The beginning of a text, quoted.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_read() {
        let names: Vec<&str> = products().iter().map(|it| &*it.product).collect();
        assert_eq!(
            names,
            [
                "Vpc",
                "Ecs",
                "VpcPeer",
                "Ram",
                "Sts",
                "Actiontrail",
                "Cloudfw"
            ]
        );
        let (_, operation) = operation("2016-04-28", "CreateForwardEntry").unwrap();
        assert!(
            operation
                .request
                .iter()
                .any(|it| it.name == "PortBreak" && it.kind == Type::Bool)
        );
    }

    #[test]
    fn ours_are_added() {
        let (_, operation) = operation("2016-04-28", "DescribeSnatTableEntries").unwrap();
        let mut answer = Map::new();
        let entry = json!({"SnatTableEntry": [{"Pooling": "Paired"}]});
        answer.insert("SnatTableEntries".into(), entry);
        operation.complete(&mut answer).unwrap();
        let entry = &answer["SnatTableEntries"]["SnatTableEntry"][0];
        assert_eq!(
            (&entry["Pooling"], &entry["SnatIp"]),
            (&json!("Paired"), &json!(""))
        );
    }

    #[test]
    fn unknown_versions_and_actions() {
        assert_eq!(
            operation("2016-04-29", "CreateVpc").unwrap_err().code,
            "InvalidVersion"
        );
        let error = operation("2016-04-28", "MakeVpc").unwrap_err();
        assert_eq!(
            (error.status, &*error.code),
            (404, "InvalidAction.NotFound")
        );
    }

    #[test]
    fn parameters_have_their_types() {
        let (_, operation) = operation("2016-04-28", "CreateNatGateway").unwrap();
        let check = |pairs: &[(&str, &str)]| {
            let mut params: Params = pairs.iter().copied().collect();
            params.insert("RegionId", "r");
            operation
                .check(&params)
                .map_err(|error| error.code.into_owned())
        };
        assert_eq!(
            check(&[("VpcId", "vpc-1"), ("IcmpReplyEnabled", "True")]),
            Ok(())
        );
        assert_eq!(check(&[]), Err("MissingParameter".into()));
        assert_eq!(
            check(&[("VpcId", "vpc-1"), ("IcmpReplyEnabled", "yes")]),
            Err("InvalidParameter".into())
        );
    }

    #[test]
    fn answers_are_completed_and_checked() {
        let (_, operation) = operation("2016-04-28", "DescribeVpcs").unwrap();
        let answer = |value: Value| {
            let Value::Object(mut fields) = value else {
                unreachable!()
            };
            operation
                .complete(&mut fields)
                .map(|()| Value::Object(fields))
        };
        let full = answer(json!({"Vpcs": {"Vpc": [{"VpcId": "vpc-1"}]}, "TotalCount": 1})).unwrap();
        assert_eq!(full["Vpcs"]["Vpc"][0]["VpcId"], "vpc-1");
        assert_eq!(full["Vpcs"]["Vpc"][0]["IsDefault"], false);
        assert_eq!(full["Vpcs"]["Vpc"][0]["UserCidrs"]["UserCidr"], json!([]));
        assert_eq!(full["PageSize"], 0);
        assert!(answer(json!({"Vpcs": []})).is_err());
        assert!(answer(json!({"Vpc": {}})).is_err());
        assert!(answer(json!({"TotalCount": "1"})).is_err());
    }
}
