//! A page, as plain bytes over one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Fetches `path` from `host:port`.
pub fn get(address: &str, path: &str) -> Result<Answer, String> {
    get_with(address, path, &[])
}

/// The same with more header lines.
pub fn get_with(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    raw(address, format!("{request}\r\n").as_bytes())
}

/// Posts a body to `path` at `host:port`.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, String> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    raw(address, format!("{request}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// Sends bytes and reads the answer to the end.
pub fn raw(address: &str, request: &[u8]) -> Result<Answer, String> {
    let fail = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(fail)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(fail)?;
    stream.write_all(request).map_err(fail)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(fail)?;
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of the header")?;
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = bytes[split + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body).ok_or("bad chunks")?;
    }
    Ok(Answer { status: status.ok_or("no status")?, headers, body })
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        bytes = &bytes[end + 2..];
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(..length)?);
        bytes = bytes.get(length + 2..)?;
    }
}
