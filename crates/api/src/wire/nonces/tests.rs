use super::*;

const BOOT: &str = "8f3c1a52-6a0f-4e55-9a3c-5a3f0c7d9b11";
const OTHER: &str = "0b7e61e0-15a8-4a53-bd3c-2f6d9c0f8a22";
/// In the middle of a period.
const NOW: u64 = 2_000_000 * WINDOW + 400;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &tempfile::TempDir, now: u64) -> Nonces {
    Nonces::open_on(&dir.path().join("nonces"), BOOT, now).unwrap()
}

#[track_caller]
fn accepted(nonces: &Nonces, nonce: &str, time: u64, now: u64) {
    nonces.accept("key", nonce, time, now).unwrap();
}

#[track_caller]
fn used(nonces: &Nonces, nonce: &str, time: u64, now: u64) {
    let result = nonces.accept("key", nonce, time, now);
    assert!(matches!(result, Err(Rejected::Used)), "{result:?}");
}

#[track_caller]
fn expired(nonces: &Nonces, nonce: &str, time: u64, now: u64) {
    let result = nonces.accept("key", nonce, time, now);
    assert!(matches!(result, Err(Rejected::Expired)), "{result:?}");
}

#[test]
fn a_nonce_is_accepted_once_for_each_key() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    accepted(&nonces, "a", NOW, NOW);
    used(&nonces, "a", NOW, NOW);
    used(&nonces, "a", NOW + WINDOW, NOW);
    used(&nonces, "a", NOW - WINDOW, NOW);
    accepted(&nonces, "b", NOW, NOW);
    nonces.accept("other", "a", NOW, NOW).unwrap();
    // Not the same text cut elsewhere.
    nonces.accept("ke", "ya", NOW, NOW).unwrap();
}

#[test]
fn a_nonce_is_kept_as_long_as_its_call_is_valid() {
    for time in [NOW - WINDOW, NOW - 401, NOW - 1, NOW, NOW + 1, NOW + WINDOW] {
        let dir = dir();
        let mut nonces = open(&dir, NOW);
        accepted(&nonces, "a", time, NOW);
        for now in (NOW..=time + WINDOW).step_by(7).chain([time + WINDOW]) {
            used(&nonces, "a", time, now);
            if now % 5 == 0 {
                drop(nonces);
                nonces = open(&dir, now);
                used(&nonces, "a", time, now);
            }
        }
        expired(&nonces, "a", time, time + WINDOW + 1);
    }
}

#[test]
fn nothing_is_kept_for_ever() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    let mut now = NOW;
    for count in 0..400 {
        now += 97;
        accepted(&nonces, &count.to_string(), now - now % 13, now);
        let files = fs::read_dir(dir.path().join("nonces")).unwrap().count();
        assert!(files <= 2 + 3, "{files}");
    }
    let known = nonces.known.lock().unwrap();
    let kept: usize = known.periods.values().map(|it| it.nonces.len()).sum();
    assert!(kept < 40, "{kept}");
}

#[test]
fn a_restart_forgets_nothing() {
    let dir = dir();
    {
        // Never closed, as after kill -9: but for its lock, which the kernel would take away.
        let nonces = std::mem::ManuallyDrop::new(open(&dir, NOW));
        for nonce in 0..1_000 {
            accepted(&nonces, &nonce.to_string(), NOW - nonce % 900, NOW);
        }
        nonces._lock.unlock().unwrap();
    }
    let nonces = open(&dir, NOW + 5);
    for nonce in 0..1_000 {
        used(&nonces, &nonce.to_string(), NOW - nonce % 800, NOW + 5);
    }
    accepted(&nonces, "new", NOW - 10, NOW + 5);
}

#[test]
fn two_processes_cannot_share_them() {
    let dir = dir();
    let _nonces = open(&dir, NOW);
    let second = Nonces::open_on(&dir.path().join("nonces"), BOOT, NOW);
    assert!(matches!(second, Err(NoncesError::Locked(_))));
}

#[test]
fn after_a_loss_of_power_earlier_calls_are_refused() {
    let dir = dir();
    drop(open(&dir, NOW));
    // Whatever had been written is lost; the boot id was synced before anything was accepted.
    let path = dir.path().join("nonces");
    let nonces = Nonces::open_on(&path, OTHER, NOW + 60).unwrap();
    expired(&nonces, "a", NOW + 59, NOW + 61);
    expired(&nonces, "a", NOW + 60, NOW + 61);
    accepted(&nonces, "a", NOW + 61, NOW + 61);
    // That stays so when the process starts again before those calls have expired.
    drop(nonces);
    let nonces = Nonces::open_on(&path, OTHER, NOW + 90).unwrap();
    expired(&nonces, "b", NOW + 60, NOW + 90);
    used(&nonces, "a", NOW + 61, NOW + 90);
    accepted(&nonces, "b", NOW + 61, NOW + 90);
}

