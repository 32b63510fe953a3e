//! A gateway elsewhere: profiles that say where it is and with which key, and calls over HTTP.

use crate::error::Error;
use crate::output::progress::Progress;
use api::wire::{Credentials, sign};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig, parse_pem};

/// How long a call may take.
const TIME: Duration = Duration::from_secs(120);

/// The longest answer in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// Where a gateway's API is, and the access key for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// The access key's identifier.
    pub access_key_id: String,
    /// Its secret.
    pub access_key_secret: String,
    /// The region of calls that name none.
    #[serde(default)]
    pub region: Option<String>,
    /// The certificate that the endpoint's is, or is signed by, in PEM; without it the usual ones of the Web.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
}

/// The file of profiles.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The profile that is taken if nothing else is said.
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// The profile that `--profile`, the environment or the file's `default` names; `None` if they name none.
///
/// # Errors
/// If there is no such profile, or the file cannot be read, is wrong, or can be read by others.
pub fn profile(name: Option<&str>) -> Result<Option<Profile>, Error> {
    choose(name, |name| {
        std::env::var(name).ok().filter(|it| !it.is_empty())
    })
}

fn choose(
    name: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Profile>, Error> {
    if let (None, Some(endpoint)) = (name, environment("SLUICE_ENDPOINT")) {
        let need = |names: [&str; 2]| {
            let value = names.into_iter().find_map(&environment);
            value.ok_or_else(|| {
                Error::Other(format!(
                    "SLUICE_ENDPOINT is set, but neither {} nor {}",
                    names[0], names[1]
                ))
            })
        };
        return Ok(Some(Profile {
            endpoint,
            access_key_id: need(["SLUICE_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"])?,
            access_key_secret: need([
                "SLUICE_ACCESS_KEY_SECRET",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            ])?,
            region: environment("SLUICE_REGION"),
            certificate: environment("SLUICE_CERTIFICATE").map(PathBuf::from),
        }));
    }
    let Some(path) = path(&environment) else {
        return match name {
            Some(_) => Err(Error::Other(
                "HOME is not set: there is no file of profiles".into(),
            )),
            None => Ok(None),
        };
    };
    let mut file = match read(&path)? {
        Some(file) => file,
        None if name.is_some() => {
            let why = format!("there are no profiles: {} does not exist", path.display());
            return Err(Error::Other(why));
        }
        None => return Ok(None),
    };
    let Some(name) = name.map(str::to_owned).or(file.default) else {
        return Ok(None);
    };
    match file.profile.remove(&name) {
        Some(profile) => Ok(Some(profile)),
        None => {
            let names: Vec<&str> = file.profile.keys().map(|it| &**it).collect();
            Err(Error::Other(format!(
                "{}: there is no profile {name:?}: there are {}",
                path.display(),
                names.join(", ")
            )))
        }
    }
}

/// Where the profiles are.
fn path(environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(path) = environment("SLUICE_PROFILES") {
        return Some(path.into());
    }
    let config = environment("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&environment("HOME")?).join(".config")))?;
    Some(config.join("sluice/profiles.toml"))
}

fn read(path: &Path) -> Result<Option<File>, Error> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Other(format!("cannot read {shown}: {error}"))),
    };
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::Other(format!(
            "{shown} holds secrets and is open to others: chmod 600 {shown}"
        )));
    }
    let text = crate::state::read_config(path)?;
    let file = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.as_bytes()[..at]
            .iter()
            .filter(|it| **it == b'\n')
            .count()
            + 1;
        Error::Other(format!("{shown}: line {line}: {}", error.message()))
    })?;
    Ok(Some(file))
}

