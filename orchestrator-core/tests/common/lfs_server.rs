//! A server of the LFS batch API (git-lfs/docs/api/batch.md) on loopback, with its objects in
//! memory.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

/// Such a server. It ends with the test's process.
#[derive(Clone)]
pub(crate) struct LfsServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// A header that every request must have.
    header: Option<&'static str>,
    /// The status and the words with which an upload is refused.
    refusal: Mutex<Option<(u16, &'static str)>>,
    /// How many uploads were refused.
    refused: Mutex<u32>,
    /// How many requests were answered.
    answered: Mutex<u32>,
}

impl LfsServer {
    pub(crate) fn start(header: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has an address");
        let server = Self {
            url: format!("http://{address}/team/repo"),
            shared: Arc::new(Shared {
                header,
                ..Shared::default()
            }),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        server
    }

    pub(crate) fn refuse_uploads(&self, with: Option<(u16, &'static str)>) {
        *self.shared.refusal.lock().expect("whole") = with;
    }

    pub(crate) fn objects(&self) -> usize {
        self.shared.objects.lock().expect("whole").len()
    }

    pub(crate) fn refused(&self) -> u32 {
        *self.shared.refused.lock().expect("whole")
    }

    pub(crate) fn answered(&self) -> u32 {
        *self.shared.answered.lock().expect("whole")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((line, headers, body)) = request(&mut reader) {
            let (status, answer) = self.answer(&line, &headers, body);
            *self.shared.answered.lock().expect("whole") += 1;
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            let stream = reader.get_mut();
            if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, line: &str, headers: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let missing = |header: &str| !headers.contains(header);
        if path.ends_with("/batch") && self.shared.header.is_some_and(missing) {
            return (401, message("who are you?"));
        }
        let oid = path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut objects = self.shared.objects.lock().expect("whole");
        match method {
            "POST" if path.ends_with("/objects/batch") => {
                let asked: Value = serde_json::from_slice(&body).expect("is JSON");
                let refusal = *self.shared.refusal.lock().expect("whole");
                if let (Some((status, why)), Some("upload")) =
                    (refusal, asked["operation"].as_str())
                {
                    *self.shared.refused.lock().expect("whole") += 1;
                    return (status, message(why));
                }
                (200, self.batch(&asked, &objects))
            }
            "PUT" => {
                objects.insert(oid, body);
                (200, Vec::new())
            }
            "GET" => objects
                .get(&oid)
                .map_or_else(|| (404, message("none")), |object| (200, object.clone())),
            _ => (404, message("no locks here")),
        }
    }

    fn batch(&self, asked: &Value, known: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        let uploads = asked["operation"] == "upload";
        let empty = Vec::new();
        let objects = asked["objects"].as_array().unwrap_or(&empty);
        let objects = objects.iter().map(|object| {
            let oid = object["oid"].as_str().unwrap_or_default();
            let href = json!({ "href": format!("{}/objects/{oid}", self.url) });
            let mut answer = json!({ "oid": oid, "size": object["size"] });
            match (uploads, known.contains_key(oid)) {
                (true, false) => answer["actions"] = json!({ "upload": href }),
                (false, true) => answer["actions"] = json!({ "download": href }),
                (true, true) => {}
                (false, false) => answer["error"] = json!({ "code": 404, "message": "not here" }),
            }
            answer
        });
        let objects: Vec<_> = objects.collect();
        json!({ "transfer": "basic", "objects": objects })
            .to_string()
            .into_bytes()
    }
}

fn message(text: &str) -> Vec<u8> {
    json!({ "message": text }).to_string().into_bytes()
}

/// The first line of a request, its headers, and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut headers = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, headers, body))
}
