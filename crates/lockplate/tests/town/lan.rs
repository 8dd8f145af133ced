//! A camera's connection: HTTP/1.1 over plain TCP on the loopback, kept alive, one payload after another.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that is made anew where the other side closed it.
#[derive(Debug)]
pub struct Lan {
    at: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// Connections made so far.
    pub connections: u64,
}

impl Lan {
    /// To a listener; connects at the first payload.
    pub fn new(at: SocketAddr) -> Self {
        Self { at, stream: None, connections: 0 }
    }

    /// Posts a payload and reads the whole answer.
    ///
    /// # Errors
    /// The connection could not be made, or was closed before an answer.
    pub fn post(&mut self, path: &str, kind: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let reused = self.stream.is_some();
        let answer = self.exchange(path, kind, body);
        match answer {
            // A server may close a kept connection between two requests; nothing of the payload was taken then.
            Err(error) if reused && error.kind() == ErrorKind::UnexpectedEof => {
                self.stream = None;
                self.exchange(path, kind, body)
            }
            other => other,
        }
        .inspect_err(|_| self.stream = None)
    }

    fn exchange(&mut self, path: &str, kind: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            self.stream = Some(BufReader::new(stream));
            self.connections += 1;
        }
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.at,
            body.len()
        );
        let reader = self.stream.as_mut().unwrap();
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        reader.get_mut().write_all(&request)?;
        let malformed = || Error::new(ErrorKind::InvalidData, "not an HTTP answer");
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
        let (mut length, mut closes) = (0_usize, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "cut in its head"));
            }
            let lower = line.trim_end().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok().ok_or_else(malformed)?;
            }
            assert!(!lower.starts_with("transfer-encoding"), "answers of intake have a length");
            closes |= lower == "connection: close";
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if closes {
            self.stream = None;
        }
        Ok((status, body))
    }
}
