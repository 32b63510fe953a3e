//! Waiting until no kernel program can still be using what was taken out of the flow table.
//!
//! `membarrier(2)` with `MEMBARRIER_CMD_GLOBAL` waits for an RCU grace period, and eBPF programs run
//! inside of RCU read-side sections. It takes milliseconds, so a thread of its own does it, for all
//! slots that have come together meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Slots of the flow table on their way from retired to released.
pub(crate) struct Grace {
    to: Sender<Vec<u32>>,
    from: Receiver<Vec<u32>>,
}

/// How long to wait where the system call is not to be had: no program runs that long.
const LONG: Duration = Duration::from_secs(2);

impl Grace {
    /// Starts the thread, which ends when this is dropped.
    pub fn start() -> std::io::Result<Grace> {
        let (to, retired) = channel::<Vec<u32>>();
        let (released, from) = channel();
        std::thread::Builder::new()
            .name("sluice-grace".into())
            .spawn(move || {
                while let Ok(mut slots) = retired.recv() {
                    slots.extend(retired.try_iter().flatten());
                    wait();
                    if released.send(slots).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Grace { to, from })
    }

    /// Hands over slots that were retired.
    pub fn retire(&self, slots: Vec<u32>) {
        if !slots.is_empty() {
            // If the thread were gone, the slots would stay unused: no harm but to room.
            let _ = self.to.send(slots);
        }
    }

    /// Slots whose grace period is over.
    pub fn over(&self) -> Option<Vec<u32>> {
        self.from.try_recv().ok()
    }
}

/// Waits for a grace period.
fn wait() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the system call takes three integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        std::thread::sleep(LONG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn every_slot_comes_back_once() {
        let grace = Grace::start().unwrap();
        let begin = Instant::now();
        let mut back = Vec::new();
        for slot in 0..100 {
            grace.retire(vec![slot]);
            back.extend(grace.over().into_iter().flatten());
        }
        grace.retire(Vec::new());
        while back.len() < 100 && begin.elapsed() < Duration::from_secs(60) {
            back.extend(grace.over().into_iter().flatten());
            std::thread::sleep(Duration::from_millis(1));
        }
        back.sort_unstable();
        assert_eq!(back, (0..100).collect::<Vec<_>>());
        assert_eq!(grace.over(), None);
    }
}
