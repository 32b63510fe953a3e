//! Tables of calls, as texts, and what is wanted of the answers; see [`crate::terraform`] and [`crate::errors`].

use api::ApiError;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Create,
    Read,
    Update,
    Delete,
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub enum Product {
    Vpc,
    Ecs,
    Peer,
    Cfw,
    Sts,
    Ram,
    Trail,
    /// No product of the cloud: what a table itself does.
    Own,
}

impl Product {
    pub fn version(self) -> &'static str {
        match self {
            Product::Vpc => "2016-04-28",
            Product::Ecs => "2014-05-26",
            Product::Peer => "2022-01-01",
            Product::Cfw => "2017-12-07",
            Product::Sts => "2015-04-01",
            Product::Ram => "2015-05-01",
            Product::Trail => "2020-07-06",
            Product::Own => "",
        }
    }

    /// What is sent with every call.
    pub fn params(self) -> Vec<(String, String)> {
        match self {
            Product::Vpc | Product::Ecs => vec![("RegionId".into(), "cn-hangzhou".into())],
            _ => Vec::new(),
        }
    }
}

/// What is wanted of an answer.
#[derive(Clone, Debug)]
pub enum Want<T = String> {
    Equal(T, T),
    Has(T, T),
    Kind(T, T),
    Name(T, T),
    Refusal(u16, T),
}

pub struct Call {
    pub line: usize,
    pub phase: Phase,
    pub product: Product,
    pub action: String,
    pub params: Vec<(String, String)>,
    pub wants: Vec<Want>,
}

impl Call {
    /// Whether it is to be refused.
    pub fn is_refused(&self) -> bool {
        matches!(self.wants.first(), Some(Want::Refusal(..)))
    }
}

/// A block of a table.
pub struct Resource {
    pub name: String,
    pub calls: Vec<Call>,
}

/// The words of a line; quotes keep spaces together, `\\` keeps the next character as it is.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in line.trim().chars() {
        match character {
            _ if std::mem::take(&mut escaped) => words.last_mut().unwrap().push(character),
            '\\' => {
                escaped = true;
                words.last_mut().unwrap().push('\\');
            }
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn call(number: usize, line: &str) -> Call {
    let (line, refusal) = match line.split_once(" ! ") {
        Some((line, refusal)) => (line, Some(format!("! {refusal}"))),
        None => (line, None),
    };
    let mut words = words(line);
    if words[0].contains('.') {
        words.insert(0, "create".into());
    }
    let (phase, operation) = (&*words[0], &*words[1]);
    let (product, action) = operation.split_once('.').unwrap();
    let params = words[2..].iter().map(|word| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    Call {
        line: number,
        phase: match phase {
            "create" => Phase::Create,
            "read" => Phase::Read,
            "update" => Phase::Update,
            "delete" => Phase::Delete,
            "gone" => Phase::Gone,
            other => panic!("line {number}: {other} is no phase"),
        },
        product: match product {
            "vpc" => Product::Vpc,
            "ecs" => Product::Ecs,
            "peer" => Product::Peer,
            "cfw" => Product::Cfw,
            "sts" => Product::Sts,
            "ram" => Product::Ram,
            "trail" => Product::Trail,
            "own" => Product::Own,
            other => panic!("line {number}: {other} is no product"),
        },
        action: action.into(),
        params: params.collect(),
        wants: refusal.iter().map(|it| want(number, it)).collect(),
    }
}

fn want(number: usize, line: &str) -> Want {
    if let Some(refusal) = line.trim().strip_prefix("! ") {
        let (status, code) = refusal.split_once(' ').unwrap();
        return Want::Refusal(status.parse().unwrap(), code.trim().into());
    }
    let (path, rest) = line.trim().split_once(' ').unwrap();
    let (what, value) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let (path, value) = (path.to_owned(), value.trim().to_owned());
    match what {
        "=" => Want::Equal(path, value),
        "has" => Want::Has(path, value),
        "is" => Want::Kind(path, value),
        "->" => Want::Name(path, value),
        other => panic!("line {number}: {other} is not known"),
    }
}

/// Reads a table: blocks with a name in brackets, with a line for each call. What is indented is wanted of the answer;
/// `! STATUS CODE` may stand behind a call, too.
pub fn read(text: &str) -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            resources.push(Resource {
                name: name.trim_end_matches(']').into(),
                calls: Vec::new(),
            });
            continue;
        }
        let resource = resources.last_mut().unwrap();
        match line.starts_with(' ') {
            true => resource
                .calls
                .last_mut()
                .unwrap()
                .wants
                .push(want(number, line)),
            false => resource.calls.push(call(number, line)),
        }
    }
    resources
}

