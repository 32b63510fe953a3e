//! Policy documents: who may do what with which resources, in the form of the cloud's RAM.
//!
//! ```json
//! {"Version": "1", "Statement": [
//!     {"Effect": "Allow", "Action": ["vpc:*", "ecs:*"], "Resource": "acs:vpc:*:*:vpc/vpc-1"}]}
//! ```
//!
//! A statement is about a call if one of its actions and one of its resources fit. What no statement allows is not
//! allowed, and what one denies is denied whatever others allow. What would change the meaning of a statement and
//! is not understood here (`Condition`, `NotAction` …) makes the document invalid, so that nobody gets more than
//! its writer had in mind.

use super::arn::Arn;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest document in bytes, as in the cloud.
pub const MAX_DOCUMENT: usize = 6_144;

/// Why a text is no policy document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is too long, or empty.
    #[error("the document has {0} bytes: 1 to {MAX_DOCUMENT} are allowed")]
    Length(usize),
    /// It is no JSON, or of another form.
    #[error("the document cannot be read: {0}")]
    Form(String),
    /// Another version of the language.
    #[error("the Version is {0:?}: only \"1\" is known")]
    Version(String),
    /// No statement, or a statement without actions or resources.
    #[error("{0} is empty: it must hold at least one element")]
    Empty(&'static str),
    /// Something that the cloud has and this program has not.
    #[error("{0} is not supported: {1}")]
    Unsupported(&'static str, &'static str),
    /// Not `product:Operation`.
    #[error("the action {0:?} is neither \"*\" nor like \"vpc:DescribeVpcs\" or \"vpc:Describe*\"")]
    Action(String),
    /// Not an ARN.
    #[error(
        "the resource {0:?} is neither \"*\" nor of the form acs:PRODUCT:REGION:ACCOUNT:TYPE/ID, such as \
         \"acs:vpc:*:*:vpc/vpc-1\""
    )]
    Resource(String),
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    /// In small letters: the case of operations does not matter.
    actions: Vec<String>,
    resources: Vec<Resource>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// Which resources a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Any,
    /// Product, region, account, type with identifier.
    Like([String; 4]),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    version: String,
    statement: Vec<WrittenStatement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenStatement {
    effect: Effect,
    action: Option<Texts>,
    resource: Option<Texts>,
    not_action: Option<IgnoredAny>,
    not_resource: Option<IgnoredAny>,
    condition: Option<IgnoredAny>,
    principal: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn list(self) -> Vec<String> {
        match self {
            Texts::One(text) => vec![text],
            Texts::Several(texts) => texts,
        }
    }
}

/// What documents say to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement is about it.
    Silent,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(text: &str) -> Result<Document, DocumentError> {
        if text.is_empty() || text.len() > MAX_DOCUMENT {
            return Err(DocumentError::Length(text.len()));
        }
        let written: Written =
            serde_json::from_str(text).map_err(|error| DocumentError::Form(error.to_string()))?;
        if written.version != "1" {
            return Err(DocumentError::Version(written.version));
        }
        let statements = written.statement.into_iter().map(WrittenStatement::read);
        let statements: Vec<Statement> = statements.collect::<Result<_, _>>()?;
        match statements.is_empty() {
            true => Err(DocumentError::Empty("Statement")),
            false => Ok(Document { statements }),
        }
    }

    /// What the document says to an action on a resource. The resource is given by all that it is and lies in: a
    /// statement about any of these is about it.
    pub fn verdict(&self, action: &str, resource: &[Arn]) -> Verdict {
        let action = action.to_lowercase();
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            let acts = statement.actions.iter().any(|it| like(it, &action));
            let on = |arn: &Arn| statement.resources.iter().any(|it| it.fits(arn));
            if acts && resource.iter().any(on) {
                match statement.effect {
                    Effect::Deny => return Verdict::Denied,
                    Effect::Allow => verdict = Verdict::Allowed,
                }
            }
        }
        verdict
    }

    /// Whether it allows everything, if nothing denies it.
    pub fn allows_everything(&self) -> bool {
        self.statements.iter().any(|it| {
            it.effect == Effect::Allow
                && it.actions.iter().any(|it| it == "*")
                && it.resources.contains(&Resource::Any)
        })
    }

    /// Whether it denies anything.
    pub fn denies(&self) -> bool {
        self.statements.iter().any(|it| it.effect == Effect::Deny)
    }
}

