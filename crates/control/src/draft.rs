//! A change in the making.

use crate::audit::Event;
use crate::cloud::Cloud;
use crate::records::{Meta, Seconds};
use crate::refusal::{Refusal, Result};
use model::{Config, Id};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The records as they will be if the change goes through. Operations are its methods, one file for each kind
/// of resource.
#[derive(Clone, Debug)]
pub struct Draft {
    cloud: Cloud,
    /// The configuration that it stands for, once somebody has asked and until it changes again.
    rendered: Option<Arc<Config>>,
    /// The time of the change.
    pub now: Seconds,
    /// Only find out whether it would go through.
    pub dry_run: bool,
    /// Bring it into force even if nothing has changed: what has been taken from the data path meanwhile, an
    /// interface that was removed and made again, is put back.
    pub renew: bool,
    /// What is written beside the records: keys and values.
    pub(crate) beside: Vec<(String, Vec<u8>)>,
    /// What the audit trail will say of the change.
    pub(crate) event: Option<Event>,
}

impl Deref for Draft {
    type Target = Cloud;

    fn deref(&self) -> &Cloud {
        &self.cloud
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut Cloud {
        self.rendered = None;
        &mut self.cloud
    }
}

impl Draft {
    /// A draft that changes nothing yet.
    pub fn new(cloud: Cloud, now: Seconds) -> Draft {
        Draft {
            cloud,
            rendered: None,
            now,
            dry_run: false,
            renew: false,
            beside: Vec::new(),
            event: None,
        }
    }

    /// The configuration that it stands for. Asking again costs nothing as long as nothing changes.
    pub fn rendered(&mut self) -> Arc<Config> {
        let cloud = &self.cloud;
        let config = self
            .rendered
            .get_or_insert_with(|| Arc::new(cloud.config()));
        Arc::clone(config)
    }

    /// The records as they are now in the draft.
    pub fn into_cloud(self) -> Cloud {
        self.cloud
    }

    /// A new identifier, e.g. `vpc-5zr0k2…`: the prefix and 20 random letters and digits.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new_id(&self, prefix: &str) -> Result<Id> {
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstuvwxy";
        let mut random = [0; 20];
        getrandom::fill(&mut random)
            .map_err(|error| Refusal::internal(format!("no random numbers: {error}")))?;
        let letters = random.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        Ok(format!("{prefix}-{}", String::from_iter(letters)))
    }

    /// Name and the like of something that is made now.
    pub fn meta(&self, name: impl Into<String>, description: impl Into<String>) -> Meta {
        Meta {
            name: name.into(),
            description: description.into(),
            created: self.now,
            ..Meta::default()
        }
    }

    /// Has the audit trail say this of the change, in the same transaction.
    pub fn put_on_record(&mut self, event: Event) {
        self.event = Some(event);
    }

    /// Has a value written in the same transaction as the records, under a key of its own.
    pub fn write_beside(&mut self, key: String, value: Vec<u8>) {
        self.beside.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_rendered_again_only_when_it_may_have_changed() {
        let mut draft = Draft::new(Cloud::default(), 1);
        let empty = draft.rendered();
        assert!(Arc::ptr_eq(&empty, &draft.rendered()));
        let file = model::file::parse("[system]\nname = \"other\"").expect("a configuration");
        draft.import(&file).expect("an import");
        let named = draft.rendered();
        assert_eq!(
            (&*empty.system.name, &*named.system.name),
            ("sluice", "other")
        );
        assert_eq!(*named, draft.into_cloud().config());
    }
}
