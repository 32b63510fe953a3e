//! How records are written down: as JSON, and what is long of it compressed.
//!
//! Long are the pages of policies, of which there may be many, and each of which says much the same a hundred times over. What a
//! transaction costs is what it writes, and each value is written twice, into the present and into the history, and again
//! from the log into the database.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Up to so many bytes a record is kept as JSON.
const SHORT: usize = 2 << 10;
/// The most bytes that a compressed record has as JSON.
const MOST: usize = 16 << 20;
/// What a compressed record begins with: no JSON does. The number of bytes of its JSON follows, little end first, and a
/// block of LZ4.
const LZ4: u8 = 4;

/// Writes a record.
pub(crate) fn write<T: Serialize>(record: &T) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    let Some(bytes) = long(json.len()) else {
        return Ok(json);
    };
    let mut out = vec![LZ4];
    out.extend(bytes.to_le_bytes());
    out.extend(lz4_flex::block::compress(&json));
    Ok(out)
}

/// How long a JSON is that is to be compressed.
fn long(json: usize) -> Option<u32> {
    let bytes = (SHORT + 1..=MOST).contains(&json).then_some(json)?;
    u32::try_from(bytes).ok()
}

/// Reads what was written.
///
/// # Errors
/// If it is nothing of the kind.
pub(crate) fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let json = |json: &[u8]| serde_json::from_slice(json).map_err(|error| error.to_string());
    let Some((&LZ4, rest)) = value.split_first() else {
        return json(value);
    };
    let bytes = rest.split_first_chunk();
    let sized = bytes.map(|(bytes, block)| (u32::from_le_bytes(*bytes) as usize, block));
    let Some((bytes, block)) = sized.filter(|(bytes, _)| *bytes <= MOST) else {
        return Err("it says of no length that it can have".into());
    };
    let unpacked = lz4_flex::block::decompress(block, bytes).map_err(|error| error.to_string())?;
    json(&unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// So much text, in JSON two bytes longer.
    fn text(bytes: usize) -> String {
        "policy ".chars().cycle().take(bytes).collect()
    }

    #[test]
    fn what_is_short_can_be_read_by_people_and_what_is_long_is_much_shorter() {
        let short = write(&text(SHORT - 2)).expect("JSON");
        assert_eq!(short, format!("{:?}", text(SHORT - 2)).into_bytes());
        let long = write(&text(SHORT - 1)).expect("JSON");
        assert!(long[0] == LZ4 && long.len() < SHORT / 10, "{}", long.len());
        for value in [short, long] {
            let read: String = read(&value).expect("what was written");
            assert_eq!(read, text(read.len()));
        }
        // An earlier program wrote it so.
        let json = format!("{:?}", text(2 * SHORT)).into_bytes();
        assert_eq!(read(&json), Ok(text(2 * SHORT)));
        let too_long = write(&text(MOST)).expect("JSON");
        assert_eq!(too_long.len(), MOST + 2);
    }

    #[test]
    fn what_claims_to_be_too_long_is_not_read() {
        let mut value = write(&text(2 * SHORT)).expect("JSON");
        value[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read::<String>(&value).is_err());
        assert!(read::<String>(&value[..3]).is_err());
        assert!(read::<String>(&[]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(text in "\\PC{0,3000}") {
            prop_assert_eq!(read(&write(&text).expect("JSON")), Ok(text));
        }

        #[test]
        fn what_is_damaged_is_an_error_or_something_else(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut value = write(&text(3 * SHORT)).expect("JSON");
            for (at, byte) in damage {
                let at = at.index(value.len());
                value[at] = byte;
            }
            value.truncate(cut.index(value.len()) + 1);
            // It may take any length up to the most, but no more, and does not panic.
            let _ = read::<String>(&value);
        }
    }
}
