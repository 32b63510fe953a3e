//! The state of a gateway as the file that `sluice apply` reads.

use control::Cloud;
use model::Config;

/// The text of the file, with what a file cannot say as comments at its beginning.
///
/// # Errors
/// If the file would not say what is in force.
pub fn text(cloud: &Cloud, config: &Config) -> Result<String, String> {
    let mut out = String::from(
        "# What `sluice export` has written, for `sluice apply` and `sluice serve`.\n",
    );
    for line in left_out(cloud) {
        out.push_str(&format!("# Not in it: {line}.\n"));
    }
    out.push('\n');
    out.push_str(&model::file::write(config));
    let read = model::file::parse(&out)
        .map_err(|error| format!("what is in force cannot be written as a file: {error}"))?;
    match ordered(read) == ordered(config.clone()) {
        true => Ok(out),
        false => Err("what is in force cannot be written as a file that says the same".into()),
    }
}

/// What there is and a file has no words for.
fn left_out(cloud: &Cloud) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |ids: Vec<&str>, what: &str| {
        if !ids.is_empty() {
            lines.push(format!("{what}: {}", ids.join(", ")));
        }
    };
    let stopped = cloud.instances.iter().filter(|it| !it.running);
    add(
        stopped.map(|it| &*it.id).collect(),
        "instances that are stopped",
    );
    let loose = cloud.enis.iter().filter(|it| it.instance.is_none());
    add(
        loose.map(|it| &*it.id).collect(),
        "network interfaces that are attached to no instance",
    );
    let open = cloud.peerings.iter().filter(|it| !it.accepted);
    add(
        open.map(|it| &*it.id).collect(),
        "peer connections that are not accepted",
    );
    let blocks = cloud.nat_ip_cidrs.iter().filter(|it| !it.default);
    add(
        blocks.map(|it| &*it.id).collect(),
        "blocks that new NAT IPs are taken from",
    );
    lines.push("names, descriptions and tags, access keys".into());
    lines
}

/// With the interfaces in the order of their names.
fn ordered(mut config: Config) -> Config {
    config.enis.sort_by(|a, b| a.id.cmp(&b.id));
    config
}
