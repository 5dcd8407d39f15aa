//! What a client of each protocol says, written by hand, so that no client's speed is measured. Sends nothing.

/// What the object says: the seed's default.
pub const QUOTE: &str = "An apple a day keeps the doctor away.";

/// A protocol, as a client speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// AMP: a box for each call.
    Amp,
    /// Perspective Broker: a message to the root object.
    Pb,
    /// JSON-RPC 2.0, a message a line.
    JsonRpcLines,
    /// HTTP with JSON, at the usual path of tress.
    Http,
    /// JSON-RPC 2.0 over HTTP, at this path.
    HttpJsonRpc(&'static str),
    /// PING of redis.
    Redis,
}

impl Wire {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amp => "amp",
            Self::Pb => "pb",
            Self::JsonRpcLines => "jsonrpc-lines",
            Self::Http => "http",
            Self::HttpJsonRpc(_) => "jsonrpc",
            Self::Redis => "redis",
        }
    }

    /// What a client says before its first call.
    #[must_use]
    pub fn opening(self) -> &'static [u8] {
        match self {
            // The dialect that was chosen, and [version, 6]; 0x13 is that word's number in the dialect's vocabulary.
            Self::Pb => b"\x02\x82pb\x02\x80\x13\x87\x06\x81",
            _ => b"",
        }
    }

    /// How many different requests there are: more than may wait for answers, as each bears a number.
    #[must_use]
    pub fn requests(self) -> usize {
        match self {
            Self::Pb => 126, // numbers of one byte
            Self::Http | Self::Redis => 1,
            _ => 900,
        }
    }

    /// One of them; all are of the same length, and so are their answers.
    #[must_use]
    pub fn request(self, number: usize) -> Vec<u8> {
        let id = number % self.requests() + 100;
        match self {
            Self::Amp => {
                let mut request = Vec::new();
                for text in ["_ask", &id.to_string(), "_command", "quote"] {
                    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                    request.extend_from_slice(&length.to_be_bytes());
                    request.extend_from_slice(text.as_bytes());
                }
                request.extend_from_slice(b"\0\0");
                request
            }
            Self::Pb => {
                let id = u8::try_from(id - 99).unwrap_or(u8::MAX);
                let mut request = b"\x07\x80\x1a\x87".to_vec(); // a list of seven: message,
                request.extend_from_slice(&[id, 0x81]); // its number,
                request.extend_from_slice(b"\x04\x82root\x05\x82quote\x01\x81"); // whose, which, an answer is wanted,
                request.extend_from_slice(b"\x01\x80\x0b\x87\x01\x80\x05\x87"); // (tuple), (dictionary)
                request
            }
            Self::JsonRpcLines => json_rpc(id).into_bytes(),
            Self::Http => post("/Quoter/quote", "{}"),
            Self::HttpJsonRpc(path) => post(path, &json_rpc(id)),
            Self::Redis => b"*1\r\n$4\r\nPING\r\n".to_vec(),
        }
    }

    /// What every good answer has in it.
    #[must_use]
    pub fn answer(self) -> &'static [u8] {
        match self {
            Self::Redis => b"+PONG\r\n",
            _ => QUOTE.as_bytes(),
        }
    }
}

fn json_rpc(id: usize) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"quote\"}}\n")
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
