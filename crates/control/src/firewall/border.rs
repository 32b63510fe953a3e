//! The Internet border: which EIPs it protects.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::Seconds;
use crate::refusal::Result;

impl Cloud {
    /// Whether the border protects an EIP that is allocated now.
    pub(crate) fn protects_new_eips(&self, now: Seconds) -> bool {
        self.shared_settings().auto_protect && !self.has_expired(now)
    }
}

impl Draft {
    /// Puts an EIP under the protection of the Internet border, or takes it from there.
    ///
    /// # Errors
    /// If it does not exist, or if what was bought has ended.
    pub fn protect_eip(&mut self, id: &str, protected: bool) -> Result<()> {
        if protected {
            self.bought()?;
        }
        self.eip(id)?;
        if let Some(eip) = self.eips.get_mut(id) {
            eip.protected = protected;
        }
        Ok(())
    }

    /// Whether EIPs are protected from when they are allocated. Those that there are stay as they are.
    ///
    /// # Errors
    /// If they are to be, and what was bought has ended.
    pub fn set_auto_protect(&mut self, on: bool) -> Result<()> {
        if on {
            self.bought()?;
        }
        self.change_shared(|settings| settings.auto_protect = on);
        Ok(())
    }
}