#[test]
fn calls_from_the_future_are_remembered_through_a_loss_of_power() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    accepted(&nonces, "a", NOW + 500, NOW);
    drop(nonces);
    let nonces = Nonces::open_on(&dir.path().join("nonces"), OTHER, NOW + 60).unwrap();
    used(&nonces, "a", NOW + 500, NOW + 61);
}

#[test]
fn a_damaged_file_counts_as_a_loss_of_power() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage, bool); 6] = [
        ("a changed bit in the first record", |it| it[40] ^= 1, true),
        ("a changed bit in the head", |it| it[3] ^= 1, false),
        ("half a record at the end", |it| it.extend([0; 16]), false),
        ("a record of zeros", |it| it.extend([0; 32]), false),
        ("nothing is left", |it| it.clear(), true),
        ("far too much", |it| it.resize((MAX + 2) * RECORD, 0), true),
    ];
    for (what, damage, lost) in damages {
        let dir = dir();
        let nonces = open(&dir, NOW);
        accepted(&nonces, "a", NOW + 30, NOW);
        drop(nonces);
        let path = dir.path().join("nonces");
        let file = path.join(((NOW + 30 + WINDOW) / WINDOW).to_string());
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();

        let nonces = open(&dir, NOW + 10);
        expired(&nonces, "b", NOW + 10, NOW + 11);
        accepted(&nonces, "b", NOW + 11, NOW + 11);
        let known = matches!(
            nonces.accept("key", "a", NOW + 30, NOW + 11),
            Err(Rejected::Used)
        );
        assert_eq!(known, !lost, "{what}: what can still be read counts");
        drop(nonces);
        // And the file is whole again.
        let nonces = open(&dir, NOW + 12);
        used(&nonces, "b", NOW + 11, NOW + 12);
        expired(&nonces, "c", NOW + 10, NOW + 12);
        accepted(&nonces, "c", NOW + 11, NOW + 12);
    }
}

#[test]
fn a_damaged_boot_file_counts_as_a_loss_of_power() {
    for text in [
        &b""[..],
        b"\xff",
        b"8f3c1a52\n",
        b"8f3c1a52-6a0f-4e55-9a3c-5a3f0c7d9b11\nx\n",
    ] {
        let dir = dir();
        let nonces = open(&dir, NOW);
        accepted(&nonces, "a", NOW, NOW);
        drop(nonces);
        fs::write(dir.path().join("nonces/boot"), text).unwrap();
        let nonces = open(&dir, NOW + 10);
        expired(&nonces, "b", NOW, NOW + 10);
        accepted(&nonces, "b", NOW + 11, NOW + 11);
    }
}

#[test]
fn a_clock_that_goes_back_opens_nothing_again() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    accepted(&nonces, "a", NOW, NOW);
    accepted(&nonces, "b", NOW + 3 * WINDOW, NOW + 3 * WINDOW);
    expired(&nonces, "a", NOW, NOW);
    // A restart takes the clock as it is.
    drop(nonces);
    accepted(&open(&dir, NOW), "c", NOW, NOW);
}

#[test]
fn one_key_cannot_fill_the_memory() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    accepted(&nonces, "a", NOW, NOW);
    {
        let mut known = nonces.known.lock().unwrap();
        let key = Record::of("key", "").key;
        for period in known.periods.values_mut() {
            period.keys.insert(key, MAX_PER_KEY);
        }
    }
    let result = nonces.accept("key", "b", NOW, NOW);
    let Err(Rejected::Full(wait)) = result else {
        panic!("{result:?}");
    };
    let until = NOW + wait.as_secs();
    nonces.accept("other", "b", NOW, NOW).unwrap();
    // As told.
    accepted(&nonces, "b", until, until);
}

#[test]
fn what_cannot_be_written_is_not_accepted() {
    let dir = dir();
    let nonces = open(&dir, NOW);
    fs::remove_dir_all(dir.path().join("nonces")).unwrap();
    let result = nonces.accept("key", "a", NOW, NOW);
    assert!(matches!(result, Err(Rejected::Unwritten(_))), "{result:?}");
}