/// A value as the provider's `fmt.Sprint` shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value of an answer by its path: `Vpcs.Vpc[0].VpcId`, `Permission[PortRange=22/22].Policy`.
fn find<'a>(answer: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = answer;
    for part in path.split_terminator(']').flat_map(|it| it.split('[')) {
        // What was in brackets has no dot before it.
        let (in_list, part) = match part.strip_prefix('.') {
            Some(rest) => (false, rest),
            None => (value.is_array(), part),
        };
        if in_list {
            let list = value.as_array()?;
            value = match part.split_once('=') {
                None => list.get(part.parse::<usize>().ok()?)?,
                Some((field, wanted)) => list.iter().find(|it| shown(&it[field]) == wanted)?,
            };
        } else {
            for name in part.split('.') {
                value = value.get(name)?;
            }
        }
    }
    Some(value)
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "text" => value.is_string(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        "empty" => *value == Value::Array(Vec::new()) || *value == "",
        "given" => value.is_string() && *value != "",
        other => panic!("{other} is no type"),
    }
}

impl<T: AsRef<str>> Want<T> {
    pub fn map(self, mut fill: impl FnMut(&str) -> String) -> Want {
        let mut two = |a: T, b: T| (fill(a.as_ref()), fill(b.as_ref()));
        match self {
            Want::Equal(path, value) => {
                let (path, value) = two(path, value);
                Want::Equal(path, value)
            }
            Want::Has(path, value) => {
                let (path, value) = two(path, value);
                Want::Has(path, value)
            }
            Want::Kind(path, kind) => {
                let (path, kind) = two(path, kind);
                Want::Kind(path, kind)
            }
            Want::Name(path, name) => {
                let (path, name) = two(path, name);
                Want::Name(path, name)
            }
            Want::Refusal(status, code) => Want::Refusal(status, fill(code.as_ref())),
        }
    }
}

impl Want {
    /// Looks whether an answer has what is wanted. Returns what is to be kept, and under which name.
    ///
    /// # Errors
    /// What is not as it is wanted.
    pub fn check(
        &self,
        answer: &Result<Value, ApiError>,
    ) -> Result<Option<(String, String)>, String> {
        let answer = match (self, answer) {
            (Want::Refusal(status, code), Err(error)) => {
                return match (error.status, &*error.code) == (*status, &**code) {
                    true => Ok(None),
                    false => Err(format!("not {status} {code} but {} {error}", error.status)),
                };
            }
            (Want::Refusal(_, code), Ok(_)) => return Err(format!("not refused with {code}")),
            (_, Err(error)) => return Err(error.to_string()),
            (_, Ok(answer)) => answer,
        };
        let value = |path: &str| find(answer, path).ok_or_else(|| format!("no {path}"));
        match self {
            Want::Equal(path, wanted) => match shown(value(path)?) {
                shown if shown == *wanted => Ok(None),
                shown => Err(format!("{path} is {shown:?}, not {wanted:?}")),
            },
            Want::Has(path, wanted) => match value(path)?.as_array() {
                Some(list) if list.iter().any(|it| shown(it) == *wanted) => Ok(None),
                _ => Err(format!("{path} has no {wanted}")),
            },
            Want::Kind(path, kind) => match value(path)? {
                value if is(kind, value) => Ok(None),
                value => Err(format!("{path} is {value}, not {kind}")),
            },
            Want::Name(path, name) => Ok(Some((name.clone(), shown(value(path)?)))),
            Want::Refusal(..) => Ok(None),
        }
    }
}
