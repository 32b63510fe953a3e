//! The state of a gateway as the file that `sluice apply` reads.

use control::{Cloud, Draft};

/// The text of the file, with what a file cannot say as comments at its beginning.
///
/// # Errors
/// If the file would not say what there is.
pub fn text(cloud: &Cloud) -> Result<String, String> {
    let mut out = String::from(
        "# What `sluice export` has written, for `sluice apply` and `sluice serve`.\n",
    );
    for line in left_out(cloud) {
        out.push_str(&format!("# Not in it: {line}.\n"));
    }
    out.push('\n');
    let file = cloud.file();
    out.push_str(&model::file::write(&file));
    let read = model::file::parse(&out)
        .map_err(|error| format!("what there is cannot be written as a file: {error}"))?;
    // What another gateway would make of it.
    let mut draft = Draft::new(Cloud::default(), 0);
    draft.import(&read).map_err(|error| error.message)?;
    match draft.file() == file {
        true => Ok(out),
        false => Err("what there is cannot be written as a file that says the same".into()),
    }
}

/// What there is and a file has no words for.
fn left_out(cloud: &Cloud) -> Vec<String> {
    let mut lines = Vec::new();
    let rejected = cloud.peerings.iter().filter(|it| it.rejected);
    let rejected: Vec<&str> = rejected.map(|it| &*it.id).collect();
    if !rejected.is_empty() {
        let rejected = rejected.join(", ");
        lines.push(format!("peer connections that were rejected: {rejected}"));
    }
    let tagged = cloud.books.iter().filter(|it| it.is_following());
    let tagged: Vec<&str> = tagged.map(|it| &*it.id).collect();
    if !tagged.is_empty() {
        let tagged = tagged.join(", ");
        lines.push(format!(
            "the tags or assets that address books follow, but what is in them now: {tagged}"
        ));
    }
    lines.push("access keys, users and what they may do".into());
    lines
}
