//! A server of a test's own on the loopback interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What is sent for a request: raw bytes, made of the request's line with headers, and its body.
pub(crate) type Respond = dyn Fn(&str, &Value) -> Vec<u8> + Send + Sync;

/// A server for one test, on a port of its own; its threads end with the process.
pub(crate) struct Loopback {
    /// Its address.
    pub(crate) url: String,
    /// Heads and bodies of the requests so far.
    pub(crate) seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Loopback {
    /// One that answers so.
    pub(crate) fn new(respond: Box<Respond>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, respond) = (Arc::clone(&seen), Arc::new(respond));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                std::thread::spawn(move || serve(stream, &log, &**respond));
            }
        });
        Self { url, seen }
    }

    /// Number of the requests so far.
    pub(crate) fn n_seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<(String, Value)>>, respond: &Respond) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_lowercase();
        if let Some(n) = lower.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let bytes = respond(&head, &body);
    log.lock().unwrap().push((head, body));
    // The client may have gone.
    let _ = stream.write_all(&bytes);
}

/// A response with this status and body.
pub(crate) fn http(status: &str, body: &str) -> Vec<u8> {
    let n = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {n}\r\nconnection: close\r\n\r\n{body}").into()
}