impl WrittenStatement {
    fn read(self) -> Result<Statement, DocumentError> {
        for (given, name, instead) in [
            (&self.not_action, "NotAction", "list the actions in Action"),
            (
                &self.not_resource,
                "NotResource",
                "list the resources in Resource",
            ),
            (
                &self.condition,
                "Condition",
                "leave it out, and say in Resource what the statement is about",
            ),
            (
                &self.principal,
                "Principal",
                "attach the policy to a user instead",
            ),
        ] {
            if given.is_some() {
                return Err(DocumentError::Unsupported(name, instead));
            }
        }
        let list = |texts: Option<Texts>, name| match texts.map(Texts::list) {
            Some(list) if !list.is_empty() => Ok(list),
            _ => Err(DocumentError::Empty(name)),
        };
        let actions = list(self.action, "Action")?.into_iter().map(read_action);
        let resources = list(self.resource, "Resource")?
            .into_iter()
            .map(Resource::read);
        Ok(Statement {
            effect: self.effect,
            actions: actions.collect::<Result<_, _>>()?,
            resources: resources.collect::<Result<_, _>>()?,
        })
    }
}

fn read_action(text: String) -> Result<String, DocumentError> {
    let word = |word: &str| {
        let known = |it: u8| it.is_ascii_alphanumeric() || b"*-_".contains(&it);
        !word.is_empty() && word.bytes().all(known)
    };
    let known = match text.split_once(':') {
        Some((product, operation)) => word(product) && word(operation),
        None => text == "*",
    };
    match known {
        true => Ok(text.to_lowercase()),
        false => Err(DocumentError::Action(text)),
    }
}

impl Resource {
    fn read(text: String) -> Result<Resource, DocumentError> {
        if text == "*" {
            return Ok(Resource::Any);
        }
        // Variables and single wildcards would be taken for plain letters.
        let foreign = |it: char| "?${} ".contains(it) || it.is_control();
        let parts: Vec<&str> = text.splitn(5, ':').collect();
        match *parts {
            ["acs", product, region, account, resource]
                if !resource.is_empty() && !text.contains(foreign) =>
            {
                // The cloud's own texts write types with and without dashes.
                let resource = match resource.split_once('/') {
                    Some((kind, id)) => format!("{}/{id}", kind.replace('-', "")),
                    None => resource.to_owned(),
                };
                let [product, region, account] = [product, region, account].map(str::to_owned);
                Ok(Resource::Like([product, region, account, resource]))
            }
            _ => Err(DocumentError::Resource(text)),
        }
    }