/// Calls an operation over HTTP.
///
/// # Errors
/// If the endpoint cannot be reached or answers nonsense, or the call is refused.
pub fn call(
    profile: &Profile,
    version: &str,
    action: &str,
    mut params: Vec<(String, String)>,
) -> Result<Map<String, Value>, Error> {
    let endpoint = profile.endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint.split_once("://").unwrap_or(("", ""));
    if !["http", "https"].contains(&scheme) || host.is_empty() || host.contains(['/', '?', '@']) {
        let why = format!("the endpoint {endpoint:?} is not of the form https://HOST:PORT");
        return Err(Error::Other(why));
    }
    if let Some(region) = &profile.region
        && !params.iter().any(|(name, _)| name == "RegionId")
    {
        params.push(("RegionId".into(), region.clone()));
    }
    let credentials = Credentials {
        id: &profile.access_key_id,
        secret: &profile.access_key_secret,
    };
    let now = datapath::wall();
    let signed = sign(credentials, host, (version, action), params, now, &nonce()?);
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(TIME))
        .http_status_as_error(false)
        .max_redirects(0);
    if let Some(path) = &profile.certificate {
        let tls = TlsConfig::builder().root_certs(RootCerts::from(certificates(path)?));
        config = config.tls_config(tls.build());
    }
    let agent = ureq::Agent::new_with_config(config.build());
    let mut request = agent.post(format!("{endpoint}/"));
    for (name, value) in &signed.headers {
        request = request.header(*name, value);
    }
    let _progress = Progress::show(format!("Waiting for {endpoint}"));
    let broken = |error: ureq::Error| Error::Other(format!("cannot call {endpoint}: {error}"));
    let mut response = request.send(&signed.body).map_err(broken)?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(MAX_ANSWER);
    let body = body.read_to_vec().map_err(broken)?;
    let answer: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| {
        Error::Other(format!(
            "{endpoint} answers {status} with something that is no JSON object"
        ))
    })?;
    if status.is_success() {
        return Ok(answer);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    Err(Error::Other(format!(
        "{}: {}",
        text("Code"),
        text("Message")
    )))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let wrong = |why: String| Error::Other(format!("the certificate {}: {why}", path.display()));
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|error| wrong(error.to_string()))? {
            ureq::tls::PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => continue,
        }
    }
    match certificates.is_empty() {
        true => Err(wrong("there is none in PEM in it".into())),
        false => Ok(certificates),
    }
}

/// 128 random bits.
fn nonce() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Other(format!("no random numbers: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const FILE: &str = "\
        default = \"lab\"\n\
        [profile.lab]\n\
        endpoint = \"http://127.0.0.1:8080\"\n\
        access_key_id = \"a\"\n\
        access_key_secret = \"b\"\n\
        [profile.edge]\n\
        endpoint = \"https://edge.example:8443\"\n\
        access_key_id = \"c\"\n\
        access_key_secret = \"d\"\n\
        region = \"cn-beijing\"\n";

    fn with_file(text: &str, mode: u32, name: Option<&str>) -> Result<Option<Profile>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profiles.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let path = path.display().to_string();
        choose(name, |key| (key == "SLUICE_PROFILES").then(|| path.clone()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_is_named_or_the_default() {
        let key = |name| with_file(FILE, 0o600, name).unwrap().unwrap().access_key_id;
        assert_eq!(key(None), "a");
        assert_eq!(key(Some("edge")), "c");
        let error = with_file(FILE, 0o600, Some("moon")).unwrap_err();
        assert!(error.contains("there are edge, lab"), "{error}");
        assert_eq!(with_file("", 0o600, None), Ok(None));
    }

    #[test]
    fn a_file_that_is_wrong_or_open_to_others_is_refused() {
        let error = with_file(FILE, 0o640, None).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
        let error = with_file("default = \"a\"\nendpoint = 1\n", 0o600, None).unwrap_err();
        assert!(
            error.contains("line 2: unknown field `endpoint`"),
            "{error}"
        );
    }

    #[test]
    fn the_environment_is_a_profile_too() {
        let set = |pairs: &[(&str, &str)]| {
            let pairs: BTreeMap<String, String> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            choose(None, |name| pairs.get(name).cloned()).map_err(|error| error.to_string())
        };
        let endpoint = ("SLUICE_ENDPOINT", "http://h");
        let id = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "i");
        let secret = ("SLUICE_ACCESS_KEY_SECRET", "s");
        let profile = set(&[endpoint, id, secret]).unwrap().unwrap();
        assert_eq!(
            (&*profile.access_key_id, &*profile.access_key_secret),
            ("i", "s")
        );
        assert!(set(&[endpoint, id]).unwrap_err().contains("SECRET"));
        assert_eq!(set(&[]), Ok(None));
    }

    #[test]
    fn an_endpoint_that_is_none_is_told() {
        for endpoint in [
            "",
            "localhost:80",
            "ftp://h",
            "http://",
            "http://h/path",
            "http://a@h",
        ] {
            let profile = Profile {
                endpoint: endpoint.into(),
                access_key_id: "a".into(),
                access_key_secret: "b".into(),
                region: None,
                certificate: None,
            };
            let error = call(&profile, "2016-04-28", "DescribeVpcs", vec![]).unwrap_err();
            assert!(
                error.to_string().contains("https://HOST:PORT"),
                "{endpoint}: {error}"
            );
        }
    }
}
