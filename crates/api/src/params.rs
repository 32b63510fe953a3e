//! The parameters of a call: names and texts, as they came from query and form.
//!
//! Lists and objects are flattened in the names: `Tag.1.Key=env`, `SnatIps.2=203.0.113.9`,
//! `SystemDisk.Size=40`. Indices start at 1 and may have gaps.

use std::collections::BTreeMap;

/// The parameters of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The text of a parameter. An empty one counts as not given: that is what SDKs send for it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|it| &**it).filter(|it| !it.is_empty())
    }

    /// Whether a parameter was sent, be it empty: that is how a text is cleared.
    pub fn sent(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|it| &**it)
    }

    /// Adds a parameter; a later one of the same name wins.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The texts of a list, `Name.1`, `Name.2` …, in the order of their indices.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.objects(name)
            .iter()
            .filter_map(|object| self.get(object))
            .collect()
    }

    /// The prefixes of a list of objects, `Name.1`, `Name.2` …, in the order of their indices: each is to be
    /// followed by `.` and the name of a field.
    pub fn objects(&self, name: &str) -> Vec<String> {
        let begin = format!("{name}.");
        let mut indices = Vec::new();
        for (key, _) in self.0.range(begin.clone()..) {
            let Some(rest) = key.strip_prefix(&begin) else {
                break;
            };
            let index = rest.split('.').next().unwrap_or(rest);
            if let Ok(index) = index.parse::<u32>() {
                indices.push(index);
            }
        }
        indices.sort_unstable();
        indices.dedup();
        indices
            .into_iter()
            .map(|index| format!("{name}.{index}"))
            .collect()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Params {
        let pairs = pairs.into_iter();
        Params(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_their_indices_and_may_have_gaps() {
        let params: Params = [
            ("Ip.10", "c"),
            ("Ip.2", "b"),
            ("Ip.1", "a"),
            ("Ip.x", "no"),
            ("Ip", "no"),
            ("Ips.1", "no"),
        ]
        .into_iter()
        .collect();
        assert_eq!(params.list("Ip"), ["a", "b", "c"]);
    }

    #[test]
    fn objects_have_fields() {
        let params: Params = [("Tag.3.Key", "a"), ("Tag.3.Value", ""), ("Tag.1.Key", "b")]
            .into_iter()
            .collect();
        assert_eq!(params.objects("Tag"), ["Tag.1", "Tag.3"]);
        assert_eq!(params.get("Tag.3.Value"), None);
        assert_eq!(params.sent("Tag.3.Value"), Some(""));
    }
}
