//! Users, keys, policies and the audit trail by their commands; tracing by the API.

use lab::{Lab, Site};
use serde_json::Value;
use std::fs;

#[test]
fn users_get_keys_and_policies_and_what_was_done_is_told() {
    let lab = Lab::new("access");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let json = |words: &str| -> Value { serde_json::from_str(&gateway.cli(words).ok()).unwrap() };

    let policy = lab.dir().join("policy.json");
    let document = r#"{"Version":"1","Statement":[
        {"Effect":"Allow","Action":"*","Resource":"acs:vpc:*:*:vpc/vpc"}]}"#;
    fs::write(&policy, document).unwrap();
    gateway.cli("user create alice").ok();
    let create = format!("access create one-vpc {}", policy.display());
    gateway.cli(&create).ok();
    gateway.cli("access attach one-vpc alice").ok();
    gateway.cli("access attach ReadOnlyAccess alice").ok();
    let users = gateway.cli("user list").ok();
    assert!(users.contains("one-vpc, ReadOnlyAccess"), "{users}");
    assert_eq!(gateway.cli("access show one-vpc").ok().trim(), document);

    let made = gateway.cli("key create --user alice").ok();
    let lines: Vec<&str> = made.lines().collect();
    let (id, secret) = (lines[0], lines[1]);
    assert_eq!((id.len(), secret.len()), (24, 30), "{made}");
    gateway.cli("key create").ok();
    let keys = json("key list --json");
    assert_eq!(keys.as_array().map(Vec::len), Some(2), "{keys:#}");
    gateway.cli(&format!("key disable {id}")).ok();
    let keys = gateway.cli("key list --user alice").ok();
    assert!(keys.contains(id) && keys.contains("Inactive"), "{keys}");
    assert!(!keys.contains(secret));
    let refused = gateway.cli("user delete alice").fails();
    assert!(
        refused.contains("DeleteConflict.User.AccessKey"),
        "{refused}"
    );
    gateway.cli(&format!("key delete {id}")).ok();
    let unknown = gateway.cli(&format!("key delete {id}")).fails();
    assert!(unknown.contains(id), "{unknown}");
    gateway.cli("access detach one-vpc alice").ok();
    gateway.cli("access detach ReadOnlyAccess alice").ok();
    gateway.cli("access delete one-vpc").ok();
    gateway.cli("user delete alice").ok();

    // A file that is applied, and one that is not.
    let wrong = lab.dir().join("wrong.toml");
    fs::write(&wrong, "[[nothing]]\n").unwrap();
    gateway.cli(&format!("apply {}", wrong.display())).fails();
    let refused = json("audit --failed --json");
    let names = |events: &Value| -> Vec<String> {
        let events = events.as_array().unwrap().iter();
        let names = events.filter_map(|it| it["eventName"].as_str());
        names.map(str::to_owned).collect()
    };
    // The gateway finds what is wrong with a file, so that is told, too.
    assert_eq!(names(&refused), ["Apply", "DeleteUser"]);
    let all = json("audit --limit 0 --json");
    let all = names(&all);
    assert_eq!(all[..2], ["Apply", "DeleteUser"]);
    assert_eq!(all.last().map(|it| &**it), Some("Apply"));
    assert_eq!(all.iter().filter(|it| *it == "CreateAccessKey").count(), 2);
    let table = gateway.cli(&format!("audit --resource {id}")).ok();
    for part in ["uid 0", "control-socket", "ram:DeleteAccessKey", "done"] {
        assert!(table.contains(part), "{table}");
    }
}

/// The API and the command line follow the same packet the same way.
#[test]
fn the_api_traces_as_the_command_does() {
    let lab = Lab::new("traceflow");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let told: Value = serde_json::from_str(
        &gateway
            .cli("trace --from web-1 --to 198.51.100.7:443/tcp --json")
            .ok(),
    )
    .unwrap();
    let api: Value = serde_json::from_str(
        &gateway
            .cli(
                "call vpc TraceFlow --Source web-1 --Destination 198.51.100.7 --DestinationPort 443",
            )
            .ok(),
    )
    .unwrap();
    assert_eq!(api["Verdict"], told["verdict"]);
    assert_eq!(api["Forwarded"], true);
    let steps = api["Steps"]["Step"].as_array().unwrap();
    let expected = told["steps"].as_array().unwrap();
    assert!(steps.len() > 3, "{api:#}");
    assert_eq!(steps.len(), expected.len());
    for (step, expected) in steps.iter().zip(expected) {
        assert_eq!(step["Step"], expected["step"]);
        assert_eq!(step["Result"], expected["result"]);
    }
    assert_eq!(api["SourceIp"], told["translated"]["src"]);
    let nobody = "call vpc TraceFlow --Source nobody --Destination 198.51.100.7";
    let refused = gateway.cli(nobody).fails();
    assert!(refused.contains("nobody"), "{refused}");
}
