//! Lines on a stream: bounded in length, bounded in time.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other side sent too much.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    /// The other side stopped in the middle.
    #[error("the connection ended in the middle of a line")]
    Torn,
    /// The other side is too slow.
    #[error("no whole line came in {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The operating system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines from a stream.
#[derive(Debug)]
pub struct LineReader {
    stream: UnixStream,
    longest: usize,
    buffer: Vec<u8>,
    /// Bytes of `buffer` in which there is no line end.
    searched: usize,
}

impl LineReader {
    /// Reads lines of at most `longest` bytes, line end included.
    pub fn new(stream: UnixStream, longest: usize) -> LineReader {
        LineReader {
            stream,
            longest,
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// The next line without its end; `None` if the stream is over. The whole line must come within
    /// `time`.
    ///
    /// # Errors
    /// See [`LineError`]. After one the stream cannot be used any more.
    pub fn next(&mut self, time: Duration) -> Result<Option<Vec<u8>>, LineError> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(at) = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
            {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                line.pop();
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() >= self.longest {
                return Err(LineError::TooLong(self.longest));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LineError::TimedOut(time));
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 << 10];
            let room = chunk.len().min(self.longest - self.buffer.len());
            match self.stream.read(&mut chunk[..room]) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(LineError::Torn),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(LineError::TimedOut(time));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SOON: Duration = Duration::from_secs(10);

    fn pair(longest: usize) -> (UnixStream, LineReader) {
        let (writer, reader) = UnixStream::pair().unwrap();
        (writer, LineReader::new(reader, longest))
    }

    #[test]
    fn lines_come_one_by_one_however_they_were_sent() {
        let (mut writer, mut lines) = pair(100);
        writer.write_all(b"a\n\nbc\nd").unwrap();
        assert_eq!(lines.next(SOON).unwrap().unwrap(), b"a");
        assert_eq!(lines.next(SOON).unwrap().unwrap(), b"");
        assert_eq!(lines.next(SOON).unwrap().unwrap(), b"bc");
        writer.write_all(b"e\n").unwrap();
        drop(writer);
        assert_eq!(lines.next(SOON).unwrap().unwrap(), b"de");
        assert!(lines.next(SOON).unwrap().is_none());
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_does_not() {
        let (mut writer, mut lines) = pair(4);
        writer.write_all(b"abc\nabcd\n").unwrap();
        assert_eq!(lines.next(SOON).unwrap().unwrap(), b"abc");
        assert!(matches!(lines.next(SOON), Err(LineError::TooLong(4))));
    }

    #[test]
    fn a_stream_that_ends_in_a_line_is_torn() {
        let (mut writer, mut lines) = pair(100);
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert!(matches!(lines.next(SOON), Err(LineError::Torn)));
    }

    #[test]
    fn a_slow_sender_does_not_gain_time_with_every_byte() {
        let (mut writer, mut lines) = pair(1 << 20);
        let slow = std::thread::spawn(move || {
            while writer.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let begin = Instant::now();
        let error = lines.next(Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, LineError::TimedOut(_)), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(5));
        drop(lines);
        slow.join().unwrap();
    }
}