    fn fits(&self, arn: &Arn) -> bool {
        match self {
            Resource::Any => true,
            Resource::Like(patterns) => {
                let mut pairs = patterns.iter().zip(arn.parts());
                pairs.all(|(pattern, part)| like(pattern, &part))
            }
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters, also none. Takes at most the product of
/// their lengths.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last `*`, and how much of the text it was taken to stand for.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|it| *it == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc(id: &str) -> [Arn; 1] {
        [Arn::new("vpc", "cn-hangzhou", "vpc", id)]
    }

    fn statement(rest: &str) -> String {
        format!(r#"{{"Version":"1","Statement":[{{{rest}}}]}}"#)
    }

    #[test]
    fn wildcards() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("vpc:describe*", "vpc:describevpcs", true),
            ("vpc:describe*", "vpc:deletevpc", false),
            ("*:describe*s", "ecs:describeinstances", true),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyyb", false),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("ab", "abc", false),
            ("abc", "ab", false),
            ("**a**", "a", true),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_denies_wins_and_what_says_nothing_allows_nothing() {
        let text = r#"{"Version":"1","Statement":[
            {"Effect":"Allow","Action":["vpc:*"],"Resource":["acs:vpc:*:*:vpc/*"]},
            {"Effect":"Deny","Action":"vpc:delete*","Resource":"acs:vpc:cn-hangzhou:*:vpc/vpc-1"}]}"#;
        let document = Document::parse(text).unwrap();
        let verdict = |action, id| document.verdict(action, &vpc(id));
        assert_eq!(verdict("vpc:ModifyVpcAttribute", "vpc-1"), Verdict::Allowed);
        assert_eq!(verdict("vpc:DeleteVpc", "vpc-1"), Verdict::Denied);
        assert_eq!(verdict("vpc:DeleteVpc", "vpc-10"), Verdict::Allowed);
        assert_eq!(verdict("ecs:RunInstances", "vpc-1"), Verdict::Silent);
        // About what it lies in.
        let within = [
            Arn::new("vpc", "cn-hangzhou", "natgateway", "ngw-1"),
            Arn::new("vpc", "cn-hangzhou", "vpc", "vpc-1"),
        ];
        assert_eq!(
            document.verdict("vpc:DeleteNatGateway", &within),
            Verdict::Denied
        );
        assert_eq!(
            document.verdict("vpc:DeleteNatGateway", &within[..1]),
            Verdict::Silent
        );
        assert!(document.denies() && !document.allows_everything());
    }

    #[test]
    fn types_may_have_dashes() {
        let text = statement(
            r#""Effect":"Allow","Action":"*","Resource":"acs:vpc:*:*:nat-gateway/ngw-1""#,
        );
        let gateway = [Arn::new("vpc", "r", "natgateway", "ngw-1")];
        let document = Document::parse(&text).unwrap();
        assert_eq!(
            document.verdict("vpc:CreateSnatEntry", &gateway),
            Verdict::Allowed
        );
        assert!(!document.allows_everything());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |text: &str| Document::parse(text).unwrap_err().to_string();
        let allow = r#""Effect":"Allow","Action":"*","Resource":"*""#;
        Document::parse(&statement(allow)).unwrap();
        for more in [
            "Condition",
            "NotAction",
            "NotResource",
            "Principal",
            "Nothing",
        ] {
            let text = statement(&format!(r#"{allow},"{more}":{{}}"#));
            assert!(refused(&text).contains(more), "{}", refused(&text));
        }
        for (rest, part) in [
            (r#""Effect":"allow","Action":"*","Resource":"*""#, "Deny"),
            (r#""Effect":"Allow","Action":[],"Resource":"*""#, "Action"),
            (r#""Effect":"Allow","Action":"*""#, "Resource"),
            (r#""Effect":"Allow","Action":"vpc","Resource":"*""#, "vpc"),
            (
                r#""Effect":"Allow","Action":"vpc:A b","Resource":"*""#,
                "A b",
            ),
            (
                r#""Effect":"Allow","Action":"*","Resource":"vpc/vpc-1""#,
                "acs",
            ),
            (
                r#""Effect":"Allow","Action":"*","Resource":"acs:vpc:*:*:vpc/vpc-?""#,
                "vpc-?",
            ),
            (
                r#""Effect":"Allow","Action":"*","Resource":"acs:vpc:*:*:""#,
                "acs",
            ),
            (
                r#""Effect":"Allow","Action":1,"Resource":"*""#,
                "list of texts",
            ),
            (
                r#""Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*""#,
                "duplicate",
            ),
        ] {
            let told = refused(&statement(rest));
            assert!(told.contains(part), "{told}");
        }
        assert!(refused(r#"{"Version":"2","Statement":[]}"#).contains("\"1\""));
        assert!(refused(r#"{"Version":"1","Statement":[]}"#).contains("Statement"));
        assert!(refused("").contains("6144"));
        assert!(refused(&" ".repeat(MAX_DOCUMENT + 1)).contains("6144"));
        assert!(Document::parse(&"[".repeat(MAX_DOCUMENT)).is_err());
    }
}
